"""Try random models night after night, and stop at the first silent error.

    python scripts/nightly.py --folder build/nightly --count 10000 --minutes 300

Each seed is one model, composed at random, exported and compared on every runtime of this machine
(`rnn-deploy conformance --random`). The record holds the seeds that are done, so that a later run
goes on. An error is silent if a bundle was written and a runtime computes something else. The
record then holds the seed and the description of the model, and no other seed is tried before that
one works: a run begins with it. Refusals with a reason are counted, and are no errors.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from rnn_deploy.bundle.store import writing_file
from rnn_deploy.cli.console import data, say
from rnn_deploy.errors import RnnDeployError, one_line
from rnn_deploy.runtimes.isolation import staying
from rnn_deploy.runtimes.registry import RUNTIMES


def tried(seed: int, runtimes: Any) -> dict[str, Any]:
    """Return what became of one seed: "right", "refused" or "wrong", and why."""
    from rnn_deploy.conformance.composed import described
    from rnn_deploy.conformance.suite import composed_outcomes

    what = described(Random(seed).choice)
    try:
        outcomes = composed_outcomes(what, seed, runtimes)
    except RnnDeployError as error:
        return {"kind": "refused", "why": str(error)}
    except Exception as error:  # a defect, which is what this looks for
        return {"kind": "wrong", "why": f"{type(error).__name__}: {one_line(error)}", "model": what}
    wrong = [f"{o.runtime}: {o.summary}" for o in outcomes if not o.as_expected]
    if wrong:
        return {"kind": "wrong", "why": "; ".join(wrong), "model": what}
    return {"kind": "right", "compared": sum(o.compared for o in outcomes)}


def main() -> int:
    """Try the seeds that the record does not have yet; 1 if one is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="For the record.")
    parser.add_argument("--count", type=int, default=10_000, help="Models of all runs together.")
    parser.add_argument("--first", type=int, default=1_000_000, help="The seed of the first model.")
    parser.add_argument("--minutes", type=float, default=300, help="The time limit of this run.")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    place = arguments.folder / "record.json"
    record: dict[str, Any] = json.loads(place.read_text()) if place.exists() else {}
    record = {"done": 0, "right": 0, "refused": 0, "compared": 0, "reasons": {}} | record
    record["wrong"] = None
    reasons = Counter(record["reasons"])
    end = time.monotonic() + 60 * arguments.minutes
    available = [each for each in RUNTIMES.values() if each.why_unavailable() is None]
    with staying(available) as runtimes:
        while record["done"] < arguments.count and time.monotonic() < end:
            seed = arguments.first + record["done"]
            outcome = tried(seed, runtimes)
            if outcome["kind"] == "wrong":
                record["wrong"] = {"seed": seed, **outcome}
            else:
                record["done"] += 1
                record[outcome["kind"]] += 1
                record["compared"] += outcome.get("compared", 0)
                if "why" in outcome:
                    reasons[outcome["why"].rpartition("[")[2].rstrip("]")] += 1
            with writing_file(place, force=True) as draft:
                draft.write_text(json.dumps(record | {"reasons": reasons}, indent=1))
            if record["wrong"]:
                say(f"seed {seed} is wrong: {outcome['why']}\n  {json.dumps(outcome['model'])}")
                break
    data(
        f"{record['done']:,} of {arguments.count:,} models: {record['right']:,} right"
        f" ({record['compared']:,} tensors compared), {record['refused']:,} refused"
    )
    return 1 if record["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
