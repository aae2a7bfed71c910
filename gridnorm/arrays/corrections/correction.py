"""What a correction of intensities is: a row, what it is given of an array, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gridnorm.arrays.grouping import By, Spots, group_spots, needed_columns, refuse_without_tips
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import Column, FloatArray
from gridnorm.core.option import Option
from gridnorm.core.segments import Segments
from gridnorm.errors import LayoutError, option_word

CORRECT = "correct"  # the option that names the rows
LAYOUT, TYPES = "layout", "types"  # what a row may need

Looked = Iterable[tuple[str, str]]


class Intensities(NamedTuple):
    """One array as a correction sees it.

    Attributes
    ----------
    values
        float64 (channel, spot): intensities after background correction, missing NaN.
    channels
        Names of the rows of ``values``.
    spots
        Spot columns, layout (or None), number of spots, and the array's name for messages.
    options
        Of the row, as they are effective.
    given
        Names of options that somebody gave.
    titles
        Every column of the file, also those that were not read.
    """

    values: FloatArray
    channels: tuple[str, ...]
    spots: Spots
    options: Mapping[str, Any]
    given: frozenset[str] = frozenset()
    titles: tuple[str, ...] = ()

    @property
    def columns(self) -> Mapping[str, Column]:
        """Spot columns by title."""
        return self.spots.columns

    def groups(self, option: str) -> Segments:
        """The groups of spots that an option names.

        Raises
        ------
        OptionError, LayoutError
            A column or positions that the array does not have.
        """
        by: By = self.options[option]
        if option in self.given:
            refuse_without_tips(by, self.columns, self.titles, self.spots.file, option)
        return group_spots(by, self.columns, self.spots.layout, self.spots.n_spots, self.spots.file, option=option)


class Done(NamedTuple):
    """What a correction gives back: new intensities (channel, spot), and notes that go behind the array's name."""

    values: FloatArray
    notes: tuple[str, ...] = ()


def _nothing(options: Mapping[str, Any]) -> Looked:
    return ()


class Correction(NamedTuple):
    """One row of ``CORRECTIONS``.

    Attributes
    ----------
    name, summary, source
        What it is called, what it does, and the paper or peer function.
    function
        Corrects one array, all its channels at once.
    options
        Those that it takes.
    needs
        ``layout``: the place of every spot; ``types``: the spot column ``SpotType``.
    columns
        The spot columns that options name, as pairs (name of the option, title), from all options.
    sees
        Spot columns that it looks at where an array has them.
    types
        Names of its options that hold spot types.
    """

    name: str
    function: Callable[[Intensities], Done]
    summary: str
    options: tuple[Option, ...] = ()
    needs: tuple[str, ...] = ()
    columns: Callable[[Mapping[str, Any]], Looked] = _nothing
    sees: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    source: str = ""


def columns_of_groups(option: str, options: Mapping[str, Any]) -> Looked:
    """The spot columns that the groups of an option look at."""
    return [(option, title) for title in needed_columns(options[option])]


def need_layout(spots: Spots, name: str, why: str = "the place of every spot in its block") -> Layout:
    """The layout.

    Raises
    ------
    LayoutError
        The file has no positions.
    """
    if spots.layout is None:
        raise LayoutError(
            f"{option_word(CORRECT)} {name} needs {why}", file=spots.file or None,
            found="no Block, Row and Column columns",
            hint=f"Name them with {option_word('columns')} Block=…,Row=…,Column=…, or leave {name} out",
        )  # fmt: skip
    return spots.layout


def logarithms(intensities: FloatArray) -> FloatArray:
    """log2 of intensities; NaN where they are not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log2(intensities)
    return np.where(np.isfinite(logs), logs, np.nan)


def lowered(intensities: FloatArray, by: FloatArray) -> FloatArray:
    """Intensities whose log2 is lower by so much. What is not positive stays so, and is counted as such later."""
    return intensities * np.exp2(-np.where(np.isnan(by), 0.0, by))


def counted(number: int, what: str) -> str:
    """``1 spot``, ``3 spots``."""
    return f"{number} {what}{'' if number == 1 else 's'}"
