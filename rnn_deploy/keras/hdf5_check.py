"""Refuse an HDF5 file on which the HDF5 library crashes or hangs, before this process opens it.

model file --workers/hdf5, in its own process--> readable, or InputError
"""

from pathlib import Path

from rnn_deploy.bundle.sizes import refuse_larger, size_limit
from rnn_deploy.errors import InputError
from rnn_deploy.workers.process import WorkerError, call_in_process

WORKER = "rnn_deploy.workers.hdf5:read_all"
SECONDS = 30.0
BYTES_PER_SECOND = 10e6  # far below the speed of any disk


def check_hdf5(place: Path) -> None:
    """Raise InputError if the file, or an HDF5 file in a .keras archive, cannot be read."""
    own_size, size = place.stat().st_size, 0
    seconds = SECONDS + own_size / BYTES_PER_SECOND
    try:
        fault, size = call_in_process(WORKER, str(place), size_limit(), time_limit=seconds)
    except WorkerError as error:
        fault = f"the process that read it {error.reason}"
    refuse_larger(size, str(place), own_size)
    if fault:
        raise InputError(
            "E-SOURCE-DAMAGED-H5",
            f"{place}: the HDF5 library cannot read it ({fault[:200]}); save the model again, or"
            " copy the file again",
        )
