"""Proof: a runtime's outputs and states against the reference's, each within its budget.

checks      what is run: the whole sequence, the states, chunks, single steps, hand-over, ...
compare     one tensor against the truth, NaN-strict
tolerance   the budget of an error, derived from TensorFlow's own
parts       parts of a golden case, and what is true of them
localise    the first place that differs, and the smallest input that shows it
suspects    the usual faults; explain, one_weight: the one that fits
by_layer    an ONNX artifact layer by layer
pairing     any two models
report      everything compared, as one value with a verdict
run         cases x runtimes x checks
"""

from rnn_deploy.verifying.report.report import Report
from rnn_deploy.verifying.run import verify

__all__ = ["Report", "verify"]
