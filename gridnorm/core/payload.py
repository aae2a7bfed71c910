"""What a fit holds for each group: locations, points or curves. A statistic may bring a payload of its own.

A payload belongs to (batch × segment) fits and is plain data. It can be taken apart and put together, moved, evaluated
at each item, and turned into numbers that JSON can hold, and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from gridnorm.core.engines import backend_for
from gridnorm.core.engines.knots import Knots
from gridnorm.core.segments import Segments


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

    def toward(self, own: Self, share: Any, small: Any) -> Self:
        """Where ``small``, moved by ``share`` of the distance to a group's own fit; scales on the log scale."""
        xp = backend_for(self.location).xp
        pull = xp.where(small, own.location - self.location, 0.0)
        location, scale = self.location + xp.where(small, share * pull, 0.0), self.scale
        if scale is not None:
            usable = small & (own.scale > 0) & (scale > 0)
            ratio = xp.log(xp.where(usable, own.scale, 1.0) / xp.where(usable, scale, 1.0))
            scale = scale * xp.exp(xp.where(usable, share * ratio, 0.0))
        return replace(self, location=location, scale=scale)

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
    """The float64 array that ``plain`` made these lists from."""
    return np.array(listed, dtype=np.float64)
