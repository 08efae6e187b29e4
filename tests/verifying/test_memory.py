"""Verification streams: what it holds at a time does not grow with the number of golden cases."""

import tracemalloc
from dataclasses import replace

import numpy as np

from rnn_deploy.bundle import GoldenCase, open_bundle, write_cases
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.store import record_of
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.report.error_profiles import ErrorProfiles
from rnn_deploy.verifying.report.results import ResultsWriter

ROWS, STEPS = 500, 100
CHECKS = ("sequence", "states", "chunked", "hand-over", "reset")


def answer(entry, feeds):
    """A running sum in place of a recurrence: right in chunks, and quick."""
    x, dtype = feeds["x"], feeds["x"].dtype
    h1 = feeds.get("first_h_in", np.zeros((len(x), 5), dtype))
    h2 = feeds.get("second_h_in", np.zeros((len(x), 4), dtype))
    after = h2 + x.sum(axis=(1, 2))[:, None]
    y = h2[:, None, :2] + np.cumsum(x.sum(axis=2), axis=1)[..., None]
    results = {"y": y, "first_h_out": h1 + x[..., 0].sum(axis=1)[:, None], "second_h_out": after}
    return {t.name: results[t.name].astype(dtype) for t in entry.all_outputs}


def case(index, entry):
    x = np.random.default_rng(index).integers(-9, 9, (ROWS, STEPS, 3)).astype(np.float32)
    ours, true = (answer(entry, {"x": x.astype(dtype)}) for dtype in ("f4", "f8"))
    return GoldenCase(f"case{index}", ("sequence", "stream"), (30, 70), {"x": x}, ours, true)


def with_cases(root, count):
    """The bundle with so many golden cases of one size in place of its own."""
    manifest = open_bundle(root).manifest
    cases = (case(index, manifest.entry("stream")) for index in range(count))
    write_cases(root / "golden.npz", cases, manifest.source.digest)
    files = tuple(record_of(root, record.path) for record in manifest.files)
    (root / "manifest.json").write_text(json_from_manifest(replace(manifest, files=files)))
    return open_bundle(root)


def peak_of(bundle, place):
    """The most bytes held at a time while a bundle is verified, plots and results kept, too."""
    profiles, writer = ErrorProfiles(), ResultsWriter(place)

    def record(observation):
        profiles.record(observation)
        writer.record(observation)

    tracemalloc.start()
    report = verify(bundle, runtimes=[FakeRuntime(answer)], checks=CHECKS, record=record)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    writer.finish(report)
    assert report.passed, report.verdict
    return peak, len(report.comparisons)


def test_memory_does_not_grow_with_the_number_of_cases(small_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("rnn_deploy.verifying.request.MOST_KEPT", 0)  # else up to that size
    one = case(0, open_bundle(small_bundle).manifest.entry("stream"))
    size = sum(v.nbytes for of in (one.feeds, one.reference, one.oracle) for v in of.values())
    file = small_bundle / "golden.npz"  # its bytes are held, since those are hashed
    few, compared = peak_of(with_cases(small_bundle, 4), tmp_path / "few.npz")
    few -= file.stat().st_size
    many, more = peak_of(with_cases(small_bundle, 24), tmp_path / "many.npz")
    many -= file.stat().st_size
    assert more == 6 * compared
    assert few > size  # tensors are counted at all
    assert many - few < size  # of twenty cases more, not even one is held
