"""The suites that are too large for every run: each run takes a share of their tests.

Which share follows from the package's source: one version always runs the same tests, and as the
package changes every test has its turn. `--all` runs them all; a nightly run does.
"""

import hashlib
import zlib
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "rnn_deploy"


def digest_of(package: Path = PACKAGE) -> int:
    """A number that follows from the source of a package."""
    digest = hashlib.sha256()
    for module in sorted(package.rglob("*.py")):
        digest.update(module.read_bytes().replace(b"\r\n", b"\n"))
    return int.from_bytes(digest.digest()[:8], "big")


def share_of(tests: list[str], shares: int, digest: int) -> list[str]:
    """Return one of so many equal shares of a list of tests, mixed well, as a digest chooses."""
    mixed = sorted(tests, key=lambda test: zlib.crc32(test.encode()))
    return mixed[digest % shares :: shares]
