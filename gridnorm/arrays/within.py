"""Normalization within one array: the core's methods on M over A (two channels) or log2 intensities (one)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import FloatArray
from gridnorm.arrays.weights import SpotUse
from gridnorm.core.fit import SOURCES, Fit, fit
from gridnorm.core.methods import METHODS, normalize_within
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError

SMALL_GROUPS = {"array": "whole", "merge": "merge", "shrink": "shrink", "error": "error"}


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
    n
        int64 (row, group): usable spots.
    before, after
        float64 (row, group): shift of each group, the median of its used values; of one channel relative to the
        median of all used values.
    """

    values: FloatArray
    start: FloatArray
    fit: Fit | None
    n: NDArray[np.int64]
    before: FloatArray
    after: FloatArray

    def sources(self, row: int = 0) -> list[str]:
        """How each group got its fit: ``own``, ``array``, ``merged``, ``shrunk`` or ``none``."""
        if self.fit is None:
            return ["none"] * self.n.shape[1]
        named = ["array" if name == "whole" else name for name in SOURCES]
        return [named[code] for code in self.fit.source[row].tolist()]


def default_method(channels: tuple[str, ...]) -> str:
    """``auto``: loess for two channels, median otherwise."""
    return "loess" if channels == ("R", "G") else "median"


def result_titles(channels: tuple[str, ...]) -> list[str]:
    """Names of the normalized rows: M, E, or ``E.<nm>`` of three and more wavelengths."""
    if channels == ("R", "G"):
        return ["M"]
    return ["E"] if len(channels) == 1 else [f"E.{channel}" for channel in channels]


def within_array(
    values: FloatArray,
    covariate: FloatArray | None,
    segments: Segments,
    method: str,
    spot_use: SpotUse,
    *,
    span: float = 0.3,
    iterations: int = 4,
    min_group: int | None = None,
    small_groups: str = "array",
    position: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
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
        ``none`` or a row of ``METHODS``.
    spot_use
        Which spots enter the fit, and their weights.
    span, iterations
        Of ``loess``.
    min_group, small_groups
        Smallest number of usable spots (None: 30 for curves, 5 otherwise; 0: no rule) and what happens below it:
        ``array``, ``merge``, ``shrink``, ``error``.
    position
        Row and column of every spot on the slide, for ``merge``.

    Raises
    ------
    FitError, OptionError
    """
    if method != "none" and method not in METHODS:
        raise OptionError("unknown method", found=repr(method), expected=", ".join(["auto", "none", *METHODS]))
    if small_groups not in SMALL_GROUPS:
        raise OptionError("unknown rule for small groups", found=repr(small_groups), expected=", ".join(SMALL_GROUPS))
    if covariate is None and method in METHODS and METHODS[method].needs_covariate:
        raise OptionError(
            f"{method} needs two channels (its curve runs over A)", found="one channel", hint="Use --method median"
        )
    values = np.where(spot_use.dropped, np.nan, values)
    ratio = covariate is not None
    n, before = group_shifts(values, segments, spot_use.use, ratio)
    if method == "none":
        return WithinResult(values, values, None, n, before, before)
    options: dict[str, Any] = {}
    if METHODS[method].needs_covariate:
        options = {
            "covariate": covariate,
            "span": span,
            "iterations": iterations,
            "zero_weights": spot_use.zero_weights,
        }
    done = normalize_within(
        values,
        segments,
        method,
        weights=spot_use.weights,
        use=spot_use.use,
        minimum=min_group,
        small_groups=SMALL_GROUPS[small_groups],
        position=None if position is None else np.stack(position, axis=1),
        keep_level=covariate is None,
        **options,
    )
    _, after = group_shifts(done.values, segments, spot_use.use, ratio)
    return WithinResult(done.values, values, done.fit, done.fit.n, before, after)


def group_shifts(
    values: FloatArray, segments: Segments, use: NDArray[np.bool_], ratio: bool
) -> tuple[NDArray[np.int64], FloatArray]:
    """Used spots and shift of each group; a ratio is measured from zero, an intensity from the array's median."""
    groups = fit(values, segments, "median", use=use)
    if ratio:
        return groups.n, groups.location
    whole = fit(values, Segments.single(values.shape[1]), "median", use=use)
    return groups.n, groups.location - whole.location
