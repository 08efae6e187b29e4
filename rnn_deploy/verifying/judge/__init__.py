"""Decide whether a runtime is right.

checks             what each check runs: whole sequence, states, chunks, single steps, ...
tolerance          the tolerance of an output or state: a derived error budget, or the user's
quantisation       the budgets of a quantised model file, and the checks that apply to it
compare            compare one tensor with its true value, NaN-strict
distance           the error of every element of a tensor
known_differences  the known differences of runtimes, with reasons
sizes              sizes without golden vectors; their true values come from golden cases
weights            compare the weights in model files with the digests of the export
subject            the runners that a check uses, and the results that it yields
placement          reject a node that ran on another device than requested
parts              parts of a golden case and their true values
trials             run a check on a part of a golden case
"""
