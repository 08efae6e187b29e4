"""The engines, which run shards: `local` (processes of this machine), `dask`, `ray` (clusters)."""
