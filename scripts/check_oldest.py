#!/usr/bin/env python3
"""Run the conformance suite with the oldest versions that pyproject.toml allows.

    scripts/check_oldest.py [--case PATTERN] [--suite FOLDER]

Covers the base and the runtimes' extras, in an environment without TensorFlow; the development
environment exports the suite. The versions of the extra `export` are close to the newest ones.
"""

import argparse
import re
import sys
import tempfile
import tomllib
from pathlib import Path

from check_wheel import RUNTIMES, CheckFailed, Environment, output_of, say

ROOT = Path(__file__).resolve().parents[1]


def oldest(extras: tuple[str, ...]) -> list[str]:
    """Return the base and the extras with each lower bound as the version."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    extra = project["optional-dependencies"]
    needs = [*project["dependencies"], *(need for name in extras for need in extra[name])]
    return [re.sub(r">=([^,;]+).*", r"==\1", need) for need in needs]


def check(folder: Path, case: str, suite: Path | None) -> None:
    if suite is None:
        suite = folder / "suite"
        words = ("conformance", "--save", suite, "--form", "auto", "--case", case)
        output_of(sys.executable, "-m", "rnn_deploy", *words, cwd=ROOT)
    old = Environment.create(folder / "oldest", sys.executable)
    versions = oldest(tuple(RUNTIMES))
    say(f"check_oldest: installing {' '.join(versions)}")
    old.pip_install(ROOT, *versions)
    old.command("--version", says=("version",))
    old.command("runtimes", says=tuple(RUNTIMES.values()))
    print(old.command("conformance", "--from", suite.resolve(), "--case", case))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--case", default="*", help="only cases like this, such as 'GRU-*'")
    parser.add_argument(
        "--suite", type=Path, help="what `conformance --save` wrote; else it is made"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oldest-") as folder:
        try:
            check(Path(folder), given.case, given.suite)
        except CheckFailed as failure:
            say(f"check_oldest: FAILED: {failure}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
