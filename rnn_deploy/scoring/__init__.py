"""Score a data set with a bundle: files in, Parquet files out, on a pool or a cluster.

    files --plan--> shards --engine--> score_shard: read chunk by chunk, run, write one part

sequences   sequences of different lengths, their keys, and the faults of single ones
arrow       Arrow columns to arrays and back
layout      find the columns of a table with the key and the inputs
table_rows  convert rows of a table to sequences
sources/    one file per input format
plan        the shards of the input files, and keys that occur twice
scorer      run sequences through a loaded bundle
shard       score one shard; repeating it is harmless
states      the states of a previous run, by key
record      `_run.json`: the inputs and settings of a run, and how it ended
engines/    run the shards: local, dask, ray
scoring     the function `score`
data_sets   score existing Dask and Ray data sets
"""
