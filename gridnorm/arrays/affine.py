"""Affine background: what the channels of an array add and multiply, found together and taken out of all of them.

Most spots have one signal in all channels. Their foregrounds then lie on a line, which tells how the gains of the
channels differ, and up to one number what each adds to its signals. Source: Bengtsson and Hössjer, BMC Bioinformatics
7:100 (2006); peer: aroma.light's ``normalizeAffine``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gridnorm.arrays.raw import FULL_SCALE, FloatArray
from gridnorm.core.affine import MOST_SHARE, SHARE, fit_affine
from gridnorm.core.option import NUMBER, Option, Range
from gridnorm.errors import FitError, OptionError, recorded_option

CONSTRAINT = Option(
    "constraint", NUMBER, SHARE, "Share of the spots that affine may leave without a positive signal.",
    Range(0, MOST_SHARE, low_open=True), metavar="SHARE", source="aroma.light's normalizeAffine",
)  # fmt: skip
SATURATED = Option(
    "saturated", NUMBER, float(FULL_SCALE), "Foreground from which on a spot is in no fit of affine.",
    Range(0, low_open=True), metavar="X", source="aroma.light's normalizeAffine",
)  # fmt: skip


class Undone(NamedTuple):
    """Channels without what they add and multiply: float64 (channel, spot), the numbers by channel, and doubts."""

    values: FloatArray
    offsets: FloatArray
    gains: FloatArray
    notes: tuple[str, ...]


def undone(foreground: FloatArray, constraint: float, saturated: float, measured: bool) -> Undone:
    """(x − offset) / gain in every channel; the gains have a geometric mean of 1, so that the unit stays.

    Parameters
    ----------
    foreground
        (channel, spot) of one array.
    constraint
        The offsets are as large as possible, but so that at most this share of the spots in the fit has no positive
        signal in some channel.
    saturated
        Spots that reach it in some channel are not in the fit.
    measured
        Whether a background was measured, which is not looked at.

    Raises
    ------
    OptionError
        One channel.
    FitError
        The spots do not lie along a line that rises in all channels.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.arange(1.0, 101.0)
    >>> done = undone(np.stack([10 + 2 * z, 40 + 8 * z]), 0.05, 65535, False)
    >>> done.gains.round(6), bool(np.allclose(done.values[0], done.values[1]))
    (array([0.5, 2. ]), True)
    """
    if foreground.shape[0] < 2:
        raise OptionError(
            "background method 'affine' needs two channels or more, whose signals it compares", found="one",
            hint="Use normexp or none",
        )  # fmt: skip
    full = (foreground >= saturated).any(axis=0)
    try:
        found = fit_affine(foreground.T, constraint, use=~full, names=_names(foreground.shape[0]))
    except FitError as error:
        lost = f"; {int(full.sum())} of {full.size} spots are saturated" if full.any() else ""
        raise FitError(
            f"affine cannot be used: {error.what}", found=f"{error.found}{lost}" if error.found else None,
            expected=error.expected, hint="Use normexp or none",
        ) from None  # fmt: skip
    notes = []
    if measured:
        notes.append("affine works on the foreground as it is; the measured background is left out")
    if full.any():
        limit = recorded_option(SATURATED.name, f"{saturated:g}")
        notes.append(f"{int(full.sum())} saturated spots are not in the fit of affine ({limit})")
    if not found.line.converged:
        notes.append(f"affine: the fit was stopped after {found.line.rounds} rounds and may not be the optimum")
    return Undone(found.undone(foreground.T).T, found.offset, found.slope, tuple(notes))


def _names(n: int) -> Sequence[str]:
    return [f"channel {k + 1}" for k in range(n)]
