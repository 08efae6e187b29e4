"""Generated sequences as a page: every token, every weight, and nothing that is not escaped."""

import numpy as np
import pytest

from rnn_deploy.inference.generated_page import ShownSequence, html_from_generated
from rnn_deploy.inference.strategies import Generated

pytest.importorskip("jinja2", reason="needs the extra report")


def shown(attention, ended=True):
    found = Generated((3, 4), float(np.log(0.25)), ended, attention)
    return ShownSequence("a <b>", "xy", ["a", " ", "<b>"], ["x", "y"], found)


def test_the_page_has_a_row_for_each_token_and_a_cell_for_each_weight():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(3), 2)
    page = html_from_generated("title", [shown({"look": weights})])
    assert page.count('<th scope="row">') == 2
    for weight in weights.flat:
        assert f'title="{weight:.3g}"' in page
    assert "probability 25%" in page
    assert "a &lt;b&gt; → xy" in page
    assert "<b>" not in page


def test_heads_are_averaged_and_a_model_without_attention_has_no_table():
    heads = np.random.default_rng(1).dirichlet(np.ones(3), (2, 4))
    (value,) = shown({"look": heads}).maps.values()
    np.testing.assert_allclose(value, heads.mean(axis=1))
    page = html_from_generated("title", [shown({}, ended=False)])
    assert "<table>" not in page
    assert "without an end token" in page
