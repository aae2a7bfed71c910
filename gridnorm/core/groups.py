"""``normalize_groups``: the core on any table of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gridnorm.core.engines import backend_for
from gridnorm.core.methods import METHODS, Method, normalize_within
from gridnorm.core.option import TEXT, WHOLE, Option, Range, no_meaning, take
from gridnorm.core.option.signature import shows
from gridnorm.core.segments import Segments, label_text
from gridnorm.core.small import RULES
from gridnorm.core.tables import aligned, indexes_of, labelled
from gridnorm.errors import OptionError, warn
from gridnorm.plain import few


@shows(option for row in METHODS.values() for option in row.options)
def normalize_groups(
    values: Any,
    groups: Any,
    method: str | Method = "median",
    covariate: Any = None,
    weights: Any = None,
    axis: int = 0,
    *,
    use: Any = None,
    min_group: int = 0,
    small_groups: str = "whole",
    **options: Any,
) -> Any:
    """Normalize numbers within groups: the grouped core on plain arrays and tables.

    Parameters
    ----------
    values
        NumPy array with one or two axes, pandas Series or DataFrame, or a list of numbers. NaN stays NaN and
        takes no part in any fit.
    groups
        One label per position along ``axis``: array, list, Series, the name of a column level (for a DataFrame:
        a list of several vectors crosses them). Missing labels form their own group. A Series goes by its index, as
        in pandas: the same entries as those of ``values`` in any order, else it is refused; so do ``covariate``,
        ``weights`` and ``use``. What has no index goes by position.
    method
        ``none``, ``median``, ``mean``, ``mad``, ``zscore``, ``loess``, or a row of your own.
    covariate
        For ``loess``: what the curve runs over; the shape of ``values``, or one number per position.
    weights
        Shape of ``values``, or one per position; 0 and NaN leave a value out of the fit, not out of the result.
    axis
        The axis that ``groups`` labels; entries along the other axis are independent of each other.
    use
        Boolean, like ``weights``: which values may enter the fit.
    min_group, small_groups
        Groups with fewer values than ``min_group`` follow ``small_groups``: ``whole`` (fit of all values of that
        entry), ``shrink`` (that, moved toward the group's own level and shape), ``error``, ``own`` (no rule).
        0 fits every group by itself.
    **options

    Returns
    -------
    Same kind as ``values``
        Same shape and floating-point dtype (float64 for whole numbers); a DataFrame keeps its index and columns.

    Raises
    ------
    OptionError
        Unknown method, an option or a covariate that it does not take, lengths or indexes that do not agree.
    FitError
        An entry without any usable value, or too small groups with ``small_groups="error"``.

    Warns
    -----
    GridnormWarning
        When every group holds one value, or a loess group so few (n·span < 4) that the curve reproduces them.

    Examples
    --------
    >>> import numpy as np
    >>> normalize_groups(np.array([1.0, 2.0, 3.0, 10.0, 20.0, 30.0]), ["a", "a", "a", "b", "b", "b"])
    array([ -1.,   0.,   1., -10.,   0.,  10.])
    """
    row = METHODS.find(method)
    taken = take(row.options, options, f"method {row.name}", _ARGUMENTS)
    array, xp = _array_of(values, axis)
    axis %= array.ndim
    vectors = groups if isinstance(groups, tuple | list) and groups and _is_vector(groups[0]) else [groups]
    wanted = _wanted(values, vectors, axis)
    vectors = [aligned(vector, wanted[axis : axis + 1], "groups") for vector in vectors]
    segments = Segments.from_labels(*vectors)
    if segments.n_items != array.shape[axis]:
        raise OptionError(
            "labels and values differ in length",
            found=f"{segments.n_items} labels",
            expected=f"{array.shape[axis]} along axis {axis}",
        )

    def batch(given: Any, name: str) -> Any:
        if given is None:
            return None
        given = aligned(given, wanted if hasattr(given, "columns") else wanted[axis : axis + 1], name)
        plain = xp.asarray(given.to_numpy() if hasattr(given, "to_numpy") else given)
        return plain.T if plain.ndim == 2 and axis == 0 else plain

    if len(row.covariates) > 1:  # (item, k) belongs to no axis of the values
        covariate = aligned(covariate, wanted[axis : axis + 1], "covariate")
    else:
        covariate = batch(covariate, "covariate")
    min_group, small_groups = MIN_GROUP.read(min_group), RULE.read(small_groups)
    if (row.name == "none" or row.pools_itself) and (min_group or small_groups != RULE.default):
        raise no_meaning("min_group" if min_group else "small_groups", f"method {row.name}")
    result = normalize_within(
        xp.ascontiguousarray(xp.atleast_2d(array.T if axis == 0 else array)),
        segments,
        method,
        covariate=covariate,
        weights=batch(weights, "weights"),
        use=batch(use, "use"),
        minimum=min_group,
        small_groups=None if row.pools_itself else small_groups,
        **options,
    )
    if result.fit is not None and segments.n_items == segments.n_segments > 1:
        warn([f"every group holds one value: all {segments.n_items} labels are different"])
    elif result.fit is not None and "span" in taken:
        _warn_tiny(result.fit.n, segments, taken["span"])
    out = result.values[0] if array.ndim == 1 else result.values.T if axis == 0 else result.values
    return _like(values, out)


def _array_of(values: Any, axis: int) -> tuple[Any, Any]:
    """Values without their index, and the functions of their library.

    Raises
    ------
    OptionError
        They have no such axis, or more than two.
    """
    plain = values.to_numpy() if hasattr(values, "to_numpy") else values
    xp = backend_for(plain).xp
    array = xp.asarray(plain)
    if array.ndim not in (1, 2) or axis not in range(-array.ndim, array.ndim):
        raise OptionError(
            "values need one or two axes, and axis must be one of them", found=f"shape {array.shape}, axis {axis}"
        )
    return array, xp


_ARGUMENTS = ("method", "covariate", "weights", "axis", "use", "min_group", "small_groups")
MIN_GROUP = Option("min_group", WHOLE, 0, "Smallest number of values of a group.", Range(0))
RULE = Option(
    "small_groups", TEXT, "whole", "What happens to smaller groups.", choices=tuple(r for r in RULES if r != "merge")
)


def _wanted(values: Any, vectors: Sequence[Any], axis: int) -> tuple[Any, Any]:
    """The indexes that all else is brought in order by: of the values, or where they have none of the first labels."""
    own = indexes_of(values)
    if own:
        return own[0], own[1] if len(own) > 1 else None
    first = next((one.index for one in vectors if labelled(one)), None)
    return (first, None) if axis == 0 else (None, first)


def _is_vector(value: Any) -> bool:
    return not isinstance(value, str | bytes) and hasattr(value, "__len__")


def _warn_tiny(n: Any, segments: Segments, span: float) -> None:
    tiny = [
        label_text(label)
        for label, is_tiny in zip(segments.labels, (((n > 0) & (n * span < 4)).any(axis=0)).tolist(), strict=True)
        if is_tiny
    ]
    if tiny:
        least = math.ceil(4 / span)
        least += least * span < 4  # the quotient may have been rounded down to a whole number
        text = f"loess with span {span} reproduces groups of fewer than {least} values: {few(tiny)}"
        warn([f"{text}; consider min_group=30"])


def _like(values: Any, out: Any) -> Any:
    if hasattr(values, "columns"):
        return type(values)(out, index=values.index, columns=values.columns)
    if hasattr(values, "index") and hasattr(values, "to_numpy"):
        return type(values)(out, index=values.index, name=values.name)
    return out
