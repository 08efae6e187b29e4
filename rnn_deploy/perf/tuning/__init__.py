"""Tuning: export the candidates, verify them, measure them, keep the winners.

    bundle, Keras model --candidates--> bundles --verify--> contenders --side by side--> medians
        --choose--> which wins where --settings--> how it is loaded --write--> bundle with a plan

tune     all steps in order
choose   the fewest contenders that are within a few percent of the best everywhere
write    the tuned bundle: a copy with variants and a plan
"""
