"""What a fit holds for each group: locations, points or curves. A statistic may bring a payload of its own.

A payload belongs to (batch × segment) fits and is plain data. It can be taken apart and put together, moved, evaluated
at each item, and turned into numbers that JSON can hold, and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from gridnorm.core.engines import backend_for
from gridnorm.core.engines.knots import Knots
from gridnorm.core.segments import Segments

WINDOW = 25  # values in each local fit of a curve through few values
BENDS = 1.9  # variance of the shape of a curve × span, in σ²/n: measured for n of 6 to 400 and spans of 0.1 to 1
LOG_SCALE = 1.36  # variance of the logarithm of the MAD of n normal values, in 1/n; long tails bring a deviation there
MIDDLE = np.pi / 2  # variance of the median of n normal values, in σ²/n; quartiles lie about as far from it


class Payload(Protocol):
    """What the core asks of a payload."""

    @classmethod
    def take(cls, parts: Sequence[Self], which: Any, index: Any) -> Self:
        """Entry (batch, segment) from ``parts[which]``, its flat row ``index`` (batch-major)."""
        ...

    def shift(self, move: Any) -> Self:
        """The same, higher by ``move`` (batch, segment) everywhere."""
        ...

    def evaluate(self, covariate: Any, segments: Segments) -> Any:
        """What is removed from each item, (batch, item); ``covariate`` is (batch, item, k) or None."""
        ...

    def to_plain(self) -> dict[str, Any]:
        """Lists and numbers; NaN is None."""
        ...

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """The payload that ``to_plain`` made these numbers from, on NumPy arrays."""
        ...


class Poolable(Payload, Protocol):
    """What partial pooling asks of a payload that has more than a level; the level of any other is moved as a whole.

    Beside ``toward`` a payload may have ``few(arguments, n, limit)``: how n values are fitted, where groups of
    ``limit`` have the fit that was asked for; ``freedom(arguments)``: the variance of its shape in σ²/n; ``noise(n,
    unit)``: the same as a number, where ``unit``, which is σ²/n, is no measure of it; ``apart(own)``: the distance of
    its level from this one and the mean square of the rest, where evaluation at the items does not show them.
    """

    def toward(self, own: Self, level: Any, level_share: Any, shape_share: Any) -> Self:
        """Moved by shares of the distance ``level`` to the own fit's, and of what it differs in beyond."""
        ...


@dataclass(frozen=True, eq=False)
class Locations:
    """A location and perhaps a scale of each group, float64 (batch, segment)."""

    location: Any
    scale: Any = None

    @classmethod
    def take(cls, parts: Sequence[Self], which: Any, index: Any) -> Self:
        scale = None if parts[0].scale is None else taken([part.scale for part in parts], which, index)
        return cls(taken([part.location for part in parts], which, index), scale)

    def shift(self, move: Any) -> Self:
        return replace(self, location=self.location + move)

    def evaluate(self, covariate: Any, segments: Segments) -> Any:
        return self.location[:, _codes(self.location, segments)]

    def apart(self, own: Self) -> tuple[Any, Any]:
        level = own.location - self.location
        return level, self._ratio(own) ** 2

    @staticmethod
    def noise(n: Any, unit: Any) -> Any:
        return LOG_SCALE / np.maximum(n, 1)

    def toward(self, own: Self, level: Any, level_share: Any, shape_share: Any) -> Self:
        xp = backend_for(self.location).xp
        scale = None if self.scale is None else self.scale * xp.exp(shape_share * self._ratio(own))
        return replace(self, location=self.location + level_share * level, scale=scale)

    def _ratio(self, own: Self) -> Any:
        """Logarithm of the own scale over this one; 0 where there is none."""
        xp = backend_for(self.location).xp
        if self.scale is None or own.scale is None:
            return xp.zeros_like(self.location)
        usable = (own.scale > 0) & (self.scale > 0)
        return xp.log(xp.where(usable, own.scale, 1.0) / xp.where(usable, self.scale, 1.0))

    def relative(self) -> Self:
        """Scales divided by their geometric mean over the groups (marray's MAD scale).

        Scales of 0 or NaN take no part in the mean and are kept.
        """
        xp = backend_for(self.scale).xp
        good = self.scale > 0
        logs = xp.where(good, xp.log(xp.where(good, self.scale, 1.0)), 0.0)
        mean = logs.sum(axis=1, keepdims=True) / xp.maximum(good.sum(axis=1, keepdims=True), 1)
        return replace(self, scale=self.scale / xp.exp(mean))

    def to_plain(self) -> dict[str, Any]:
        return {"location": plain(self.location), "scale": None if self.scale is None else plain(self.scale)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        scale = plain["scale"]
        return cls(floats(plain["location"]), None if scale is None else floats(scale))


@dataclass(frozen=True, eq=False)
class Points:
    """Quantiles of each group, float64 (batch, segment, probability)."""

    points: Any

    @classmethod
    def take(cls, parts: Sequence[Self], which: Any, index: Any) -> Self:
        return cls(taken([part.points for part in parts], which, index))

    def shift(self, move: Any) -> Self:
        return replace(self, points=self.points + move[:, :, None])

    def evaluate(self, covariate: Any, segments: Segments) -> Any:
        """The middle one of the quantiles."""
        return self.points[:, _codes(self.points, segments), self.points.shape[2] // 2]

    def apart(self, own: Self) -> tuple[Any, Any]:
        level, bend = self._parts(own)
        return level, (bend * bend).mean(axis=2)

    @staticmethod
    def noise(n: Any, unit: Any) -> Any:
        return MIDDLE * unit

    def toward(self, own: Self, level: Any, level_share: Any, shape_share: Any) -> Self:
        xp = backend_for(self.points).xp
        bend = xp.where(shape_share[:, :, None] > 0, self._parts(own)[1], 0.0)
        return replace(self, points=self.points + (level_share * level)[:, :, None] + shape_share[:, :, None] * bend)

    def _parts(self, own: Self) -> tuple[Any, Any]:
        """Distance of the middle quantile, and that of every one beyond it."""
        away = own.points - self.points
        level = away[:, :, away.shape[2] // 2]
        return level, away - level[:, :, None]

    def to_plain(self) -> dict[str, Any]:
        return {"points": plain(self.points)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        return cls(floats(plain["points"]))


@dataclass(frozen=True, eq=False)
class Curves:
    """A curve of each group over the first covariate, as knots of all (batch × segment) curves, batch-major."""

    knots: Any

    @classmethod
    def take(cls, parts: Sequence[Self], which: Any, index: Any) -> Self:
        chosen = [
            (parts[k].knots, i) for k, i in zip(which.ravel().tolist(), index.ravel().tolist(), strict=True)
        ]  # fmt: skip
        return cls(backend_for(which).select_curves(chosen))

    def shift(self, move: Any) -> Self:
        xp = backend_for(self.knots.y).xp
        # Not repeat(move, counts): CuPy takes no array of counts.
        which = xp.searchsorted(self.knots.offsets, xp.arange(self.knots.y.size), side="right") - 1
        return replace(self, knots=replace(self.knots, y=self.knots.y + move.ravel()[which]))

    def evaluate(self, covariate: Any, segments: Segments) -> Any:
        return backend_for(self.knots.y).interpolate(self.knots, covariate[:, :, :1], segments)

    @staticmethod
    def few(arguments: dict[str, Any], n: int, limit: int) -> dict[str, Any]:
        """A wider span, which is the one that was asked for again at the limit."""
        span = arguments.get("span")
        if span is None:
            return arguments
        wider, left = (max(min(1.0, WINDOW / size) - span, 0.0) for size in (n, limit))
        if wider <= 0:
            return arguments
        # Each window of three values holds two: residuals are rounding, which must not be weighed.
        once = {"iterations": 1} if n <= 3 and "iterations" in arguments else {}
        return {**arguments, "span": span + wider - left * n / limit, **once}

    @staticmethod
    def freedom(arguments: Mapping[str, Any]) -> float:
        return BENDS / min(float(arguments.get("span", 1.0)), 1.0)

    def toward(self, own: Self, level: Any, level_share: Any, shape_share: Any) -> Self:
        """Curves with the knots of both; where the own curve has no value, only the level moves."""
        backend = backend_for(self.knots.y)
        xp = backend.xp
        curves = self.knots.offsets.size - 1
        bounds = [knots.offsets.tolist() for knots in (self.knots, own.knots)]
        x = [
            xp.unique(xp.concatenate([self.knots.x[a[g] : a[g + 1]], own.knots.x[b[g] : b[g + 1]]]))
            for a, b in [bounds]
            for g in range(curves)
        ]
        sizes = np.array([part.size for part in x])
        pieces = Segments.from_codes(np.repeat(np.arange(curves), sizes), range(curves))
        joined = xp.concatenate(x)
        at = joined[None, :, None]
        mine, whole = (backend.interpolate(knots, at, pieces)[0] for knots in (own.knots, self.knots))
        code = xp.asarray(pieces.codes)
        level, level_share, shape_share = (part.ravel()[code] for part in (level, level_share, shape_share))
        bend = mine - whole - level
        y = whole + level_share * level + xp.where(xp.isfinite(bend), shape_share * bend, 0.0)
        return replace(self, knots=Knots(joined, y, xp.asarray(pieces.offsets)))

    def to_plain(self) -> dict[str, Any]:
        return {"x": plain(self.knots.x), "y": plain(self.knots.y), "offsets": self.knots.offsets.tolist()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        return cls(Knots(floats(plain["x"]), floats(plain["y"]), np.array(plain["offsets"], np.int64)))


def _codes(like: Any, segments: Segments) -> Any:
    """Segment of every item, where ``like`` lies."""
    return backend_for(like).xp.asarray(segments.codes)


def taken(arrays: Sequence[Any], which: Any, index: Any) -> Any:
    """Entries (batch, segment) from ``arrays[which]``, their flat row ``index``."""
    xp = backend_for(which).xp
    stacked = [array.reshape(-1, *array.shape[2:]) for array in arrays]
    out = xp.empty((*which.shape, *stacked[0].shape[1:]), stacked[0].dtype)
    for k, flat in enumerate(stacked):
        out[which == k] = flat[index[which == k]]
    return out


def plain(array: Any) -> list[Any]:
    """An array as nested lists; NaN, which JSON has not, is None."""

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(part) for part in value]
        return None if value != value else value

    cleaned: list[Any] = clean(array.tolist())
    return cleaned


def floats(listed: Any) -> Any:
    """The float64 array that ``plain`` made these lists from.

    Raises
    ------
    ValueError
        They are no lists of numbers, or not of one shape.
    """
    found = np.array(listed, dtype=object)
    kinds = set(map(type, found.ravel().tolist()))
    if not isinstance(listed, list) or not kinds <= {int, float, type(None)}:
        raise ValueError("no lists of numbers")
    try:
        numbers = np.array(found, dtype=np.float64)
    except OverflowError:
        raise ValueError("a number is too large") from None
    if np.isinf(numbers).any():
        raise ValueError("a number is infinite")
    return numbers
