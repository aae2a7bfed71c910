"""Which spots are control spots: those of the spot types that were named, or whose name says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import Column, RawArray
from gridnorm.arrays.spot_types import TYPE, count_types, same_type, types_meant
from gridnorm.core.option import WORDS, Option
from gridnorm.errors import FitError, option_word, recorded_option

BEYOND = 0.05  # share of the spots beyond all control spots that is said
USUAL = "control"  # what the names of types of control spots begin with
CONTROL_TYPE = Option(
    "control_type", WORDS, (), "Spot types that are the control spots.", metavar="TYPE,…",
    shown="types whose name begins with control",
)  # fmt: skip


def control_spots(raw: RawArray, options: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The control spots of an array.

    Parameters
    ----------
    raw
        The array; the spot column ``SpotType`` tells their types.
    options
        ``control_type``: names of types, of which case does not count; empty: all types whose name begins with
        "control".

    Returns
    -------
    bool (spot,)

    Raises
    ------
    OptionError
        Types were named, and the spots have none, or none of these.
    FitError
        None was named, and the spots have no types, or none whose name begins with "control".

    Examples
    --------
    >>> import gridnorm as gn
    >>> raw = gn.simulate(1, blocks=(1, 1), spots=(2, 2), seed=1).arrays.raw(0)
    >>> raw.spots["SpotType"] = np.array([b"gene", b"Control+", b"gene", b"control-"])
    >>> control_spots(raw, {"control_type": ()}).tolist()
    [False, True, False, True]
    """
    return needed_controls(raw.spots, raw.n_spots, options, raw.name)


def needed_controls(
    columns: Mapping[str, Column], n_spots: int, options: Mapping[str, Any], file: str
) -> NDArray[np.bool_]:
    """The control spots among spots with these columns, as ``control_spots`` has them.

    Raises
    ------
    OptionError, FitError
        As ``control_spots``.
    """
    found = controls_of(columns, n_spots, options, file)
    if found is None:
        known = count_types(columns)
        raise FitError(
            "no spot is a control spot", file or None,
            found=f"types {', '.join(known)}" if known else f"no column {TYPE}",
            expected=f"a type whose name begins with {USUAL}",
            hint=f"Name the types with {option_word('control_type')}"
            if known
            else f"Give a table of spot types with {option_word('controls')}",
        )  # fmt: skip
    return found


def controls_of(
    columns: Mapping[str, Column], n_spots: int, options: Mapping[str, Any], file: str
) -> NDArray[np.bool_] | None:
    """The control spots among spots with these columns, bool (spot,); None where nothing says which these are.

    Raises
    ------
    OptionError
        Types were named, and the spots have none, or none of these.
    """
    named = tuple(options.get("control_type") or ())
    words = types_meant(CONTROL_TYPE, named, USUAL, count_types(columns), file)
    if not words:
        return None
    return np.asarray(np.isin(columns[TYPE], [word.encode() for word in words]), np.bool_)


def control_doubts(raw: RawArray, options: Mapping[str, Any]) -> list[str]:
    """That a whole array has no spot of a type that was named, where it has some of another one."""
    known = count_types(raw.spots)
    return [
        f"{raw.name}: no spot is of the type {word} ({recorded_option('control_type')})"
        for word in options.get("control_type") or ()
        if not raw.part_of and not same_type(word, known)
    ]


def beyond_controls(
    name: str, method: str, level: NDArray[np.float64], controls: NDArray[np.bool_], use: NDArray[np.bool_]
) -> list[str]:
    """That many spots are dimmer or brighter than every control spot, where a curve through these says little.

    Parameters
    ----------
    name, method
        Of the array, and of the method that fits the curve.
    level
        A of every spot, float64 (spot,).
    controls, use
        Which spots are control spots, and which may enter a fit, bool (spot,).
    """
    known = np.isfinite(level)
    inside = level[controls & use & known]
    if not inside.size:
        return []
    low, high = float(inside.min()), float(inside.max())
    outside = int(np.count_nonzero(known & ((level < low) | (level > high))))
    if outside <= BEYOND * np.count_nonzero(known):
        return []
    return [
        f"{name}: {outside} of {np.count_nonzero(known)} spots lie beyond the control spots (A {low:.2f} to "
        f"{high:.2f}); what {method} takes for them is extended from the nearest"
    ]
