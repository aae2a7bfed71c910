"""What every measure of spread asks of what it is given."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.engines import Backend
from gridnorm.core.fit import as_items, as_view
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError


def flat(values: Any, segments: Segments, backend: Backend) -> Any:
    """Values as (batch, item) in float64."""
    view = as_view(values, segments, backend)
    if view.shape[2] != 1:
        expected = "(item,) or (batch, item)"
        raise OptionError("a spread is taken of one value per item", found=f"shape {view.shape}", expected=expected)
    return view[:, :, 0]


def used(view: Any, use: Any, backend: Backend) -> Any:
    finite = backend.xp.isfinite(view)
    return finite if use is None else finite & as_items(use, view.shape, "use", backend, dtype=bool)


def on_host(array: Any) -> NDArray[Any]:
    return array if isinstance(array, np.ndarray) else np.asarray(array.tolist())


def whole_number(name: str, given: Any, least: int) -> int:
    """``given`` as an int of at least ``least``; 2.0, "2" and None are refused, NumPy's integers are not."""
    try:
        number = operator.index(given)
    except TypeError:
        number = least - 1
    if number < least:
        raise OptionError(f"{name} must be a whole number of at least {least}", found=repr(given))
    return number
