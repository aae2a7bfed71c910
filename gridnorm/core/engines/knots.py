"""Curves as plain data, which every engine makes and takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Knots:
    """Curves given by points between which they are straight; arrays of the engine that made them.

    Attributes
    ----------
    x, y
        float64 (total,): knots of all segments one after the other; x ascends strictly within a segment.
    offsets
        int64 (segments + 1,): segment g owns the knots ``offsets[g]:offsets[g + 1]``. An empty segment has none.
    """

    x: Any
    y: Any
    offsets: Any
