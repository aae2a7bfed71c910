"""Apply: remove from each value what was fitted for its group. An application is a row of ``APPLICATIONS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gridnorm.core.engines import Backend, backend_for
from gridnorm.core.fit import Fit, as_covariates, as_view
from gridnorm.core.segments import Segments
from gridnorm.core.statistic import STATISTICS
from gridnorm.errors import OptionError


def apply(values: Any, segments: Segments, fit: Fit, how: str, *, covariate: Any = None) -> Any:
    """Remove a fit from values.

    Parameters
    ----------
    values
        Shape (item,), (batch, item) or (batch, item, width).
    segments
        Groups of the items; the fit's are matched by label.
    fit
        What to remove.
    how
        ``centre`` (v − location), ``standardize`` ((v − location) / scale), ``scale`` (v / scale),
        ``subtract`` (v − what the fit is at the item's covariate). A scale of 0 or NaN divides by one.
    covariate
        As in ``fit``; for ``subtract``.

    Returns
    -------
    array
        The shape and floating-point dtype of ``values`` (float64 for whole numbers). NaN stays NaN; items whose
        group has no fit become NaN. Where the fit has a divisor, the rest is divided by it; where it has a level,
        that is added.

    Raises
    ------
    OptionError
        A group that the fit lacks, a batch of another length, an unknown application.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm.core.fit import fit
    >>> x = np.array([1.0, 3.0, 10.0, 20.0])
    >>> medians = fit(x, Segments.from_labels(["a", "a", "b", "b"]), "median")
    >>> apply(np.array([0.0, 0.0]), Segments.from_labels(["b", "a"]), medians, "centre")
    array([-15.,  -2.])
    """
    row = APPLICATIONS.get(how)
    if row is None:
        raise OptionError("unknown application", found=repr(how), expected=", ".join(APPLICATIONS))
    backend = backend_for(values)
    view = as_view(values, segments, backend)
    if fit.n.shape[0] != view.shape[0]:
        raise OptionError(
            "the fit is of another batch", found=f"{fit.n.shape[0]} entries", expected=f"{view.shape[0]}, as the values"
        )
    out = row(backend, view, segments, fit.on(segments), covariate)
    if fit.divisor is not None:
        out = backend.remove(out, segments, None, fit.on(segments).divisor)
    if fit.level is not None:
        out = (out + fit.level[:, :, None]).astype(out.dtype, copy=False)
    return out.reshape(backend.xp.asarray(values).shape)


def evaluate(fit: Fit, covariate: Any, segments: Segments) -> Any:
    """What the fit is at each item, (batch, item): curves are linear between knots, ends held.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm.core.fit import fit
    >>> x = np.linspace(0, 1, 50); s = Segments.single(50)
    >>> curve = fit(2 * x, s, "lowess", covariate=x)
    >>> bool(np.allclose(evaluate(curve, x, s), 2 * x))
    True
    """
    found = fit.on(segments)
    if covariate is None:
        if fit.curve is not None:
            raise OptionError(
                f"a fit of {fit.statistic} needs its covariate", hint="Give covariate=, one number per item"
            )
        return found.payload.evaluate(None, segments)
    backend = backend_for(fit.n)
    shape = (fit.n.shape[0], segments.n_items)
    if getattr(covariate, "ndim", 1) == 3:
        k = covariate.shape[2]
    else:  # (item, k), or of one covariate (item,) and (batch, item)
        k = max(STATISTICS[fit.statistic].covariates, 1) if fit.statistic in STATISTICS else 1
    return found.payload.evaluate(as_covariates(covariate, shape, k, backend), segments)


def relative_scale(fit: Fit) -> Fit:
    """The same fit with each batch entry's scales divided by their geometric mean (marray's MAD scale).

    Scales of 0 or NaN take no part in the mean and are kept.
    """
    relative = getattr(fit.payload, "relative", None)
    if relative is None or fit.scale is None:
        raise OptionError("this fit has no scale", found=fit.statistic)
    return replace(fit, payload=relative())


def _need(fit: Fit, name: str) -> Any:
    """A part of a fit that an application removes."""
    part = getattr(fit, name)
    if part is None:
        raise OptionError(
            f"this fit has no {name}", found=f"a fit of {fit.statistic}", hint="Choose another application"
        )
    return part


def _centre(backend: Backend, view: Any, segments: Segments, fit: Fit, covariate: Any) -> Any:
    return backend.remove(view, segments, _need(fit, "location"), None)


def _scale(backend: Backend, view: Any, segments: Segments, fit: Fit, covariate: Any) -> Any:
    return backend.remove(view, segments, None, _need(fit, "scale"))


def _standardize(backend: Backend, view: Any, segments: Segments, fit: Fit, covariate: Any) -> Any:
    return backend.remove(view, segments, _need(fit, "location"), _need(fit, "scale"))


def _subtract(backend: Backend, view: Any, segments: Segments, fit: Fit, covariate: Any) -> Any:
    return (view - evaluate(fit, covariate, segments)[:, :, None]).astype(view.dtype, copy=False)


APPLICATIONS: dict[str, Callable[..., Any]] = {
    "centre": _centre,
    "standardize": _standardize,
    "scale": _scale,
    "subtract": _subtract,
}
