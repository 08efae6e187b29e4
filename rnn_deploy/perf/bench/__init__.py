"""Measure runtimes, lowerings and peers side by side in one run.

    contenders --open--> a worker process each --rounds--> BenchResult per shape and contender

measure       latency in interleaved rounds
contender     one thing to measure, as data
opening       load and call each kind of contender
worker        the server in a contender's process
side_by_side  all contenders over all shapes
feeds         random inputs of a shape
limits        the highest possible speed of the recurrent layers
plot          the results as a picture
"""

from rnn_deploy.perf.bench.measure import CallLatency, measure

__all__ = ["CallLatency", "measure"]
