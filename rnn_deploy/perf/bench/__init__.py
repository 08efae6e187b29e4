"""Measure runtimes, lowerings and peers side by side in one run.

    contenders --open--> a worker process each --rounds--> BenchResult per shape and contender

measure       latency in interleaved rounds
contender     what can be measured, as data
opening       how each kind of contender is loaded and called
worker        the server in the process that a contender runs in
side_by_side  all contenders over all shapes
feeds         random inputs of a shape
limits        how fast the recurrent layers could be at most
plot          the results as a picture
"""

from rnn_deploy.perf.bench.measure import CallLatency, measure

__all__ = ["CallLatency", "measure"]
