"""What runs shards: `local` (processes of this machine), `dask` and `ray` (clusters)."""
