"""Proof: a runtime's outputs and states against the reference's, each within its budget.

checks      what is run: the whole sequence, the states, chunks
compare     one tensor against the truth, NaN-strict
tolerance   the budget of an error, derived from TensorFlow's own
report      everything compared, as one value with a verdict
run         cases x runtimes x checks
"""

from rnn_deploy.verifying.report import Report
from rnn_deploy.verifying.run import verify

__all__ = ["Report", "verify"]
