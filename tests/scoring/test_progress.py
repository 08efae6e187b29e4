import pytest

from rnn_deploy.scoring.progress import Progress, duration


def test_rate_and_remaining_time_count_only_what_this_run_did():
    lines = []
    progress = Progress(1000, 10, 4, lines.append)
    progress.add(100)
    progress.add(100)
    assert len(lines) == 2
    assert progress.line(10.0) == "6 of 10 shards, 20 sequences/s, 20 s left"


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.4, "8 s"), (170, "3 min"), (7800, "2 h 10 min"), (0, "0 s")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
