"""No trend between batch entries: curves of their differences over their means are taken off, round by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any, Self

from gridnorm.core.across.entries import Given
from gridnorm.core.apply import evaluate
from gridnorm.core.methods import METHODS, fit_method
from gridnorm.core.payload import floats, plain
from gridnorm.core.segments import Segments

PAIRS_AT_ONCE = 16  # memory: so many vectors of values at a time


@dataclass(frozen=True, eq=False)
class References:
    """The mean entry of each round, float64 (round, item)."""

    means: Any

    def to_plain(self) -> dict[str, Any]:
        return {"means": plain(self.means)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        return cls(floats(plain["means"]))


def _curve(
    difference: Any,
    mean: Any,
    segments: Segments,
    given: Given,
    options: dict[str, Any],
    which: Sequence[int],
    at: Any = None,
) -> Any:
    """The curve of differences over means at every item, (batch, item); ``at`` other levels than the means."""
    fitted = fit_method(
        difference, segments, METHODS["loess"], covariate=mean,
        weights=None if given.weights is None else _rows(given.weights, which, given),
        use=None if given.use is None else _rows(given.use, which, given),
        small_groups="own" if segments.n_segments == 1 else "shrink",
        options={"span": options["cyclic_span"], "iterations": 4, "clamp_weights": False},
    )  # fmt: skip
    return evaluate(fitted, mean if at is None else at, segments)


def _rows(values: Any, which: Sequence[int], given: Given) -> Any:
    return given.backend.xp.stack([values[entry] for entry in which])


def _mean(values: Any, xp: Any) -> Any:
    """Mean of each item over the entries that have it; NaN where none has."""
    total, n = xp.zeros(values.shape[1]), xp.zeros(values.shape[1], int)
    for entry in range(values.shape[0]):  # one after the other: they may lie in a file
        row = values[entry]
        there = xp.isfinite(row)
        total += xp.where(there, row, 0.0)
        n += there
    return xp.where(n > 0, total / xp.maximum(n, 1), xp.nan)


def together(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> tuple[Any, References | None]:
    """All entries at once: the values, and the references of ``fast`` (the other forms have none)."""
    form = FORMS[options["cyclic_method"]]
    references = []
    for _ in range(options["cyclic_rounds"]):
        values, mean = form(values, segments, given, options)
        references.append(mean)
    if references[0] is None:
        return values, None
    return values, References(given.backend.xp.stack(references))


def toward(values: Any, segments: Segments, target: References, given: Given, options: dict[str, Any]) -> Any:
    """Each entry by itself: the curve over each round's reference is taken off."""
    means = given.backend.xp.asarray(target.means)
    for turn in range(means.shape[0]):
        values = _off(values, means[turn], segments, given, options)
    return values


def _off(values: Any, mean: Any, segments: Segments, given: Given, options: dict[str, Any]) -> Any:
    for start in range(0, values.shape[0], PAIRS_AT_ONCE):
        which = range(start, min(start + PAIRS_AT_ONCE, values.shape[0]))
        block = values[which.start : which.stop]
        shared = given.backend.xp.broadcast_to(mean, block.shape)
        values[which.start : which.stop] = block - _curve(block - shared, shared, segments, given, options, which)
    return values


def _fast(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> tuple[Any, Any]:
    """Each entry against the mean of all."""
    mean = _mean(values, given.backend.xp)
    return _off(values, mean, segments, given, options), mean


def _of_pairs(
    left: Any, right: Any, segments: Segments, given: Given, options: dict[str, Any], which: Sequence[int]
) -> Any:
    """The curve of each pair; where an item lacks one of the two, at the level of the other."""
    xp = given.backend.xp
    mean = (left + right) / 2
    at = xp.where(xp.isfinite(mean), mean, xp.where(xp.isfinite(left), left, right))
    return _curve(left - right, mean, segments, given, options, which, at)


def _affy(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> tuple[Any, Any]:
    """All pairs, whose curves add up and are taken off at the end of the round."""
    total = given.backend.xp.zeros(values.shape)
    pairs = combinations(range(values.shape[0]), 2)
    while some := list(islice(pairs, PAIRS_AT_ONCE)):
        left, right = zip(*some, strict=True)
        curve = _of_pairs(_rows(values, left, given), _rows(values, right, given), segments, given, options, left)
        for k, (one, other) in enumerate(some):
            total[one] += curve[k]
            total[other] -= curve[k]
    values -= total / values.shape[0]
    return values, None


def _pairs(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> tuple[Any, Any]:
    """Pair after pair, each of which moves half the way."""
    for one, other in combinations(range(values.shape[0]), 2):
        left, right = values[one : one + 1], values[other : other + 1]
        curve = _of_pairs(left, right, segments, given, options, (one,))
        half = curve[0] / 2
        values[one] -= half
        values[other] += half
    return values, None


FORMS = {"fast": _fast, "affy": _affy, "pairs": _pairs}
