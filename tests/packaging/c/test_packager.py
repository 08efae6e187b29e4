"""The package for C: its self-test passes on right code and fails on wrong code."""

import pytest

from rnn_deploy.errors import BundleError, InputError
from rnn_deploy.packaging.c.packager import PACKAGER, interface_of
from tests.support.c_compilers import STRICT, needed
from tests.support.c_package import SANITIZED, built_and_run, written
from tests.support.errors import raises

# A wrong weight, a wrong gate, a mask that is not heeded, a state that is not kept.
FAULTS = {
    "weight": ("model_weights.c", lambda text: first_number(text, "model_lstm_recurrent")),
    "gate": ("model.c", lambda t: t.replace("z * h[j]", "r * h[j]")),
    "mask": ("model.c", lambda t: t.replace("found |= !", "found = found || !!")),
    "state": ("model.c", lambda t: t.replace("c[j] = f * c[j] + i * g", "c[j] = i * g")),
}


def first_number(text, array):
    at = text.index("0x", text.index(f"const float {array}[", text.index("= {")))
    return text[:at] + "1.5f + " + text[at:]


@pytest.mark.parametrize("level", ["-Os", "-O2", "-O3"])
@pytest.mark.parametrize("compiler", [pytest.param(c, marks=needed(c)) for c in ("gcc", "clang")])
def test_the_self_test_passes(masked, whole, tmp_path, compiler, level):
    for bundle in (masked, whole):
        place = written(PACKAGER, bundle, tmp_path)
        said = built_and_run(place, *STRICT, level, compiler=compiler)
        assert said.startswith("passed: 0 of ")


@needed("gcc")
@pytest.mark.parametrize(
    "flags", [SANITIZED, ("-O2", "-DMODEL_USE_LIBM"), ("-O3", "-march=native")]
)
def test_the_self_test_passes_otherwise_built(masked, whole, tmp_path, flags):
    for bundle in (masked, whole):
        assert built_and_run(written(PACKAGER, bundle, tmp_path), *flags).startswith("passed")


@needed("gcc")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(masked, tmp_path, fault):
    place = written(PACKAGER, masked, tmp_path)
    name, change = FAULTS[fault]
    before = (place / name).read_text()
    (place / name).write_text(change(before))
    assert (place / name).read_text() != before
    assert "FAILED" in built_and_run(place, "-O1", code=1)


@needed("gcc")
def test_a_state_of_another_model_is_found_in_debug_builds(masked, tmp_path):
    place = written(PACKAGER, masked, tmp_path)
    source = (place / "model_selftest.c").read_text()
    spoiled = source.replace("model_reset(&state);", "memset(&state, 0, sizeof state);")
    (place / "model_selftest.c").write_text(spoiled)
    assert "digest" in built_and_run(place, "-O1", code=-6)
    built_and_run(place, "-O1", "-DNDEBUG")


@needed("gcc")
def test_zero_steps_and_wrong_ids_are_refused_and_change_nothing(whole, tmp_path):
    place = written(PACKAGER, whole, tmp_path)
    (place / "model_selftest.c").write_text(
        """#include "model.h"
#include <string.h>
int main(void) {
    model_state s, before;
    int32_t ids[3] = {1, 7, 2};
    float y[3] = {9, 9, 9}, work[MODEL_WORK_FLOATS(3)];
    model_reset(&s);
    before = s;
    if (model_run(&s, ids, NULL, 0, y, work) != MODEL_NO_STEPS) return 1;
    if (model_run(&s, ids, NULL, 3, y, work) != MODEL_BAD_ID) return 2;
    ids[1] = -8;
    if (model_run(&s, ids, NULL, 3, y, work) != MODEL_BAD_ID) return 3;
    if (memcmp(&s, &before, sizeof s) || y[0] != 9) return 4;
    ids[1] = -7;
    return model_run(&s, ids, NULL, 3, y, work) != MODEL_OK;
}
"""
    )
    built_and_run(place, *SANITIZED)


@needed("gcc")
def test_two_models_with_names_of_their_own_fit_in_one_program(masked, whole, tmp_path):
    written(PACKAGER, masked, tmp_path, prefix="first")
    written(PACKAGER, whole, tmp_path, prefix="second")
    names = {p.name for p in tmp_path.glob("*.[ch]")}
    assert {"first.h", "second_weights.c", "first_selftest.c"} <= names
    flags = ("-DFIRST_SELFTEST_MAIN=first_main", "-O1")
    (tmp_path / "main.c").write_text(
        "int first_main(void);\nint f(void) { return first_main(); }\n"
    )
    assert "passed" in built_and_run(tmp_path, *flags)


def test_the_header_states_budgets_sizes_and_digest(masked):
    files = PACKAGER.package(masked, {}).files
    header = files["model.h"].decode()
    for word in (
        "MODEL_DIGEST ",
        "bytes of weights",
        "multiplications",
        "lstm_c_out: ",
        "MODEL_ABI",
    ):
        assert word in header
    readme = files["README.md"].decode()
    for system in ("CMake", "Arduino", "ESP-IDF", "Zephyr", "JUCE", "Emscripten"):
        assert system in readme


def test_the_same_bundle_gives_the_same_bytes(masked):
    assert PACKAGER.package(masked, {}).files == PACKAGER.package(masked, {}).files


@pytest.mark.parametrize("prefix", ["", "1st", "a-b", "_a", "für"])
def test_a_prefix_that_is_no_identifier_is_refused(masked, prefix):
    with raises(InputError, "E-OPTION-PREFIX", prefix):
        PACKAGER.package(masked, {"prefix": prefix})


def test_a_bundle_without_a_description_is_damaged(masked):
    from dataclasses import replace

    manifest = replace(masked.manifest, extensions={})
    with raises(BundleError, "E-BUNDLE-DAMAGED"):
        interface_of(replace(masked, manifest=manifest))
