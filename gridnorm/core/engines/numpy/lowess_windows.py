"""What both lowess paths share: knots, runs of equal x, windows as matrices, chunks of whole segments, scratch.

The geometry of a curve (points evaluated, their windows, tricube weights) depends on x alone. It is built once for a
chunk of whole segments, as matrices of shape (window, evaluated points); a robust pass is then a few sweeps over them.
Sums run down the first axis, that is in ascending order of x and one after the other, so zero padding at the end of
a window changes no bit: the curve of a segment never depends on its neighbours in the call.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.engines.knots import Knots

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Cells (window x evaluated points) of one matrix of a chunk: cache sized, and reused so that no page faults in twice.
_CELLS = 96_000
# Longer windows are fitted one by one from slices: a large segment needs no such matrices.
LONG_WINDOW = 1_500
# Tricube weights of a large segment are kept between passes up to this many cells, beyond that recomputed.
KEPT_CELLS = 4_000_000


class Part(NamedTuple):
    """Knots of some segments: `segments` with `counts` knots each, whose values stand one after the other."""

    segments: Ints
    counts: Ints
    x: Floats
    y: Floats


def assemble(parts: list[Part], n_segments: int) -> Knots:
    """Knots of all parts, in the order of the segments."""
    counts = np.zeros(n_segments, np.int64)
    for part in parts:
        counts[part.segments] = part.counts
    offsets = np.concatenate([[0], np.cumsum(counts)])
    x, y = np.empty(offsets[-1]), np.empty(offsets[-1])
    for part in parts:
        place = ranges(offsets[part.segments], part.counts)
        x[place] = part.x
        y[place] = part.y
    return Knots(x, y, offsets)


def ranges(starts: Ints, counts: Ints) -> Ints:
    """``start, start + 1, ..., start + count - 1`` of every pair, one after the other."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))


def first_true(test: Callable[[Ints, Ints], Bools], low: Ints, high: Ints, guess: Ints) -> Ints:
    """Smallest i in [low, high] with ``test(i, query)`` for each query; test must turn from false to true once.

    ``test(high)`` is taken as true and i = high is safe to ask. Only queries whose guess is wrong are bisected.
    """
    found = np.clip(guess, low, high)
    query = np.arange(found.size)
    right = ((found == high) | test(found, query)) & ((found == low) | ~test(np.maximum(found - 1, low), query))
    query = np.flatnonzero(~right)
    lo, hi = low[query], high[query]
    while (live := lo < hi).any():
        middle = (lo + hi) // 2
        true = test(middle, query)
        hi = np.where(live & true, middle, hi)
        lo = np.where(live & ~true, middle + 1, lo)
    found[query] = lo
    return found


def follow(following: Ints, offsets: Ints) -> tuple[Ints, Ints]:
    """Items reached from the first of each segment by ``i -> following[i]`` while inside it, and their counts."""
    after = following.tolist()
    reached: list[int] = []
    counts: list[int] = []
    for i, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        before = len(reached)
        while i < end:
            reached.append(i)
            i = after[i]
        counts.append(len(reached) - before)
    return np.array(reached, np.int64), np.array(counts, np.int64)


def ties(x: Floats, offsets: Ints) -> tuple[Ints, Ints]:
    """First and last item of the run of equal x that each item belongs to."""
    fresh = np.empty(x.size, bool)
    np.not_equal(x[1:], x[:-1], out=fresh[1:])
    fresh[offsets[:-1]] = True
    starts = np.flatnonzero(fresh)
    run = np.cumsum(fresh) - 1
    return starts[run], np.append(starts[1:] - 1, x.size - 1)[run]


def packed(x: Floats, offsets: Ints, segments: Ints) -> Floats:
    """Values of some segments one after the other; a view where they already are."""
    if segments.size and segments[-1] - segments[0] + 1 == segments.size and (np.diff(segments) == 1).all():
        return x[offsets[segments[0]] : offsets[segments[-1] + 1]]
    return x[ranges(offsets[segments], offsets[segments + 1] - offsets[segments])]


def chunks(counts: Ints, widths: Ints) -> Iterator[Ints]:
    """Groups of segments with similar window widths whose matrices have about `_CELLS` cells; large ones alone."""
    order = np.argsort(widths, kind="stable")
    chunk: list[int] = []
    total = 0
    for g, count, width in zip(order.tolist(), counts[order].tolist(), widths[order].tolist(), strict=True):
        if chunk and ((total + count) * width > _CELLS or width > LONG_WINDOW):
            yield np.array(chunk)
            chunk, total = [], 0
        chunk.append(g)
        total += count
    if chunk:
        yield np.array(chunk)


_local = threading.local()


def scratch(name: str, *shape: int) -> Floats:
    """Array of any content, kept per thread and name so that its memory is not faulted in for every chunk."""
    size = math.prod(shape)
    store: dict[str, Floats] = _local.__dict__.setdefault("store", {})
    held = store.get(name)
    if held is None or held.size < size:
        held = np.empty(size + size // 8)
        if size <= KEPT_CELLS:
            store[name] = held
    return held[:size].reshape(shape)


def dot(a: Floats, b: Floats) -> Floats:
    """Sum of products down the first axis: row after row for matrices, pairwise for vectors; never threaded."""
    result: Floats
    if a.ndim == 1:
        result = np.add.reduce(np.multiply(a, b, out=scratch("dot", a.size)))
    else:
        result = np.einsum("ka,ka->a", a, b)
    return result


def window_index(left: Ints, end: Ints, width: int) -> Ints:
    """Items of every window, shape (width, windows); beyond the segment its last item again."""
    index: Ints = left + np.arange(width)[:, None]
    np.minimum(index, end - 1, out=index)
    return index


def clear_padding(matrix: Floats, lengths: Ints) -> None:
    """Set the cells beyond each window's length to zero."""
    shortest = int(lengths.min())
    tail = matrix[shortest:]
    if tail.size:
        tail[np.arange(shortest, matrix.shape[0])[:, None] >= lengths] = 0.0


def rows(values: Floats, sizes: Ints, fill: float) -> Floats:
    """Segments as rows of a matrix, shape (segments, longest), the rest filled."""
    longest = int(sizes.max())
    if int(sizes.min()) == longest:
        return values.reshape(sizes.size, longest)
    matrix = np.full((sizes.size, longest), fill)
    matrix[np.arange(longest) < sizes[:, None]] = values
    return matrix
