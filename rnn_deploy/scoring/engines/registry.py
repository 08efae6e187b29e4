"""The engines by name."""

from rnn_deploy.errors import InputError
from rnn_deploy.scoring.engines.base import Engine
from rnn_deploy.scoring.engines.dask import DaskEngine
from rnn_deploy.scoring.engines.local import LocalEngine
from rnn_deploy.scoring.engines.ray import RayEngine

LOCAL = "local"
ENGINES: dict[str, Engine] = {LOCAL: LocalEngine(), "dask": DaskEngine(), "ray": RayEngine()}


def engine_named(name: str, address: str | None) -> Engine:
    """Return the engine called `name`; raise InputError if unknown, or if it takes no address."""
    if name not in ENGINES:
        raise InputError(
            "E-SCORE-ENGINE", f"expected an engine of {', '.join(ENGINES)}, got '{name}'"
        )
    if address is not None and name == LOCAL:
        raise InputError(
            "E-OPTION-NEEDS", "--address names a cluster; add --engine dask or --engine ray"
        )
    return ENGINES[name]
