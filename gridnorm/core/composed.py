"""Statistics of groups and of the whole together: each group's curve, beside a curve or a surface that all share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.engines import Backend
from gridnorm.core.engines.knots import Knots
from gridnorm.core.payload import Curves
from gridnorm.core.segments import Segments
from gridnorm.core.surfaces import Blend, Joint, curves_at, surfaces_at
from gridnorm.errors import FitError, option_word

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Groups = Callable[[Any], Curves]  # values (batch, item) to the curves of their groups
Given = Mapping[str, Any]

ROUNDS = 3  # of curves and surface in turn: what the fourth would change is noise
SPANS = (0.03, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)  # of the surfaces that are tried
PILOT = 0.2  # span of the surface from which values are told that are far off
HELD = 3.0  # σ at which they are held, so that what really differs does not choose the span


def blended(groups: Groups, backend: Backend, view: Any, segments: Segments, given: Given, options: Given) -> Blend:
    """Curves of the groups, and what they go over to: one curve of the items whose second covariate is not 0.

    The share of that curve is the rank of the first covariate among all that enter, from 0 on. Of ``options`` ``least``
    is the smallest number of items for it.
    """
    x, marked = given["covariate"][:, :, 0], given["covariate"][:, :, 1] > 0
    own = groups(view[:, :, 0])
    single = Segments.single(segments.n_items)
    n, fitted, _ = backend.loess(
        view, given["covariate"][:, :, :1], single, given["weights"], _both(marked, given["use"]),
        span=options["span"], iterations=options["iterations"], degree=0, zero_weights=_zero(options),
    )  # fmt: skip
    least = max(options.get("least", 0), int(np.ceil(1 / options["span"])))
    if (n < least).any():
        raise FitError(
            "too few usable controls for the curve that all groups share", found=str(int(n.min())),
            expected=f"at least {least}", hint=f"Name more of them with {option_word('control_type')}, or use loess",
        )  # fmt: skip
    enters = _enters(backend, view, x, given, options)
    return Blend(own, (curves_at(x, fitted, single), _shares(x, enters)))


def joined(groups: Groups, backend: Backend, view: Any, segments: Segments, given: Given, options: Given) -> Joint:
    """Curves of the groups over the first covariate and one surface over the other two, fitted in turn.

    The span of the surface is the one given, or that of ``SPANS`` with the least generalized cross-validation (Craven
    and Wahba, Numer Math 31, 1979) — or there is no surface, where none does better.
    """
    covariate, values = given["covariate"], view[:, :, 0]
    x, places = covariate[:, :, :1], backend.xp.ascontiguousarray(covariate[:, :, 1:3])
    single = Segments.single(segments.n_items)
    enters = _enters(backend, view, x[:, :, 0], given, options)
    spans, surface, height = options["space_span"], None, backend.xp.zeros(values.shape)
    for _ in range(ROUNDS):
        left = values - groups(values - height).evaluate(x, segments)
        if spans is None:
            spans = _chosen(backend, left, places, single, given, enters)
        fitted = _surface(backend, left, places, single, given, enters, spans, options)
        height = fitted - _middle(backend, fitted, single, enters)
        surface = surfaces_at(places, height, single)
    assert surface is not None
    found = None
    if options["space_span"] is None:
        found = np.where(np.isfinite(spans), spans, np.nan)[:, None]
    return Joint(groups(values - height), (surface,), None, found)


def _both(marked: Any, use: Any) -> Any:
    return marked if use is None else marked & use


def _zero(options: Given) -> str:
    return "keep" if options["clamp_weights"] else "exclude"


def _enters(backend: Backend, view: Any, x: Any, given: Given, options: Given) -> Any:
    """What enters the fits, bool (batch, item)."""
    weights = None if options["clamp_weights"] else given["weights"]
    return backend.observed(view, given["use"], weights)[:, :, 0] & backend.xp.isfinite(x)


def _shares(x: Floats, enters: Bools) -> Curves:
    """(mean rank − 1) / n of each covariate among those that enter, as a curve."""
    parts = []
    for row, mask in zip(x, enters, strict=True):
        at, counts = np.unique(row[mask], return_counts=True)
        last = np.cumsum(counts)
        parts.append((at, (last - (counts + 1) / 2) / max(int(mask.sum()), 1)))
    offsets = np.concatenate([[0], np.cumsum([at.size for at, _ in parts])]).astype(np.int64)
    at, share = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Curves(Knots(at, share, offsets))


def _surface(
    backend: Backend,
    left: Floats,
    places: Floats,
    single: Segments,
    given: Given,
    enters: Bools,
    spans: Any,
    options: Given,
) -> Floats:
    """The surface through what is left, (batch, item); 0 where a batch entry has none."""
    out = np.zeros(left.shape)
    for b, span in enumerate(np.broadcast_to(spans, left.shape[0]).tolist()):
        if np.isfinite(span):
            some = slice(b, b + 1)
            out[some] = backend.loess(
                left[some, :, None], places[some], single, _row(given["weights"], b), enters[some], span=span,
                iterations=options["iterations"], degree=1, zero_weights=_zero(options), lattice=True,
            )[1]  # fmt: skip
    return out


def _row(given: Any, b: int) -> Any:
    return None if given is None else given[b : b + 1]


def _middle(backend: Backend, values: Floats, single: Segments, enters: Bools) -> Floats:
    """Median of what enters, (batch, 1)."""
    return np.asarray(backend.median(values[:, :, None], single, None, enters)[1])


def _chosen(
    backend: Backend, left: Floats, places: Floats, single: Segments, given: Given, enters: Bools
) -> NDArray[np.float64]:
    """The span of least generalized cross-validation of each batch entry; infinite: no surface."""
    return np.array(
        [
            _least(backend, left[b : b + 1], places[b : b + 1], single, _row(given["weights"], b), enters[b : b + 1])
            for b in range(left.shape[0])
        ]
    )


def _least(backend: Backend, left: Floats, places: Floats, single: Segments, weights: Any, enters: Bools) -> float:
    def surface(values: Floats, span: float, iterations: int) -> tuple[Floats, float]:
        _, fitted, freedom = backend.loess(
            values[:, :, None], places, single, weights, enters, span=span, iterations=iterations, degree=1,
            zero_weights="exclude", lattice=True,
        )  # fmt: skip
        return fitted, float(freedom[0, 0])

    pilot, _ = surface(left, PILOT, 4)
    away = (left - pilot)[enters]
    sigma = float(backend.mad((left - pilot)[:, :, None], single, None, enters)[2][0, 0])
    held = np.full(left.shape, np.nan)
    held[enters] = pilot[enters] + np.clip(away, -HELD * sigma, HELD * sigma)
    w = np.ones(left.shape) if weights is None else weights
    best, least = np.inf, _gcv(held - np.nanmean(held), w, enters, 1.0)
    for span in SPANS:
        fitted, freedom = surface(held, span, 1)
        score = _gcv(held - fitted, w, enters, freedom)
        if score < least:
            best, least = span, score
    return best


def _gcv(left: Floats, weights: Floats, enters: Bools, freedom: float) -> float:
    """N Σ w r² / (n − degrees of freedom)²."""
    n = int(enters.sum())
    if n <= freedom:
        return np.inf
    return n * float((weights[enters] * left[enters] ** 2).sum()) / (n - freedom) ** 2
