"""Natural cubic splines: cubic between knots, smooth to the second derivative, linear beyond the outer knots."""

from __future__ import annotations

import numpy as np

from gridnorm.core.robust.given import Floats, Ints

APART = 1e-9  # of their range: knots nearer than this to the one before are one with it


def knots_at(x: Floats, df: int) -> Floats:
    """Knots at ``df`` evenly spaced quantiles of ``x``, the smallest and the largest among them; equal ones are one.

    Examples
    --------
    >>> knots_at(np.array([3.0, 1.0, 2.0, 2.0, 9.0]), 3).tolist(), knots_at(np.array([1.0, 1, 1, 5]), 3).tolist()
    ([1.0, 2.0, 9.0], [1.0, 5.0])
    """
    ordered = np.sort(x)
    place = np.linspace(0, ordered.size - 1, df) if df > 1 else np.zeros(1)
    low = np.minimum(place.astype(np.int64), max(ordered.size - 2, 0))
    high = np.minimum(low + 1, ordered.size - 1)
    found = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    kept = [float(found[0])]
    least = APART * float(found[-1] - found[0])
    for knot in found[1:].tolist():
        if knot - kept[-1] > least:
            kept.append(knot)
    if len(kept) > 1:
        kept[-1] = float(found[-1])  # the outer knots are the range
    return np.array(kept)


def basis(x: Floats, knots: Floats) -> Floats:
    """The basis of natural splines with these knots, at x within their range: float64 (x, knot).

    Cubic B-splines times an orthonormal basis of those combinations that do not bend at the ends: two such bases
    differ by a rotation, which no trace of a product of matrices sees.

    Examples
    --------
    >>> knots = np.array([0.0, 1.0, 3.0])
    >>> at = basis(knots, knots)
    >>> line = np.linalg.solve(at, 2 * knots + 1)
    >>> (basis(np.array([0.5, 2.0]), knots) @ line).round(9).tolist()
    [2.0, 5.0]
    """
    if knots.size == 1:
        return np.ones((x.size, 1))
    t = np.concatenate([np.repeat(knots[0], 3), knots, np.repeat(knots[-1], 3)])
    m = knots.size + 2
    first = 3 * np.diff(np.eye(m), axis=0) / (t[4 : m + 3] - t[1:m])[:, None]
    second = 2 * np.diff(first, axis=0) / (t[4 : m + 2] - t[2:m])[:, None]
    q, _ = np.linalg.qr(second[[0, -1]].T, mode="complete")
    free = q[:, 2:]
    start = np.searchsorted(knots[1:-1], x, side="right")
    splines, row = np.zeros((x.size, m)), np.arange(x.size)
    for k, part in enumerate(_four(x, t, start + 3)):
        splines[row, start + k] = part
    return np.asarray(splines @ free, np.float64)


def _four(x: Floats, t: Floats, at: Ints) -> list[Floats]:
    """The four cubic B-splines that are not 0 between knots ``at`` and the next, at x (Cox and de Boor)."""
    found = [np.ones(x.size)]
    for degree in range(1, 4):
        saved, new = np.zeros(x.size), []
        for r in range(degree):
            low, high = t[at + 1 + r - degree], t[at + 1 + r]
            share = found[r] / (high - low)
            new.append(saved + (high - x) * share)
            saved = (x - low) * share
        found = [*new, saved]
    return found


def pieces(knots: Floats, values: Floats) -> Floats:
    """Cubics of the natural splines through points, float64 (curve, knot, 4): powers of the distance from the knot.

    ``knots``, ``values``: float64 (curve, knot), of curves with fewer knots NaN after the last. The piece of the last
    knot is the line beyond it.
    """
    curves, most = knots.shape
    gap = np.diff(knots, axis=1)
    there = np.isfinite(gap)
    gap = np.where(there, gap, 1.0)
    rise = np.where(there, np.diff(values, axis=1), 0.0) / gap
    bend = np.zeros((curves, most))  # second derivatives at the knots
    above, right = np.zeros((curves, most)), np.zeros((curves, most))
    for k in range(1, most - 1):  # elimination of the tridiagonal system, then substitution
        inner = there[:, k]
        pivot = 2 * (gap[:, k - 1] + gap[:, k]) - gap[:, k - 1] * above[:, k - 1]
        above[:, k] = np.where(inner, gap[:, k] / pivot, 0.0)
        side = 6 * (rise[:, k] - rise[:, k - 1]) - gap[:, k - 1] * right[:, k - 1]
        right[:, k] = np.where(inner, side / pivot, 0.0)
    for k in range(most - 2, 0, -1):
        bend[:, k] = right[:, k] - above[:, k] * bend[:, k + 1]
    out = np.zeros((curves, most, 4))
    out[:, :, 0] = values
    out[:, :-1, 1] = rise - gap * (2 * bend[:, :-1] + bend[:, 1:]) / 6
    out[:, :, 2] = bend / 2
    out[:, :-1, 3] = np.where(there, (bend[:, 1:] - bend[:, :-1]) / (6 * gap), 0.0)
    last = np.isfinite(knots).sum(axis=1) - 1
    ends = np.flatnonzero(last > 0)
    before = last[ends] - 1
    slope = rise[ends, before] + gap[ends, before] * bend[ends, before] / 6
    out[ends, last[ends], 1:] = np.stack([slope, np.zeros_like(slope), np.zeros_like(slope)], axis=1)
    return out


def evaluate(knots: Floats, cubics: Floats, which: Ints, x: Floats) -> Floats:
    """Curve ``which`` of each x at that x."""
    mine = knots[which]
    at = np.maximum((x[:, None] >= mine).sum(axis=1) - 1, 0)
    row = np.arange(x.size)
    distance = x - mine[row, at]
    a, b, c, d = (cubics[which, at, k] for k in range(4))
    curved = distance > 0  # before the first knot the line that leads to it
    return np.asarray(a + distance * (b + np.where(curved, distance * (c + distance * d), 0.0)))
