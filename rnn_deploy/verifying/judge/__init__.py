"""Decide whether a runtime is right.

checks     what is run: whole sequence, states, chunks, single steps, hand-over, ...
trials     run one check on one case
parts      parts of a golden case whose results are known
compare    compare one tensor with the truth, NaN-strict
tolerance  the error budget, derived from TensorFlow's own error
quantised  the budget of a quantised file
known      failures with a known cause
"""
