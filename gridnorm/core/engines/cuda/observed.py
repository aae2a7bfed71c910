"""From the strided view (batch, item, width) to values in segment order, and back, on the device."""

from __future__ import annotations

from typing import Any

from gridnorm.core.engines.cuda.device import current_device
from gridnorm.core.engines.cuda.plan import placed
from gridnorm.core.segments import Segments


def gather(values: Any, segments: Segments) -> Any:
    """Values in segment order, shape (batch, item·width); a view where the segments are contiguous."""
    ordered = values if segments.contiguous else values[:, placed(segments).order]
    return ordered.reshape(values.shape[0], -1)


def observed(values: Any, use: Any, weights: Any) -> Any:
    """What enters a fit: finite values that are used and whose weight is neither NaN nor 0."""
    mask = current_device().xp.isfinite(values)
    if use is not None:
        mask &= use[:, :, None]
    if weights is not None:
        mask &= (weights > 0)[:, :, None]
    return mask
