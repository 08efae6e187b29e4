"""What is decided before anything is written."""

import keras
import pytest

import rnn_deploy
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.exporting import plan
from rnn_deploy.exporting.plan import plan_of, with_chunks
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.references.golden import UNTRIED
from rnn_deploy.spec import Support
from tests.support.errors import raises
from tests.support.models import randomised, small_model, token_model

layers = keras.layers


def model_of(*stack, time=None):
    x = y = keras.Input((time, 3), name="x")
    for layer in stack:
        y = layer(y)
    return randomised(keras.Model(x, y, name="mine"))


def rnn(**options):
    return layers.SimpleRNN(4, name="rnn", return_sequences=True, **options)


def test_both_entry_points_of_an_open_model_come_from_one_trace():
    plan = plan_of(small_model(), ExportOptions())
    assert plan.stream.trace is plan.sequence.trace
    assert [traced.entry.name for traced in plan.traced] == ["sequence", "stream"]
    assert plan.sequence.entry.states == ()
    assert plan.sequence.entry.inputs == plan.stream.entry.inputs
    assert plan.sequence.entry.outputs == plan.stream.entry.outputs
    assert plan.notes == ()


def test_a_fixed_time_is_opened_for_the_stream():
    plan = plan_of(model_of(rnn(), time=8), ExportOptions())
    assert plan.sequence.entry.inputs[0].shape == ("batch", 8, 3)
    assert plan.sequence.entry.outputs[0].shape == ("batch", 8, 4)
    assert plan.stream.entry.inputs[0].shape == ("batch", "time", 3)
    assert plan.stream.entry.outputs[0].shape == ("batch", "time", 4)


def test_time_fixed_by_the_user_fixes_tokens_too():
    plan = plan_of(token_model(), ExportOptions(time=5))
    (ids,) = plan.sequence.entry.inputs
    assert (ids.shape, ids.below) == (("batch", 5), 7)
    assert plan.stream.entry.inputs[0].shape == ("batch", "time")
    assert plan.stream.entry.inputs[0].below == 7
    assert [layer.steps for layer in plan.sequence.trace.layers] == [5]
    assert [layer.steps for layer in plan.stream.trace.layers] == [None]


def test_time_is_refused_where_the_model_itself_fixes_its_steps():
    flattened = model_of(rnn(), layers.Flatten(), layers.Dense(2), time=8)
    with raises(InputError, "E-EXPORT-TIME-FIXED", "--time 5"):
        plan_of(flattened, ExportOptions(time=5))


def test_time_fixes_open_lengths_only_and_the_stream_keeps_its_own():
    x, image = keras.Input((None, 3), name="x"), keras.Input((8, 8, 1), name="image")
    y = layers.Concatenate()([rnn()(x)[:, -1], layers.Flatten()(image)])
    plan = plan_of(randomised(keras.Model([x, image], y)), ExportOptions(time=5))
    shapes = [[t.shape[1] for t in traced.entry.inputs] for traced in plan.traced]
    assert shapes == [[5, 8], ["time", 8]]
    assert not plan.opened


def test_fixed_lengths_are_opened_one_by_one_unless_an_open_one_stands_beside():
    def lengths(*times):
        inputs = [keras.Input((time, 3)) for time in times]
        states = [layers.GRU(2)(tensor) for tensor in inputs]
        plan = plan_of(keras.Model(inputs, layers.Add()(states)), ExportOptions())
        return [t.shape[1] for t in plan.stream.entry.inputs], plan.opened

    opened, is_opened = lengths(8, 11)
    assert len(set(opened)) == 2
    assert all(isinstance(length, str) for length in opened)
    assert is_opened
    assert lengths(8, 8) == (["time", "time"], True)
    assert lengths(None, 11) == (["time", 11], False)


def test_more_weights_than_a_graph_holds_are_refused_before_it_is_traced(monkeypatch):
    model = small_model()
    weights = {weight.path: weight.numpy().nbytes for weight in model.weights}
    largest = max(weights, key=weights.get)
    monkeypatch.setattr(plan, "MOST_BYTES", sum(weights.values()) - 1)
    with raises(UnsupportedModelError, "E-MODEL-TOO-LARGE", f"'{model.name}'", f"'{largest}'"):
        plan_of(model, ExportOptions())
    monkeypatch.setattr(plan, "MOST_BYTES", sum(weights.values()))
    assert plan_of(model, ExportOptions())


def test_a_cell_of_a_list_and_a_layer_of_one_name_are_refused():
    cells = layers.RNN([layers.GRUCell(4), layers.GRUCell(4)], name="rnn", return_sequences=True)
    model = model_of(cells, layers.GRU(4, name="rnn_cell0"))
    with raises(UnsupportedModelError, "E-MODEL-SAME-NAME", "'rnn_cell0'"):
        plan_of(model, ExportOptions())


@pytest.mark.parametrize(
    ("stack", "note"),
    [
        ((layers.Dense(2),), "no stream entry point: the model has no recurrent layer"),
        ((rnn(stateful=False),), None),
    ],
)
def test_a_model_without_recurrent_layer_has_no_stream(stack, note):
    plan = plan_of(model_of(*stack), ExportOptions())
    assert plan.notes == ((note,) if note else ())
    assert (plan.stream is None) is bool(note)


def test_a_model_that_gives_its_initial_states_has_no_stream():
    x, h = keras.Input((None, 3), name="x"), keras.Input((4,), name="h")
    plan = plan_of(keras.Model([x, h], rnn()(x, initial_state=h)), ExportOptions())
    assert plan.stream is None
    assert plan.notes == ("no stream entry point: the model itself computes every initial state",)


def test_recurrent_layers_that_run_within_a_step_give_no_stream():
    x = keras.Input((None, 4, 3), name="x")
    y = layers.TimeDistributed(layers.GRU(2))(x)
    plan = plan_of(randomised(keras.Model(x, y)), ExportOptions())
    assert plan.notes == ("no stream entry point: recurrent layers run anew within each step",)


def test_one_format_may_be_given_as_it_is(tmp_path):
    with raises(InputError, "E-FORMAT-UNKNOWN", "'coreml'", "onnx, tflite"):
        rnn_deploy.export(small_model(), tmp_path / "b", to="coreml")


def test_a_stateful_layer_is_noted():
    x = keras.Input(batch_shape=(2, None, 3), name="x")
    plan = plan_of(keras.Model(x, rnn(stateful=True)(x)), ExportOptions())
    (note,) = plan.notes
    assert "'rnn' is stateful: the sequence entry point starts from zero" in note
    assert plan.stream.entry.states[0].tensor.shape == (2, 4)


@pytest.mark.parametrize("tied", [True, False])
def test_lengths_get_one_symbol_only_where_they_must_be_equal(tied):
    a, b = keras.Input((None, 3), name="a"), keras.Input((None, 2), name="b")
    y = rnn()(layers.concatenate([a, b])) if tied else [rnn()(a), layers.Dense(1)(b)]
    plan = plan_of(keras.Model([a, b], y), ExportOptions())
    times = [tensor.shape[1] for tensor in plan.sequence.entry.inputs]
    assert times == (["time", "time"] if tied else ["a_time", "b_time"])


def test_a_model_that_must_not_be_streamed_says_which_layer_is_why():
    plan = plan_of(model_of(layers.Conv1D(4, 3, name="window"), rnn()), ExportOptions())
    known = with_chunks(plan, Support(False, "'y' differs"))
    assert known.stream.entry.chunked.reason.startswith("'y' differs")
    assert "'window' (Conv1D)" in known.stream.entry.chunked.reason
    (note,) = known.notes[len(plan.notes) :]
    assert note.startswith("do not feed the stream")
    assert note.endswith(known.stream.entry.chunked.reason)
    assert with_chunks(plan, Support(False, UNTRIED)).notes == plan.notes


def test_what_is_known_about_chunks_changes_the_stream_only():
    plan = plan_of(small_model(), ExportOptions())
    known = with_chunks(plan, Support(True, "tried"))
    assert known.stream.entry.chunked == Support(True, "tried")
    assert not known.sequence.entry.chunked.ok
    alone = plan_of(model_of(layers.Dense(2)), ExportOptions())
    assert with_chunks(alone, Support(True, "tried")) is alone
