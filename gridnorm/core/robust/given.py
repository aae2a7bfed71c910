"""What a robust fit is given of each batch entry, on the host: it solves small systems, which no device does faster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Entry(NamedTuple):
    """One batch entry: values and covariate of every item, weights (None: all alike), and what enters a fit."""

    values: Floats
    covariate: Floats
    weights: Floats | None
    good: Bools


def entries(backend: Any, view: Any, given: dict[str, Any]) -> Iterator[Entry]:
    """The batch entries of a view (batch, item, 1); an item without a covariate is good all the same."""
    observed = on_host(backend.observed(view, given["use"], given["weights"]))[:, :, 0]
    values, covariate = on_host(view)[:, :, 0].astype(np.float64), on_host(given["covariate"])[:, :, 0]
    weights = None if given["weights"] is None else on_host(given["weights"])
    for b in range(values.shape[0]):
        yield Entry(values[b], covariate[b], None if weights is None else weights[b], observed[b])


def on_host(array: Any) -> NDArray[Any]:
    """An array as NumPy's, wherever it lies."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.tolist()).reshape(array.shape)
