"""The conformance suite: models written once, exported in every form, run on every runtime.

suite         run the cases here, or save their bundles to run them elsewhere
cases         the models by theme, with the expected results of each
layers, masks, custom_cells, models   builders of these models
composed      models composed at random
checking      export one case in one form, verify it, judge the outcome
gaps          the known gaps, with reasons
table         the support table
"""
