"""The environment of a verification: machine, system, versions, date."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime

from rnn_deploy.optional import installed_version
from rnn_deploy.runtimes.base import Runtime
from rnn_deploy.runtimes.machine import graphics_card, processor


def environment(runtimes: Iterable[Runtime]) -> dict[str, str]:
    """Return facts by name: those of the machine first, then the version of each runtime."""
    facts = {
        "machine": platform.machine(),
        "processor": processor(),
        "system": f"{platform.system()} {platform.release()}".strip(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "numpy": installed_version("numpy") or "?",
        "rnn-deploy": installed_version("rnn-deploy") or "?",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }
    runtimes = list(runtimes)
    if any("CUDA" in str(getattr(runtime, "provider", "")) for runtime in runtimes):
        facts["gpu"] = graphics_card() or "?"
    versions = {runtime.name: runtime.version() for runtime in runtimes}
    return facts | {name: version for name, version in versions.items() if version is not None}
