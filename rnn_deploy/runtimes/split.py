"""Cut a batch into parts, one for each core, and run them at the same time.

    feeds --rows 0..k--> run, in the caller's thread --+
          --rows k..n--> run, in its own thread ---------+--joined--> outputs

Some operators use one core for any batch, and a loop waits for all cores at every step. Parts of a
batch wait for each other only once. Splitting is faster if a call takes some hundred microseconds;
`tune` measures it.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from rnn_deploy.errors import BundleError
from rnn_deploy.runtimes.base import TUNE_AGAIN, Runner
from rnn_deploy.runtimes.feeds import closed
from rnn_deploy.spec import Array


class SplitBatchRunner:
    """Runs the rows of a batch in `parts`, side by side.

    runner: runs on one thread; several threads call its `run`. Raises BundleError if the batch
    cannot be cut.
    """

    def __init__(self, runner: Runner, parts: int) -> None:
        why = runner.entry.why_one_batch
        if why is not None:
            raise BundleError("E-BUNDLE-PLAN", f"a batch cannot be split: {why}; {TUNE_AGAIN}")
        self.entry = runner.entry
        self._runner, self._parts = runner, parts
        self._first = runner.entry.inputs[0].name
        self._threads = ThreadPoolExecutor(max(1, parts - 1), "rnn-deploy-split")

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output and final state by name."""
        first = feeds.get(self._first)
        rows = len(first) if isinstance(first, np.ndarray) and first.ndim else 0
        alike = all(isinstance(v, np.ndarray) and v.shape[:1] == (rows,) for v in feeds.values())
        parts = min(self._parts, rows)
        if parts < 2 or not alike:  # the runner refuses feeds that do not fit
            return self._runner.run(feeds)
        edges = [rows * part // parts for part in range(parts + 1)]
        pieces = [
            {name: value[begin:end] for name, value in feeds.items()}
            for begin, end in pairwise(edges)
        ]
        try:
            others = [self._threads.submit(self._runner.run, piece) for piece in pieces[1:]]
        except RuntimeError:  # another thread has closed this runner since
            closed(None)
        try:
            results = [self._runner.run(pieces[0])]
        finally:
            waited = [other.exception() for other in others]  # end all parts before returning
        if any(waited):
            raise next(filter(None, waited))
        results += [other.result() for other in others]
        return {name: np.concatenate([r[name] for r in results]) for name in results[0]}

    def close(self) -> None:
        """Release the runner and the threads."""
        self._parts = 1  # the runner refuses every further call
        self._threads.shutdown()
        self._runner.close()
