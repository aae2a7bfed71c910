"""Number, mean and standard deviation of every segment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.core._numpy.observed import Floats, Mask, gather, observed
from gridnorm.core.segments import IntArray, Segments


def moments(
    values: Floats, segments: Segments, weights: Floats | None, use: Mask | None, ddof: int = 0
) -> tuple[IntArray, Floats, Floats]:
    """Count, mean and standard deviation, each (batch, segment), in two passes.

    ``ddof`` is subtracted from the number of values (unweighted) as in ``numpy.std``. With weights the
    divisor is Σw·(n − ddof)/n: weights that all equal one give the unweighted result. Segments without a
    value have NaN; with n ≤ ddof the deviation is NaN.
    """
    mask = gather(observed(values, use, weights), segments)
    flat = gather(values, segments)
    starts = segments.offsets[:-1] * values.shape[2]
    filled = segments.sizes > 0
    n = _sums(mask.astype(np.int64), starts, filled)
    w = mask.astype(np.float64)
    if weights is not None:
        w = np.where(mask, gather(np.repeat(weights[:, :, None], values.shape[2], axis=2), segments), 0.0)
    clean = np.where(mask, flat, 0.0)
    total = _sums(w, starts, filled)
    lengths = segments.sizes * values.shape[2]
    with np.errstate(invalid="ignore", divide="ignore"):
        first = _sums(w * clean, starts, filled) / total
        centred = np.where(mask, clean - np.repeat(first, lengths, axis=1), 0.0)
        # The second pass corrects what rounding left in the first mean, then squares around it.
        shift = _sums(w * centred, starts, filled) / total
        mean = first + shift
        square = _sums(w * centred * centred, starts, filled) / total - shift * shift
        variance = np.maximum(square, 0.0) * n / (n - ddof)
        deviation = np.where(n > ddof, np.sqrt(np.where(n > ddof, variance, 0.0)), np.nan)
    return n, mean, deviation


def _sums(flat: NDArray[Any], starts: IntArray, filled: Mask) -> NDArray[Any]:
    """Sum of each segment along the contiguous axis; empty segments give 0 (``reduceat`` would give an element)."""
    out = np.zeros((flat.shape[0], starts.size), flat.dtype)
    if filled.any():
        out[:, filled] = np.add.reduceat(flat, starts[filled], axis=1)
    return out
