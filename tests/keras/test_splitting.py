"""Where a model is cut into an encoder and a decoder, and why some models are not."""

import keras
import pytest
from keras import layers, ops

from rnn_deploy.keras.lengths import with_tied_lengths
from rnn_deploy.keras.signature import signature_of
from rnn_deploy.keras.splitting import Split, find_split
from rnn_deploy.keras.traced_calls import WhyWhole
from tests.support.translators import translator, vectors


def split_of(model):
    return find_split(model, with_tied_lengths(model, signature_of(model)))


def names(split):
    return [part.name for part in split.memory]


def encoded(source, **options):
    return layers.GRU(4, return_sequences=True, return_state=True, name="encoder", **options)(
        source
    )


def decoded(target, state, **options):
    return layers.GRU(4, return_sequences=True, name="decoder", **options)(
        target, initial_state=state
    )


def test_states_memory_and_the_mask_of_the_memory_are_found():
    split = split_of(translator())
    assert isinstance(split, Split)
    assert (split.sources, split.targets) == (("source",), ("target",))
    assert list(split.initial.values()) == [(("decoder", "h"), ("decoder", "c"))]
    assert names(split) == ["encoder", "encoder_mask"]
    assert (split.encoder_outputs, split.decoder_outputs) == ((), (0, 1))


def test_without_attention_there_is_no_memory():
    split = split_of(translator("SimpleRNN", attention=False))
    assert names(split) == []


def test_the_projections_of_multi_head_attention_are_the_memory():
    def build(source, target):
        y, state = encoded(source)
        return layers.MultiHeadAttention(2, 3, name="heads")(decoded(target, state), y)

    assert names(split_of(vectors(build))) == ["heads_value", "heads_key"]


def test_an_output_of_the_encoder_belongs_to_the_encoder():
    def build(source, target):
        _, state = encoded(source)
        return [layers.Dense(2, name="language")(state), decoded(target, state)]

    split = split_of(vectors(build))
    assert (split.encoder_outputs, split.decoder_outputs) == ((0,), (1,))
    assert names(split) == []


def test_a_source_input_that_the_decoder_reads_is_memory():
    def build(source, target):
        _, state = encoded(source)
        mean = ops.mean(source, axis=1, keepdims=True)
        return decoded(target, state) + layers.Dense(4)(target) * ops.sum(mean)

    assert names(split_of(vectors(build))) == ["source"]


def nested():
    inner = keras.Input((None, 3))
    encoder = keras.Model(inner, encoded(inner), name="encoding")
    x, h = keras.Input((None, 2)), keras.Input((4,))
    bridge = layers.Dense(4, name="bridge")(h)
    decoder = keras.Model([x, h], decoded(x, bridge), name="decoding")
    return vectors(lambda source, target: decoder([target, encoder(source)[1]]))


def test_models_within_the_model_are_split_too():
    split = split_of(nested())
    assert list(split.initial.values()) == [(("decoder", "h"),)]
    assert names(split) == []


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder = layers.LSTM(4, return_sequences=True, return_state=True, name="encoder")
        self.decoder = layers.LSTM(4, return_sequences=True, name="decoder")
        self.attention = layers.AdditiveAttention(name="attention")

    def call(self, given):
        memory, *states = self.encoder(given["source"])
        y = self.decoder(given["target"], initial_state=states)
        return ops.concatenate([y, self.attention([y, memory])], axis=-1)


def test_a_subclassed_model_is_split():
    model = Subclassed()
    model({"source": keras.Input((None, 3)), "target": keras.Input((None, 2))})
    split = split_of(model)
    assert (split.sources, split.targets) == (("source",), ("target",))
    assert names(split) == ["encoder"]


def backwards(source, target):
    return decoded(target, encoded(source)[1], go_backwards=True)


def both_directions(source, target):
    state = encoded(source)[1]
    layer = layers.Bidirectional(layers.GRU(4, return_sequences=True), name="both")
    return layer(target, initial_state=[state, state])


def state_of_the_target(source, target):
    y, state = layers.GRU(4, return_sequences=True, return_state=True, name="decoder")(
        target, initial_state=encoded(source)[1]
    )
    return layers.GRU(4, name="second")(y, initial_state=state)


def source_and_target(source, target):
    return [
        decoded(target, encoded(source)[1]),
        layers.GRU(4, name="reverse")(source, initial_state=layers.GRU(4)(target)),
    ]


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (backwards, "backwards"),
        (both_directions, "both directions"),
        (state_of_the_target, "'second' depends on the target"),
        (source_and_target, "belongs to the source and to the target"),
    ],
)
def test_a_model_that_cannot_be_split_stays_whole_for_a_reason(build, reason):
    found = split_of(vectors(build))
    assert isinstance(found, WhyWhole)
    assert reason in found.reason


def test_a_decoder_without_a_target_stays_whole_for_a_reason():
    source = keras.Input((6, 3), name="source")
    state = encoded(source)[1]
    y = decoded(layers.RepeatVector(4)(state), state)
    found = split_of(keras.Model(source, y))
    assert "'decoder' and its initial state" in found.reason
    assert "'source'" in found.reason or "'x'" in found.reason


def test_a_model_that_takes_its_states_is_a_decoder_already():
    x, h = keras.Input((None, 3), name="x"), keras.Input((4,), name="h")
    assert split_of(keras.Model([x, h], decoded(x, h))) == WhyWhole("")
