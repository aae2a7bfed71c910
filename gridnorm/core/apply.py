"""Apply: remove from each value what was fitted for its group. An application is a row of ``APPLICATIONS``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gridnorm.core.backend import backend_for
from gridnorm.core.fit import Fit, as_items, as_view
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError


def apply(values: Any, segments: Segments, fit: Fit, how: str, *, covariate: Any = None) -> Any:
    """Remove a fit from values.

    Parameters
    ----------
    values
        Shape (item,), (batch, item) or (batch, item, width).
    segments
        The groups the fit was made for.
    fit
        What to remove.
    how
        ``centre`` (v − location), ``standardize`` ((v − location) / scale), ``scale`` (v / scale),
        ``subtract_curve`` (v − curve(covariate)). A scale of 0 or NaN divides by one.
    covariate
        As in ``fit``; for ``subtract_curve``.

    Returns
    -------
    array
        The shape and floating-point dtype of ``values`` (float64 for whole numbers). NaN stays NaN; items whose
        group has no fit become NaN.
    """
    row = APPLICATIONS.get(how)
    if row is None:
        raise OptionError("unknown application", found=repr(how), expected=", ".join(APPLICATIONS))
    backend = backend_for(values)
    view = as_view(values, segments, backend)
    if fit.n.shape != (view.shape[0], segments.n_segments):
        expected = f"batch × groups = {view.shape[0]} × {segments.n_segments}"
        raise OptionError("the fit is of other groups", found=str(fit.n.shape), expected=expected)
    out = row(backend, view, segments, fit, covariate)
    return out.reshape(backend.xp.asarray(values).shape)


def evaluate(fit: Fit, covariate: Any, segments: Segments) -> Any:
    """Curve of each item's group at its covariate, (batch, item): linear between knots, ends held.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm.core.fit import fit
    >>> x = np.linspace(0, 1, 50); s = Segments.single(50)
    >>> curve = fit(2 * x, s, "lowess", covariate=x)
    >>> bool(np.allclose(evaluate(curve, x, s), 2 * x))
    True
    """
    if fit.curve is None:
        raise OptionError("this fit has no curve", found=fit.statistic, expected="lowess")
    backend = backend_for(fit.curve.y)
    items = as_items(covariate, (fit.n.shape[0], segments.n_items), "covariate", backend)
    return backend.interpolate(fit.curve, items[:, :, None], segments)


def relative_scale(fit: Fit) -> Fit:
    """The same fit with each batch entry's scales divided by their geometric mean (marray's MAD scale).

    Scales of 0 or NaN take no part in the mean and are kept.
    """
    xp = backend_for(fit.scale).xp
    good = fit.scale > 0
    logs = xp.where(good, xp.log(xp.where(good, fit.scale, 1.0)), 0.0)
    mean = logs.sum(axis=1, keepdims=True) / xp.maximum(good.sum(axis=1, keepdims=True), 1)
    return Fit(fit.statistic, fit.n, fit.location, fit.scale / xp.exp(mean), fit.curve, fit.points, fit.source)


def _centre(backend: Any, view: Any, segments: Segments, fit: Fit, covariate: Any) -> Any:
    return backend.remove(view, segments, fit.location, None)


def _scale(backend: Any, view: Any, segments: Segments, fit: Fit, covariate: Any) -> Any:
    return backend.remove(view, segments, None, fit.scale)


def _standardize(backend: Any, view: Any, segments: Segments, fit: Fit, covariate: Any) -> Any:
    return backend.remove(view, segments, fit.location, fit.scale)


def _subtract_curve(backend: Any, view: Any, segments: Segments, fit: Fit, covariate: Any) -> Any:
    return (view - evaluate(fit, covariate, segments)[:, :, None]).astype(view.dtype, copy=False)


APPLICATIONS: dict[str, Callable[..., Any]] = {
    "centre": _centre,
    "standardize": _standardize,
    "scale": _scale,
    "subtract_curve": _subtract_curve,
}
