"""Partial pooling: the fit of the whole, moved toward a group's own level and shape as far as its size supports them.

The *level* of a group is the median of what the fit of the whole leaves of its values (of a payload that knows its own,
that one's distance from the whole); its *shape* is the rest of its own fit: what a curve bends beyond its level, the
logarithm of a scale. Both go over by shares of their own, between / (between + noise). The noise follows from the
scatter around the groups' fits and from the group's size; the variance between groups is estimated over the groups of
the batch entry, as what their squared distances from the whole exceed their noise by.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.apply import evaluate
from gridnorm.core.engines import Backend
from gridnorm.core.fit import SHRUNK, WHOLE_FIT, Fit, fit, pick
from gridnorm.core.segments import Segments
from gridnorm.core.statistic import Statistic

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Counts = NDArray[np.int64]

_MAD = 1.4826  # σ of normal values over their median absolute deviation
_MEDIAN = 4.0  # variance of a median in MAD²/n, where the middle half is evenly spread; of normal values 3.45
_MUTE = 5  # values of a group whose scatter around its own fit tells nothing yet
_TOLD = 0.5  # share of the values that must lie in groups that tell it, or the noise is unknown
_HELD = 4.0  # σ at which residuals are held for the variance of shapes: tails count, accidents do not
_LONGEST = 4.0  # times its expectation: what the squared distance of one shape counts at most
_REACH = 2.5  # σ of its noise that a level is moved toward the whole at most: one group far off among many is far off
_FREE, _ROUNDS = 3, 10  # of weighting groups by what is known of their variance: without that limit, and in all
_NOTHING = 1e-18  # of the largest square: what counts as no noise


def passage(n: Any, limit: int) -> NDArray[np.float64]:
    """How far groups of ``n`` values have gone over to the fit of their own: 1 from ``limit`` on, smooth below.

    Examples
    --------
    >>> passage([0, 10, 50, 100, 400], 100).round(3).tolist()
    [0.0, 0.028, 0.5, 1.0, 1.0]
    """
    way = np.clip(np.asarray(n, np.float64) / limit, 0.0, 1.0)
    return np.asarray(way * way * (3 - 2 * way))


class Asked(NamedTuple):
    """What was asked for: a statistic, the size from which a group has its own fit, the arguments of ``fit``."""

    statistic: Statistic
    limit: int
    arguments: dict[str, Any]

    @property
    def covariate(self) -> Any:
        return self.arguments.get("covariate")

    @property
    def entering(self) -> dict[str, Any]:
        """What says which values enter a fit, and how much."""
        return {"use": self.arguments["use"], "weights": self.arguments["weights"]}

    def arguments_for(self, n: int) -> dict[str, Any]:
        """How ``n`` values are fitted; as was asked, where the payload says nothing of few values."""
        few = getattr(self.statistic.payload, "few", None)
        changed: dict[str, Any] = self.arguments
        return changed if few is None or n == 0 else few(changed, n, self.limit)

    def freedom(self, count: Counts) -> NDArray[np.float64]:
        """Variance of the shape of a fit of so many values, in σ²/n; 0 where nothing bends."""
        freedom = getattr(self.statistic.payload, "freedom", None)
        if freedom is None:
            return np.zeros(count.shape)
        sizes, which = np.unique(count, return_inverse=True)
        return np.array([freedom(self.arguments_for(n)) for n in sizes.tolist()])[which].reshape(count.shape)


class Distances(NamedTuple):
    """How far the groups' own fits lie from that of the whole, (batch, segment)."""

    level: Any
    square: Floats  # mean square of the shape


class Noise(NamedTuple):
    """Expected square of what a group's level and shape would be if groups meant nothing, (batch, segment)."""

    level: Floats
    shape: Floats
    known: Bools  # of the shape


def pooled(own: Fit, values: Any, segments: Segments, asked: Asked, backend: Backend) -> Fit:
    """The fit with every group of fewer than ``asked.limit`` values pooled toward the whole.

    A group that alone has values in its batch entry is the whole and keeps its fit. A group without a value has the
    fit of the whole. Where nothing tells noise from differences, groups keep what the passage gives them.
    """
    count = on_host(own.n, np.int64)
    alone = (count == count.sum(axis=1, keepdims=True)) & (count > 0)
    small = (count < asked.limit) & ~alone
    if not small.any():
        return own
    single = Segments.single(segments.n_items)
    whole = fit(values, single, asked.statistic, **asked.arguments)
    whole = refitted(whole, values, single, asked, backend)
    mine = refitted(own, values, segments, asked, backend)
    level, shares = _shares(whole, mine, values, segments, asked, backend)
    shares = np.where(small[:, :, None], shares, 1.0)
    return replace(_moved(own, mine, whole, level, shares, small, backend), n=own.n, shares=backend.xp.asarray(shares))


def _moved(own: Fit, mine: Fit, whole: Fit, level: Any, shares: Floats, small: Bools, backend: Backend) -> Fit:
    """Own fits of the large groups; of the small ones the whole's, moved by shares of the level and the shape."""
    xp = backend.xp
    batch, group = small.nonzero()
    flat = xp.asarray((batch * small.shape[1] + group)[None, :])
    first = xp.zeros_like(flat)
    kind = type(own.payload)
    base = kind.take([whole.payload], first, xp.asarray(batch[None, :]))
    to_level, to_shape = (xp.asarray(shares[batch, group, k][None, :]) for k in (0, 1))
    move = xp.where(to_level > 0, level.ravel()[flat], 0.0)
    toward = getattr(base, "toward", None)
    if toward is None:
        payload = base.shift(to_level * move)
    else:
        payload = toward(kind.take([mine.payload], first, flat), move, to_level, to_shape)
    part = Fit(own.statistic, own.n.ravel()[flat], payload, first, own.labels)
    index = np.arange(small.size).reshape(small.shape)
    index[small] = np.arange(batch.size)
    moved = np.where((shares > 0).any(axis=2), SHRUNK, WHOLE_FIT)
    source = xp.asarray(np.where(small, moved, on_host(own.source))).astype(own.source.dtype)
    return pick([own, part], xp.asarray(small.astype(np.int64)), xp.asarray(index), source)


def _shares(
    whole: Fit, mine: Fit, values: Any, segments: Segments, asked: Asked, backend: Backend
) -> tuple[Any, Floats]:
    """Distance of each group's level from the whole, and the shares of level and shape, (batch, segment, 2)."""
    count = on_host(mine.n, np.int64)
    at_whole = evaluate(whole, asked.covariate, Segments.single(segments.n_items))
    at_mine = evaluate(mine, asked.covariate, segments)
    away = _distances(whole, mine, values, segments, at_whole, at_mine, asked, backend)
    noise = _noise(values - at_mine, count, segments, asked, backend)
    level = on_host(away.level, np.float64)
    there = (count > 0) & np.isfinite(level)
    gone = passage(count, asked.limit)
    found = (
        _share(level**2, noise.level, there, count, reach=_REACH),
        _share(away.square, noise.shape, there & noise.known & np.isfinite(away.square), count, _LONGEST),
    )
    return away.level, np.stack([np.where(there, share + (1 - share) * gone, 0.0) for share in found], axis=2)


def _distances(
    whole: Fit,
    mine: Fit,
    values: Any,
    segments: Segments,
    at_whole: Any,
    at_mine: Any,
    asked: Asked,
    backend: Backend,
) -> Distances:
    xp = backend.xp
    if hasattr(whole.payload, "apart"):
        row = xp.arange(mine.n.shape[0])[:, None] + xp.zeros_like(mine.n)
        level, square = type(whole.payload).take([whole.payload], xp.zeros_like(row), row).apart(mine.payload)
        return Distances(level, on_host(square, np.float64))
    level = fit(values - at_whole, segments, "median", **asked.entering).location
    bend = at_mine - at_whole - level[:, xp.asarray(segments.codes)]
    bend = xp.where(xp.isfinite(values), bend, xp.nan)  # only where a value entered the fit
    return Distances(level, on_host(fit(bend * bend, segments, "moments", **asked.entering).location, np.float64))


def _noise(left: Any, count: Counts, segments: Segments, asked: Asked, backend: Backend) -> Noise:
    """From what the groups' own fits leave of their values; infinite where nothing is left over to tell it from."""
    xp = backend.xp
    bends = asked.freedom(count)
    spent = 1 + bends
    known = count > np.maximum(_MUTE, 2 * spent)
    wider = np.where(known, np.sqrt(count / np.where(known, count - spent, 1.0)), np.nan)
    size = xp.abs(left) * xp.asarray(wider)[:, xp.asarray(segments.codes)]
    single = Segments.single(segments.n_items)
    middle = fit(size, single, "median", **asked.entering).location
    held = xp.minimum(size, _HELD * _MAD * middle)
    square = on_host(fit(held * held, single, "moments", **asked.entering).location, np.float64)
    of_level = _MEDIAN * on_host(middle, np.float64) ** 2
    n = _effective(left, count, segments, asked, backend)
    told = np.where(known, count, 0).sum(axis=1, keepdims=True) >= _TOLD * count.sum(axis=1, keepdims=True)
    usable = np.isfinite(of_level) & told & (n > 0)
    level, shape = (np.where(usable, part / np.where(n > 0, n, 1.0), np.inf) for part in (of_level, square))
    of_shape = getattr(asked.statistic.payload, "noise", None)
    with np.errstate(invalid="ignore"):  # 0 · ∞, of what cannot bend
        shape = bends * shape if of_shape is None else of_shape(n, shape)
    return Noise(level, shape, known & usable)


def _effective(left: Any, count: Counts, segments: Segments, asked: Asked, backend: Backend) -> Floats:
    """How many values of equal weight tell as much as those of each group."""
    weights = asked.entering["weights"]
    if weights is None:
        return count.astype(np.float64)
    mask = backend.observed(left[:, :, None], asked.entering["use"], weights)
    w = backend.xp.where(mask, weights[:, :, None], 0.0)
    total, squares = (on_host(backend.sums(part, segments), np.float64) for part in (w, w * w))
    return np.where(squares > 0, total**2 / np.where(squares > 0, squares, 1.0), 0.0)


def _share(
    square: Floats,
    noise: Floats,
    known: Bools,
    count: Counts,
    longest: float = np.inf,
    reach: float = np.inf,
) -> Floats:
    """Share of each group's distance that counts: between / (between + noise), and all of it beyond ``reach`` σ.

    The limit is that of Efron and Morris (JASA 67, 1972): the variance between groups says nothing of a group that is
    not like the others.

    The whole holds the group: with a variance of 1 between groups, the distance of one from the whole has a variance
    of 1 − 2h + Σh², h being the groups' shares of the values.
    """
    part = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    free = 1 - 2 * part + (part**2).sum(axis=1, keepdims=True)
    known = known & np.isfinite(noise)
    square, noise = np.where(known, square, 0.0), np.where(known, noise, 0.0)
    floor = _NOTHING * (square + noise).max(axis=1, keepdims=True, initial=0.0)
    noise = np.maximum(noise, np.where(floor > 0, floor, 1.0))
    least = np.where(known, noise, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    least = np.where(np.isfinite(least), least, 0.0)
    between = np.zeros_like(least)
    for k in range(_ROUNDS):
        expected = noise + free * between
        weight = np.where(known, (least / expected) ** 2, 0.0)
        counted = np.minimum(square, longest * expected) if k >= _FREE else square
        excess = (weight * free * (counted - noise)).sum(axis=1, keepdims=True)
        total = (weight * free**2).sum(axis=1, keepdims=True)
        between = np.where(total > 0, np.maximum(excess, 0.0) / np.where(total > 0, total, 1.0), 0.0)
    share = free * between / (free * between + noise)
    beyond = 1 - reach * np.sqrt(noise / np.where(square > 0, square, np.nan))
    return np.where(known, np.fmax(share, beyond), 0.0)


def refitted(found: Fit, values: Any, segments: Segments, asked: Asked, backend: Backend) -> Fit:
    """The same with the groups below the limit fitted as few values are."""
    xp = backend.xp
    count = on_host(found.n, np.int64)
    which, index = np.zeros(count.shape, np.int64), np.arange(count.size).reshape(count.shape)
    fits = [found]
    for b in range(count.shape[0]):
        for n in np.unique(count[b][(count[b] > 0) & (count[b] < asked.limit)]).tolist():
            changed = asked.arguments_for(n)
            if changed is asked.arguments:
                continue
            groups = np.flatnonzero(count[b] == n)
            which[b, groups], index[b, groups] = len(fits), np.arange(groups.size)
            fits.append(_some(groups, b, values, segments, asked.statistic, changed, xp))
    if len(fits) == 1:
        return found
    return replace(pick(fits, xp.asarray(which), xp.asarray(index), found.source), labels=found.labels)


def _some(
    groups: Counts, b: int, values: Any, segments: Segments, statistic: Statistic, arguments: dict[str, Any], xp: Any
) -> Fit:
    """Some groups of one batch entry, fitted with arguments of their own."""
    place = np.full(segments.n_segments, -1)
    place[groups] = np.arange(groups.size)
    items = np.flatnonzero(place[segments.codes] >= 0)
    part = Segments.from_codes(place[segments.codes[items]], [segments.labels[g] for g in groups.tolist()])
    there = xp.asarray(items)
    some = {
        name: value[b : b + 1][:, there] if name in ("covariate", "weights", "use") and value is not None else value
        for name, value in arguments.items()
    }
    return fit(values[b : b + 1][:, there], part, statistic, **some)


def on_host(array: Any, dtype: Any = None) -> NDArray[Any]:
    """Numbers of groups as NumPy's, wherever they lie."""
    return np.array(array.tolist(), dtype)
