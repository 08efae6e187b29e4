"""Score existing Dask or Ray data sets lazily, without files in between.

    scored = score_dask_frame("build/model", frame, sequence="customer")      # a Dask DataFrame
    scored = score_ray_dataset("build/model", dataset, sequence="customer")   # a Ray Dataset

Each partition or batch is scored on its own, so a key that occurs in two of them is not detected.
The columns of the result are those of `rnn-deploy score`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.bundle import Bundle, open_bundle
from rnn_deploy.errors import InputError
from rnn_deploy.inference.preprocessing import TEXT
from rnn_deploy.inference.tables import TableRules
from rnn_deploy.optional import require
from rnn_deploy.scoring.job import ScoreJob, ScoreOptions
from rnn_deploy.scoring.layout import inputs_of
from rnn_deploy.scoring.scorer import Scorer, refuse_names
from rnn_deploy.scoring.scoring import job_of
from rnn_deploy.scoring.sequences import Ragged, Sequences
from rnn_deploy.scoring.shard import score_table


def score_dask_frame(
    bundle: str | Path | Bundle,
    frame: Any,
    *,
    sequence: str,
    order: str | None = None,
    features: Sequence[str] = (),
    states: bool = False,
    runtime: str | None = None,
    batch_size: int = 256,
) -> Any:
    """Return a lazy Dask DataFrame with a row for each sequence of `frame`.

    frame: a Dask DataFrame with a list column for each input, or a row for each step; then all rows
    of a sequence must be in one partition. All workers need the bundle under the same path. The
    other arguments are those of `rnn_deploy.score`.
    """
    require("dask.dataframe")
    rules = TableRules(sequence, order, tuple(features))
    job = _job(bundle, ScoreOptions(rules, runtime, batch_size=batch_size, states=states))
    kinds = frame.dtypes
    for tensor in inputs_of(_opened(bundle), rules).tensors:
        if str(kinds.get(tensor.name)) in ("string", "str") and tensor.dtype != TEXT:
            raise InputError(
                "E-DATA-TYPE",
                f"column '{tensor.name}' is text, because Dask turns lists into text; before you"
                ' make the frame, call dask.config.set({"dataframe.convert-string": False})',
            )
    if sequence not in kinds:
        raise InputError("E-DATA-COLUMN", f"the frame has no column '{sequence}'")
    whole = kinds[sequence].kind in "iu"
    return frame.map_partitions(partial(_scored_frame, job), meta=_empty(job, whole).to_pandas())


def score_ray_dataset(
    bundle: str | Path | Bundle,
    dataset: Any,
    *,
    sequence: str,
    states: bool = False,
    runtime: str | None = None,
    batch_size: int = 256,
    block: int = 4096,
) -> Any:
    """Return a lazy Ray Dataset with a row for each sequence of `dataset`.

    dataset: a Ray Dataset with a list column for each input. block: sequences that one task scores
    at a time, grouped by length. All nodes need the bundle under the same path. The other arguments
    are those of `rnn_deploy.score`.
    """
    require("ray")
    options = ScoreOptions(TableRules(sequence), runtime, batch_size=batch_size, states=states)
    job = _job(bundle, options)
    return dataset.map_batches(partial(score_table, job), batch_format="pyarrow", batch_size=block)


def _job(bundle: str | Path | Bundle, options: ScoreOptions) -> ScoreJob:
    opened = _opened(bundle)
    key = inputs_of(opened, options.rules).key_name
    job = job_of(opened, options, key)
    refuse_names(opened.manifest.entry(job.entry), key)
    return job


def _opened(bundle: str | Path | Bundle) -> Bundle:
    return bundle if isinstance(bundle, Bundle) else open_bundle(bundle)


def _empty(job: ScoreJob, whole: bool) -> Any:
    """Return a scored table without rows. whole: whether keys are integers."""
    arrow = require("pyarrow")
    bundle = _opened(job.bundle)
    keys = arrow.array([], arrow.int64() if whole else arrow.string())
    feeds = {
        t.name: Ragged(np.empty(0), np.zeros(1, int))
        for t in bundle.manifest.entry(job.entry).inputs
    }
    return Scorer(bundle, job).score(Sequences(keys, feeds))


def _scored_frame(job: ScoreJob, frame: Any) -> Any:
    arrow = require("pyarrow")
    try:
        table = arrow.Table.from_pandas(frame, preserve_index=False)
    except (arrow.ArrowInvalid, arrow.ArrowTypeError) as error:
        raise InputError(
            "E-DATA-TYPE", f"a partition has a column that is no Arrow type: {error}"
        ) from error
    return score_table(job, table).to_pandas()
