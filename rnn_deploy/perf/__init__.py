"""Measure and tune.

bench/   runtimes, lowerings and peers side by side
peers/   the same model as other exporters write it
tuning/  try candidates, keep what wins, write a bundle with a plan
"""
