"""Fit: what is learnt about each group. A statistic is a row of ``STATISTICS``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gridnorm.core.backend import backend_for
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError

OWN, WHOLE, MERGED, SHRUNK = 0, 1, 2, 3
SOURCES = ("own", "whole", "merged", "shrunk")


@dataclass(frozen=True, eq=False)
class Fit:
    """What was fitted, per batch entry and segment. Plain data; arrays of the input's backend.

    Attributes
    ----------
    statistic
        Name of the row of ``STATISTICS``.
    n
        int64 (batch, segment): values that entered the fit.
    location, scale
        float64 (batch, segment), or None where the statistic has none.
    curve
        Knots of the (batch × segment) curves, batch-major, or None.
    points
        float64 (batch, segment, probability) for quantiles, or None.
    source
        int8 (batch, segment): 0 own fit, 1 fit of the whole, 2 merged with a neighbour, 3 shrunk towards the whole.
    """

    statistic: str
    n: Any
    location: Any = None
    scale: Any = None
    curve: Any = None
    points: Any = None
    source: Any = None


class Statistic(NamedTuple):
    """One row: how it is fitted, and what it needs."""

    fit: Callable[..., Fit]
    needs_covariate: bool = False
    takes_weights: bool = True
    summary: str = ""


def fit(
    values: Any,
    segments: Segments,
    statistic: str = "moments",
    *,
    covariate: Any = None,
    weights: Any = None,
    use: Any = None,
    **options: Any,
) -> Fit:
    """Fit one statistic within every group of every batch entry.

    Parameters
    ----------
    values
        Shape (item,), (batch, item) or (batch, item, width); NaN and infinite values are left out.
        Moments of half and single precision are computed in float32 (the mean in two parts, so that offsets cost
        no digits), everything else in float64. Statistics pool item × width of a group; batch entries stay separate.
    segments
        Groups of the items.
    statistic
        ``moments`` (mean, standard deviation; option ``ddof``), ``median``, ``mad``,
        ``quantiles`` (option ``probabilities``), ``lowess`` (options ``span``, ``iterations``,
        ``zero_weights``; needs ``covariate``; width 1).
    covariate, weights
        Shape of ``values`` without width, or (item,) for all batch entries alike. Items of weight 0 or NaN
        are left out (``lowess`` with ``zero_weights="clamp"`` keeps them, as limma does).
    use
        Boolean, shape (item,) or (batch, item): items that may enter the fit.

    Returns
    -------
    Fit

    Raises
    ------
    OptionError
        For shapes that do not agree, negative weights, an unknown statistic or option.

    Examples
    --------
    >>> import numpy as np
    >>> s = Segments.from_labels(["a", "a", "b", "b"])
    >>> fit(np.array([1.0, 3.0, 10.0, 20.0]), s, "median").location
    array([[ 2., 15.]])
    """
    row = STATISTICS.get(statistic)
    if row is None:
        raise OptionError("unknown statistic", found=repr(statistic), expected=", ".join(STATISTICS))
    backend = backend_for(values)
    view = as_view(values, segments, backend)
    shape = view.shape[:2]
    if row.needs_covariate and covariate is None:
        raise OptionError(f"{statistic} needs a covariate", hint="Give covariate=, one number per item")
    if row.needs_covariate and view.shape[2] != 1:
        raise OptionError(f"{statistic} takes one value per item", found=f"width {view.shape[2]}", expected="width 1")
    if weights is not None and not row.takes_weights:
        raise OptionError(f"{statistic} takes no weights")
    arguments: dict[str, Any] = {
        "weights": as_items(weights, shape, "weights", backend),
        "use": as_items(use, shape, "use", backend, dtype=bool),
    }
    if arguments["weights"] is not None and bool((arguments["weights"] < 0).any()):
        raise OptionError("weights must not be negative", found=str(float(backend.xp.nanmin(arguments["weights"]))))
    if row.needs_covariate:
        arguments["covariate"] = as_items(covariate, shape, "covariate", backend)
    return row.fit(backend, view, segments, arguments, options)


def group_medians(values: Any, segments: Segments) -> Any:
    """Median of each group of one vector, float64 (segment,); NaN where a group has no value."""
    return fit(values, segments, "median").location[0]


def median_of(values: Any) -> float:
    """Median of the finite values of one vector; NaN where there are none."""
    return float(group_medians(values, Segments.single(len(values)))[0])


def as_view(values: Any, segments: Segments, backend: Any) -> Any:
    """The strided view (batch, item, width) of values given with one, two or three axes.

    Floating-point numbers keep their precision, half and single included; all others become float64.
    """
    array = backend.xp.asarray(values)
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise OptionError("values must be numbers", found=f"dtype {array.dtype}")
    if array.dtype.kind in "iub" or array.dtype.itemsize > 8:
        array = array.astype(backend.xp.float64)
    if array.ndim not in (1, 2, 3):
        raise OptionError(
            "values have too many axes",
            found=f"shape {array.shape}",
            expected="(item,), (batch, item) or (batch, item, width)",
        )
    view: Any = array[None, :, None] if array.ndim == 1 else array[:, :, None] if array.ndim == 2 else array
    if view.shape[1] != segments.n_items:
        raise OptionError(
            "values and groups differ in length",
            found=f"{view.shape[1]} items",
            expected=f"{segments.n_items}, one per label",
        )
    return view


def as_items(given: Any, shape: tuple[int, int], name: str, backend: Any, dtype: Any = None) -> Any:
    """``given`` as (batch, item), or None; (item,) and (1, item) serve every batch entry."""
    if given is None:
        return None
    array = backend.xp.asarray(given).astype(dtype or backend.xp.float64, copy=False)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or array.shape[1] != shape[1] or array.shape[0] not in (1, shape[0]):
        raise OptionError(
            f"{name} do not fit the values", found=f"shape {array.shape}", expected=f"({shape[1]},) or {shape}"
        )
    return backend.xp.broadcast_to(array, shape)


def pick(fits: Sequence[Fit], which: Any, index: Any, source: Any) -> Fit:
    """Assemble one fit: entry (batch, segment) comes from ``fits[which]``, its flat row ``index``."""
    backend = backend_for(which)
    xp = backend.xp

    def take(name: str) -> Any:
        if getattr(fits[0], name) is None:
            return None
        stacked = [getattr(f, name).reshape(-1, *getattr(f, name).shape[2:]) for f in fits]
        out = xp.empty((*which.shape, *stacked[0].shape[1:]), stacked[0].dtype)
        for k, flat in enumerate(stacked):
            out[which == k] = flat[index[which == k]]
        return out

    curve = None
    if fits[0].curve is not None:
        chosen = [(fits[k].curve, i) for k, i in zip(which.ravel().tolist(), index.ravel().tolist(), strict=True)]
        curve = backend.select_curves(chosen)
    return Fit(fits[0].statistic, take("n"), take("location"), take("scale"), curve, take("points"), source)


def _moments(backend: Any, view: Any, segments: Segments, arguments: dict[str, Any], options: dict[str, Any]) -> Fit:
    n, mean, deviation = backend.moments(view, segments, arguments["weights"], arguments["use"], **options)
    return _fit(backend, "moments", n, location=mean, scale=deviation)


def _median(backend: Any, view: Any, segments: Segments, arguments: dict[str, Any], options: dict[str, Any]) -> Fit:
    n, centre = backend.median(view, segments, arguments["weights"], arguments["use"], **options)
    return _fit(backend, "median", n, location=centre)


def _mad(backend: Any, view: Any, segments: Segments, arguments: dict[str, Any], options: dict[str, Any]) -> Fit:
    n, centre, spread = backend.mad(view, segments, arguments["weights"], arguments["use"], **options)
    return _fit(backend, "mad", n, location=centre, scale=spread)


def _quantiles(backend: Any, view: Any, segments: Segments, arguments: dict[str, Any], options: dict[str, Any]) -> Fit:
    probabilities = backend.xp.asarray(options.pop("probabilities", (0.25, 0.5, 0.75)), dtype=backend.xp.float64)
    if bool(((probabilities < 0) | (probabilities > 1)).any()):
        raise OptionError("a probability lies outside 0…1", found=str(probabilities.tolist()))
    n, points = backend.quantiles(view, segments, arguments["use"], probabilities, **options)
    return _fit(backend, "quantiles", n, points=points)


def _lowess(backend: Any, view: Any, segments: Segments, arguments: dict[str, Any], options: dict[str, Any]) -> Fit:
    settings = {"span": 0.3, "iterations": 4, "zero_weights": "exclude", **options}
    span, iterations = settings["span"], settings["iterations"]
    if not 0 < span <= 1:
        raise OptionError("span must lie in (0, 1]", found=str(span))
    if iterations < 1 or iterations != int(iterations):
        raise OptionError("iterations must be a whole number of at least 1", found=str(iterations))
    covariate = arguments["covariate"][:, :, None]
    view = view.astype(backend.xp.float64, copy=False)
    n, knots = backend.lowess_fit(view, covariate, segments, arguments["weights"], arguments["use"], **settings)
    return _fit(backend, "lowess", n, curve=knots)


def _fit(backend: Any, statistic: str, n: Any, **parts: Any) -> Fit:
    return Fit(statistic, n, source=backend.xp.zeros(n.shape, backend.xp.int8), **parts)


STATISTICS: dict[str, Statistic] = {
    "moments": Statistic(_moments, summary="mean and standard deviation"),
    "median": Statistic(_median, summary="median"),
    "mad": Statistic(_mad, summary="median and median absolute deviation"),
    "quantiles": Statistic(_quantiles, takes_weights=False, summary="quantiles, linear between order statistics"),
    "lowess": Statistic(_lowess, needs_covariate=True, summary="robust locally weighted regression on a covariate"),
}
