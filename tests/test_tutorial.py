"""The tutorial, run from its first line to its last: each block prints what the page shows."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import keras
import numpy as np
import pytest

TEXT = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_tutorial_prints_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.clear_session()  # layers are named by a counter, which starts in a new session
    names = {"__name__": "tutorial"}
    with np.printoptions():  # the page changes them
        for code, shown in BLOCK.findall(TEXT):
            printed = StringIO()
            with redirect_stdout(printed):
                exec(compile(code, "tutorial.md", "exec"), names)
            assert printed.getvalue().rstrip() == shown.rstrip(), code
    assert names["report"].passed
