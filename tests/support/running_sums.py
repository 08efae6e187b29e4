"""The smallest recurrence, a running sum in NumPy, as reference and oracle of golden vectors."""

import numpy as np

from rnn_deploy.references.golden import References, make_cases
from rnn_deploy.spec import EntryPoint, StateSpec, TensorSpec

X = TensorSpec("x", ("batch", "time", 2), "float32")
Y = TensorSpec("y", ("batch", "time", 2), "float32")
STATE = StateSpec(TensorSpec("h_in", ("batch", 2), "float32"), "h_out", "rnn", "h")
SEQUENCE = EntryPoint("sequence", (X,), (Y,))
STREAM = EntryPoint("stream", (X,), (Y,), (STATE,))


class Sums:
    """A recurrence in NumPy: the running sum of x; `fault` spoils its answers."""

    def __init__(self, dtype, fault=lambda x, results: results):
        self.dtype, self.fault = dtype, fault

    def run(self, feeds):
        x = feeds["x"].astype(self.dtype)
        h = feeds.get("h_in", np.zeros((x.shape[0], 2))).astype(self.dtype)
        y = h[:, None] + np.cumsum(x, axis=1)
        return self.fault(x, {"y": y, "h_out": y[:, -1]})


GOOD = References(Sums(np.float32), Sums(np.float64))


def cases_of(seed=0, sequence=SEQUENCE, stream=STREAM, samples=None):
    return make_cases(GOOD, sequence, stream, samples, seed)
