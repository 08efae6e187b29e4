"""Tuning: export the candidates, verify them, measure them, keep what wins.

    bundle, Keras model --candidates--> bundles --verify--> contenders --side by side--> medians
        --choose--> which wins where --settings--> how it is loaded --write--> bundle with a plan

choose   from medians to as few contenders as are worth having
tune     the whole of it
write    the tuned bundle: the one it was, variants beside, the plan in its manifest
"""
