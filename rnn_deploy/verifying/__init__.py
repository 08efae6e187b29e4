"""Verify a bundle: compare a runtime's outputs and states with the reference, within budgets.

run                   verify a bundle: every golden case x runtime x check
request               what to verify: checks, golden cases, budgets
runtime_verification  verify one runtime: run the checks, localise what failed
assembling            assemble the report from the results
checked_runner        a runner whose results are complete, and whose model files are known
judge/                decide: the checks, the tolerance of a tensor, the comparison, placement
diagnose/             find out where a runtime is wrong, and why
report/               the result: a Report, as text, JSON, HTML, JUnit XML, saved tensors
pairing               compare any two models
quantisation_error    measure the error of a quantised bundle, on export
"""

from rnn_deploy.verifying.report.report import Report
from rnn_deploy.verifying.run import verify

__all__ = ["Report", "verify"]
