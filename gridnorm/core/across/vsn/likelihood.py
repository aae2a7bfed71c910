"""The likelihood of one segment: what an arsinh of each batch entry costs, with its slope and its bend.

Entry j is read as h = arsinh(exp(factor_j) · (u + shift_j)), where u are its values in units of their own (``Rows``).
Items have levels that all entries share, and one variance about them. A curve that flattens the data makes residuals
small; it pays with the logarithm of its slope, so that only residuals that are small beside the spread count.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
AT_ONCE = 1 << 15  # values: what is computed of them fits the cache


class Rows(NamedTuple):
    """Values of the items of one segment in units of their own, (entry, item).

    ``u`` is (value − ``start``) / ``unit`` of each entry, so that no result depends on zero and scale of an entry; 0
    where a value is missing, as ``there`` tells (None: none is). ``level`` (item,) is given where it was learnt before.
    """

    u: Floats
    there: Bools | None
    start: Floats
    unit: Floats
    level: Floats | None = None

    def of(self, items: Bools) -> Rows:
        """The marked items."""
        return self if items.all() else self._at(items)

    def pieces(self) -> Iterator[Rows]:
        """Items that are computed at a time."""
        step = max(AT_ONCE // max(self.u.shape[0], 1), 1)
        for first in range(0, self.u.shape[1], step):
            yield self._at(slice(first, first + step))

    def _at(self, items: Bools | slice) -> Rows:
        there = None if self.there is None else self.there[:, items]
        level = None if self.level is None else self.level[items]
        return self._replace(u=self.u[:, items], there=there, level=level)

    @property
    def n_values(self) -> int:
        """How many values there are."""
        return int(self.u.size if self.there is None else self.there.sum())

    def transformed(self, parameters: Floats) -> Floats:
        """All values under the curves, (entry, item)."""
        shift, factor = np.split(parameters, 2)
        h: Floats = np.arcsinh(np.exp(factor)[:, None] * (self.u + shift[:, None]))
        return h

    def residuals(self, h: Floats) -> tuple[Floats, Floats]:
        """What each value is above its item's level, 0 where it is missing; and the level."""
        if self.level is not None:
            level = self.level
        elif self.there is None:
            level = h.mean(axis=0)
        else:
            level = np.where(self.there, h, 0.0).sum(axis=0) / self.there.sum(axis=0)
        apart = h - level
        return apart if self.there is None else np.where(self.there, apart, 0.0), level

    def slopes(self, parameters: Floats) -> tuple[Floats, Floats]:
        """The least and the greatest slope of the curve of each entry where it has values, (entry,)."""
        least, most = np.full(self.u.shape[0], np.inf), np.zeros(self.u.shape[0])
        for piece in self.pieces():
            # The slope of arsinh is 1/cosh of its value.
            slopes = np.exp(np.split(parameters, 2)[1])[:, None] / np.cosh(piece.transformed(parameters))
            there = True if piece.there is None else piece.there
            least = np.minimum(least, slopes.min(axis=1, where=there, initial=np.inf))
            most = np.maximum(most, slopes.max(axis=1, where=there, initial=0.0))
        return least, most


class Terms(NamedTuple):
    """Sums over a segment. Parameters are the shifts of all entries, then their factors.

    ``slope``: logarithms of the slopes; ``square``: squares of the residuals, where an item of fewer values counts as
    much more as its levels took from it; gradients and Hessians of ``slope`` and of ``square`` / 2; and ``weight``, the
    positive part of the last one's diagonal.
    """

    slope: float
    square: float
    slope_gradient: Floats
    slope_hessian: Floats
    square_gradient: Floats
    square_hessian: Floats
    weight: Floats


def terms(rows: Rows, parameters: Floats) -> Terms:
    """Sums over all items, for parameters (2 · entry,)."""
    parts = [_terms(piece, parameters) for piece in rows.pieces()]
    return Terms(*(sum(some) for some in zip(*parts, strict=True)))


def _terms(rows: Rows, parameters: Floats) -> Terms:
    entries = rows.u.shape[0]
    shift, factor = parameters[:entries], parameters[entries:]
    grow = np.exp(factor)[:, None]
    z = grow * (rows.u + shift[:, None])
    narrow = 1.0 / (1.0 + z * z)  # the square of darsinh/dz
    root = np.sqrt(narrow)
    if rows.there is not None:  # what is missing has no slope
        narrow, root = np.where(rows.there, narrow, 0.0), np.where(rows.there, root, 0.0)
    apart, _ = rows.residuals(np.arcsinh(z))
    by_shift, by_factor = grow * root, z * root
    # Of the logarithm of the slope, factor + log(root).
    steep = z * narrow
    slope_gradient = np.concatenate([-(grow * steep).sum(axis=1), narrow.sum(axis=1)])
    ss = -(grow**2 * narrow * (2.0 * narrow - 1.0)).sum(axis=1)
    slope_hessian = _bands(ss, -2.0 * (grow * steep * narrow).sum(axis=1), -2.0 * (steep * steep).sum(axis=1))
    logs = np.log1p(z * z) if rows.there is None else np.where(rows.there, np.log1p(z * z), 0.0)
    count = np.full(entries, rows.u.shape[1]) if rows.there is None else rows.there.sum(axis=1)
    slope = float(factor @ count - 0.5 * logs.sum())
    # Of half the sum of squares.
    share, spread = _shares(rows)
    weighed = apart if share is None else apart * share
    cube = root * narrow
    bend = weighed * cube
    square_gradient = np.concatenate([(weighed * by_shift).sum(axis=1), (weighed * by_factor).sum(axis=1)])
    square_hessian = _bands(-(grow**2 * bend * z).sum(axis=1), (grow * bend).sum(axis=1), (bend * z).sum(axis=1))
    own = (by_shift, by_factor) if share is None else (by_shift * share, by_factor * share)
    positive = [_sum(own[0], by_shift), _sum(own[0], by_factor), _sum(own[1], by_factor)]
    square_hessian += _bands(*positive)
    if spread is not None:
        both = np.concatenate([by_shift, by_factor])
        square_hessian -= (both * spread) @ both.T
    return Terms(
        slope, float((weighed * apart).sum()), slope_gradient, slope_hessian, square_gradient, square_hessian,
        np.concatenate([positive[0], positive[2]]),
    )  # fmt: skip


def _sum(one: Floats, other: Floats) -> Floats:
    total: Floats = np.einsum("ij,ij->i", one, other)
    return total


def _bands(ss: Floats, sf: Floats, ff: Floats) -> Floats:
    """The Hessian of parameters of which only those of one entry meet."""
    n = ss.size
    out = np.zeros((2 * n, 2 * n))
    at = np.arange(n)
    out[at, at], out[at + n, at + n] = ss, ff
    out[at, at + n] = out[at + n, at] = sf
    return out


def _shares(rows: Rows) -> tuple[Floats | None, Floats | float | None]:
    """How much the squares of an item count (None: all as they are), and that over its number of values.

    The level of an item is the mean of its n values, which leaves n − 1 of n parts of the variance. Where all items
    have as many values this is one factor; where they do not, each is brought to what it were with all entries.
    """
    if rows.level is not None:
        return None, None
    entries = rows.u.shape[0]
    if rows.there is None:
        return None, 1.0 / entries
    n = rows.there.sum(axis=0)
    share = n / (n - 1.0) * ((entries - 1.0) / entries)
    return share, share / n
