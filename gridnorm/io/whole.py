"""Columns of whole numbers, and of flags."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gridnorm.errors import FormatError
from gridnorm.io import table as tables

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


def whole(title: str, values: FloatArray, table: tables.Table, file: str) -> IntArray:
    """A column of whole numbers as int64.

    Raises
    ------
    FormatError
        A cell is missing or no whole number; names its line.
    """
    good = np.abs(values) < 2**53
    good &= np.trunc(values) == values
    if not good.all():
        row = int(np.argmin(good))
        value = float(values[row])
        raise FormatError(
            f"column {title!r} needs a whole number in every row",
            file,
            table.line(row),
            found="a missing value" if value != value else repr(value),
            expected="a whole number",
            hint="Correct the cell, or name another column",
        )
    return values.astype(np.int64)


def flag_codes(title: str, values: FloatArray, table: tables.Table, file: str) -> tuple[IntArray, list[str]]:
    """Flags as int64, an empty cell as an unflagged spot; and a warning where there are such cells.

    Raises
    ------
    FormatError
        A flag that is no whole number.
    """
    empty = np.isnan(values)
    warnings = []
    if empty.any():
        line = table.line(int(np.argmax(empty)))
        warnings.append(
            f"{file}:{line}: {int(empty.sum())} empty cells of column {title!r} were taken as 0 (unflagged)"
        )
        values = np.where(empty, 0.0, values)
    return whole(title, values, table, file), warnings
