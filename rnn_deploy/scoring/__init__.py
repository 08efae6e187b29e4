"""Score a data set with a bundle: files in, Parquet files out, on a pool or a cluster.

    files --plan--> shards --engine--> score_shard: read chunk by chunk, run, write one part

sequences   sequences of different lengths, their keys, and what is wrong with single ones
arrow       Arrow columns to arrays and back
layout      which columns of a table hold the key and the inputs
table_rows  rows of a table to sequences
sources/    one file per input format
plan        the shards of the input files, and keys that occur twice
scorer      run sequences through a loaded bundle
shard       score one shard, so that repeating it is harmless
states      the states of a previous run, by key
record      `_run.json`: what a run was made from, and how it ended
engines/    what runs the shards: local, dask, ray
scoring     the function `score`
data_sets   the same for Dask and Ray data sets that exist already
"""
