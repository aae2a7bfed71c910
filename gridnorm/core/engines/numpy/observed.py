"""From the strided view (batch, item, width) to values in segment order, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.segments import IntArray, Segments

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def gather(values: NDArray[Any], segments: Segments) -> NDArray[Any]:
    """Values in segment order, shape (batch, item·width); a view where the segments are contiguous."""
    ordered = values if segments.contiguous else values[:, segments.order]
    return ordered.reshape(values.shape[0], -1)


def observed(values: Floats, use: Mask | None, weights: Floats | None) -> Mask:
    """What enters a fit: finite values that are used and whose weight is neither NaN nor 0."""
    mask = np.isfinite(values)
    if use is not None:
        mask &= use[:, :, None]
    if weights is not None:
        mask &= (weights > 0)[:, :, None]
    return mask


def compress(row: Floats, mask: Mask, offsets: IntArray) -> tuple[Floats, IntArray]:
    """Observed values of one batch row (in segment order) and the offsets of their segments."""
    if mask.all():
        return row, offsets
    kept = np.zeros(mask.size + 1, np.int64)
    np.cumsum(mask, out=kept[1:])
    return row[mask], kept[offsets]


def sort_segments(row: Floats, offsets: IntArray) -> Floats:
    """A copy of ``row``, each segment sorted ascending."""
    sizes = np.diff(offsets)
    longest = int(sizes.max(initial=0))
    if longest and (sizes == longest).all():
        return np.sort(row.reshape(-1, longest), axis=1).ravel()
    if sizes.size * longest <= 2 * row.size:
        padded = np.full((sizes.size, longest), np.inf)
        inside = np.arange(longest) < sizes[:, None]
        padded[inside] = row
        padded.sort(axis=1)
        return padded[inside]
    out = row.copy()
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        out[start:stop].sort()
    return out
