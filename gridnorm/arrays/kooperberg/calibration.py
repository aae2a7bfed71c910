"""How much larger the errors of backgrounds are than their pixels say: what neighbouring ones differ by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.neighbours import Neighbours, neighbours_of
from gridnorm.core.segments import distinct
from gridnorm.errors import FitError, option_value

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Places in Neighbours.reach, which goes through the 3 x 3 places line by line.
_UP, _LEFT, _HERE, _RIGHT, _DOWN = 1, 3, 4, 5, 7
_DIAGONALS = ((_UP, _LEFT, 0), (_UP, _RIGHT, 2), (_DOWN, _LEFT, 6), (_DOWN, _RIGHT, 8))


def neighbours_in_blocks(
    block: IntArray, row: IntArray, column: IntArray, *, in_limmas_lines: bool = False
) -> Neighbours:
    """The 3 x 3 neighbourhoods inside each block.

    Parameters
    ----------
    block, row, column
        (spot,), as in a file.
    in_limmas_lines
        limma lays the spots of a block, row by row, out in lines as long as the block has *rows*: other neighbours,
        unless the block is square.
    """
    low = row.min(initial=0), column.min(initial=0)
    if in_limmas_lines and row.size:
        row, column = row - row.min(), column - column.min()
        row, column = np.divmod(row * (int(column.max()) + 1) + column, int(row.max()) + 1)
        low = 0, 0
    # Blocks one below the other, with an empty line between them.
    place = distinct(block)[1]
    height = int(row.max(initial=0)) - int(low[0]) + 2
    return neighbours_of(place * height + row - low[0], column - low[1])


def local_sd(values: FloatArray, near: Neighbours) -> FloatArray:
    """Standard deviation (n − 1) of each value and those above, below, left and right of it.

    At a corner the spot on the diagonal makes them four. Missing values are as good as absent.

    Parameters
    ----------
    values
        (spot,); NaN is missing.
    near
        The neighbourhoods.

    Returns
    -------
    (spot,); NaN where the value is missing, or has no neighbour.

    Examples
    --------
    >>> row, column = np.divmod(np.arange(9), 3)
    >>> near = neighbours_in_blocks(np.ones(9, int), row, column)
    >>> local_sd(np.array([0, 0, 0, 0, 5.0, 0, 0, 0, 0]), near).round(2).reshape(3, 3)
    array([[2.5 , 2.5 , 2.5 ],
           [2.5 , 2.24, 2.5 ],
           [2.5 , 2.5 , 2.5 ]])
    """
    if values.size == 0:
        return values
    around = _at_positions(values, near)[near.reach]
    known = ~np.isnan(around)
    known[[at for *_, at in _DIAGONALS]] = _at_corners(known)
    known &= known[_HERE]
    n = known.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(known, around, 0.0).sum(axis=0) / n
        squares = np.where(known, (around - mean) ** 2, 0.0).sum(axis=0)
        sd = np.where(n > 1, np.sqrt(squares / (n - 1)), np.nan)
    return np.asarray(np.where(np.isnan(values), np.nan, sd[near.place]))


def _at_positions(values: FloatArray, near: Neighbours) -> FloatArray:
    """The mean value at each position, and NaN for "no spot there"."""
    there = ~np.isnan(values)
    size = near.reach.shape[1]
    count = np.bincount(near.place[there], minlength=size)
    with np.errstate(invalid="ignore"):
        return np.append(np.bincount(near.place[there], values[there], minlength=size) / count, np.nan)


def _at_corners(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which diagonal neighbours count: between the only one above or below and the only one left or right."""
    corner = (known[_UP] ^ known[_DOWN]) & (known[_LEFT] ^ known[_RIGHT])
    return np.stack([corner & known[a] & known[b] & known[at] for a, b, at in _DIAGONALS])


def calibration(background: FloatArray, error: FloatArray, near: Neighbours) -> float:
    """The factor by which errors are multiplied, so that neighbouring backgrounds differ by what they say.

    ``a = Σ w x y / Σ w x²``: regression through 0 of local standard deviations y on errors x with w = 1/(x + 1).

    Parameters
    ----------
    background, error
        (spot,): means of the background's pixels, and their errors.
    near
        The neighbourhoods.

    Raises
    ------
    FitError
        No spot has neighbours and an error, or no background differs from those around it.
    """
    y = local_sd(background, near)
    used = np.isfinite(y) & np.isfinite(error) & (error > 0)
    hint = f"Use {option_value('neighbours', 'none')}, which takes errors as they are, or another background method"
    if not used.any():
        raise FitError(
            "kooperberg cannot calibrate its errors: no spot has a background with spread and a neighbour in its block",
            found=f"{int(np.count_nonzero(np.isfinite(y)))} spots with a neighbour, "
            f"{int(np.count_nonzero(np.isfinite(error) & (error > 0)))} with spread",
            expected="spots beside one another", hint=hint,
        )  # fmt: skip
    x, y = error[used], y[used]
    w = 1 / (x + 1)
    # Sorted, so that the order of spots does not matter to the last bit.
    found = float(np.sort(w * x * y).sum() / np.sort(w * x * x).sum())
    if found == 0:
        raise FitError(
            "kooperberg cannot calibrate its errors: no background differs from those around it",
            found=f"{int(x.size)} spots whose local standard deviation is 0",
            expected="backgrounds that differ", hint=hint,
        )  # fmt: skip
    return found
