"""Present the result of a verification.

report          everything that was compared, as one value with a verdict
observation     one comparison with its tensors, as `verify` passes it on
text            comparisons and reports as lines of text
html            the report as one HTML page, from page.html and page.css
error_profiles  errors by step and by unit, collected for the plots
plots           those errors as SVG
junit           the report as JUnit XML
results         reports saved with their tensors, to judge them again
notes           notes of a report about the model, and about the limits of its verdict
environment     machine, system, versions, date
"""
