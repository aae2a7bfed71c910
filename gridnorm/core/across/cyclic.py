"""No trend between batch entries: curves of their differences over their means are taken off, round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any, Self

import numpy as np

from gridnorm.core.across.entries import Given
from gridnorm.core.apply import evaluate
from gridnorm.core.methods import METHODS, fit_method
from gridnorm.core.payload import floats, plain
from gridnorm.core.segments import Segments

PAIRS_AT_ONCE = 8  # memory: so many vectors of values at a time


@dataclass(frozen=True, eq=False)
class References:
    """The mean entry of each round, float64 (round, item)."""

    means: Any

    def to_plain(self) -> dict[str, Any]:
        return {"means": plain(self.means)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        return cls(floats(plain["means"]))

    def check(self, sizes: Sequence[int], options: Mapping[str, Any]) -> str | None:
        """What is wrong with it as the means of so many items in each round; None: nothing."""
        shape = (options["cyclic_rounds"], sum(sizes))
        if self.means.shape != shape:
            return f"means of shape {self.means.shape}, expected {shape}"
        return "means without a number" if np.isnan(self.means).all(axis=1).any() else None


def _curve(
    difference: Any, mean: Any, segments: Segments, weights: Any, use: Any, options: dict[str, Any], at: Any = None
) -> Any:
    """The curve of differences over means at every item, (batch, item); ``at`` other levels than the means."""
    fitted = fit_method(
        difference, segments, METHODS["loess"], covariate=mean, weights=weights, use=use,
        small_groups="own" if segments.n_segments == 1 else "shrink",
        options={"span": options["cyclic_span"], "iterations": 4, "clamp_weights": False},
    )  # fmt: skip
    return evaluate(fitted, mean if at is None else at, segments)


def _rows(values: Any, which: Sequence[int], given: Given) -> Any:
    """Some of the rows of a matrix (None: there is none)."""
    return None if values is None else given.backend.xp.stack([values[entry] for entry in which])


def _weights(one: Any, other: Any, given: Given) -> Any:
    """Weights of differences: their variance is 1/w + 1/w', so that of equal weights each is their own."""
    if one is None:
        return None
    xp = given.backend.xp
    both = one + other
    return xp.where(both > 0, 2 * one * other / xp.where(both > 0, both, 1.0), 0.0)


def _mean(values: Any, given: Given) -> Any:
    """Mean of each item over the entries that use it, or over all where none does; NaN where it is missing in all."""
    xp = given.backend.xp
    sums, counts = xp.zeros((2, values.shape[1])), xp.zeros((2, values.shape[1]))
    for entry in range(values.shape[0]):  # one after the other: they may lie in a file
        row = values[entry]
        there = xp.isfinite(row)
        used = there if given.use is None else there & given.use[entry]
        for k, counted in enumerate((used, there)):
            sums[k] += xp.where(counted, row, 0.0)
            counts[k] += counted
    mean = sums / xp.maximum(counts, 1)
    return xp.where(counts[0] > 0, mean[0], xp.where(counts[1] > 0, mean[1], xp.nan))


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
        weights, use = (_rows(part, which, given) for part in (given.weights, given.use))
        values[which.start : which.stop] = block - _curve(block - shared, shared, segments, weights, use, options)
    return values


def _fast(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> tuple[Any, Any]:
    """Each entry against the mean of all."""
    mean = _mean(values, given)
    return _off(values, mean, segments, given, options), mean


def _of_pairs(
    values: Any, pairs: Sequence[tuple[int, int]], segments: Segments, given: Given, options: dict[str, Any]
) -> Any:
    """The curve of each pair; where an item lacks one of the two, at the level of the other."""
    xp = given.backend.xp
    one, other = zip(*pairs, strict=True)
    left, right = _rows(values, one, given), _rows(values, other, given)
    mean = (left + right) / 2
    at = xp.where(xp.isfinite(mean), mean, xp.where(xp.isfinite(left), left, right))
    weights = _weights(_rows(given.weights, one, given), _rows(given.weights, other, given), given)
    use = None if given.use is None else _rows(given.use, one, given) & _rows(given.use, other, given)
    return _curve(left - right, mean, segments, weights, use, options, at)


def _affy(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> tuple[Any, Any]:
    """All pairs, whose curves add up and are taken off at the end of the round."""
    total = given.backend.xp.zeros(values.shape)
    pairs = combinations(range(values.shape[0]), 2)
    while some := list(islice(pairs, PAIRS_AT_ONCE)):
        curve = _of_pairs(values, some, segments, given, options)
        for k, (one, other) in enumerate(some):
            total[one] += curve[k]
            total[other] -= curve[k]
    values -= total / values.shape[0]
    return values, None


def _pairs(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> tuple[Any, Any]:
    """Pair after pair, each of which moves half the way."""
    for one, other in combinations(range(values.shape[0]), 2):
        half = _of_pairs(values, [(one, other)], segments, given, options)[0] / 2
        values[one] -= half
        values[other] += half
    return values, None


FORMS = {"fast": _fast, "affy": _affy, "pairs": _pairs}
