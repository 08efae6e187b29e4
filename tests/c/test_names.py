from rnn_deploy.c.names import Names


def test_what_is_an_identifier_stays():
    names = Names()
    assert names.of(1, "lstm_h", report=True) == "lstm_h"
    assert names.changed == {}


def test_others_are_changed_and_reported():
    names = Names()
    found = [names.of(i, n, report=True) for i, n in enumerate(("a b", "1st", "für", "float", "é"))]
    assert found == ["a_b", "v_1st", "f_r", "float_", "v"]
    assert names.changed["a b"] == "a_b"
    assert len(names.changed) == 5


def test_two_names_that_become_equal_stay_apart():
    names = Names()
    assert names.of("x", "a-b") != names.of("y", "a.b")
    assert names.of("x", "a-b") == names.of("x", "a-b")


def test_names_that_the_sources_use_are_not_given_away():
    names = Names()
    for taken in ("state", "steps", "t", "a", "mask", "NULL", "class"):
        assert names.of(taken, taken) != taken
    assert not names.of("p", "model_state").startswith("model_")
