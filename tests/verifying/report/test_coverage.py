"""The line that says what a verification covered."""

import pytest

from rnn_deploy.verifying.report.coverage import RuntimeCoverage, coverage_line, coverage_of

SHAPES = [("states", 17, 3), ("sequence", 2, 16), ("long", 1, 10_000)]


def test_the_sizes_of_a_runtime_are_its_largest_calls():
    assert coverage_of("c", SHAPES) == (RuntimeCoverage("c", 17, 16, 10_000),)
    assert coverage_of("c", []) == ()


@pytest.mark.parametrize(
    ("coverage", "runtimes", "expected"),
    [
        (
            [RuntimeCoverage("a", 17, 16, 10_000), RuntimeCoverage("b", 17, 9, 10_000)],
            ("a", "b"),
            "tested: up to 17 rows, up to 9 steps, one sequence of 10,000; a, b"
            " (2 of 3 possible runtimes, not c)",
        ),
        (
            [RuntimeCoverage("a", 1, 0)],
            ("a", "b", "c"),
            "tested: up to 1 row; a, b, c (3 of 3 possible runtimes)",
        ),
        ([], (), "tested: nothing; possible runtimes: a, b, c"),
    ],
)
def test_the_line_says_what_every_runtime_was_run_with(coverage, runtimes, expected):
    assert coverage_line(coverage, runtimes, ("a", "b", "c")) == expected
