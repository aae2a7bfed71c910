"""One channel of an array: errors from its columns, their calibration, and the mean signal of every spot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.kooperberg.calibration import calibration, neighbours_in_blocks
from gridnorm.arrays.kooperberg.limma import limmas_mean
from gridnorm.arrays.kooperberg.posterior import posterior_mean
from gridnorm.core.option import TEXT, Option

FloatArray = NDArray[np.float64]
Column = NDArray[Any]

FULL_SCALE = 2.0**16  # of a scanner: no signal is more
_BLOCK = 8192  # spots at once, so that scratch stays small
_FORE_SD, _BACK_SD, _BACK_MEAN = "F{nm} SD", "B{nm} SD", "B{nm} Mean"
_FORE_PIXELS, _BACK_PIXELS = "F Pixels", "B Pixels"
PLACES = ("Block", "Row", "Column")
MEASURES = (_FORE_SD, _BACK_SD, _BACK_MEAN, _FORE_PIXELS, _BACK_PIXELS)
COLUMNS = (*PLACES, *MEASURES)  # what a channel needs beside foreground and background; {nm} is its wavelength

NEIGHBOURS = Option(
    "neighbours", TEXT, "grid",
    "Whose backgrounds tell kooperberg how far pixel errors are too small: spots beside one another on the grid; "
    "limma's, in lines as long as blocks are high; none: errors as they are.",
    choices=("grid", "limma", "none"), source="limma's kooperberg, its argument a",
)  # fmt: skip
QUADRATURE = Option(
    "quadrature", TEXT, "exact", "How kooperberg's integrals are had: exact, or with limma's bounds and error.",
    choices=("exact", "limma"), source="limma's kooperberg",
)  # fmt: skip


class Signal(NamedTuple):
    """Corrected intensities, (spot,), and sentences about spots that were treated otherwise."""

    values: FloatArray
    notes: tuple[str, ...]


def signal(
    foreground: FloatArray, background: FloatArray, columns: Mapping[str, Column], options: Mapping[str, Any]
) -> Signal:
    """The posterior mean of the signal of every spot of a channel.

    Parameters
    ----------
    foreground, background
        (spot,), in one unit; NaN is missing.
    columns
        `MEASURES`, and `PLACES` for neighbours, each (spot,).
    options
        Values of `NEIGHBOURS` and `QUADRATURE`.

    Returns
    -------
    Signal
        A foreground that is not above 0, or whose background has no error, stays as it is. Missing: what lacks a
        standard deviation or pixels, and what would be above `FULL_SCALE`.

    Raises
    ------
    FitError
        The errors cannot be calibrated.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        error = columns[_FORE_SD] / np.sqrt(columns[_FORE_PIXELS])
        below = columns[_BACK_SD] / np.sqrt(columns[_BACK_PIXELS])
    factor = 1.0
    if options["neighbours"] != "none":
        places = (columns[title].astype(np.int64) for title in PLACES)
        near = neighbours_in_blocks(*places, in_limmas_lines=options["neighbours"] == "limma")
        factor = calibration(columns[_BACK_MEAN], below, near)
    error, below = factor * error, factor * below
    there = ~(np.isnan(foreground) | np.isnan(background))
    known = there & np.isfinite(error) & np.isfinite(below)
    kept = known & ~((foreground > 0) & (below > 0))
    values = np.where(kept, foreground, np.nan)
    mean = posterior_mean if options["quadrature"] == "exact" else limmas_mean
    rest = np.flatnonzero(known & ~kept)
    for start in range(0, rest.size, _BLOCK):
        part = rest[start : start + _BLOCK]
        values[part] = mean(foreground[part], background[part], error[part], below[part])
    high = values > FULL_SCALE
    high &= ~kept
    lost = rest[np.isnan(values[rest])]
    values[high] = np.nan
    return Signal(values, tuple(_notes(there & ~known, kept, high, lost)))


def _notes(unknown: NDArray[np.bool_], kept: NDArray[np.bool_], high: NDArray[np.bool_], lost: Column) -> list[str]:
    counts = (
        (np.count_nonzero(unknown), "lack a standard deviation or pixels and are missing"),
        (np.count_nonzero(kept), "keep their foreground: it is not above 0, or the background has no spread"),
        (np.count_nonzero(high), f"have a signal above {FULL_SCALE:g} and are missing"),
        (lost.size, "are too far below their background for limma's quadrature and are missing"),
    )
    return [f"kooperberg: {count} spots {what}" for count, what in counts if count]
