"""The main job on real input, for a person to watch: build, export, run, verify.

    models/*.py --build--> build/demo/NAME.keras --export--> build/demo/NAME
                --evaluate on TensorFlow and every runtime--> what a person would check
                --score--> a table of scans in Parquet, on a pool of processes
                --verify--> every output and state beside its budget

It ends with a line for each model. The rows behind it go to build/demo/details.txt, the reports to
build/demo/NAME.report.json, and the attention of the date translator to
build/demo/dates-attention.html. What is there and not older than its source is reused.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import rnn_deploy
from rnn_deploy.bundle import Bundle, open_bundle
from rnn_deploy.bundle.store import MANIFEST, writing_file
from rnn_deploy.cli.console import OK, data, say, table, verdict, without_native_log_lines
from rnn_deploy.errors import BundleError
from rnn_deploy.inference.generated_page import ShownSequence, html_from_generated
from rnn_deploy.inference.model import Model
from rnn_deploy.runtimes.registry import runtimes_for
from rnn_deploy.spec import SEQUENCE, Array
from rnn_deploy.user_code import load_module
from rnn_deploy.verifying import Report
from rnn_deploy.verifying.report.as_json import json_from_report
from rnn_deploy.verifying.report.report import worst_of_each
from rnn_deploy.verifying.report.text import number

FOLDER = Path("build/demo")
DETAILS = FOLDER / "details.txt"
EXPERIMENTS = ("cell_one_step", "layer_one_step", "unfolded", "batched")
FOUND = 30  # letters of what was found, in the summary
ATTENTION = FOLDER / "dates-attention.html"
TRANSLATED = "dates"  # the model whose attention is written
SCORED = "digits"  # the model that scores a table, too
PRINTED = 1e-6  # how far from the notebook's printed numbers an experiment may be


@dataclass(frozen=True)
class Sample:
    """One model to demonstrate: a model file, and the function in it that builds the model."""

    name: str
    file: str
    function: str = "build_model"

    @property
    def source(self) -> Path:
        return Path("models") / self.file

    @property
    def keras(self) -> Path:
        return FOLDER / f"{self.name}.keras"

    @property
    def bundle(self) -> Path:
        return FOLDER / self.name


SAMPLES = (
    *(Sample(f"notebook-{name}", "notebook.py", name) for name in EXPERIMENTS),
    Sample("hello", "hello.py"),
    Sample("digits", "digits.py"),
    Sample("text", "text.py"),
    Sample("dates", "dates.py"),
)


def main() -> int:
    """Demonstrate every sample; 0 if everything agrees."""
    # Keras' predict says that it traces a model anew for each shape, which is wanted here.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    start = time.perf_counter()
    checks: list[tuple[str, ...]] = []
    reports: dict[str, Report] = {}
    for sample in SAMPLES:
        module = load_module(sample.source)
        bundle = _exported(sample, module)
        with _step(f"{sample.name}: running on TensorFlow and every runtime"):
            checks += _facts(sample, module, bundle)
        if sample.name == SCORED:
            with _step(f"{sample.name}: scoring a Parquet table on a pool of processes"):
                checks.append(_table_scored(module, bundle))
        if sample.name == TRANSLATED:
            _write_attention(module, bundle)
        with _step(f"{sample.name}: verifying outputs and states"):
            reports[sample.name] = rnn_deploy.verify(bundle)
        with writing_file(FOLDER / f"{sample.name}.report.json", force=True) as draft:
            draft.write_text(json_from_report(reports[sample.name]), encoding="utf-8")
    _write_details(checks, reports)
    table(
        "Each model on TensorFlow and on every runtime",
        ("model", "found", "runtimes", ">worst error / budget", "verdict"),
        [_summary(name, checks, report) for name, report in reports.items()],
    )
    passed = all(r.passed for r in reports.values()) and all(row[-1] == OK for row in checks)
    data(f"all rows: {DETAILS}; bundles and reports: {FOLDER}/")
    data(f"attention of six generated dates: {ATTENTION}")
    data(f"took {time.perf_counter() - start:.0f} s")
    data("everything agrees with TensorFlow" if passed else f"FAILED: see {DETAILS}")
    return 0 if passed else 1


def _exported(sample: Sample, module: ModuleType) -> Bundle:
    if _older(sample.keras, sample.source):
        with _step(f"{sample.name}: building the model"):
            model = getattr(module, sample.function)()
            with writing_file(sample.keras, force=True) as draft:
                model.save(draft)
    if _older(sample.bundle / MANIFEST, sample.keras) or not _readable(sample.bundle):
        with _step(f"{sample.name}: exporting to ONNX and TFLite"):
            rnn_deploy.export(
                sample.keras, sample.bundle, samples=_real(sample, module), force=True
            )
    return open_bundle(sample.bundle)


def _readable(bundle: Path) -> bool:
    """Whether this version of rnn-deploy reads the bundle; one of another version is made anew."""
    try:
        open_bundle(bundle)
    except BundleError:
        return False
    return True


def _older(place: Path, source: Path) -> bool:
    return not place.exists() or place.stat().st_mtime < source.stat().st_mtime


def _real(sample: Sample, module: ModuleType) -> Mapping[str, Array]:
    if sample.function in EXPERIMENTS:
        return {"letters": module.one_hot(module.EXPERIMENTS[sample.function].words)}
    samples: Mapping[str, Array] = module.samples()
    return samples


def _facts(sample: Sample, module: ModuleType, bundle: Bundle) -> Iterator[tuple[str, ...]]:
    """What a person would check, a row for TensorFlow and each runtime."""
    models = {"tensorflow": _original(sample, bundle)}
    models |= {r.name: rnn_deploy.load(bundle, r.name) for r in runtimes_for(bundle)[0]}
    expected: Mapping[str, object] | None = None
    for name, model in models.items():
        if sample.function in EXPERIMENTS:
            yield _printed_numbers(sample, module, name, model)
            continue
        found = module.evaluate(model)
        expected = expected or found
        yield sample.name, name, _said(found), verdict(_agree(found, expected))


def _printed_numbers(
    sample: Sample, module: ModuleType, runtime: str, model: Model
) -> tuple[str, ...]:
    experiment = module.EXPERIMENTS[sample.function]
    feeds = {"letters": module.one_hot(experiment.words)}
    sequence, state = model.runner(SEQUENCE).run(feeds).values()
    errors = [np.abs(sequence - experiment.outputs), np.abs(state - experiment.states)]
    error = max(float(e.max()) for e in errors)
    distance = f"within {error:.0e} of the notebook"
    passed = error <= PRINTED and np.array_equal(sequence[:, -1], state)
    return sample.name, runtime, distance, verdict(passed)


def _table_scored(module: ModuleType, bundle: Bundle) -> tuple[str, ...]:
    """Score the held-out scans from a table with a row for each row of pixels."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    _, held = module.scans()
    count, steps, pixels = held.images.shape
    columns = {"scan": np.repeat(np.arange(count), steps), "line": np.tile(np.arange(steps), count)}
    flat = held.images.reshape(-1, pixels)
    columns |= {f"p{pixel}": flat[:, pixel] for pixel in range(pixels)}
    pq.write_table(pa.table(columns), FOLDER / "scans.parquet", row_group_size=1000)
    result = rnn_deploy.score(
        bundle, FOLDER / "scans.parquet", FOLDER / "scores", sequence="scan", order="line",
        features=[f"p{pixel}" for pixel in range(pixels)], runtime="ort-cpu", workers=2,
        shard_size=0.05, force=True,
    )  # fmt: skip
    parts = sorted((FOLDER / "scores").glob("part-*.parquet"))
    scores = np.array(pa.concat_tables(map(pq.read_table, parts))["digit"].to_pylist())
    expected = rnn_deploy.load(bundle, "ort-cpu").predict(held.images)
    right = float(np.mean(scores.argmax(axis=-1) == held.labels))
    agrees = (
        result.ok and scores.shape == expected.shape and np.allclose(scores, expected, atol=1e-5)
    )
    found = f"accuracy: {right:.4f}, {result.shards} shards of {count} scans"
    return SCORED, "score", found, verdict(bool(agrees))


def _write_attention(module: ModuleType, bundle: Bundle) -> None:
    """Write a page with generated dates and the characters that each digit was read from."""
    texts = [text for text, _ in module.pairs()[1][:6]]
    with rnn_deploy.load(bundle, "ort-cpu") as model:
        found = model.generate(
            [module.source([text])[0] for text in texts],
            start=module.START, end=module.END, max_steps=module.STEPS,
        )  # fmt: skip
    shown = [
        ShownSequence(
            text, module.iso(each.ids), list(text), [module.ISO[i] for i in each.ids], each
        )
        for text, each in zip(texts, found, strict=True)
    ]
    with writing_file(ATTENTION, force=True) as draft:
        draft.write_text(html_from_generated("Dates to ISO 8601", shown), encoding="utf-8")


def _original(sample: Sample, bundle: Bundle) -> Model:
    """The original Keras model under TensorFlow, behind the same interface."""
    from rnn_deploy.exporting.halves import parts_of
    from rnn_deploy.keras.opening import OpenedModel, open_model
    from rnn_deploy.references.reference import Reference

    opened = open_model(sample.keras)
    assert isinstance(opened, OpenedModel)
    parts = parts_of(opened.model, bundle.manifest.entry(SEQUENCE))

    def load(entry: str) -> Any:
        return Reference(parts.get(entry, opened.model), bundle.manifest.entry(entry))

    return Model(bundle, "tensorflow", load)


def _agree(found: Mapping[str, object], expected: Mapping[str, object]) -> bool:
    """Equal, real numbers up to a hundred thousandth."""
    return found.keys() == expected.keys() and all(
        abs(value - other) <= 1e-5
        if isinstance(value, float) and isinstance(other, float)
        else value == other
        for value, other in zip(found.values(), expected.values(), strict=True)
    )


def _said(found: Mapping[str, object]) -> str:
    def short(value: object) -> str:
        if isinstance(value, float):
            return f"{value:.4f}"
        if isinstance(value, list):
            return f"{len(value)} of them"
        return repr(value)

    return ", ".join(f"{name}: {short(value)}" for name, value in found.items())


def _summary(name: str, checks: list[tuple[str, ...]], report: Report) -> tuple[str, ...]:
    """Return a line: what was found, the runtimes, the worst error as a part of its budget."""
    rows = [row for row in checks if row[0] == name]
    found = rows[0][2]  # of TensorFlow, which the runtimes must equal
    # An error that is a known difference, such as a NaN that a runtime drops, is infinite.
    finite = [c for c in report.comparisons if c.budget and np.isfinite(c.max_abs)]
    worst = max((c.max_abs / c.budget for c in finite), default=0.0)
    right = report.passed and all(row[-1] == OK for row in rows)
    shown = found if len(found) <= FOUND else f"{found[:FOUND]}..."
    return name, shown, " ".join(report.runtimes), f"{worst:.0%}", verdict(right)


def _write_details(checks: list[tuple[str, ...]], reports: Mapping[str, Report]) -> None:
    """Write a row for each model and runtime, and for each output and state."""
    rows = [
        (name, c.runtime, c.name, c.kind, number(c.max_abs), number(c.reference_error or 0.0),
         number(c.budget), verdict(c.passed))
        for name, report in reports.items()
        for c in worst_of_each(report.comparisons, by=("runtime", "name"))
    ]  # fmt: skip
    columns = ("model", "runtime", "tensor", "kind", "error", "TensorFlow's own", "budget",
               "verdict")  # fmt: skip
    text = _columns(("model", "runtime", "found", "verdict"), checks)
    text += "\n" + _columns(columns, rows)
    for name, report in reports.items():
        if not report.passed:
            text += f"\n{name}: {report.verdict}\n"
    with writing_file(DETAILS, force=True) as draft:
        draft.write_text(text, encoding="utf-8")


def _columns(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows as text, each column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in (header, *rows))
    return "\n".join(lines) + "\n"


@contextmanager
def _step(what: str) -> Iterator[None]:
    say(f"{what} ...")
    start = time.perf_counter()
    yield
    say(f"{what}: {time.perf_counter() - start:.1f} s")


def _run(call: Callable[[], int]) -> int:
    with without_native_log_lines():
        return call()


if __name__ == "__main__":
    sys.exit(_run(main))
