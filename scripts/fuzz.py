"""Read damaged files of every kind and report each error that is not one of ours.

    python scripts/fuzz.py --bundle build/demo/hello --count 20000 --state build/fuzz.json

Runs the readers of tests/support/fuzz.py. A run that is stopped continues where it was: the state
file holds how many mutations of each kind were read. A hang or a crash shows the reader and the
number of the mutation, since each one depends only on the seed and its number.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.store import writing_file
from rnn_deploy.cli.console import data, say
from rnn_deploy.errors import RnnDeployError
from tests.support.fuzz import Reader, mutations, readers

SLOW = 5.0  # seconds for one file
PIECE = 200


def main() -> int:
    """Run the mutations that the state file does not have yet; 1 if anything was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True, help="A bundle with one input.")
    parser.add_argument("--count", type=int, default=20_000, help="Mutations of all kinds.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, required=True, help="What was done, to continue.")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # NumPy warns of some damaged headers
    state = json.loads(arguments.state.read_text()) if arguments.state.exists() else {}
    done, found = Counter(state.get("done", {})), state.get("found", [])
    with tempfile.TemporaryDirectory() as folder:
        all_readers = readers(open_bundle(arguments.bundle), Path(folder))
        most = arguments.count // len(all_readers)
        while any(done[reader.name] < most for reader in all_readers):
            for reader in all_readers:
                found += _piece(reader, Path(folder), arguments.seed, done, min(PIECE, most))
            with writing_file(arguments.state, force=True) as draft:
                draft.write_text(json.dumps({"done": done, "found": found}, indent=1))
    for line in found:
        say(line)
    total = sum(done[reader.name] for reader in all_readers)
    data(f"{total} damaged files, {done['refused']} refused, {len(found)} faults")
    return 1 if found else 0


def _piece(reader: Reader, folder: Path, seed: int, done: Counter[str], size: int) -> list[str]:
    """Read the next mutations of one kind."""
    first, found = done[reader.name], []
    place = folder / f"damaged-{reader.name}"
    for number, content in enumerate(mutations(reader.content, seed, size, first), first):
        place.write_bytes(content)
        start = time.perf_counter()
        try:
            reader.read(place)
        except RnnDeployError:
            done["refused"] += 1
        except Exception as error:  # what this looks for
            found.append(f"{reader.name} {number}: {type(error).__name__}: {str(error)[:200]}")
        if time.perf_counter() - start > SLOW:
            found.append(f"{reader.name} {number}: took more than {SLOW:g} s")
    done[reader.name] = first + size
    return found


if __name__ == "__main__":
    sys.exit(main())
