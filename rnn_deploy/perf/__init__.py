"""Measure and tune.

bench/   runtimes, lowerings and peers side by side
peers/   the same model, exported by other tools
tuning/  try candidates, keep the fastest, write a bundle with a plan
"""
