"""Tuning: export the candidates, verify them, measure them, keep the fastest.

    bundle, Keras model --candidates--> bundles --verify--> contenders --side by side--> medians
        --choose--> the fastest for each shape --settings--> how to load it --write--> tuned bundle

tune     all steps in order
choose   the fewest contenders that are within a few percent of the best everywhere
write    the tuned bundle: a copy with variants and a plan
"""
