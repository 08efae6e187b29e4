"""The conformance suite: models written once, exported in every form, run on every runtime.

layers, masks, own, models   what the models are made of
cases                        the models by theme, with what is expected of each
checking                     export one case in one form, verify it, judge the outcome
gaps                         what is known not to work, with reasons
table                        the support table
"""
