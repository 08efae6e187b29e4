"""Answer the calls of loops of tf_keras' recurrent layers.

LSTM, GRU and ConvLSTM have their own `call` beside `RNN.call`; all of them are replaced. A call has
its initial state as an argument, or after the sequence in one list. For a `time_major` layer, the
sequence is transposed, so that the answer always sees the batch first.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from rnn_deploy.errors import RnnDeployError
from rnn_deploy.keras import compat
from rnn_deploy.keras.keras2.package import conv_rnn, loaded, package
from rnn_deploy.keras.tensorflow import tf

Call = Callable[..., Any]


class AnswersCalls(Protocol):
    """Answers every call of a recurrent layer and of a Bidirectional."""

    def answer(
        self, layer: Any, sequences: Any, initial_state: Any, mask: Any, loop: Call, training: Any
    ) -> tuple[Any, list[Any]]: ...

    def answer_both(
        self, layer: Any, sequences: Any, initial_state: Any, mask: Any, loop: Call, training: Any
    ) -> tuple[list[Any], list[Any]] | None: ...


@contextmanager
def intercepting_keras2(interception: AnswersCalls) -> Iterator[None]:
    """While open, `interception` answers for tf_keras' recurrent layers, if it is loaded."""
    if loaded() is None:
        yield
        return
    # tf_keras converts an error to a new one of the same class, made from its message alone, unless
    # the error has this attribute.
    RnnDeployError._keras_call_info_injected = True  # type: ignore[attr-defined]
    layers, conv = package().layers, conv_rnn()
    originals = {kind: kind.call for kind in (layers.RNN, conv, layers.GRU, layers.LSTM)}
    original_both = layers.Bidirectional.call
    simple = (layers.SimpleRNN, layers.GRU, layers.LSTM)

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def call(
        self: Any,
        inputs: Any,
        mask: Any = None,
        training: Any = None,
        initial_state: Any = None,
        constants: Any = None,
    ) -> Any:
        if self._num_constants or constants:
            own = next(originals[kind] for kind in type(self).__mro__ if kind in originals)
            return own(self, inputs, mask, training, initial_state, constants)
        inputs, initial_state, mask = _apart(inputs, initial_state, mask)
        loop = _loop(originals[conv if isinstance(self, conv) else layers.RNN])
        if self.time_major:
            inputs, mask = _swapped(inputs), _swapped(mask)
        output, states = interception.answer(self, inputs, initial_state, mask, loop, training)
        if self.time_major and self.return_sequences:
            output = _swapped(output)
        return [output, *states] if self.return_state else output

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def call_both(
        self: Any,
        inputs: Any,
        training: Any = None,
        mask: Any = None,
        initial_state: Any = None,
        constants: Any = None,
    ) -> Any:
        halves = (self.forward_layer, self.backward_layer)
        if all(type(half) in simple and not half.time_major for half in halves):
            given = _apart(inputs, initial_state, mask)
            answer = interception.answer_both(self, *given, _loop(originals[layers.RNN]), training)
            if answer is not None:
                outputs, finals = answer
                if self.return_state:
                    return [*outputs, *finals]
                return outputs[0] if len(outputs) == 1 else outputs
        return original_both(self, inputs, training, mask, initial_state, constants)

    with ExitStack() as stack:
        for kind in originals:
            stack.enter_context(compat.replaced(kind, "call", call))
        stack.enter_context(compat.replaced(layers.Bidirectional, "call", call_both))
        yield


@contextmanager
def watched_calls(starting: Call) -> Iterator[None]:
    """While open, a recurrent layer of tf_keras starts from `starting(initial_state)`."""
    if loaded() is None:
        yield
        return
    layers = package().layers

    def through(original: Call) -> Call:
        @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
        def call(
            self: Any,
            inputs: Any,
            mask: Any = None,
            training: Any = None,
            initial_state: Any = None,
            **constants: Any,
        ) -> Any:
            inputs, initial_state, mask = _apart(inputs, initial_state, mask)
            state = starting(initial_state)
            return original(
                self, inputs, mask=mask, training=training, initial_state=state, **constants
            )

        return call

    with ExitStack() as stack:
        for kind in (layers.RNN, conv_rnn(), layers.GRU, layers.LSTM):
            stack.enter_context(compat.replaced(kind, "call", through(kind.call)))
        yield


def starts_elsewhere(layer: Any) -> bool:
    """Return whether a tf_keras layer or its cell creates an initial state that is not zero."""
    layers, conv = package().layers, conv_rnn()
    if type(layer).get_initial_state not in (layers.RNN.get_initial_state, conv.get_initial_state):
        return True
    kinds = (layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell)
    known = [None, *(kind.get_initial_state for kind in kinds)]
    cells = getattr(layer.cell, "cells", [layer.cell])
    return any(getattr(type(cell), "get_initial_state", None) not in known for cell in cells)


def _apart(inputs: Any, initial_state: Any, mask: Any) -> tuple[Any, Any, Any]:
    """Return the sequence, its initial state and its mask; one list may hold the first two."""
    if isinstance(inputs, list):
        inputs, *states = inputs
        initial_state = states or initial_state
    return inputs, initial_state, None if mask is None else tf.nest.flatten(mask)[0]


def _loop(original: Call) -> Call:
    """Return Keras' own loop over the cell, batch first: the loop that runs on every device."""

    def loop(
        layer: Any, sequences: Any, initial_state: Any, mask: Any, training: bool = False
    ) -> Any:
        size = layer.cell.state_size
        if initial_state is not None and tf.nest.is_nested(size):
            flat = tf.nest.flatten(initial_state)
            initial_state = list(tf.nest.pack_sequence_as(size, flat))
        before, layer.time_major = layer.time_major, False
        try:
            return original(
                layer, sequences, mask=mask, training=training, initial_state=initial_state
            )
        finally:
            layer.time_major = before

    return loop


def _swapped(tensor: Any) -> Any:
    if tensor is None:
        return None
    return tf.transpose(tensor, [1, 0, *range(2, tensor.shape.rank)])
