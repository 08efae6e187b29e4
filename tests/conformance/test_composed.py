"""Models composed at random are the same everywhere: outputs, states, chunks."""

import json

import keras
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rnn_deploy.conformance.composed import built, described
from rnn_deploy.conformance.suite import composed_outcomes

EXAMPLES = 300
SHARES = 6  # so that several workers take them


@pytest.mark.shared_out(3)
@pytest.mark.parametrize("share", range(SHARES))
def test_a_composed_model_is_the_same_everywhere(share, runtimes):
    tried = []

    @given(st.data())
    @settings(
        max_examples=EXAMPLES // SHARES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    def agree(data):
        what = described(lambda options: data.draw(st.sampled_from(list(options))))
        what["width"] = 1 + (what["width"] + share) % 3  # the shares draw alike
        what["last"]["units"] += share
        tried.append(what)
        outcomes = composed_outcomes(what, share + 3 * (len(tried) % 2), runtimes)
        wrong = [outcome for outcome in outcomes if outcome.fault]
        assert not wrong, (wrong, json.dumps(what))
        assert {outcome.runtime for outcome in outcomes} >= {"ort-cpu"}
        if len(tried) % 10 == 0:  # each time costs a sixth of an example
            keras.backend.clear_session()

    agree()
    assert len(tried) >= EXAMPLES // SHARES


def test_a_description_is_plain_and_enough():
    import random

    what = described(random.Random(5).choice)
    again = json.loads(json.dumps(what))
    assert again == what
    first, second = built(what), built(again)
    assert [w.shape for w in first.weights] == [w.shape for w in second.weights]
