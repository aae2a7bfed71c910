"""Remove a location and a scale per segment from every value."""

from __future__ import annotations

from typing import Any

import numpy as np

from gridnorm.core.engines.numpy.moments import real
from gridnorm.core.engines.numpy.observed import Floats
from gridnorm.core.engines.numpy.rows import Array
from gridnorm.core.segments import Segments


def remove(
    values: Array, segments: Segments, location: Floats | None, scale: Floats | None, *, out: Array | None = None
) -> Array:
    """(v − location) / scale of each item's segment, in the values' dtype.

    Parameters
    ----------
    values
        (batch, item, width) of float16, float32 or float64.
    location, scale
        float64 (batch, segment), or None. A scale of 0 or NaN divides by one; a location of NaN gives NaN.
    out
        Where the result goes: an array of its shape (``values`` itself will do), or None for a new one.
    """
    kind = real(values.dtype)
    left: Any = values.astype(kind, copy=False)
    if location is not None:
        # float32 values lose no digit beside a large location: it comes in two parts.
        shift: Any = location.astype(kind)
        with np.errstate(invalid="ignore"):
            rest = (location - shift).astype(kind)
            left = left - shift[:, segments.codes, None]
            if kind is np.float32:
                left -= np.where(np.isfinite(rest), rest, 0)[:, segments.codes, None]
    if scale is not None:
        with np.errstate(invalid="ignore"):
            left = left / np.where(scale > 0, scale, 1.0).astype(kind)[:, segments.codes, None]
    if out is None:
        return np.asarray(left.astype(values.dtype, copy=left is values))
    out[...] = left
    return out
