"""Methods within arrays: which one is chosen, the options that arrays add to it, and what it gives back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.covariates import covariate_options
from gridnorm.arrays.raw import FloatArray
from gridnorm.core.fit import SOURCES, Fit, fit, median_of
from gridnorm.core.methods import METHODS, Method
from gridnorm.core.option import TEXT, WHOLE, Option, Range, defaults_in_words, no_meaning, take
from gridnorm.core.payload import Locations
from gridnorm.core.segments import Segments
from gridnorm.core.spread.difference import Difference
from gridnorm.core.statistic import SPACE_SPAN
from gridnorm.errors import option_word

# The core's words for what happens to small groups: it knows no array.
RULES = {"shrink": "shrink", "array": "whole", "merge": "merge", "own": "own", "error": "error"}

_LEAST = defaults_in_words(
    (row.name, row.minimum) for row in METHODS.values() if row.statistic is not None and not row.pools_itself
)

SMALL_GROUPS = Option(
    "small_groups", TEXT, "shrink",
    "What smaller groups get: shrink (the array's fit, moved toward their own as far as their size supports it), array "
    "(the array's), merge (one with the nearest large group), own (their own: no rule); or error.",
    choices=tuple(RULES), metavar="RULE",
)  # fmt: skip
SCALE = Option(
    "scale", TEXT, "none",
    "Divide groups by their spread after the method, never centring: mad (the MAD over the groups' geometric mean). It "
    "makes results worse where groups do not differ in noise.",
    choices=("none", "mad"), metavar="none|mad", source="marray's maNormScale",
)  # fmt: skip
MIN_GROUP = Option(
    "min_group", WHOLE, None,
    "Usable spots from which a group is not small: with shrink, the size from which it has its own fit alone; 0 for no "
    "rule.",
    Range(0), metavar="N", auto=True, shown=f"{Method.enough} with shrink; of the other rules {_LEAST}",
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
    real_before, real_after
        How far the groups are apart beyond chance, and what the method left or added, each (row,): measured on spots
        that the fit did not see. NaN where fewer than two groups have four used spots.
    """

    values: FloatArray
    start: FloatArray
    fit: Fit | None
    labels: tuple[Any, ...]
    n: NDArray[np.int64]
    before: FloatArray
    after: FloatArray
    real_before: Difference
    real_after: Difference

    def sources(self, row: int = 0) -> list[str]:
        """How each group got its fit: ``own``, ``array``, ``merged``, ``shrunk`` or ``none``."""
        if self.fit is None:
            return ["none"] * self.n.shape[1]
        named = ["array" if name == "whole" else name for name in SOURCES]
        return [named[code] for code in self.fit.source[row].tolist()]

    def shares(self, row: int = 0) -> list[list[float] | None]:
        """Of each group that is ``shrunk``, the shares of its own level and shape in its fit; None of the others.

        NaN is the share of the shape where a fit is nothing but a level, as a median is.
        """
        if self.fit is None or self.fit.shares is None:
            return [None] * self.n.shape[1]
        pooled = [name == "shrunk" for name in self.sources(row)]
        payload = self.fit.payload
        bare = isinstance(payload, Locations) and payload.scale is None
        pairs = [[level, np.nan if bare else shape] for level, shape in self.fit.shares[row].tolist()]
        return [pair if one else None for pair, one in zip(pairs, pooled, strict=True)]

    def chosen(self, row: int = 0) -> dict[str, float | None] | None:
        """What the data chose of the options: the span of a surface, None for no surface; None where nothing was."""
        found = None if self.fit is None else getattr(self.fit.payload, "chosen", None)
        if found is None:
            return None
        span = float(found[row, 0])
        return {SPACE_SPAN.name: span if math.isfinite(span) else None}

    def divisors(self, row: int = 0) -> list[float | None]:
        """What each group was divided by after the method; None where nothing was."""
        if self.fit is None or self.fit.divisor is None:
            return [None] * self.n.shape[1]
        divisors: list[float | None] = self.fit.divisor[row].tolist()
        return divisors


def choose_method(given: str | Method, channels: tuple[str, ...], grouped: bool = False) -> Method:
    """The row that was asked for.

    ``auto`` is loess for two channels. Otherwise it is median where somebody named a grouping (``grouped``), and else
    none: blocks of one channel may hold samples, or contents of their own.
    """
    if isinstance(given, str) and given == "auto":
        return METHODS["loess" if channels == ("R", "G") else "median" if grouped else "none"]
    return METHODS.find(given, also=("auto",))


def method_options(row: Method) -> tuple[Option, ...]:
    """Every option of a method of arrays: its own, its covariates', and what happens to small groups.

    The last where it fits any groups, and does not say itself what small ones get.
    """
    own = (*row.options, *covariate_options(row.covariates))
    if row.statistic is None:
        return own
    scaled = () if row.scales else (SCALE,)
    return (*own, *scaled) if row.pools_itself else (*own, *scaled, SMALL_GROUPS, MIN_GROUP)


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
    elif "min_group" in found and found["min_group"] is None:
        found["min_group"] = row.limit(RULES[found["small_groups"]])
    return found


def options_of_share(options: Mapping[str, Any], share: float) -> dict[str, Any]:
    """Options for a fit of a share of each group: what is small for all spots is as small for their share."""
    found = dict(options)
    if "min_group" in found:
        found["min_group"] = math.floor(share * found["min_group"])
    return found


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
