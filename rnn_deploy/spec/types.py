"""Short names for the types that pass between the parts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Dim = int | str  # a size, or a symbol such as "batch" or "time"
Array = NDArray[np.generic]
Weights = NDArray[np.floating[Any]]
Role = str  # the name of a state in its cell: "h", "c"
StateKey = tuple[str, Role]  # the layer's name and the role
