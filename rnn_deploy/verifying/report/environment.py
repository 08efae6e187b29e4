"""The environment of a verification: machine, system, versions, date."""

import os
import platform
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from rnn_deploy.optional import installed_version
from rnn_deploy.runtimes.base import Runtime

_CPUINFO = Path("/proc/cpuinfo")


def environment(runtimes: Iterable[Runtime]) -> dict[str, str]:
    """Return facts by name: those of the machine first, then the version of each runtime."""
    facts = {
        "machine": platform.machine(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}".strip(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "numpy": installed_version("numpy") or "?",
        "rnn-deploy": installed_version("rnn-deploy") or "?",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }
    versions = {runtime.name: runtime.version() for runtime in runtimes}
    return facts | {name: version for name, version in versions.items() if version is not None}


def _processor() -> str:
    """Return the processor's name, if the system knows it."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.processor() or "unknown"
