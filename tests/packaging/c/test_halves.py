"""The package of an encoder-decoder model: encode and decode are proven by its self-test."""

import pytest

from rnn_deploy import load, verify
from rnn_deploy.bundle import open_bundle
from rnn_deploy.packaging.c.packager import PACKAGER, interface_of
from rnn_deploy.spec import DECODE, ENCODE
from tests.support.c_bundle import c_bundle
from tests.support.c_compilers import STRICT, needed
from tests.support.c_package import SANITIZED, built_and_run, written
from tests.support.translators import TARGETS

pytestmark = pytest.mark.filterwarnings("ignore:.*using a softmax over axis")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, translator_model):
    return open_bundle(c_bundle(translator_model, tmp_path_factory.mktemp("c") / "translator"))


@needed("cc")
def test_it_is_verified_against_the_whole_model(bundle):
    report = verify(bundle, runtimes=("c",))
    assert report.passed, report.verdict
    compared = {c.name for c in report.comparisons if c.check == "encode-decode"}
    entries = [bundle.manifest.entry(name) for name in (ENCODE, DECODE)]
    assert compared == {tensor.name for entry in entries for tensor in entry.all_outputs}


@needed("cc")
@pytest.mark.parametrize("strategy", [{}, {"strategy": "beam", "beams": 3}])
def test_it_generates_what_onnx_runtime_generates(bundle, translator_bundle, strategy):
    sources, options = [[3, 4, 5], [2, 2, 7, 9, 1]], {"start": 1, "end": 0, "max_steps": 8}
    with load(bundle, "c") as own, load(translator_bundle, "ort-cpu") as other:
        found, expected = (m.generate(sources, **options, **strategy) for m in (own, other))
    assert [each.ids for each in found] == [each.ids for each in expected]
    for each, right in zip(found, expected, strict=True):
        assert each.score == pytest.approx(right.score, abs=1e-4)


@needed("gcc")
def test_the_self_test_passes_strictly_and_sanitized(bundle, tmp_path):
    place = written(PACKAGER, bundle, tmp_path)
    text = (place / "model_selftest.c").read_text()
    for name in ("model_run(", "model_encode_run(", "model_decode_run(", "model_decode_step("):
        assert name in text
    for flags in ((*STRICT, "-O3"), SANITIZED):
        assert built_and_run(place, *flags).startswith("passed")


@needed("gcc")
@pytest.mark.parametrize(
    ("right", "wrong", "name"),
    [
        ("(unsigned char)counts", "(unsigned char)!counts", "encoder_mask"),
        ("scores + t * steps_source_time", "scores + t", "scores"),
    ],
)
def test_a_planted_fault_is_found(bundle, tmp_path, right, wrong, name):
    place = written(PACKAGER, bundle, tmp_path)
    text = (place / "model.c").read_text()
    assert right in text
    (place / "model.c").write_text(text.replace(right, wrong))
    said = built_and_run(place, "-O1", code=1)
    assert "FAILED" in said
    assert name in said


def test_readme_and_description_name_every_argument(bundle):
    readme = PACKAGER.package(bundle, {"prefix": "dates"}).files["README.md"].decode()
    assert "dates_encode_run(source, NULL, steps, encoder, encoder_mask, state.decoder_h," in readme
    assert "dates_decode_step(&state, target, encoder, encoder_mask, NULL," in readme
    halves = interface_of(bundle).halves
    assert (halves[ENCODE].keeps_state, halves[DECODE].moving) == (False, "steps_target_time")
    scores = {tensor.name: tensor for tensor in halves[DECODE].outputs}["scores"]
    assert scores.over == "steps_source_time"


@needed("gcc")
def test_wrong_ids_and_empty_sources_change_nothing(bundle, tmp_path):
    place = written(PACKAGER, bundle, tmp_path)
    (place / "model_selftest.c").write_text(
        """#include "model.h"
#include <string.h>
int main(void) {
    model_decode_state s, before;
    int32_t source[2] = {1, 2}, target = TARGETS;
    float memory[2 * MODEL_ENCODE_ENCODER_SIZE], scores[2], y[MODEL_DECODE_Y_SIZE];
    unsigned char mask[2];
    model_decode_reset(&s);
    if (model_encode_run(source, NULL, 0, memory, mask, s.decoder_h, s.decoder_c)
        != MODEL_NO_STEPS) return 1;
    if (model_encode_run(source, NULL, 2, memory, mask, s.decoder_h, s.decoder_c)) return 2;
    before = s;
    if (model_decode_step(&s, &target, memory, mask, NULL, 2, scores, y) != MODEL_BAD_ID) return 3;
    target = 1;
    if (model_decode_step(&s, &target, memory, mask, NULL, 0, scores, y) != MODEL_NO_STEPS)
        return 4;
    if (memcmp(&s, &before, sizeof s)) return 5;
    return model_decode_step(&s, &target, memory, mask, NULL, 2, scores, y) != MODEL_OK
           || !memcmp(&s, &before, sizeof s);
}
""".replace("TARGETS", str(TARGETS))
    )
    built_and_run(place, *SANITIZED)
