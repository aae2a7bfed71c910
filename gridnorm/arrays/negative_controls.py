"""Background from spots that bind nothing: the model of normexp, with the noise of negative controls (Shi et al. 2010).

Peer: limma's ``nec``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.normexp import NormexpFit
from gridnorm.arrays.raw import Column
from gridnorm.arrays.spot_types import TYPE, check_types, count_types, types_meant
from gridnorm.core.fit import fit
from gridnorm.core.option import FLAG, WORDS, Option
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError, option_word

FloatArray = NDArray[np.float64]

USUAL = "negative"  # what the names of types of negative controls begin with
OFFSET = 16.0  # limma's
LEAST_ALPHA = 10.0  # limma's least mean signal
FEWEST = 2  # negative controls that have a spread
NEGATIVE_TYPE = Option(
    "negative_type", WORDS, (), "Spot types that are the negative controls.", metavar="TYPE,…",
    shown="types whose name begins with negative", source="limma's nec",
)  # fmt: skip
ROBUST = Option(
    "robust", FLAG, False, "Take mean and spread of negative controls from Huber's estimates of their logarithms.",
    source="limma's nec",
)  # fmt: skip


def negative_controls(columns: Mapping[str, Column], named: tuple[str, ...] = ()) -> NDArray[np.bool_]:
    """The negative control spots, bool (spot,).

    Parameters
    ----------
    columns
        Spot columns; ``SpotType`` tells the types.
    named
        Names of types, of which case does not count; empty: all types whose name begins with "negative".

    Raises
    ------
    OptionError
        Types were named, and the spots have none, or none of these.
    FitError
        None was named, and the spots have no types, or none whose name begins with "negative".

    Examples
    --------
    >>> negative_controls({"SpotType": np.array([b"gene", b"Negative1", b"gene"])}).tolist()
    [False, True, False]
    """
    known = count_types(columns)
    check_types(NEGATIVE_TYPE, named, known)
    words = types_meant(NEGATIVE_TYPE, named, USUAL, known)
    if not words:
        raise FitError(
            "no spot is a negative control",
            found=f"types {', '.join(known)}" if known else f"no column {TYPE}",
            expected=f"a type whose name begins with {USUAL}",
            hint=f"Name the types with {option_word('negative_type')}"
            if known
            else f"Give a table of spot types with {option_word('controls')}",
        )  # fmt: skip
    return np.asarray(np.isin(columns[TYPE], [word.encode() for word in words]), np.bool_)


def model(
    x: FloatArray, columns: Mapping[str, Column], options: Mapping[str, Any]
) -> tuple[NormexpFit, tuple[str, ...]]:
    """The normal + exponential model of a channel whose background is that of its negative controls.

    Parameters
    ----------
    x
        (spot,): intensities, the background subtracted where it was measured, as limma does; NaN is missing.
    columns
        Spot columns with ``SpotType``.
    options
        Values of `NEGATIVE_TYPE` and `ROBUST`.

    Returns
    -------
    The model, and sentences about negative controls that are not in it. The mean signal is that of all spots that
    are no negative controls, above the background's mean; 10 at least. No likelihood is looked at: it is NaN.

    Raises
    ------
    OptionError, FitError
        As `negative_controls`; negative controls too few or all alike, or no other spot.

    Examples
    --------
    >>> types = np.array([b"negative"] * 3 + [b"gene"] * 2)
    >>> found, _ = model(np.array([8.0, 10.0, 12.0, 100.0, 120.0]), {"SpotType": types}, {"robust": False})
    >>> found.mu, round(found.sigma, 12), round(found.alpha, 12)
    (10.0, 2.0, 100.0)
    """
    negative = negative_controls(columns, tuple(options.get("negative_type") or ()))
    known = np.isfinite(x)
    noise, regular = x[negative & known], x[~negative & known]
    if regular.size == 0:
        raise FitError("no spot but negative controls has an intensity", expected="spots that hold probes")
    notes: tuple[str, ...] = ()
    if options["robust"]:
        low = int(np.count_nonzero(noise <= 0))
        if low:
            notes = (f"nec: {low} negative controls are not above 0 and have no logarithm; they are not in its model",)
        noise = np.log(noise[noise > 0])
    if noise.size < FEWEST or (noise == noise[0]).all():
        raise FitError(
            "negative controls tell no spread",
            found=f"{noise.size} with an intensity" + (" above 0" if notes else "")
            + (", all alike" if noise.size >= FEWEST else ""),
            expected=f"{FEWEST} or more that differ", hint="Use normexp, which finds the background without them",
        )  # fmt: skip
    mu, sigma = _lognormal(noise) if options["robust"] else (float(noise.mean()), float(noise.std(ddof=1)))
    alpha = max(float(regular.mean()) - mu, LEAST_ALPHA)
    return NormexpFit(mu, math.log(sigma), math.log(alpha), math.nan, 0), notes


def _lognormal(logs: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation of numbers from robust ones of their logarithms.

    Raises
    ------
    FitError
        More than half of them are alike, so that their scale is 0.
    """
    found = fit(logs, Segments.single(logs.size), "huber")
    m, s = float(found.location[0, 0]), float(found.scale[0, 0])
    if s == 0:
        raise FitError(
            "negative controls tell no robust spread", found="more than half of them alike",
            expected="ones that differ",
            hint=f"Leave out {option_word('robust')}",
        )  # fmt: skip
    return math.exp(m + s * s / 2), math.sqrt(math.expm1(s * s)) * math.exp(m + s * s / 2)
