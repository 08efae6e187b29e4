"""Plant faults in finished bundles, and count those that verify detects and whose file it names.

    python scripts/faults.py --folder build/faults --count 200

Each fault is planted in one ONNX file or one signature of a TFLite file of one of five models; the
hashes in the manifest are corrected. A fault is detected if `verify` fails, and attributed if
`verify` names the file (and signature) that has it, and no other. "By values" leaves out the
comparison of constants with their digests, which sees every change of a number in a file. A run
that is stopped continues where it was.
"""

import argparse
import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from shutil import rmtree
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rnn_deploy.bundle import Bundle, open_bundle
from rnn_deploy.bundle.store import writing_file
from rnn_deploy.cli.console import data, say
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.diagnose.file_verdicts import file_verdicts
from rnn_deploy.verifying.judge.weights import CHECK as WEIGHTS
from rnn_deploy.verifying.runtime_verification import RuntimeVerification
from tests.support.edits import OnnxEdit, TfliteEdit
from tests.support.planted_faults import CLASSES, Plan
from tests.support.planted_models import MODELS
from tests.support.spoiled import with_file

RUNTIMES = {"onnx": "ort-cpu", "tflite": "litert"}
STEP = "step"


@dataclass(frozen=True)
class Place:
    """Where a fault is planted. entry: of the file or the signature, "step" too."""

    model: str
    format: str
    path: str
    entry: str

    @property
    def subject(self) -> str:
        """What `verify` calls it."""
        return f"{self.path}, signature {self.entry}" if self.format == "tflite" else self.path


def places_in(name: str, bundle: Bundle) -> Iterator[Place]:
    """Yield every file and signature of a bundle."""
    tflite = set()
    for artifact in bundle.manifest.artifacts:
        if artifact.format == "onnx":
            yield Place(name, "onnx", artifact.path, artifact.entry)
        else:
            tflite.add(artifact.path)
    for path in sorted(tflite):
        for signature in TfliteEdit.signatures((bundle.root / path).read_bytes()):
            yield Place(name, "tflite", path, signature)


def planted(bundle: Bundle, place: Place, fault: str, seed: str) -> bytes | None:
    """Return the file with the fault; None if it cannot have it."""
    content = (bundle.root / place.path).read_bytes()
    edit = {"onnx": OnnxEdit, "tflite": TfliteEdit}[place.format](content, place.entry)
    single = place.entry == STEP
    entry = bundle.manifest.entry("stream" if single else place.entry)
    done = CLASSES[fault](Plan(edit, entry, single, Random(seed)))
    return edit.content if done and edit.content != content else None


def blamed(report: Report) -> tuple[set[str], set[str]]:
    """Return the files that the values blame, and those that the digests blame."""
    verdicts = file_verdicts(report.comparisons, report.failed_checks)
    values = {file for verdict in verdicts for file in verdict.wrong}
    digests = {f.case for f in report.failed_checks if f.check == WEIGHTS}
    return values, digests


def judged(bundle: Bundle, place: Place) -> dict[str, Any]:
    """Verify a spoiled bundle on the runtime of its file; return what verify says."""
    try:
        report = verify(bundle, runtimes=[runtime_named(RUNTIMES[place.format])], time_limit=60)
    except RnnDeployError as error:  # the file is refused as a whole
        return {"detected": True, "by_values": True, "attributed": place.path in str(error)}
    values, digests = blamed(report)
    by_values = any(not c.passed for c in report.comparisons) or any(
        f.check != WEIGHTS for f in report.failed_checks
    )
    right = values <= {place.subject} and digests <= {place.path} and bool(values or digests)
    return {
        "detected": not report.passed, "by_values": by_values, "attributed": right,
        "blamed": sorted(values | digests),
    }  # fmt: skip


def bundles(folder: Path, names: list[str]) -> dict[str, Bundle]:
    """Export the models, unless their bundles are there."""
    from rnn_deploy import export

    found = {}
    for name in names:
        root = folder / name
        if not root.exists():
            say(f"exporting {name}")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                export(MODELS[name](), root, to=("onnx", "tflite"))
        found[name] = open_bundle(root)
    return found


def chosen(found: dict[str, Bundle], seed: int) -> Iterator[tuple[str, Place]]:
    """Yield faults and places in a random order in which every class comes before any repeats."""
    rng = Random(seed)
    places = [place for name, bundle in found.items() for place in places_in(name, bundle)]
    left = {fault: rng.sample(places, len(places)) for fault in CLASSES}
    while any(left.values()):
        for fault in rng.sample(list(left), len(left)):
            while left[fault]:
                place = left[fault].pop()
                if planted(found[place.model], place, fault, f"{seed}/{fault}/{place}"):
                    yield fault, place
                    break


def main() -> int:
    """Plant and judge until `count` is reached; 1 if fewer than `least` are attributed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--least", type=int, default=195, help="Faults that must be attributed.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", choices=MODELS, action="append")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    state = arguments.folder / "state.json"
    done: dict[str, Any] = json.loads(state.read_text()) if state.exists() else {}
    found = bundles(arguments.folder, arguments.model or list(MODELS))
    # Localising has tests of its own, and is slow.
    RuntimeVerification.localise = lambda self: None  # type: ignore[method-assign]
    for number, (fault, place) in enumerate(chosen(found, arguments.seed)):
        if number == arguments.count:
            break
        key = f"{arguments.seed}/{number}"
        if key in done:
            continue
        content = planted(found[place.model], place, fault, f"{arguments.seed}/{fault}/{place}")
        assert content is not None
        spoiled = arguments.folder / "spoiled"
        rmtree(spoiled, ignore_errors=True)
        bundle = with_file(found[place.model], spoiled, place.path, content)
        done[key] = {"fault": fault, **asdict(place), **judged(bundle, place)}
        if not (done[key]["by_values"] and done[key]["attributed"]):
            say(json.dumps(done[key]))
        with writing_file(state, force=True) as draft:
            draft.write_text(json.dumps(done, indent=1))
    counts = Counter(kind for each in done.values() for kind in
                     ("detected", "by_values", "attributed") if each[kind])  # fmt: skip
    right = sum(each["detected"] and each["attributed"] for each in done.values())
    classes = len({each["fault"] for each in done.values()})
    data(
        f"{len(done)} faults of {classes} classes: {counts['detected']} detected"
        f" ({counts['by_values']} by values), {right} attributed to the right file"
    )
    return 0 if right >= min(arguments.least, len(done)) else 1


if __name__ == "__main__":
    sys.exit(main())
