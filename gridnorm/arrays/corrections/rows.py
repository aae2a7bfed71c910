"""The table of corrections of intensities, and how those that were named are carried out on one array."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gridnorm.arrays.corrections.buffer import BUFFER
from gridnorm.arrays.corrections.correction import CORRECT, LAYOUT, TYPES, Correction, Intensities, need_layout
from gridnorm.arrays.corrections.plates import PLATES
from gridnorm.arrays.corrections.print_order import PRINT_ORDER
from gridnorm.arrays.corrections.tag import TAG
from gridnorm.arrays.grouping import Spots
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import FloatArray, RawArray
from gridnorm.arrays.spot_types import TYPE, untyped
from gridnorm.core.option import Kind, Option, Table
from gridnorm.errors import GridnormError, OptionError, option_word

CORRECTIONS: Table[Correction] = Table(
    "correction", [PRINT_ORDER, PLATES, BUFFER, TAG], functions=("function", "columns")
)
NOTHING = "none"
Corrections = tuple[str | Correction, ...]  # names or rows, in the order in which they are carried out


def _read(given: Any) -> Corrections:
    """Names and rows, of a text with commas, a list, or one row."""
    if given is None:
        raise ValueError
    parts: Iterable[Any] = (
        [word.strip() for word in given.split(",")]
        if isinstance(given, str)
        else (given,)
        if isinstance(given, Correction) or not isinstance(given, list | tuple)
        else given
    )
    words = [part for part in parts if part not in ("", NOTHING)]
    found = tuple(
        CORRECTIONS.find(word, also=(NOTHING,)).name if isinstance(word, str) else CORRECTIONS.check(word)
        for word in words
    )
    names = [name_of(row) for row in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"{option_word(CORRECT)} names a correction twice", found=twice, expected="each once")
    return found


def name_of(row: str | Correction) -> str:
    """The name of a row, or the name itself."""
    return row if isinstance(row, str) else row.name


def _plain(rows: Corrections) -> list[str]:
    return [name_of(row) for row in rows]


CORRECT_OPTION = Option(
    CORRECT,
    Kind("corrections", _read, {"type": "array", "items": {"type": "string"}}, _plain),
    (),
    "Corrections of intensities, after the background and in this order: {rows}.",
    metavar="ROW,…",
    shown=NOTHING,
)


def options_of(rows: Corrections) -> tuple[Option, ...]:
    """Every option that some of the rows take, once."""
    found = {option.name: option for row in rows for option in CORRECTIONS.find(row).options}
    return tuple(found.values())


def correct_array(
    raw: RawArray,
    layout: Layout | None,
    row: Correction,
    options: Mapping[str, Any],
    given: frozenset[str] = frozenset(),
) -> tuple[RawArray, tuple[str, ...]]:
    """One array with one correction.

    Parameters
    ----------
    raw
        Intensities after background correction.
    layout
        Where its blocks lie, or None.
    row, options
        What is done, and all its options as they are effective.
    given
        Names of options that somebody gave.

    Returns
    -------
    The array, and notes that begin with its name.

    Raises
    ------
    LayoutError, OptionError
        It lacks what the row needs.
    FitError
        Its values do not allow the correction.
    """
    spots = Spots(raw.spots, layout, raw.n_spots, raw.name)
    if LAYOUT in row.needs:
        need_layout(spots, row.name)
    if TYPES in row.needs and not (TYPE in raw.spots and raw.spots[TYPE].dtype.kind == "S"):
        raise untyped(f"{option_word(CORRECT)} {row.name}", raw.name)
    try:
        done = row.function(Intensities(raw.foreground, raw.channels, spots, options, given, raw.columns))
    except GridnormError as error:
        raise error.completed(file=raw.name) from None
    values, notes = _checked(done.values, raw, row), list(done.notes)
    endless = np.isinf(values)
    if endless.any():
        values = np.where(endless, np.nan, values)
        notes.append(f"{row.name}: {int(endless.sum())} intensities are infinite and were taken as missing")
    return replace(raw, foreground=values), tuple(f"{raw.name}: {note}" for note in notes)


def _checked(values: Any, raw: RawArray, row: Correction) -> FloatArray:
    """What a row gave back, if it is intensities of this array."""
    found = np.asarray(values)
    if found.shape != raw.foreground.shape or found.dtype.kind != "f":
        raise OptionError(
            f"correction {row.name} gives something else than intensities", file=raw.name,
            found=f"{found.dtype} {found.shape}", expected=f"float64 {raw.foreground.shape}",
        )  # fmt: skip
    return found.astype(np.float64, copy=False)
