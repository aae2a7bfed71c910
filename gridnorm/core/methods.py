"""Methods of normalization within groups: rows that name a statistic, an application and a smallest group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gridnorm.core.apply import apply, relative_scale
from gridnorm.core.backend import backend_for
from gridnorm.core.fit import Fit, as_items, as_view, fit
from gridnorm.core.segments import Segments
from gridnorm.core.small import replace_small
from gridnorm.errors import FitError, OptionError


@dataclass(frozen=True)
class Method:
    """One row of ``METHODS``."""

    statistic: str
    application: str
    minimum: int
    summary: str
    needs_covariate: bool = False
    relative: bool = False
    keeps_level: bool = False
    options: dict[str, Any] = field(default_factory=dict)


METHODS: dict[str, Method] = {
    "median": Method("median", "centre", 5, "subtract the group's median", keeps_level=True),
    "mean": Method("moments", "centre", 5, "subtract the group's mean", keeps_level=True),
    "mad": Method(
        "mad",
        "standardize",
        5,
        "subtract the median, divide by the MAD over the groups' geometric mean",
        relative=True,
        keeps_level=True,
    ),
    "zscore": Method(
        "moments", "standardize", 5, "subtract the mean, divide by the standard deviation (n − 1)", options={"ddof": 1}
    ),
    "loess": Method(
        "lowess", "subtract_curve", 30, "subtract a robust lowess curve over the covariate", needs_covariate=True
    ),
}


@dataclass(frozen=True, eq=False)
class Normalized:
    """Values after ``normalize``, (batch, item), and the fit that was removed."""

    values: Any
    fit: Fit


def normalize_within(
    values: Any,
    segments: Segments,
    method: str,
    *,
    covariate: Any = None,
    weights: Any = None,
    use: Any = None,
    minimum: int | None = None,
    small_groups: str = "whole",
    position: Any = None,
    keep_level: bool = False,
    **options: Any,
) -> Normalized:
    """Fit and remove one method within every group of every batch entry.

    Parameters
    ----------
    values
        (batch, item) numbers; NaN stays NaN.
    segments
        Groups of the items.
    method
        A row of ``METHODS``.
    covariate, weights, use
        As in ``fit``.
    minimum
        Smallest number of values of a group with a fit of its own; None takes the method's. 0 switches the rule off.
    small_groups, position
        As in ``replace_small``.
    keep_level
        Add the location of all items back after centring, so that the values keep their level.
    **options
        Of the statistic: ``span``, ``iterations``, ``zero_weights``.

    Raises
    ------
    FitError
        No usable value at all, or too few for the method.
    OptionError
        Unknown method, or shapes that do not agree.
    """
    row = METHODS.get(method)
    if row is None:
        raise OptionError("unknown method", found=repr(method), expected=", ".join(METHODS))
    backend = backend_for(values)
    view = as_view(values, segments, backend)[:, :, 0]
    given = {"weights": weights, "use": use} | ({"covariate": covariate} if row.needs_covariate else {})
    if row.needs_covariate and covariate is None:
        raise OptionError(f"{method} needs a covariate", hint="Give covariate=, one number per value")
    items = {
        name: as_items(value, view.shape, name, backend, dtype=bool if name == "use" else None)
        for name, value in given.items()
    }
    arguments = {**items, **row.options, **(options if row.statistic == "lowess" else {})}
    found = fit(view, segments, row.statistic, **arguments)
    if bool((found.n.sum(axis=1) == 0).any()):
        raise FitError(
            "no usable value: every one is missing or left out of the fit",
            hint="Check flags, weights and the background method",
        )
    limit = row.minimum if minimum is None else minimum
    if bool((found.n < limit).any()):
        found = replace_small(found, view, segments, limit, small_groups, position=position, arguments=arguments)
    if row.relative:
        found = relative_scale(found)
    out = apply(view, segments, found, row.application, covariate=covariate)
    if keep_level and row.keeps_level:
        whole = fit(view, Segments.single(segments.n_items), row.statistic, **arguments)
        out = (out + whole.location).astype(out.dtype, copy=False)
    return Normalized(out, found)
