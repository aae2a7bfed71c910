"""One distribution for all batch entries: the mean of their quantiles takes the place of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

from gridnorm.core.across.entries import Given
from gridnorm.core.payload import floats, plain
from gridnorm.core.segments import Segments


@dataclass(frozen=True, eq=False)
class Distributions:
    """The common distribution of each group: its sorted values, one group behind the other, float64 (item,)."""

    points: Any

    def to_plain(self) -> dict[str, Any]:
        return {"points": plain(self.points)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        return cls(floats(plain["points"]))

    def check(self, sizes: Sequence[int], options: Mapping[str, Any]) -> str | None:
        """What is wrong with it as the distribution of groups of these sizes; None: nothing."""
        points = self.points
        if points.shape != (sum(sizes),):
            return f"points of shape {points.shape}, expected ({sum(sizes)},)"
        if np.isnan(points).any():
            return "points that are missing"
        bounds = np.cumsum([0, *sizes])
        if any((np.diff(points[start:stop]) < 0).any() for start, stop in pairwise(bounds.tolist())):
            return "points that do not rise"
        return None


def learn(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> Distributions:
    """The mean, over the entries, of the sorted values of each group.

    An entry that lacks values is stretched to the number of items, linear between its order statistics.
    """
    xp = given.backend.xp
    mean = xp.zeros(segments.n_items)
    for entry in range(values.shape[0]):
        mean += _sorted(values[entry : entry + 1], segments, given, entry)
    return Distributions(mean / max(values.shape[0], 1))


def _sorted(values: Any, segments: Segments, given: Given, entry: int) -> Any:
    """Sorted values of one entry, stretched to its groups' sizes, float64 (item,) in segment order."""
    xp = given.backend.xp
    seen = given.of(entry).observed(values)[0]
    row = values[0]
    out = xp.empty(segments.n_items)
    bounds = segments.offsets.tolist()
    for start, stop in pairwise(bounds):
        items = xp.asarray(segments.order[start:stop])
        mine = row if items.size == row.size else row[items]
        used = seen if items.size == row.size else seen[items]
        found = xp.sort(mine if bool(used.all()) else mine[used])
        out[start:stop] = found if found.size == stop - start else _stretched(found, stop - start, xp)
    return out


def _stretched(found: Any, size: int, xp: Any) -> Any:
    """Order statistics at ``size`` even steps; NaN where there are none."""
    if found.size == 0:
        return xp.full(size, xp.nan)
    return _at(found, xp.arange(size) * ((found.size - 1) / max(size - 1, 1)), xp)


def _at(points: Any, position: Any, xp: Any) -> Any:
    """Points at positions 0 … size − 1, linear between them."""
    low = xp.clip(position.astype(np.int64), 0, max(points.size - 2, 0))
    high = xp.minimum(low + 1, points.size - 1)
    return points[low] + (points[high] - points[low]) * (position - low)


def toward(values: Any, segments: Segments, target: Distributions, given: Given, options: dict[str, Any]) -> Any:
    """Values with the target's distribution in each group; equal values stay equal.

    Items that are not used get what their value would have; NaN stays NaN.
    """
    xp = given.backend.xp
    points = xp.asarray(target.points)
    bounds = segments.offsets.tolist()
    for entry in range(values.shape[0]):
        row = values[entry].copy()
        seen = given.of(entry).observed(row[None])[0]
        for start, stop in pairwise(bounds):
            items = xp.asarray(segments.order[start:stop])
            mine = seen[items]
            used = items if bool(mine.all()) else items[mine]
            _replace(values[entry], row, used, points[start:stop], xp)
            if used.size < items.size:
                rest = items[xp.isfinite(row[items]) & ~seen[items]]
                _place(values[entry], row, rest, used, points[start:stop], xp)
    return values


def _replace(out: Any, values: Any, items: Any, points: Any, xp: Any) -> None:
    """Write what the used items of a group become: the target at their average rank."""
    n, size = int(items.size), int(points.size)
    if n == 0:
        return
    whole = n == values.size  # then the items are those of the row in their order: nothing to pick
    own = values if whole else values[items]
    order = own.argsort()
    places = order if whole else items[order]
    ordered = own[order]
    differs = ordered[1:] != ordered[:-1]
    stretch = (size - 1) / (n - 1) if n > 1 else 0.0
    middle = 0.0 if n > 1 else 0.5 * (size - 1)  # a single value has no rank but the middle
    if bool(differs.all()):
        out[places] = points if n == size else _at(points, xp.arange(n) * stretch + middle, xp)
        return
    # The average rank of equal values: the middle of their run.
    start = xp.flatnonzero(differs) + 1
    first = xp.concatenate([xp.zeros(1, np.int64), start])
    last = xp.concatenate([start - 1, xp.full(1, n - 1)])
    runs = xp.zeros(n, np.int64)
    runs[1:] = xp.cumsum(differs.astype(np.int64))
    out[places] = _at(points, (first + last) * (0.5 * stretch) + middle, xp)[runs]


def _place(out: Any, values: Any, rest: Any, used: Any, points: Any, xp: Any) -> None:
    """Write what items that were not used become: the target at the rank that their value would have."""
    if not rest.size or not used.size:
        return
    ordered = xp.sort(values[used])
    left = xp.searchsorted(ordered, values[rest], side="left")
    right = xp.searchsorted(ordered, values[rest], side="right")
    n = int(ordered.size)
    inside = xp.clip(left, 1, max(n - 1, 1))
    below, above = ordered[inside - 1], ordered[xp.minimum(inside, n - 1)]
    share = xp.where(above > below, (values[rest] - below) / xp.where(above > below, above - below, 1.0), 0.0)
    position = xp.where(right > left, (left + right - 1) * 0.5, inside - 1 + xp.clip(share, 0.0, 1.0))
    stretch = (points.size - 1) / (n - 1) if n > 1 else 0.0
    middle = 0.0 if n > 1 else 0.5 * (points.size - 1)
    out[rest] = _at(points, position * stretch + middle, xp)
