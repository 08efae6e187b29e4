"""Present the result of a verification.

report       everything compared, as one value with a verdict
results      tensors saved, to be judged again elsewhere
words        sentences for people
html         a page; markup, plots, report.css
junit        JUnit XML
profiles     which error belongs to which check
environment  versions and machine
evidence     golden vectors as evidence
soundness    whether the references agree
placing      the device of each node
"""
