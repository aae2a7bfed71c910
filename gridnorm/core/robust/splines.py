"""Robust natural splines of groups, shrunken toward the one of the whole: as limma's robustspline.

Each group's coefficients move toward those of the whole as far as their covariance says that they are noise; what
groups differ by beyond it is taken to have the shape of the whole's covariance (Smyth and Speed, Methods 31 (2003)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from gridnorm.core.engines import backend_for
from gridnorm.core.option import WHOLE, Option, Range
from gridnorm.core.payload import floats, plain, taken
from gridnorm.core.robust.given import Entry, Floats, Ints, entries, on_host
from gridnorm.core.robust.huber import Huber, huber
from gridnorm.core.robust.natural import basis, evaluate, knots_at, pieces
from gridnorm.core.segments import Segments

ACCURACY, ROUNDS = 1e-4, 20  # of the robust fits: limma's
MOST_KNOTS = 50  # of a spline that is to be smooth
DF = Option(
    "df", WHOLE, 5, "Degrees of freedom of each spline: its knots, the ends among them.", Range(2, MOST_KNOTS),
    metavar="N", source="limma's normalizeRobustSpline",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Splines:
    """A natural spline of each group over the first covariate: knots and values there, float64 (batch, segment, knot).

    A curve with fewer knots than others has NaN after its last one.
    """

    at: Any
    values: Any

    @classmethod
    def take(cls, parts: Sequence[Self], which: Any, index: Any) -> Self:
        return cls(
            taken([part.at for part in parts], which, index), taken([part.values for part in parts], which, index)
        )

    def shift(self, move: Any) -> Self:
        return replace(self, values=self.values + move[:, :, None])

    def evaluate(self, covariate: Any, segments: Segments) -> Any:
        xp = backend_for(self.at).xp
        x = on_host(covariate)[:, :, 0]
        rows = [
            evaluate(at, pieces(at, values), segments.codes, x[b])
            for b, (at, values) in enumerate(zip(on_host(self.at), on_host(self.values), strict=True))
        ]
        return xp.asarray(np.array(rows).reshape(x.shape))

    def to_plain(self) -> dict[str, Any]:
        return {"at": plain(self.at), "values": plain(self.values)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        found = cls(floats(plain["at"]), floats(plain["values"]))
        if found.at.ndim != 3 or found.at.shape != found.values.shape:
            raise ValueError(f"knots of shape {found.at.shape}, values of shape {found.values.shape}")
        return found


class _Curves(NamedTuple):
    """Of one batch entry: knots, values there (segment, knot), and each group's share of its own coefficients.

    ``shares``: NaN where the group has the whole's coefficients; None: the only group has its own.
    """

    knots: Floats
    values: Floats
    shares: Floats | None


def fit_splines(
    backend: Any, view: Any, segments: Segments, given: dict[str, Any], options: dict[str, Any]
) -> tuple[Any, ...]:
    """A spline of each group, pooled: the number of values, the payload, where fits come from, and shares."""
    df, batch, groups = options["df"], view.shape[0], segments.n_segments
    n = np.zeros((batch, groups), np.int64)
    at, values = np.full((batch, groups, df), np.nan), np.full((batch, groups, df), np.nan)
    shares, source = np.zeros((batch, groups, 2)), np.zeros((batch, groups), np.int8)
    for b, entry in enumerate(entries(backend, view, given)):
        good = entry.good & np.isfinite(entry.covariate)
        n[b] = segments.count(good)
        if not good.any():
            continue
        found = _curves(entry._replace(good=good), segments, n[b], df)
        at[b, :, : found.knots.size], values[b, :, : found.knots.size] = found.knots, found.values
        if found.shares is not None:
            own = np.isfinite(found.shares)
            shares[b] = np.where(own, found.shares, 0.0)[:, None]
            source[b] = np.where(own, SHRUNKEN, OF_WHOLE)
    xp = backend.xp
    kept = None if groups == 1 else xp.asarray(shares)
    return xp.asarray(n), Splines(xp.asarray(at), xp.asarray(values)), xp.asarray(source), kept


def _curves(entry: Entry, segments: Segments, n: Ints, df: int) -> _Curves:
    items = segments.order[entry.good[segments.order]]
    offsets = np.concatenate([[0], np.cumsum(n)])
    x, y = entry.covariate[items], entry.values[items]
    root = None if entry.weights is None else np.sqrt(entry.weights[items])
    for knots in _fewer(x, df):
        design = basis(x, knots)
        if root is not None:
            design, y = design * root[:, None], entry.values[items] * root
        whole = huber(design, y, np.array([0, items.size]), accuracy=ACCURACY, rounds=ROUNDS)
        if whole.rank[0] or knots.size == 1:
            break
    if not whole.rank[0]:  # one value, and one constant
        whole = whole._replace(coefficients=np.array([[entry.values[items[0]]]]))
    there = np.flatnonzero(segments.sizes > 0)
    at = basis(knots, knots).T
    if there.size == 1:
        return _Curves(knots, np.repeat(whole.coefficients @ at, segments.n_segments, axis=0), None)
    own = huber(design, y, offsets, accuracy=ACCURACY, rounds=ROUNDS)
    coefficients, shares = shrunken(own, whole, there)
    return _Curves(knots, coefficients @ at, shares)


def _fewer(x: Floats, df: int) -> list[Floats]:
    """Knots to try, the wanted ones first: fewer where the values are too few or too equal for a fit."""
    return [knots_at(x, k) for k in range(min(df, max(x.size - 1, 1)), 0, -1)]


def shrunken(own: Huber, whole: Huber, there: Ints) -> tuple[Floats, Floats]:
    """Coefficients of the groups moved toward the whole's, and the share of their own in them.

    Parameters
    ----------
    own, whole
        Fits of the groups, and that of all items.
    there
        int64: the groups that there are; those without a fit count, with the whole's coefficients.

    Returns
    -------
    coefficients
        float64 (group, column).
    shares
        float64 (group,): mean of the shares of the own coefficients; NaN where it is the whole's fit.
    """
    base, unit = whole.coefficients[0], whole.covariance[0]
    p = base.size
    fitted = np.arange(p) < own.rank[:, None]
    away = np.where(fitted, own.coefficients - base, 0.0)
    centred = away[there] - away[there].mean(axis=0)
    between = float(np.square(centred).sum()) / (there.size - 1)
    noise = float(np.trace(own.covariance[there], axis1=1, axis2=2).mean())
    total = float(np.trace(unit))
    factor = max(0.0, (between - noise) / total) if total > 0 else 0.0
    if factor == 0:
        return np.tile(base, (own.rank.size, 1)), np.full(own.rank.size, np.nan)
    between_groups = factor * unit
    some = np.flatnonzero(own.rank > 0)
    inverse = np.linalg.solve(between_groups + own.covariance[some], np.broadcast_to(np.eye(p), (some.size, p, p)))
    part = between_groups @ inverse
    coefficients, shares = np.tile(base, (own.rank.size, 1)), np.full(own.rank.size, np.nan)
    coefficients[some] += (part @ away[some][:, :, None])[:, :, 0]
    shares[some] = np.clip(np.trace(part, axis1=1, axis2=2) / p, 0.0, 1.0)
    return coefficients, shares


OF_WHOLE, SHRUNKEN = 1, 3  # as the sources of ``fit``
