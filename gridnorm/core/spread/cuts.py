"""The grouping of values on a line with the least spread within groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.segments import IntArray
from gridnorm.core.spread.given import whole_number
from gridnorm.errors import OptionError

Floats = NDArray[np.float64]
# A number as the sum of two: about 32 digits. Σx² − (Σx)²/n of values that scatter by 1e-8 of the range loses 16.
Exact = tuple[Floats, Floats]

# Splits 53 binary digits in halves whose products are exact.
_HALF = float((1 << 27) + 1)


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
    # Around the middle value and in units of the range: no square overflows, and dividing by a power of two is exact.
    ordered = ordered - ordered[x.size // 2]
    ordered = np.ldexp(ordered, -int(np.frexp(np.abs(ordered).max(initial=0.0))[1]))
    sums = _running(ordered, np.zeros(x.size))
    squares = _running(*_product(ordered, ordered))
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


def _layer(before: Floats, sums: Exact, squares: Exact, layer: int, least: int) -> tuple[Floats, IntArray]:
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
    before: Floats, sums: Exact, squares: Exact, ends: IntArray, low: IntArray, high: IntArray
) -> tuple[Floats, IntArray]:
    """For every end the start in low…high with the least cost, the first of equals."""
    lengths = high - low + 1
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    place = np.arange(offsets[-1])
    begin = place - np.repeat(offsets[:-1] - low, lengths)
    stop = np.repeat(ends, lengths)
    inside = _inside(_less(sums, stop, begin), _less(squares, stop, begin), (stop - begin).astype(np.float64))
    cost = before[begin] + np.maximum(inside, 0.0)
    least = np.minimum.reduceat(cost, offsets[:-1])
    winners = np.flatnonzero(cost == np.repeat(least, lengths))
    return least, begin[winners[np.searchsorted(winners, offsets[:-1])]]


def _inside(total: Exact, squared: Exact, n: Floats) -> Floats:
    """Sum of squares around the mean of n values, from their sum and their sum of squares."""
    centre = total[0] / n
    twice = _product(2.0 * centre, total[0])
    square = _product(centre, centre)
    whole = _product(n, square[0])
    # Σx² − 2cΣx + nc²; what the mean differs from c is a rounding error, and its square nothing.
    first = _sum(squared[0], -twice[0])
    second = _sum(first[0], whole[0])
    return second[0] + (
        second[1] + first[1] + squared[1] - twice[1] - 2.0 * centre * total[1] + whole[1] + n * square[1]
    )


def _running(high: Floats, low: Floats) -> Exact:
    """Sums of the first 0, 1, 2, … numbers, by doubling steps."""
    high, low = np.concatenate(([0.0], high)), np.concatenate(([0.0], low))
    step = 1
    while step < high.size:
        total, lost = _sum(high[step:], high[:-step])
        lost = lost + (low[step:] + low[:-step])
        total, lost = _sum(total, lost)
        high, low = np.concatenate((high[:step], total)), np.concatenate((low[:step], lost))
        step *= 2
    return high, low


def _less(running: Exact, stop: IntArray, begin: IntArray) -> Exact:
    total, lost = _sum(running[0][stop], -running[0][begin])
    return total, lost + (running[1][stop] - running[1][begin])


def _sum(a: Floats, b: Floats) -> Exact:
    """The sum, and what rounding took from it (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _product(a: Floats, b: Floats) -> Exact:
    """The product, and what rounding took from it (Dekker)."""
    total = a * b
    a1, b1 = _upper(a), _upper(b)
    a2, b2 = a - a1, b - b1
    return total, ((a1 * b1 - total) + a1 * b2 + a2 * b1) + a2 * b2


def _upper(a: Floats) -> Floats:
    """The upper half of the digits of a number."""
    scaled = a * _HALF
    upper: Floats = scaled - (scaled - a)
    return upper
