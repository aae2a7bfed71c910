"""Normalization within one array: the core's methods on M over A (two channels) or log2 intensities (one)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import FloatArray
from gridnorm.arrays.weights import SpotUse
from gridnorm.core.fit import SOURCES, Fit, fit, median_of
from gridnorm.core.methods import METHODS, Method, apply_method, fit_method
from gridnorm.core.option import TEXT, WHOLE, Option, no_meaning, take
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError, option_word

# The core's words for what happens to small groups: it knows no array.
_RULES = {"array": "whole", "merge": "merge", "shrink": "shrink", "own": "own", "error": "error"}

SMALL_GROUPS = Option(
    "small_groups", TEXT, "array",
    "Smaller groups take the fit of the array, merge, shrink, keep their own (no rule), or are an error.",
    choices=tuple(_RULES), metavar="RULE",
)  # fmt: skip
MIN_GROUP = Option(
    "min_group", WHOLE, None, "Smallest number of usable spots of a group; 0 for no rule.", lambda v: v >= 0,
    "0 or more", metavar="N", auto=True, shown="30 for curves, 5 otherwise",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class WithinResult:
    """One array after normalization within it.

    Attributes
    ----------
    values
        float64 (row, spot): normalized M, or log2 intensities of each channel.
    start
        float64 (row, spot): the same before normalization.
    fit
        What was removed; None for method ``none``.
    labels
        One label per group.
    n
        int64 (row, group): usable spots.
    before, after
        float64 (row, group): shift of each group, the median of its used values; of one channel relative to the
        median of all used values.
    """

    values: FloatArray
    start: FloatArray
    fit: Fit | None
    labels: tuple[Any, ...]
    n: NDArray[np.int64]
    before: FloatArray
    after: FloatArray

    def sources(self, row: int = 0) -> list[str]:
        """How each group got its fit: ``own``, ``array``, ``merged``, ``shrunk`` or ``none``."""
        if self.fit is None:
            return ["none"] * self.n.shape[1]
        named = ["array" if name == "whole" else name for name in SOURCES]
        return [named[code] for code in self.fit.source[row].tolist()]


class Levels(NamedTuple):
    """What is normalized within an array.

    ``values`` float64 (row, spot): M (one row) or log2 intensities (a row a channel), missing NaN. ``covariates`` by
    name: ``level`` (A of two channels, float64 (1, spot)) and what else the method asks for. ``ratio``: whether values
    are measured from zero (M) or from the array's level.
    """

    values: FloatArray
    covariates: Mapping[str, FloatArray]
    ratio: bool


def choose_method(given: str | Method, channels: tuple[str, ...]) -> Method:
    """The row that was asked for; ``auto`` is loess for two channels, median otherwise."""
    if isinstance(given, str) and given == "auto":
        return METHODS["loess" if channels == ("R", "G") else "median"]
    return METHODS.find(given, also=("auto",))


def method_options(row: Method) -> tuple[Option, ...]:
    """Every option of a method of arrays: its own, and what happens to small groups where it fits any."""
    if row.statistic is None:
        return row.options
    return (*row.options, SMALL_GROUPS, MIN_GROUP._replace(default=row.minimum))


def take_options(row: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """Effective options of a method.

    Raises
    ------
    OptionError
        An option that it does not take, or a value that cannot be.
    """
    owner = f"{option_word('method')} {row.name}"
    found = take(method_options(row), given, owner)
    if found.get("small_groups") == "own":
        if given.get("min_group") is not None:
            raise no_meaning("min_group", f"{option_word('small_groups')} own")
        del found["min_group"]
    return found


def within_array(
    values: FloatArray,
    covariate: FloatArray | None,
    segments: Segments,
    method: str | Method,
    spot_use: SpotUse,
    *,
    position: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    **options: Any,
) -> WithinResult:
    """Normalize the rows of one array within groups of its spots.

    Parameters
    ----------
    values
        float64 (row, spot): M (one row) or log2 intensities (a row a channel); missing NaN.
    covariate
        float64 (1, spot): A; None for one-channel data, which keep the array's level.
    segments
        Groups of the spots.
    method
        A row of ``METHODS``, or its name.
    spot_use
        Which spots enter the fit, and their weights.
    position
        Row and column of every spot on the slide, for ``small_groups="merge"``.
    **options
        Of the method: ``span``, ``iterations``, ``clamp_weights``; ``min_group`` (smallest number of usable spots; 0:
        no rule) and ``small_groups`` (``array``, ``merge``, ``shrink``, ``own``, ``error``).

    Raises
    ------
    FitError, OptionError
    """
    row = METHODS.find(method, also=("auto",))
    covariates = {} if covariate is None else {"level": covariate}
    levels = Levels(values, covariates, covariate is not None)
    return normalize_levels(levels, segments, row, spot_use, take_options(row, options), position)


def normalize_levels(
    levels: Levels,
    segments: Segments,
    row: Method,
    spot_use: SpotUse,
    options: Mapping[str, Any],
    position: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> WithinResult:
    """Fit and remove one method, with the groups' shifts before and after; ``options`` are all of the method's."""
    start = np.where(spot_use.dropped, np.nan, levels.values)
    n, before = group_shifts(start, segments, spot_use.use, levels.ratio)
    if row.statistic is None:
        return WithinResult(start, start, None, segments.labels, n, before, before)
    levels = levels._replace(values=start)
    found = fit_one(levels, segments, row, spot_use, options, position)
    values = apply_one(levels, segments, row, found)
    _, after = group_shifts(values, segments, spot_use.use, levels.ratio)
    return WithinResult(values, start, found, segments.labels, found.n, before, after)


def fit_one(
    levels: Levels,
    segments: Segments,
    row: Method,
    spot_use: SpotUse,
    options: Mapping[str, Any],
    position: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> Fit:
    """What a method removes from one array: a fit that knows its groups by label and can be kept."""
    own = {option.name for option in row.options}
    chosen = {name: value for name, value in options.items() if name in own}
    if "clamp_weights" in chosen:
        chosen["clamp_weights"] = chosen["clamp_weights"] or spot_use.clamp
    return fit_method(
        levels.values,
        segments,
        row,
        covariate=_covariates(levels, row),
        weights=spot_use.weights,
        use=spot_use.use,
        minimum=options.get("min_group"),
        small_groups=_RULES[options["small_groups"]],
        position=None if position is None else np.stack(position, axis=1),
        keep_level=not levels.ratio,
        **chosen,
    )


def apply_one(levels: Levels, segments: Segments, row: Method, found: Fit) -> FloatArray:
    """Values of one array without a fit, its own or one that was kept; groups are matched by label.

    Raises
    ------
    OptionError
        A group that the fit lacks.
    """
    values: FloatArray = apply_method(levels.values, segments, row, found, covariate=_covariates(levels, row))
    return values


def _covariates(levels: Levels, row: Method) -> FloatArray | None:
    """The covariates of a method, (1, spot, k)."""
    if not row.covariates:
        return None
    if "level" in row.covariates and "level" not in levels.covariates:
        raise OptionError(
            f"{row.name} needs two channels (its curve runs over A)",
            found="one channel",
            hint=f"Use {option_word('method')} median",
        )
    if len(row.covariates) == 1:
        return levels.covariates[row.covariates[0]]
    return np.stack(
        [np.broadcast_to(levels.covariates[name], (1, levels.values.shape[1])) for name in row.covariates], 2
    )


def group_shifts(
    values: FloatArray, segments: Segments, use: NDArray[np.bool_], ratio: bool
) -> tuple[NDArray[np.int64], FloatArray]:
    """Used spots and shift of each group; a ratio is measured from zero, an intensity from the array's median."""
    groups = fit(values, segments, "median", use=use)
    if ratio:
        return groups.n, groups.location
    whole = fit(values, Segments.single(values.shape[1]), "median", use=use)
    return groups.n, groups.location - whole.location


def spread_of(shifts: FloatArray) -> tuple[float, float]:
    """Median and standard deviation (n − 1) of the groups' shifts; NaN where there are too few."""
    known = shifts[np.isfinite(shifts)]
    if known.size == 0:
        return np.nan, np.nan
    return median_of(known), float(known.std(ddof=1)) if known.size > 1 else np.nan
