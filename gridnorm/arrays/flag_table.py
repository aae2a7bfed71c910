"""Flags and weights that a table gives to spots, which it names by place or by ID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import Column, RawArray
from gridnorm.core.option import nearest
from gridnorm.errors import FormatError, option_word

PLACE = ("Block", "Row", "Column")
WEIGHT = "Weight"  # the column of weights, and the spot column that it becomes
FLAG = ("Flags", "Flag")
ARRAY = ("Array", "FileName", "File")
KNOWN = (*PLACE, "ID", *FLAG, WEIGHT, *ARRAY)
_MEANT = {title.casefold() for title in (*KNOWN, "Name", "Comment", "Comments", "Reason", "Note")}


class FlagTable(NamedTuple):
    """Rows of a table: the spots they name, and what these get.

    ``array``: name or file of the array that a row is about, empty for every one; ``place`` (row, 3) or None; ``ids``
    or None; ``flags`` and ``weights`` (row,) or None; ``lines`` of the file; ``notes`` about columns that do nothing.
    """

    name: str
    array: tuple[str, ...]
    place: NDArray[np.int64] | None
    ids: tuple[str, ...] | None
    flags: NDArray[np.int64] | None
    weights: NDArray[np.float64] | None
    lines: tuple[int, ...]
    notes: tuple[str, ...] = ()


def flag_table(name: str, columns: Mapping[str, Sequence[str]], lines: Sequence[int]) -> FlagTable:
    """A table of flags from its columns of text; titles ignore case. Of rows about one spot the last one counts.

    Raises
    ------
    FormatError
        It names no spots, or gives them nothing; two columns that say the same; a cell that is no number.
    """
    given = {title.casefold(): list(cells) for title, cells in columns.items()}
    for words in (*((title,) for title in (*PLACE, "ID", WEIGHT)), FLAG, ARRAY):
        same = [title for title in columns if title.casefold() in {word.casefold() for word in words}]
        if len(same) > 1:
            raise FormatError("two columns say the same", name, 1, ", ".join(same), f"one of them, {words[0]}")
    place = [given.get(title.casefold()) for title in PLACE]
    ids = given.get("id")
    flags = next((given[title.casefold()] for title in FLAG if title.casefold() in given), None)
    weights = given.get(WEIGHT.casefold())
    array = next((given[title.casefold()] for title in ARRAY if title.casefold() in given), None)
    whole = all(cells is not None for cells in place)
    if not whole and (ids is None or any(cells is not None for cells in place)):
        raise FormatError("the table names no spots", name, 1, ", ".join(columns), "Block, Row and Column, or ID")
    if flags is None and weights is None:
        raise FormatError("the table gives spots nothing", name, 1, ", ".join(columns), f"a column Flag or {WEIGHT}")
    if ids is not None and not whole:
        for cell, line in zip(ids, lines, strict=True):
            if not cell:
                raise FormatError("a row names no spot: its ID is empty", name, line)
    return FlagTable(
        name,
        tuple(array or [""] * len(lines)),
        np.stack([_whole(cells or [], title, name, lines) for title, cells in zip(PLACE, place, strict=True)], axis=1)
        if whole
        else None,
        None if ids is None else tuple(ids),
        None if flags is None else _whole(flags, FLAG[1], name, lines),
        None if weights is None else _weights(weights, name, lines),
        tuple(lines),
        tuple(
            f"{name}:1: column {title} says nothing of spots" + (f"; did you mean {near}?" if near else "")
            for title in columns
            if title and title.casefold() not in _MEANT
            for near in [nearest(title, KNOWN)]
        ),
    )


def with_flags(raw: RawArray, table: FlagTable, names: Sequence[str] = ()) -> RawArray:
    """The array with the flags of the table in the place of its own, and its weights as the spot column ``Weight``.

    Parameters
    ----------
    names
        What the array is called beside the name of its file.

    Raises
    ------
    FormatError
        A row that names no spot of the array, or another ID at its place.
    """
    called = {raw.name, *names}
    mine = np.array([not one or one in called or _base(one) in called for one in table.array], bool)
    rows = np.flatnonzero(mine)
    at = _spots(raw, table, rows)
    spot = np.concatenate([*at, np.zeros(0, np.int64)])
    source = np.repeat(rows, [one.size for one in at])
    flags, spots, notes = raw.flags, dict(raw.spots), []
    if table.flags is not None:
        flags = np.zeros(raw.n_spots, np.int64) if flags is None else flags.copy()
        flags[spot] = table.flags[source]
    if table.weights is not None:
        weights = np.ones(raw.n_spots)
        weights[spot] = table.weights[source]
        if WEIGHT in spots:
            notes.append(f"{raw.name}: the weights of {table.name} stand in the place of the file's column {WEIGHT}")
        spots[WEIGHT] = weights
    return replace(raw, flags=flags, spots=spots).with_warnings(*notes)


def strangers(table: FlagTable, names: Sequence[str]) -> list[str]:
    """A sentence about rows whose array is none of these."""
    known = set(names)
    lost = [k for k, one in enumerate(table.array) if one and one not in known and _base(one) not in known]
    if not lost:
        return []
    named = sorted({table.array[k] for k in lost})
    shown = ", ".join(named[:3]) + (", …" if len(named) > 3 else "")
    rows = "1 row is" if len(lost) == 1 else f"{len(lost)} rows are"
    return [f"{table.name}:{table.lines[lost[0]]}: {rows} about arrays that are not here: {shown}"]


def _base(path: str) -> str:
    """The name of a file without its folder, which may be written in any way."""
    return path.replace("\\", "/").rpartition("/")[2]


def _spots(raw: RawArray, table: FlagTable, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The spots that each row names."""
    by_place = table.place is not None and all(title in raw.spots for title in PLACE)
    if not by_place and (table.ids is None or "ID" not in raw.spots):
        raise FormatError(
            f"{table.name} cannot name the spots", file=raw.name, found=", ".join(raw.spots) or "no columns of spots",
            expected="Block, Row and Column, or ID", hint=f"Name them with {option_word('columns')}",
        )  # fmt: skip
    if by_place:
        keys: list[object] = list(zip(*(raw.spots[title].tolist() for title in PLACE), strict=True))
    else:
        keys = list(_texts(raw.spots["ID"]))
    index: dict[object, list[int]] = {}
    for spot, key in enumerate(keys):
        index.setdefault(key, []).append(spot)
    ids = _texts(raw.spots["ID"]) if "ID" in raw.spots else None
    out: list[NDArray[np.int64]] = []
    lost: list[tuple[int, object]] = []
    for k in rows.tolist():
        key = tuple(table.place[k].tolist()) if by_place and table.place is not None else (table.ids or ())[k]
        found = index.get(key, [])
        wanted = table.ids[k] if table.ids is not None and ids is not None else ""
        if len(found) > 1 and table.place is not None and not by_place:
            raise FormatError(
                f"the place of a spot says nothing where {raw.name} has none, and its ID is that of several",
                table.name, table.lines[k], f"ID {key!r} of {len(found)} spots",
                hint=f"Name Block, Row and Column of the array with {option_word('columns')}",
            )  # fmt: skip
        if not found:
            lost.append((k, key))
        elif wanted and ids is not None and any(ids[spot] != wanted for spot in found):
            other = ids[next(spot for spot in found if ids[spot] != wanted)]
            raise FormatError(
                f"another spot stands at this place of {raw.name}",
                table.name,
                table.lines[k],
                repr(wanted),
                repr(other),
            )
        out.append(np.array(found, np.int64))
    if lost:
        k, key = lost[0]
        shown = "Block {}, Row {}, Column {}".format(*key) if isinstance(key, tuple) else f"ID {key!r}"
        more = f" (and {len(lost) - 1} more of {rows.size} rows)" if len(lost) > 1 else ""
        raise FormatError(
            f"no such spot in {raw.name}{more}", table.name, table.lines[k], shown,
            hint="Say in a column Array which array a row is about, or leave the row out",
        )  # fmt: skip
    return out


def _texts(column: Column) -> list[str]:
    if column.dtype.kind == "S":
        return [cell.decode("utf-8", "replace") for cell in column.tolist()]
    return [f"{cell:.15g}" if isinstance(cell, float) else str(cell) for cell in column.tolist()]


def _whole(cells: Sequence[str], title: str, name: str, lines: Sequence[int]) -> NDArray[np.int64]:
    out = np.zeros(len(cells), np.int64)
    for k, (cell, line) in enumerate(zip(cells, lines, strict=True)):
        digits = cell[1:] if cell[:1] in "+-" else cell
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
            raise FormatError(f"column {title} holds no whole number", name, line, found=repr(cell))
        out[k] = int(cell)
    return out


def _weights(cells: Sequence[str], name: str, lines: Sequence[int]) -> NDArray[np.float64]:
    out = np.ones(len(cells))
    for k, (cell, line) in enumerate(zip(cells, lines, strict=True)):
        try:
            out[k] = float(cell) if cell.isascii() and "_" not in cell else np.nan
        except ValueError:
            out[k] = np.nan
        if not 0 <= out[k] < np.inf:
            raise FormatError(f"column {WEIGHT} holds no weight", name, line, repr(cell), "a number of 0 or more")
    return out
