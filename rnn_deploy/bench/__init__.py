"""Measure: runtimes side by side in one run.

measure   latency of runners in interleaved rounds
"""

from rnn_deploy.bench.measure import Timing, measure

__all__ = ["Timing", "measure"]
