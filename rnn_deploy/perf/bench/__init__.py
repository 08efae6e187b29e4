"""Measure: runtimes, lowerings and peers side by side in one run.

    contenders --open--> a worker process each --rounds--> Result per shape and contender

measure       latency in interleaved rounds
contender     what can be measured, as data
opening       how each kind of contender is loaded and called
worker        the process of its own that a contender runs in
process       that process as seen from here
side_by_side  all contenders over all shapes
feeds         made-up inputs of a shape
plot          the results as a picture
"""

from rnn_deploy.perf.bench.measure import CallLatency, measure

__all__ = ["CallLatency", "measure"]
