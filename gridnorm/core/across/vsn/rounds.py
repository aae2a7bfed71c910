"""Fits without the items that fit in least: least trimmed squares, round by round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gridnorm.core.across.vsn.likelihood import Bools, Floats, Rows, Terms, terms
from gridnorm.core.across.vsn.newton import Surface, lowest

SLICES = 5  # of the items of a segment, by their level: some of every level are kept


class Trim(NamedTuple):
    """The ``share`` of the items of a slice that is kept; of the ``whole`` lowest slices all are."""

    share: float
    whole: int = 0


class Fitted(NamedTuple):
    """Parameters (segment, 2 · entry), the items kept of each segment, and the mean square of their residuals."""

    parameters: Floats
    kept: list[Bools]
    variance: float


def trimmed(rows: Sequence[Rows], start: Floats, trim: Trim, rounds: int, variance: float | None = None) -> Fitted:
    """The fit to the items that are left when those of the greatest residuals are put aside.

    The first round has all items, each further one those that fit best under the last one's curves; it ends where the
    same items are kept again. ``variance`` is that of levels which are known; without it, the best there is.
    """
    kept = [np.ones(one.u.shape[1], bool) for one in rows]
    parameters = start
    for turn in range(rounds):
        some = [one.of(which) for one, which in zip(rows, kept, strict=True)]
        parameters = lowest(joint(some) if variance is None else known(some, variance), parameters)
        again = [best(one, own, trim) for one, own in zip(rows, parameters, strict=True)]
        if turn == rounds - 1 or all(map(np.array_equal, again, kept)):
            break
        kept, some = again, []  # memory: these are copies of the values
    square = sum(terms(one, own).square for one, own in zip(some, parameters, strict=True))
    return Fitted(parameters, kept, square / sum(one.n_values for one in some))


def best(rows: Rows, parameters: Floats, trim: Trim) -> Bools:
    """Items whose residuals are among the smallest of their slice, as many as ``trim`` says."""
    squares, levels = [], []
    for piece in rows.pieces():
        residuals, level = piece.residuals(piece.transformed(parameters))
        free = 1.0 if piece.there is None else piece.there.sum(axis=0) - (1.0 if piece.level is None else 0.0)
        squares.append((residuals**2).sum(axis=0) / free)
        levels.append(level)
    square, level = np.concatenate(squares), np.concatenate(levels)
    # By the number of lower levels, so that equal ones are in one slice, whatever their order.
    place = np.searchsorted(np.sort(level), level) * SLICES // level.size
    kept = place < trim.whole
    for one in range(trim.whole, SLICES):
        inside = place == one
        if inside.any():
            kept |= inside & (square <= np.quantile(square[inside], trim.share))
    return kept


def joint(rows: Sequence[Rows]) -> Callable[[Floats], Surface]:
    """Less the logarithm of the profile likelihood: for the best levels, and one best variance for all segments."""
    count = sum(one.n_values for one in rows)

    def surface(parameters: Floats) -> Surface:
        parts = [terms(one, own) for one, own in zip(rows, parameters, strict=True)]
        square = np.float64(sum(part.square for part in parts))
        tie = np.stack([part.square_gradient for part in parts])
        return _surface(parts, 0.5 * count * np.log(square), count / square, 2.0 * count / square**2, tie)

    return surface


def known(rows: Sequence[Rows], variance: float) -> Callable[[Floats], Surface]:
    """Less the logarithm of the likelihood about levels and a variance that are known."""

    def surface(parameters: Floats) -> Surface:
        parts = [terms(one, own) for one, own in zip(rows, parameters, strict=True)]
        square = sum(part.square for part in parts)
        return _surface(parts, 0.5 * square / variance, 1.0 / variance, 0.0, np.zeros_like(parameters))

    return surface


def _surface(parts: Sequence[Terms], cost: float, precision: float, joint: float, tie: Floats) -> Surface:
    def added(square: Sequence[Floats], slope: Sequence[Floats]) -> Floats:
        total: Floats = precision * np.stack(square) - np.stack(slope)
        return total

    return Surface(
        float(cost - sum(part.slope for part in parts)),
        added([part.square_gradient for part in parts], [part.slope_gradient for part in parts]),
        added([part.square_hessian for part in parts], [part.slope_hessian for part in parts]),
        precision * np.stack([part.weight for part in parts]),
        joint,
        tie,
    )
