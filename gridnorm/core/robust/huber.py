"""Linear models by Huber's M-estimate, of many groups of items at once: iteratively reweighted least squares.

Each round weighs an item by min(1, k/|r/s|), r being its residual and s the scale, the median of |r| over 0.6745; the
first is least squares (Huber, Robust Statistics, 1981; as MASS's ``rlm``, Venables and Ripley 2002). Items of a group
are a padded row of zeros and numbers, so that a round is a few operations on all groups of about one size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gridnorm.core.robust.given import Bools, Floats, Ints

K = 1.345  # where ψ bends, in units of the scale: 95 % efficient for normal values
NORMAL = 0.6745  # median of |z| of normal values
RANK = 1e-7  # of its norm: what must be left of a column beside the columns before it
SMALLEST = 1e-20  # sum of squares of residuals below which they count as this
AT_ONCE = 1 << 20  # numbers of a padded table
_PASSES, _MOST_LEFT = 2, 0.7  # of taking off earlier columns: twice is enough, once where so much of one is left


class Huber(NamedTuple):
    """Fits of groups.

    Attributes
    ----------
    coefficients
        float64 (group, column); 0 for columns that were left out.
    covariance
        float64 (group, column, column): of the coefficients, with Huber's scale of the residuals; 0 likewise.
    rank
        int64 (group,): how many leading columns were fitted; 0: none, so there is no fit.
    """

    coefficients: Floats
    covariance: Floats
    rank: Ints


def huber(design: Floats, values: Floats, offsets: Ints, *, accuracy: float, rounds: int) -> Huber:
    """One robust linear model of each group.

    Parameters
    ----------
    design
        float64 (item, column), the items of a group one after the other. With weights, which are inverse variances,
        rows of ``design`` and ``values`` are multiplied by their roots.
    values
        float64 (item,).
    offsets
        int64 (group + 1,): where each group starts.
    accuracy, rounds
        When a group is done: its residuals change by this share of their size, or after so many rounds.

    Returns
    -------
    Huber
        A group whose design has rank r is fitted by its first r columns; there is no fit where these are dependent, or
        as many as the items.

    Examples
    --------
    >>> x = np.arange(20.0)
    >>> y = 2 * x + np.where(x == 9, 90, np.where(x % 2, 0.1, -0.1))
    >>> found = huber(np.column_stack([np.ones(20), x]), y, np.array([0, 20]), accuracy=1e-9, rounds=99)
    >>> float(found.coefficients[0, 1].round(2))
    2.0
    """
    groups, p = offsets.size - 1, design.shape[1]
    found = Huber(np.zeros((groups, p)), np.zeros((groups, p, p)), np.zeros(groups, np.int64))
    for some, longest in _classes(np.diff(offsets), p):
        count = np.diff(offsets)[some]
        inside = np.arange(longest) < count[:, None]
        place = np.where(inside, offsets[some][:, None] + np.arange(longest), 0)
        table, row = np.ascontiguousarray(design[place].transpose(0, 2, 1)), values[place]
        if not inside.all():
            table, row = np.where(inside[:, None, :], table, 0.0), np.where(inside, row, 0.0)
        part = _padded(table, row, inside, count, accuracy, rounds)
        for whole, mine in zip(found, part, strict=True):
            whole[some] = mine
    return found


def weights_of(residuals: Floats, scale: Floats) -> Floats:
    """Huber's weights, min(1, k/|r/s|); all alike where the scale is 0, since then nothing is noise."""
    bound = np.where(scale > 0, K * scale, np.inf)
    with np.errstate(divide="ignore"):
        return np.minimum(1.0, bound / np.abs(residuals))


def moved(before: Floats, after: Floats) -> Floats:
    """How far residuals have moved in a round, as a share of their size; the last axis is the items'."""
    size = np.maximum(np.square(before).sum(axis=-1), SMALLEST)
    return np.asarray(np.sqrt(np.square(before - after).sum(axis=-1) / size))


def _classes(count: Ints, p: int) -> Iterator[tuple[Ints, int]]:
    """Groups of about one size, and the size of the largest; groups without an item are in none."""
    kind = np.where(count > 0, np.ceil(np.log2(np.maximum(count, 1))), -1).astype(np.int64)
    for size in range(int(kind.max(initial=-1)) + 1):
        some = np.flatnonzero(kind == size)
        step = max(1, AT_ONCE // (p << size))
        for first in range(0, some.size, step):
            part = some[first : first + step]
            yield part, int(count[part].max())


def _padded(
    table: Floats, values: Floats, inside: Bools, count: Ints, accuracy: float, rounds: int
) -> tuple[Floats, Floats, Ints]:
    """``huber`` of padded rows: ``table`` (group, column, item), zeros outside."""
    basis, triangle, rank = _orthonormal(table, count)
    rank = np.where(rank < count, rank, 0)
    keep = np.arange(table.shape[1]) < rank[:, None]
    if not keep.all():
        basis = np.where(keep[:, :, None], basis, 0.0)
    # What is left out has a diagonal of one, so that its coefficients are zero.
    spare = np.where(keep, 0.0, 1.0)[:, :, None] * np.eye(keep.shape[1])
    triangle = np.where(keep[:, :, None] & keep[:, None, :], triangle, 0.0) + spare
    terms, left, scale = _rounds(basis, values, inside, count, spare, accuracy, rounds)
    back = np.linalg.inv(triangle)
    weights = np.where(inside, weights_of(left, scale[:, None]), 0.0)
    mean = weights.sum(axis=1) / np.maximum(count, 1)
    inner = np.linalg.inv(_gram(basis, weights / mean[:, None]) + spare)
    inner = np.where(keep[:, :, None] & keep[:, None, :], inner, 0.0)
    spread = _spread(left, scale, weights, inside, count, rank)
    covariance = np.square(spread)[:, None, None] * (back @ inner @ back.transpose(0, 2, 1))
    coefficients = (back @ terms[:, :, None])[:, :, 0]
    known = rank > 0
    return np.where(known[:, None], coefficients, 0.0), np.where(known[:, None, None], covariance, 0.0), rank


def _orthonormal(table: Floats, count: Ints) -> tuple[Floats, Floats, Ints]:
    """Orthonormal columns of the same space, their triangle (table = triangleᵀ · basis), and the rank of each group.

    A column counts if more than ``RANK`` of it is left beside those before it. The rank is 0 where the first columns,
    as many as the rank, do not all count.
    """
    groups, p, _ = table.shape
    basis, triangle = np.zeros_like(table), np.zeros((groups, p, p))
    counts = np.zeros((groups, p), np.bool_)
    for j in range(p):
        rest = table[:, j].copy()
        whole: Floats = np.sqrt(np.square(rest).sum(axis=1))
        norm = whole
        for k in range(_PASSES if j else 0):
            if k and bool((norm > _MOST_LEFT * whole).all()):
                break  # little was taken off, so rounding took little
            part = (basis[:, :j] @ rest[:, :, None])[:, :, 0]
            triangle[:, :j, j] += part
            rest -= (part[:, None, :] @ basis[:, :j])[:, 0]
            norm = np.sqrt(np.square(rest).sum(axis=1))
        counts[:, j] = (norm > RANK * whole) & (counts.sum(axis=1) < count)
        norm = np.where(counts[:, j], norm, 1.0)
        triangle[:, j, j] = norm
        basis[:, j] = np.where(counts[:, j, None], rest / norm[:, None], 0.0)
    rank = counts.sum(axis=1)
    leading = (counts | (np.arange(p) >= rank[:, None])).all(axis=1)
    return basis, triangle, np.where(leading, rank, 0)


def _rounds(
    basis: Floats, values: Floats, inside: Bools, count: Ints, spare: Floats, accuracy: float, rounds: int
) -> tuple[Floats, Floats, Floats]:
    """Coefficients of the orthonormal columns, residuals, and the scale of the last round."""
    terms = (basis @ values[:, :, None])[:, :, 0]
    left = values - (terms[:, None, :] @ basis)[:, 0]
    scale = np.zeros(count.size)
    at, room = np.arange(count.size), np.empty_like(basis)  # the groups that are not done; room for products
    for _ in range(rounds):
        b, old = (basis, left) if at.size == count.size else (basis[at], left[at])
        size = _scale(old, inside[at], count[at])
        scale[at] = size
        weights = weights_of(old, size[:, None])
        weighted = np.multiply(b, weights[:, None, :], out=room[: at.size])
        step = np.linalg.solve(weighted @ b.transpose(0, 2, 1) + spare[at], weighted @ old[:, :, None])
        new = old - (step.transpose(0, 2, 1) @ b)[:, 0]
        exact = size == 0  # nothing is left to weigh
        if exact.any():
            new[exact], step[exact] = old[exact], 0.0
        going = ~exact & (moved(old, new) > accuracy)
        terms[at] += step[:, :, 0]
        left[at] = new
        at = at[going]
        if at.size == 0:
            break
    return terms, left, scale


def _gram(basis: Floats, weights: Floats) -> Floats:
    """Products of columns, weighted: (group, column, column)."""
    return np.asarray((basis * weights[:, None, :]) @ basis.transpose(0, 2, 1))


def _scale(left: Floats, inside: Bools, count: Ints) -> Floats:
    """Median of the absolute residuals of each group over 0.6745."""
    low, high = (count - 1) // 2, count // 2
    ordered = np.abs(left)
    if (count < left.shape[1]).any():
        ordered[~inside] = np.inf
    ordered.sort(axis=1)
    row = np.arange(count.size)
    return np.asarray((ordered[row, low] + ordered[row, high]) / 2 / NORMAL)


def _spread(left: Floats, scale: Floats, weights: Floats, inside: Bools, count: Ints, rank: Ints) -> Floats:
    """Scale of the residuals for the covariance: Huber's, √(Σ(wr)²/(n − p)) · κ / m (Robust Statistics, 1981, 7.6)."""
    free, n = np.maximum(count - rank, 1), np.maximum(count, 1)
    low = inside & (np.abs(left) <= K * scale[:, None])
    mean = np.maximum(low.sum(axis=1), 1) / n
    variance = mean * (1 - mean) * n / np.maximum(n - 1, 1)
    correction = 1 + rank * variance / (n * np.square(mean))
    size = np.sqrt(np.square(weights * left).sum(axis=1) / free) * correction / mean
    return np.where(scale > 0, size, 0.0)
