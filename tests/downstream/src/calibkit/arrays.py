"""The arrays that this package speaks of."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Batch = tuple[Floats, Labels]
Batches = Iterable[Batch]
