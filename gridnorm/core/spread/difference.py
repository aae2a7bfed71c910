"""How much groups really differ, and how much a fit leaves: measured on items that the fit has not seen.

The plain shifts of groups differ by chance alone, and are near zero after any fit of the same items. Here the items of
each group are dealt to four parts, each with a shift of its own, its median. Products of the shifts of *different*
parts have no noise in common: their mean over groups is the variance of what the groups really are apart, and 0 in
expectation where groups mean nothing, whatever the distribution of the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.engines import backend_for
from gridnorm.core.fit import fit
from gridnorm.core.segments import IntArray, Segments
from gridnorm.core.spread.given import flat, on_host, used
from gridnorm.errors import FitError

Floats = NDArray[np.float64]

PARTS = 4
# The part of each of 16 runs of consecutive items of a group, there and back: neighbours stay together, and every part
# lies evenly over the group, so that neither correlated neighbours nor a trend along the group looks like a difference.
_RUNS = np.array([0, 1, 2, 3, 3, 2, 1, 0] * 2)
# A fit that leaves parts out sees one of them where every group has as many items as this, else two of them.
MANY_ITEMS = 240
# What is left after a fit is measured on groups of so many items together, and on so many groups at least.
ENOUGH_ITEMS, ENOUGH_GROUPS = 6000, 12
_ONE_FITTED = np.array([False, True, False, False])
_TWO_FITTED = np.array([False, True, True, False])
# 95 % of a normal distribution, and of Student's with 1, 2 and 3 degrees of freedom.
_Z = 1.959963984540054
_STUDENT = (12.706204736432095, 4.302652729696142, 3.182446305284263)


class Difference(NamedTuple):
    """What groups really are apart, each float64 (batch,); NaN where fewer than two groups have four items.

    Attributes
    ----------
    variance
        Of the groups' shifts, every group weighted by its items. Unbiased, and so below 0 about as often as above
        where groups mean nothing.
    low, high
        Bounds of the standard deviation, 95 %; ``low`` is 0 where chance would do.
    share
        Of the variance of values: variance / (variance + MAD² within groups). Negative where ``variance`` is.
    """

    variance: Any
    low: Any
    high: Any
    share: Any

    @property
    def sd(self) -> Any:
        """Standard deviation, 0 where the variance comes out negative."""
        xp = backend_for(self.variance).xp
        return xp.sqrt(xp.maximum(self.variance, 0.0))


def real_difference(values: Any, segments: Segments, *, use: Any = None) -> Difference:
    """How far the groups are apart beyond chance.

    Parameters
    ----------
    values
        (item,) or (batch, item); NaN is left out.
    segments
        The grouping; groups of fewer than four items do not count.
    use
        Boolean mask of the items that count, (item,) or (batch, item).

    Notes
    -----
    The items of a group must be independent of each other, or nearly so: runs of neighbours stay in one part, so a
    correlation between neighbours does little, but content that groups really differ in is a real difference. The
    shift is a median: of skewed values, tiny groups beside large ones differ in it by the bias of small medians.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(size=800)
    >>> groups = Segments.from_labels(np.arange(800) % 8)
    >>> real_difference(noise, groups).low.tolist()
    [0.0]
    >>> found = real_difference(noise + np.arange(800) % 8, groups)
    >>> round(float(found.low[0]), 1), round(float(found.sd[0]), 1), round(float(found.high[0]), 1)
    (2.3, 2.5, 2.6)
    """
    backend = backend_for(values)
    xp = backend.xp
    view = flat(values, segments, backend)
    mask = used(view, use, backend)
    return _joined([_before(view[b], segments, _deal(segments, _seen(mask[b])), mask[b], xp) for b in _alike(mask)], xp)


def differences(
    values: Any,
    normalized: Any,
    segments: Segments,
    refit: Callable[[IntArray, Segments, NDArray[np.bool_], float], Any],
    *,
    use: Any = None,
) -> tuple[Difference, Difference]:
    """How far the groups are apart before a fit is removed, and what it leaves or adds.

    Before is ``real_difference``. After it the fit is made again from one half of the items of each group (a quarter,
    where all groups are large) and judged by the rest. What it leaves there is what a fit of so few items leaves. The
    fit of all items is better by the variance of the difference between the two, which is taken off, though never more
    than averaging over more items explains: of curves through a handful of items too much is reported, not too little.
    The expectation is 0 only where the fit removed all that there was and added nothing of its own. Of many groups, as
    many as hold 6000 items stand for all, evenly chosen.

    Parameters
    ----------
    values
        (item,) or (batch, item) before the fit was removed.
    normalized
        The same after it.
    segments
        The grouping; groups of fewer than four items do not count.
    refit
        Called with the numbers of the items that take part, their segments, a boolean mask of those among them that
        a fit may see, and the share of a group that these are; gives ``values`` of these items, (batch, item), without
        that fit. ``FitError`` means that they are too few: the answer is NaN.
    use
        Boolean mask of the items that count, (item,) or (batch, item).

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm.core.methods import normalize_within
    >>> x = np.random.default_rng(0).normal(size=(1, 800)) + np.arange(800) % 8
    >>> groups = Segments.from_labels(np.arange(800) % 8)
    >>> def centred(items, some, seen, share):
    ...     return normalize_within(x[:, items], some, "median", use=seen, minimum=0).values
    >>> done = normalize_within(x, groups, "median").values
    >>> before, left = differences(x, done, groups, centred)
    >>> bool(before.low[0] > 2), bool(left.high[0] < 0.5)
    (True, True)
    """
    backend = backend_for(values)
    xp = backend.xp
    view, done = flat(values, segments, backend), flat(normalized, segments, backend)
    mask = used(view, use, backend)
    found = []
    for b in _alike(mask):

        def again(items: IntArray, some: Segments, fitted: NDArray[np.bool_], share: float, b: slice = b) -> Any:
            return flat(refit(items, some, fitted, share), some, backend)[b]

        found.append(_before_and_left(view[b], done[b], segments, again, mask[b], xp))
    before, left = zip(*found, strict=True)
    return _joined(before, xp), _joined(left, xp)


def _before_and_left(
    view: Any, done: Any, segments: Segments, refit: Callable[..., Any], mask: Any, xp: Any
) -> tuple[Difference, Difference]:
    """``differences`` of batch entries that use the same items."""
    seen = _seen(mask)
    parts = _deal(segments, seen)
    before = _before(view, segments, parts, mask, xp)
    unknown = _found([None] * len(view), np.full(len(view), np.nan), xp)
    counts = segments.count(seen)
    chosen = _chosen(counts)
    if np.count_nonzero(chosen) < 2:
        return before, unknown
    roles = _ONE_FITTED if counts[chosen].min() >= MANY_ITEMS else _TWO_FITTED
    share = float(roles.sum()) / PARTS
    items = np.flatnonzero(seen & chosen[segments.codes])
    some = _part_of(segments, chosen, items)
    try:
        other = refit(items, some, roles[parts[items]], share)
    except FitError:
        return before, unknown
    there = xp.asarray(items)
    return before, _left(done[:, there], other, some, parts[items], roles, mask[:, there], xp)


def _left(
    done: Any, other: Any, segments: Segments, parts: IntArray, roles: NDArray[np.bool_], mask: Any, xp: Any
) -> Difference:
    """What a fit of all items leaves, from values without it and without a fit of the parts that ``roles`` marks."""
    rest = mask & xp.asarray(~roles[parts])[None, :] & xp.isfinite(other) & xp.isfinite(done)
    shifts, n = _shifts(other, segments, parts, rest, np.flatnonzero(~roles))
    gap = on_host(fit(other - done, segments, "moments", use=rest).location)
    share = float(roles.sum()) / PARTS
    found = [_less(_between(shifts[b], n[b]), gap[b], n[b], share) for b in range(len(n))]
    return _found(found, _noise(done, segments, mask), xp)


def _chosen(counts: IntArray) -> NDArray[np.bool_]:
    """Groups that are judged after a fit: all that count, or as many as are enough."""
    chosen = counts >= PARTS
    numbers = np.flatnonzero(chosen)
    total = int(counts[numbers].sum())
    wanted = max(-(-numbers.size * ENOUGH_ITEMS // max(total, 1)), ENOUGH_GROUPS)
    if wanted < numbers.size:
        chosen = np.zeros(counts.size, np.bool_)
        chosen[numbers[(2 * np.arange(wanted) + 1) * numbers.size // (2 * wanted)]] = True
    return chosen


def _part_of(segments: Segments, chosen: NDArray[np.bool_], items: IntArray) -> Segments:
    """Segments of these items, which belong to the chosen groups."""
    codes = (np.cumsum(chosen) - 1)[segments.codes[items]]
    return Segments.from_codes(codes, [segments.labels[g] for g in np.flatnonzero(chosen).tolist()])


class _Between(NamedTuple):
    """Variance between groups beyond chance with its bounds, all on the scale of squares."""

    variance: float
    low: float
    high: float


def _alike(mask: Any) -> list[slice]:
    """Batch entries that are treated together: all if they use the same items, else each by itself.

    Items are dealt by what is used: what one entry lacks must not change the parts of another.
    """
    rows = on_host(mask)
    if bool((rows == rows[:1]).all()):
        return [slice(0, len(rows))]
    return [slice(b, b + 1) for b in range(len(rows))]


def _joined(found: Sequence[Difference], xp: Any) -> Difference:
    return found[0] if len(found) == 1 else Difference(*(xp.concatenate(part) for part in zip(*found, strict=True)))


def _seen(mask: Any) -> NDArray[np.bool_]:
    """Items that the batch entries use."""
    return np.asarray(on_host(mask).any(axis=0), np.bool_)


def _before(view: Any, segments: Segments, parts: IntArray, mask: Any, xp: Any) -> Difference:
    shifts, n = _shifts(view, segments, parts, mask, np.arange(PARTS))
    return _found([_between(shifts[b], n[b]) for b in range(len(n))], _noise(view, segments, mask), xp)


def _deal(segments: Segments, seen: NDArray[np.bool_]) -> IntArray:
    """Part of every item, int64 (item,); −1 for items that are not seen."""
    items = segments.order[seen[segments.order]]
    counts = segments.count(seen)
    place = np.arange(items.size) - np.repeat(np.cumsum(counts) - counts, counts)
    sizes = np.repeat(counts, counts)
    few = sizes < _RUNS.size
    parts = np.full(segments.n_items, -1, np.int64)
    parts[items] = np.where(few, place % PARTS, _RUNS[np.where(few, 0, place * _RUNS.size // sizes)])
    return parts


def _shifts(view: Any, segments: Segments, parts: IntArray, mask: Any, wanted: IntArray) -> tuple[Floats, Floats]:
    """Medians (batch, segment, part) of the wanted parts, and the items of a segment in them (batch, segment)."""
    split = Segments.from_codes(segments.codes * PARTS + np.maximum(parts, 0), range(segments.n_segments * PARTS))
    medians = fit(view, split, "median", use=mask)
    shape = (len(view), segments.n_segments, PARTS)
    counts = on_host(medians.n).reshape(shape)[:, :, wanted]
    return on_host(medians.location).reshape(shape)[:, :, wanted], counts.sum(axis=2).astype(np.float64)


def _noise(view: Any, segments: Segments, mask: Any) -> Floats:
    """Variance of the items within groups, (batch,): that of the MAD, which outliers do not move."""
    spread = fit(view, segments, "mad", use=mask)
    n, scale = on_host(spread.n), np.nan_to_num(on_host(spread.scale))
    noise: Floats = (n * scale * scale).sum(axis=1) / np.maximum(n.sum(axis=1), 1)
    return noise


def _between(shifts: Floats, n: Floats) -> _Between | None:
    """From the shifts (segment, part) of one batch entry, and the weight of each segment."""
    counts = np.isfinite(shifts).all(axis=1)
    if np.count_nonzero(counts) < 2:
        return None
    shifts, q = shifts[counts], shifts.shape[1]
    w = n[counts] / n[counts].sum()
    centred = shifts - (w[:, None] * shifts).sum(axis=0)
    unit = math.ldexp(1.0, math.frexp(float(np.abs(centred).max()))[1])  # so that squares of squares are numbers
    centred, shifts = centred / unit, shifts / unit
    mean = centred.mean(axis=1)
    noise = centred.var(axis=1, ddof=1) / q  # of a group's mean shift, from how its parts differ
    # What centring takes from a variance; for equal weights k/(k − 1).
    c = 1.0 / (1.0 - float(w @ w))
    seen, chance = c * float(w @ mean**2), c * float(w @ noise)
    # Variance of ``seen``: without any difference, and per unit of it. ``chance`` has that of its q − 1 degrees of
    # freedom a group.
    same, other = _degrees(shifts.var(axis=1, ddof=1) / q, w, q)
    base, slope = 2.0 * same * chance**2, 4.0 * other * chance
    # The noise that a true variance adds is estimated, too, with few degrees of freedom where groups are few.
    slope *= (_student(len(mean) - 1, q - 1) / _Z) ** 2
    low, high = (_bound(z, seen, chance, base, slope, base / (q - 1)) for z in (_Z, -_Z))
    return _Between(*(part * unit * unit for part in (seen - chance, low, high)))


def _student(groups: int, parts: int) -> float:
    """Half of the 95 % range of Student's distribution: the noise is estimated with so many degrees of freedom.

    The expansion of Fisher and Cornish (1960), within 0.3 % from 4 degrees on.
    """
    v = groups * parts
    if v <= len(_STUDENT):
        return _STUDENT[v - 1]
    z = _Z
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / v + second / v**2 + third / v**3


def _degrees(noise: Floats, w: Floats, q: int) -> tuple[float, float]:
    """Variance of a weighted variance of means with this noise, over 2 · its expectation squared, and what a true
    variance of 1 adds to that, over 4 · its expectation.

    Of k groups alike both are 1/(k − 1); of many small ones beside a large one, the number of small ones decides; of
    one small one beside a large one, both are 1. Squares of the noise, which has q − 1 degrees of freedom a group, are
    too large by its own variance.
    """
    part = w * (1.0 - w) * noise
    total, squares = float(part.sum()), float(part @ part)
    if total <= 0:
        return 1.0, 1.0
    crossed = float(w**2 @ noise) ** 2 - float(w**4 @ noise**2)
    too_large = 2.0 / (q + 1)
    same = ((1.0 - too_large) * squares + crossed) / (total**2 - too_large * squares)
    other = float(w**2 * (1.0 - 2.0 * w + w @ w) @ noise) / (total * (1.0 - float(w @ w)))
    return same, other


def _bound(z: float, seen: float, chance: float, base: float, slope: float, of_chance: float) -> float:
    """The variance at which what was seen lies ``z`` normal deviates up, 0 at least: a bound of the interval.

    ``seen`` over its expectation has nearly an F distribution, with the degrees of freedom that belong to the
    variances; its cube root is nearly normal (Paulson).
    """

    def deviate(variance: float) -> float:
        expected = variance + chance
        if expected <= 0:
            return math.inf if seen > 0 else 0.0
        a = (base + slope * variance) / (9.0 * expected**2)
        b = of_chance / (9.0 * expected**2)
        root = (seen / expected) ** (1.0 / 3.0)
        spread = math.sqrt(b * root**2 + a)
        gap = (1.0 - b) * root - (1.0 - a)
        return gap / spread if spread > 0 else math.copysign(math.inf, gap) if gap else 0.0

    if seen + chance <= 0 or deviate(0.0) <= z:
        return 0.0
    low, high = 0.0, max(seen, chance)
    while deviate(high) > z:
        high *= 2.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if deviate(middle) > z else (low, middle)
    return low


def _less(found: _Between | None, gap: Floats, n: Floats, share: float) -> _Between | None:
    """Less the variance by which the fit of all items is better than that of a share of them."""
    counts = np.isfinite(gap) & (n > 0)
    if found is None or np.count_nonzero(counts) < 2:
        return None
    w, gap = n[counts] / n[counts].sum(), gap[counts]
    better = float(w @ (gap - w @ gap) ** 2) / (1.0 - float(w @ w))
    # Of what a fit leaves, all but its share could be noise that more items average out; more is never taken off,
    # since curves through a handful of items are worse than that and would flatter the fit of all.
    better = min(better, (1.0 - share) * max(found.variance, 0.0))
    # The two fits' gap and the error of the better one are independent only on average over the groups.
    crossed = 2.0 * _Z * better * math.sqrt(float(w @ w) * share / (1.0 - share))
    variance = found.variance - better
    low = variance - math.hypot(found.variance - found.low, crossed)
    high = variance + math.hypot(found.high - found.variance, crossed)
    return _Between(variance, max(low, 0.0), max(high, 0.0))


def _found(rows: list[_Between | None], noise: Floats, xp: Any) -> Difference:
    table = np.array([[np.nan] * 3 if row is None else list(row) for row in rows]).reshape(-1, 3)
    variance = table[:, 0]
    total = np.where(variance > 0, variance, 0.0) + noise
    share = np.where(total > 0, variance / np.where(total > 0, total, 1.0), np.nan)
    return Difference(*map(xp.asarray, (variance, np.sqrt(table[:, 1]), np.sqrt(table[:, 2]), share)))
