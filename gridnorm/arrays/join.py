"""Sets of different rows into one set: every spot of every array in one row, nothing lost."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.align import keys_of, union
from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import Column
from gridnorm.arrays.stack import stack
from gridnorm.errors import LayoutError

# For each row of the table the spot of the array, −1: none; None: all, in this order.
Rows = NDArray[np.int64] | None


def join(sets: Sequence[ArraySet], align: str = "strict") -> ArraySet:
    """Sets of one array, each with spot columns of its own, beside one another.

    Parameters
    ----------
    sets
        At least one.
    align
        Which rows are one: as ``union`` of ``align`` has it.

    Returns
    -------
    ArraySet
        Spots that an array lacks are missing, and marked as absent.

    Raises
    ------
    LayoutError, OptionError
        Arrays that cannot be compared, or are of different channels.
    """
    _, places = union([keys_of(one.columns, one.n_spots) for one in sets], align)
    return replace(
        stacked(sets, places),
        columns=merged([one.columns for one in sets], places),
        layout=covering([one.layout for one in sets]),
        targets={
            title: [cell for one in sets for cell in one.targets.get(title, ("",))]
            for title in dict.fromkeys(title for one in sets for title in one.targets)
        },
    )


def stacked(sets: Sequence[ArraySet], places: Sequence[Rows]) -> ArraySet:
    """Sets of one array in the rows of a table; names that came twice are numbered."""
    weighted = any(one.spot_weights is not None for one in sets)
    placed = [moved(one, at, weighted) for one, at in zip(sets, places, strict=True)]
    return stack(_named_apart(placed))


def moved(one: ArraySet, at: Rows, weighted: bool = False) -> ArraySet:
    """The same arrays with other rows, those of ``at``; with weights, where some array of the table has any."""
    if weighted and one.spot_weights is None:
        one = replace(one, spot_weights=np.ones((len(one), one.n_spots)))
    if at is None:
        return one
    absent = at < 0
    fits = tuple(
        replace(fit, values=_placed(fit.values, at) if fit.values.size else fit.values, start=_placed(fit.start, at))
        for fit in one.fits
    )
    flags, weights = one.flag_codes, one.spot_weights
    return replace(
        one,
        values={name: _placed(matrix, at) for name, matrix in one.values.items()},
        flag_codes=None if flags is None else np.where(at >= 0, flags[:, at], 0),
        spot_weights=None if weights is None else _placed(weights, at),
        fits=fits,
        absent=absent[None, :] if bool(absent.any()) else None,
    )


def _placed(matrix: Any, at: NDArray[np.int64]) -> Any:
    return np.where(at >= 0, matrix[:, at], np.nan)


def _named_apart(sets: Sequence[ArraySet]) -> list[ArraySet]:
    """Parts of arrays ``a`` and ``a.1`` may come to one name; the later one is numbered, as equal files are."""
    out: list[ArraySet] = []
    taken: set[str] = set()
    for one in sets:
        name = unique_among(taken, one.names[0])
        taken.add(name)
        out.append(one if name == one.names[0] else replace(one, names=(name,)))
    return out


def unique_among(taken: Container[str], name: str) -> str:
    """The name, numbered where it is taken.

    Examples
    --------
    >>> unique_among({"a.1"}, "a.1"), unique_among({"a.1"}, "a.2")
    ('a.1 (2)', 'a.2')
    """
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f"{name} ({number})"
    return unique


def merged(tables: Sequence[Mapping[str, Column]], places: Sequence[NDArray[np.int64]]) -> dict[str, Column]:
    """Each row's spot columns from the first array that has the spot."""
    out: dict[str, Column] = {}
    for title in dict.fromkeys(title for table in tables for title in table):
        column: Column | None = None
        done = np.zeros(len(places[0]), bool)
        for table, place in zip(tables, places, strict=True):
            if title not in table:
                continue
            source = table[title]
            if column is None:
                column = _blank(source, len(place))
            fill = ~done & (place >= 0)
            if not fill.any():
                continue
            kind = np.promote_types(column.dtype, source.dtype)
            column = column.astype(kind, copy=False)
            column[fill] = source[place[fill]]
            done |= fill
        if column is not None:
            out[title] = column
    return out


def _blank(like: Column, n: int) -> Column:
    if like.dtype.kind == "f":
        return np.full(n, np.nan)
    return np.zeros(n, like.dtype)


def covering(layouts: Sequence[Layout | None]) -> Layout | None:
    """A layout that has a place for every spot of all of these: the first one, widened where it lacks something."""
    known = list({id(one): one for one in layouts if one is not None}.values())
    if not known or len(known) < len({id(one) for one in layouts}):
        return None
    first = known[0]
    wide = {int(block): _block(first, k) for k, block in enumerate(first.blocks)}
    before = dict(wide)
    for one in known[1:]:
        for k, block in enumerate(one.blocks.tolist()):
            mine = _block(one, k)
            had = wide.get(block, mine)
            wide[block] = (*had[:2], max(had[2], mine[2]), max(had[3], mine[3]), had[4])
    if wide == before:
        return first
    blocks = sorted(wide)
    row, column, rows, columns, pad = np.array([wide[block] for block in blocks], np.int64).T
    grid_rows, grid_columns = max(one.grid_rows for one in known), max(one.grid_columns for one in known)
    return replace(
        first, blocks=np.array(blocks, np.int64), grid_rows=grid_rows, grid_columns=grid_columns, block_row=row,
        block_column=column, spot_rows=int(rows.max()), spot_columns=int(columns.max()), rows_per_block=rows,
        columns_per_block=columns, pad_of_block=pad,
        complete=False, missing=max(one.missing for one in known),
    )  # fmt: skip


def _block(layout: Layout, k: int) -> tuple[int, int, int, int, int]:
    """Place, size and pad of a block."""
    return (
        int(layout.block_row[k]), int(layout.block_column[k]), int(layout.rows_per_block[k]),
        int(layout.columns_per_block[k]), int(layout.pad_of_block[k]),
    )  # fmt: skip


def refuse_other_grid(layout: Layout | None, grid: tuple[int, int] | None, file: str, first: str) -> None:
    """Blocks that are counted along rows of other lengths have other numbers: they cannot be matched by them.

    Parameters
    ----------
    layout, first
        Layout and name of the array that the file is compared with.
    grid
        Rows and columns of blocks in the file, where it says them.

    Raises
    ------
    LayoutError
        The file has more or fewer columns of blocks.
    """
    if layout is not None and layout.source == "file" and grid is not None and grid[1] != layout.grid_columns:
        raise LayoutError(
            f"the blocks stand in another grid than in {first}", file=file, found="{} x {}".format(*grid),
            expected=f"{layout.grid_rows} x {layout.grid_columns}",
        )  # fmt: skip
