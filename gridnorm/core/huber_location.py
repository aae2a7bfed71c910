"""Huber's location of every segment: the mean of what lies near it, with what lies farther brought near.

The scale is the median absolute deviation and stays as it is; Huber, Robust Statistics (1981), chapter 6.
"""

from __future__ import annotations

from typing import Any

from gridnorm.core.engines import Backend
from gridnorm.core.payload import Locations
from gridnorm.core.segments import Segments

NEAR = 1.5  # deviations from the location; what lies farther counts as if it lay there
TOLERANCE = 1e-6  # of a deviation: a smaller step is the last


def fit_huber(
    backend: Backend, view: Any, segments: Segments, given: dict[str, Any], options: dict[str, Any]
) -> tuple[Any, Locations]:
    """Count, and location with scale; as a ``Statistic`` calls it.

    A segment whose deviation is 0 has its median: any other value is infinitely far. Each (batch, segment) stops by
    itself, so that none depends on the others.
    """
    xp = backend.xp
    values = view.astype(xp.float64, copy=False)
    values = xp.where(backend.observed(values, given["use"], None), values, xp.nan)
    n, centre, scale = backend.mad(values, segments, None, None)
    reach = NEAR * scale
    # In units of the reach, from the median: what is clipped lies between -1 and 1 around the location.
    units = backend.remove(values, segments, centre, reach)
    location = xp.zeros_like(centre)
    moving = reach > 0
    while bool(moving.any()):
        near = xp.clip(backend.remove(units, segments, location, None), -1.0, 1.0)
        step = xp.where(moving, backend.moments(near, segments, None, None)[1], 0.0)
        moving = NEAR * xp.abs(step) >= TOLERANCE
        location = location + xp.where(moving, step, 0.0)
    return n, Locations(xp.where(reach > 0, centre + reach * location, centre), scale)
