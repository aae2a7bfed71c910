"""How much of the spread of values a grouping explains, if chance does as well, and the grouping that does best."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.engines import Backend, backend_for
from gridnorm.core.fit import as_items, as_view, fit
from gridnorm.core.segments import IntArray, Segments
from gridnorm.errors import OptionError

# Bounds the memory of a batch of permutations; results do not depend on it.
_CHUNK = 1 << 20
# Sums of equal values in another order differ by rounding: statistics this close count as ties.
_TIE = 1e-12


class FTest(NamedTuple):
    """One-way analysis of variance; each part float64 (batch,).

    Attributes
    ----------
    F
        Mean square between groups over mean square within; infinite where groups have no spread within.
    df1, df2
        Degrees of freedom: groups with values − 1, and values − groups with values.
    p
        Probability of an F at least as large where all groups share one normal distribution.
    """

    F: Any
    df1: Any
    df2: Any
    p: Any


def share_explained(values: Any, segments: Segments, *, use: Any = None) -> Any:
    """Share of the variance of values that lies between groups, float64 (batch,).

    η² = 1 − SS(within groups) / SS(around the overall mean): 0 where the groups have equal means, 1 where all spread
    lies between them; NaN without spread. Groups of k random labels give about (k − 1)/(n − 1).

    Parameters
    ----------
    values
        (item,) or (batch, item); NaN is left out.
    segments
        The grouping.
    use
        Boolean mask of the items that count, (item,) or (batch, item).

    Examples
    --------
    >>> import numpy as np
    >>> share_explained(np.array([1.0, 1.0, 3.0, 3.0]), Segments.from_labels([0, 0, 1, 1]))
    array([1.])
    """
    within, _, _ = _within(values, segments, use)
    return 1.0 - within


def f_test(values: Any, segments: Segments, *, use: Any = None) -> FTest:
    """Test whether the groups differ in their means: one-way analysis of variance of every batch entry.

    Parameters
    ----------
    values
        (item,) or (batch, item); NaN is left out.
    segments
        The grouping; groups without a value do not count.
    use
        Boolean mask of the items that count, (item,) or (batch, item).

    Returns
    -------
    FTest
        ``F`` and ``p`` are NaN for one group, for groups of one value each, and for values without spread.

    Notes
    -----
    ``p`` comes from SciPy on the host; on a device the (batch,) numbers of F make that trip.

    Examples
    --------
    >>> import numpy as np
    >>> found = f_test(np.array([1.0, 2.0, 3.0, 4.0]), Segments.from_labels([0, 0, 1, 1]))
    >>> round(float(found.F[0]), 6), float(found.df1[0]), float(found.df2[0]), round(float(found.p[0]), 4)
    (8.0, 1.0, 2.0, 0.1056)
    """
    from scipy.special import fdtrc

    xp = backend_for(values).xp
    within, n, groups = _within(values, segments, use)
    df1, df2 = xp.maximum(groups - 1.0, 0.0), n - groups
    testable = (df1 > 0) & (df2 > 0) & xp.isfinite(within)
    spread = testable & (within > 0)
    noise = xp.where(spread, within, 1.0) / xp.where(testable, df2, 1.0)
    ratio = (1.0 - within) / xp.where(testable, df1, 1.0) / noise
    F = xp.where(spread, ratio, xp.where(testable, xp.inf, xp.nan))
    p = xp.asarray(fdtrc(df1.tolist(), df2.tolist(), F.tolist()), dtype=xp.float64)
    return FTest(F, df1, df2, p)


def permutation_test(
    values: Any,
    segments: Segments,
    *,
    permutations: int = 999,
    seed: int,
    statistic: Callable[[Any, Segments], Any] = share_explained,
    use: Any = None,
) -> Any:
    """Probability that values dealt to the groups at random reach the statistic that was found, float64 (batch,).

    The items that count exchange their values; the others stay out. With b of n permutations at least as large as
    what was found (ties count), p = (b + 1)/(n + 1), which is never 0. The test asks nothing of the distribution.

    Parameters
    ----------
    values
        (item,) or (batch, item); NaN is left out.
    segments
        The grouping.
    permutations
        How many to draw; the smallest p that can come out is 1/(permutations + 1).
    seed
        Of the random numbers. One seed always gives the same p; every batch entry is tested as if it were alone.
    statistic
        What is compared; large means grouped. Called with (permutation, item) values without NaN and the segments of
        those items, gives one number a row.
    use
        Boolean mask of the items that count, (item,) or (batch, item).

    Returns
    -------
    array
        NaN where the statistic is NaN (for the share: values without spread). One group gives 1.

    Raises
    ------
    OptionError
        If ``permutations`` is not a whole number of at least 1, or shapes do not agree.

    Examples
    --------
    >>> import numpy as np
    >>> tips = Segments.from_labels(np.repeat([0, 1], 10))
    >>> permutation_test(np.arange(20.0), tips, seed=1)
    array([0.001])
    """
    count = whole_number("permutations", permutations, 1)
    backend = backend_for(values)
    view = _flat(values, segments, backend)
    keep = _used(view, use, backend)
    out = []
    for row, kept in zip(view, keep, strict=True):
        out.append(_permuted_p(row[kept], segments, _host(kept), count, seed, statistic, backend.xp))
    return backend.xp.asarray(out, dtype=backend.xp.float64)


def tightest(values: Any, n_segments: int, min_size: int = 1) -> IntArray:
    """Cut sorted values into groups with the least spread within: exact k-means on a line.

    Groups are intervals, so that of all groupings into ``n_segments`` this one has the smallest sum of squares within
    groups and the largest share explained. Dynamic programming over the sorted values; the best cuts are monotone,
    which leaves O(k n log n) work.

    Parameters
    ----------
    values
        Finite numbers (item,).
    n_segments
        Number of groups.
    min_size
        Fewest items in a group.

    Returns
    -------
    ndarray
        int64 (item,): group of every item; group 0 holds the smallest values. Equal values may be cut apart where
        there are fewer distinct values than groups.

    Raises
    ------
    OptionError
        If ``n_segments`` groups of ``min_size`` items need more items than there are, or a value is not finite.

    Examples
    --------
    >>> tightest([5.0, 0.1, 5.2, 0.0, 9.0], 3).tolist()
    [1, 0, 1, 0, 2]
    """
    x = np.asarray(values, np.float64)
    k, least = whole_number("n_segments", n_segments, 1), whole_number("min_size", min_size, 1)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise OptionError("values to cut into groups must be one row of finite numbers", found=f"shape {x.shape}")
    if k * least > x.size:
        found = f"{k} groups of at least {least}" if least > 1 else f"{k} groups"
        expected = f"at most {x.size // least}"
        raise OptionError(f"{x.size} items are too few for the groups", found=found, expected=expected)
    order = np.argsort(x, kind="stable")
    ordered = x[order]
    # Around the middle value, so that the sums keep their digits.
    ordered = ordered - ordered[x.size // 2]
    sums = np.concatenate(([0.0], np.cumsum(ordered)))
    squares = np.concatenate(([0.0], np.cumsum(ordered * ordered)))
    cost = np.full(x.size + 1, np.inf)
    cost[0] = 0.0
    starts = []
    for layer in range(1, k + 1):
        cost, start = _layer(cost, sums, squares, layer, least)
        starts.append(start)
    codes = np.empty(x.size, np.int64)
    stop = x.size
    for group in reversed(range(k)):
        start_of = int(starts[group][stop])
        codes[order[start_of:stop]] = group
        stop = start_of
    return codes


def _layer(
    before: NDArray[np.float64], sums: NDArray[np.float64], squares: NDArray[np.float64], layer: int, least: int
) -> tuple[NDArray[np.float64], IntArray]:
    """Least cost of the first j sorted values in ``layer`` groups, and where the last of these groups starts."""
    n = before.size - 1
    first = layer * least
    cost, start = np.full(n + 1, np.inf), np.zeros(n + 1, np.int64)
    # Every pass halves the stride: the best starts of the neighbours that are known already bound those between.
    stride = 1 << (n - first).bit_length()
    while stride:
        ends = np.arange(first + stride - 1, n + 1, 2 * stride)
        if ends.size:
            left, right = ends - stride, ends + stride
            low = np.where(left >= first, start[np.maximum(left, 0)], (layer - 1) * least)
            high = np.minimum(np.where(right <= n, start[np.minimum(right, n)], n), ends - least)
            low = np.minimum(low, high)
            cost[ends], start[ends] = _best(before, sums, squares, ends, low, high)
        stride //= 2
    return cost, start


def _best(
    before: NDArray[np.float64],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
    ends: IntArray,
    low: IntArray,
    high: IntArray,
) -> tuple[NDArray[np.float64], IntArray]:
    """For every end the start in low…high with the least cost, the first of equals."""
    lengths = high - low + 1
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    place = np.arange(offsets[-1])
    begin = place - np.repeat(offsets[:-1] - low, lengths)
    stop = np.repeat(ends, lengths)
    inside = squares[stop] - squares[begin] - (sums[stop] - sums[begin]) ** 2 / (stop - begin)
    cost = before[begin] + np.maximum(inside, 0.0)
    least = np.minimum.reduceat(cost, offsets[:-1])
    winners = np.flatnonzero(cost == np.repeat(least, lengths))
    return least, begin[winners[np.searchsorted(winners, offsets[:-1])]]


def _within(values: Any, segments: Segments, use: Any) -> tuple[Any, Any, Any]:
    """Share of the sum of squares that lies within groups (NaN without spread), values, and groups that have any."""
    backend = backend_for(values)
    xp = backend.xp
    view = _flat(values, segments, backend)
    whole = fit(view, Segments.single(segments.n_items), "moments", use=use).scale[:, 0]
    grouped = fit(view, segments, "moments", use=use)
    n = grouped.n.sum(axis=1)
    has = whole > 0
    # Deviations are divided before they are squared: large and small units keep their digits.
    relative = xp.where(grouped.n > 0, grouped.scale, 0.0) / xp.where(has, whole, 1.0)[:, None]
    within = (grouped.n * relative * relative).sum(axis=1) / xp.maximum(n, 1)
    # Groups of equal means have a share of 0, which rounding must not make negative.
    within = xp.where(has, xp.minimum(within, 1.0), xp.nan)
    return within, n.astype(xp.float64), (grouped.n > 0).sum(axis=1).astype(xp.float64)


def _permuted_p(
    row: Any,
    segments: Segments,
    kept: NDArray[np.bool_],
    count: int,
    seed: int,
    statistic: Callable[[Any, Segments], Any],
    xp: Any,
) -> float:
    """Probability for one batch entry, from the values of the items that count."""
    if not row.size:
        return float("nan")
    own = Segments.from_codes(segments.codes[kept], segments.labels)
    found = float(statistic(row[None, :], own)[0])
    if np.isnan(found):
        return float("nan")
    limit = found - _TIE * max(abs(found), 1.0)
    random = np.random.default_rng(seed)
    step = max(_CHUNK // row.size, 1)
    reached = 0
    for start in range(0, count, step):
        index = np.broadcast_to(np.arange(row.size), (min(step, count - start), row.size))
        dealt = row[xp.asarray(random.permuted(index, axis=1))]
        reached += int((statistic(dealt, own) >= limit).sum())
    return (reached + 1) / (count + 1)


def _flat(values: Any, segments: Segments, backend: Backend) -> Any:
    """Values as (batch, item) in float64."""
    view = as_view(values, segments, backend)
    if view.shape[2] != 1:
        expected = "(item,) or (batch, item)"
        raise OptionError("a spread is taken of one value per item", found=f"shape {view.shape}", expected=expected)
    return view[:, :, 0]


def _used(view: Any, use: Any, backend: Backend) -> Any:
    finite = backend.xp.isfinite(view)
    return finite if use is None else finite & as_items(use, view.shape, "use", backend, dtype=bool)


def _host(array: Any) -> NDArray[Any]:
    return array if isinstance(array, np.ndarray) else np.asarray(array.tolist())


def whole_number(name: str, given: Any, least: int) -> int:
    """``given`` as an int of at least ``least``; 2.0, "2" and None are refused, NumPy's integers are not."""
    try:
        number = operator.index(given)
    except TypeError:
        number = least - 1
    if number < least:
        raise OptionError(f"{name} must be a whole number of at least {least}", found=repr(given))
    return number
