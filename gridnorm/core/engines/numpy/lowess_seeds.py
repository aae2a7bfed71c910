"""Seeds and windows of the weighted curve: they depend on x and the prior weights only.

All sums that decide something are taken one item after the other, as limma does, so that its branches are followed to
the bit.
"""

from __future__ import annotations

import numpy as np

from gridnorm.core.engines.numpy.lowess_windows import Bools, Floats, Ints, first_true, follow, ties

_CELLS = 65_536  # window cells added up in one step


def deltas(x: Floats, offsets: Ints, npts: int) -> Floats:
    """Least distance between seeds of each segment, so that about `npts` remain; 0 where all items may be seeds."""
    result = np.zeros(offsets.size - 1)
    share = npts - np.arange(npts)
    for g, (a, b) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        if npts < b - a:
            sums = _running_sums(np.sort(np.diff(x[a:b])))
            result[g] = (sums[::-1][:npts] / share).min()
    return result


def _running_sums(values: Floats) -> Floats:
    """Running sums in extended precision, each rounded to double.

    R sums so, and with x on a grid the last bit decides which items become seeds.
    """
    if np.finfo(np.longdouble).nmant > 52:
        return np.cumsum(values.astype(np.longdouble)).astype(np.float64)
    high, low = values.copy(), np.zeros(values.size)
    step = 1
    while step < values.size:  # prefix scan in double-double
        a, b = high[step:], high[:-step]
        total = a + b
        part = total - a
        error = (a - (total - part)) + (b - part) + (low[step:] + low[:-step])
        high = np.concatenate([high[:step], total + error])
        low = np.concatenate([low[:step], error - (high[step:] - total)])
        step *= 2
    return high


def seeds_of(x: Floats, offsets: Ints, delta: Floats) -> tuple[Ints, Ints]:
    """First item, every further one more than delta beyond its predecessor, and the last item; with their counts."""
    sizes = np.diff(offsets)
    guess = np.empty(x.size, np.int64)
    for a, b, d in zip(offsets[:-1].tolist(), offsets[1:].tolist(), delta.tolist(), strict=True):
        guess[a:b] = x[a:b].searchsorted(x[a:b] + d, "right") + a
    reach = np.repeat(delta, sizes)
    last = np.repeat(offsets[1:] - 1, sizes)

    def beyond(i: Ints, query: Ints) -> Bools:
        result: Bools = x[i] - x[query] > reach[query]
        return result

    following = first_true(beyond, np.minimum(np.arange(x.size) + 1, last), last, guess)
    following[offsets[1:] - 1] = x.size  # the walk ends after the last item
    return follow(following, offsets)


def windows_of(
    x: Floats, w: Floats, offsets: Ints, seeds: Ints, counts: Ints, span: float
) -> tuple[Ints, Ints, Floats]:
    """First and last item, and reach in x, of the window of each seed.

    The window takes the nearer neighbour (the right one if equally near) until it holds `span` of the weight;
    items of equal x beyond its ends follow without changing the reach.
    """
    sizes = np.diff(offsets)
    sums = np.empty(x.size + sizes.size)  # sums[i + g]: weight of segment g before item i
    for g, (a, b) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        sums[a + g] = 0.0
        np.cumsum(w[a:b], out=sums[a + g + 1 : b + g + 1])
    total = sums[offsets[1:] + np.arange(sizes.size)]
    target = span * total
    segment = np.repeat(np.arange(sizes.size), counts)
    left, right = _expand(x, sums, offsets, seeds, counts, target)
    # Differences of sums carry rounding errors: where such an error could decide, add up as limma does.
    slack = 4 * np.finfo(float).eps * (sizes * total)[segment]
    excess = sums[right + 1 + segment] - sums[left + segment] - target[segment]
    close = np.abs(excess) <= slack
    close |= np.abs(excess - w[left]) <= slack
    close |= np.abs(excess - w[right]) <= slack
    doubt = np.flatnonzero(close)
    if doubt.size:
        few = np.bincount(segment[doubt], minlength=sizes.size)
        margin = target + 8 * np.finfo(float).eps * sizes * total
        low, high = _expand(x, sums, offsets, seeds[doubt], few, margin)
        left[doubt], right[doubt] = _added_up(x, w, seeds[doubt], low, high, target[segment[doubt]])
    reach = np.maximum(x[seeds] - x[left], x[right] - x[seeds])
    first, last = ties(x, offsets)
    return first[left], last[right], reach


def _expand(x: Floats, sums: Floats, offsets: Ints, seeds: Ints, counts: Ints, target: Floats) -> tuple[Ints, Ints]:
    """Windows that reach `target` by differences of running sums.

    Item l left of a seed is taken while the items l+1 … R are the lightest run from l+1 on that reaches the target
    and R lies farther away than l: then R was not taken before l, so the target was not reached. Likewise to the right.
    """
    enough_right = np.empty(x.size, np.int64)  # R of each l; the segment's end where no run is heavy enough
    enough_left = np.empty(x.size, np.int64)  # its mirror image; the item before the segment where none is
    guess_left = np.empty(seeds.size, np.int64)
    guess_right = np.empty(seeds.size, np.int64)
    bounds = np.concatenate([[0], np.cumsum(counts)]).tolist()
    for g, (a, b, t) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), target.tolist(), strict=True)):
        if bounds[g] == bounds[g + 1]:
            continue
        sum_g = sums[a + g : b + g + 1]
        right = a - 1 + sum_g.searchsorted(sum_g[1:] + t)
        left = a - 1 + sum_g.searchsorted(sum_g[:-1] - t, "right")
        enough_right[a:b] = right
        enough_left[a:b] = left
        own = slice(bounds[g], bounds[g + 1])
        twice = 2 * x[seeds[own]]
        balance = np.where(right < b, x[a:b] + x[np.minimum(right, b - 1)], np.inf)
        guess_left[own] = a + balance.searchsorted(twice, "right")
        balance = np.where(left >= a, x[a:b] + x[np.maximum(left, a)], -np.inf)
        guess_right[own] = a + balance.searchsorted(twice, "right")
    begin, end = np.repeat(offsets[:-1], counts), np.repeat(offsets[1:], counts)

    def taken_left(i: Ints, query: Ints) -> Bools:
        c = seeds[query]
        other = enough_right[i]
        free = other >= end[query]
        result: Bools = free | (x[c] - x[i] < x[np.where(free, c, other)] - x[c])
        return result

    def not_taken_right(i: Ints, query: Ints) -> Bools:
        c = seeds[query]
        i = np.minimum(i, end[query] - 1)
        other = enough_left[i]
        found = other >= begin[query]
        nearer = x[i] - x[c] > x[c] - x[np.where(found, other, c)]
        result: Bools = found & ((other >= c) | nearer)
        return result

    left = first_true(taken_left, begin, seeds, guess_left)
    return left, first_true(not_taken_right, seeds + 1, end, guess_right) - 1


def _added_up(x: Floats, w: Floats, seeds: Ints, low: Ints, high: Ints, target: Floats) -> tuple[Ints, Ints]:
    """Windows of some seeds, inside low..high, by adding weights in the order in which items are taken."""
    left, right = np.empty(seeds.size, np.int64), np.empty(seeds.size, np.int64)
    step = max(1, _CELLS // int((high - low).max() + 1))
    for k in range(0, seeds.size, step):
        own = slice(k, k + step)
        c, n_right = seeds[own, None], (high - seeds)[own, None]
        count = (high - low)[own, None] + 1
        rank = np.arange(int(count.max()))
        # The seed and the items to its right, then those to its left: a stable sort by distance prefers the right.
        item = np.where(rank <= n_right, c + rank, c + n_right - rank)
        inside = rank < count
        item = np.where(inside, item, c)
        distance = np.where(inside, np.abs(x[item] - x[c]), np.inf)
        order = np.argsort(distance, axis=1, kind="stable")
        taken = np.cumsum(np.take_along_axis(np.where(inside, w[item], 0.0), order, axis=1), axis=1)
        reached = taken >= target[own, None]
        last = np.where(reached.any(axis=1), reached.argmax(axis=1), count[:, 0] - 1)
        ordered = np.take_along_axis(item, order, axis=1)
        ordered = np.where(rank <= last[:, None], ordered, c)
        left[own], right[own] = ordered.min(axis=1), ordered.max(axis=1)
    return left, right
