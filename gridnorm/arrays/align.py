"""Which spot of one array is which spot of another.

A spot is known by (Block, Row, Column, ID, occurrence); where a file has no Block, Row and Column, by (ID,
occurrence). Nothing here loops over rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import Column
from gridnorm.errors import LayoutError, OptionError, option_value, option_word

IntArray = NDArray[np.int64]

ALIGN = ("strict", "id", "union")
OTHER_PRINT_RUN = 0.05  # share of common positions with another ID above which a file is another print run
PLACE = ("block", "row", "column")


@dataclass(frozen=True, eq=False)
class SpotKeys:
    """What identifies the spots of one array: int64 and bytes columns of shape (spot,), None where absent."""

    size: int
    block: IntArray | None = None
    row: IntArray | None = None
    column: IntArray | None = None
    id: NDArray[np.bytes_] | None = None

    @cached_property
    def occurrence(self) -> IntArray:
        """How many spots before have the same Block, Row, Column and ID, int64 (spot,)."""
        place = self.place
        if place:
            code = codes_of([place])[0]
            if np.all(code[1:] > code[:-1]):  # the usual file: ascending, so nothing occurs twice
                return np.zeros(self.size, np.int64)
        columns = [*place, *([] if self.id is None else [self.id])]
        return _occurrence(codes_of([columns])[0]) if columns else np.arange(self.size)

    @property
    def place(self) -> list[IntArray]:
        """Block, Row and Column as far as the file has them."""
        return [column for column in (self.block, self.row, self.column) if column is not None]

    @property
    def titles(self) -> tuple[str, ...]:
        """Names of the columns of ``place``."""
        return tuple(name for name in PLACE if getattr(self, name) is not None)

    def describe(self, spot: int) -> str:
        """``Block 1 Row 2 Column 3``, or the number of the spot."""
        words = [f"{name.capitalize()} {getattr(self, name)[spot]}" for name in self.titles]
        return " ".join(words) or f"spot {spot + 1}"


@dataclass(frozen=True, eq=False)
class Alignment:
    """How the spots of an array relate to those of the reference.

    ``identical``: same keys in the same order. ``order``: where only the order differs, the row of the array for each
    row of the reference, else None. ``missing``: spots of the reference that the array lacks; ``extra``: spots only
    the array has, in both cases wherever they stand if arrays are joined by ID; ``id_mismatch``: share of common
    positions with another ID. ``notes`` are for people.
    """

    identical: bool
    order: IntArray | None = None
    missing: int = 0
    extra: int = 0
    id_mismatch: float = 0.0
    notes: tuple[str, ...] = ()


def keys_of(spots: Mapping[str, Column], n_spots: int) -> SpotKeys:
    """Keys of the spots of an array, from its columns ``Block``, ``Row``, ``Column`` and ``ID``."""
    return SpotKeys(n_spots, spots.get("Block"), spots.get("Row"), spots.get("Column"), spots.get("ID"))


def compare(
    reference: SpotKeys, other: SpotKeys, file: str, align: str = "strict", reference_file: str = "the first file"
) -> Alignment:
    """Compare the spots of an array with those of the reference.

    Parameters
    ----------
    reference, other
        Keys of the two arrays.
    file, reference_file
        Names for messages.
    align
        ``strict`` refuses an array of another print run; ``id`` and ``union`` do not.

    Raises
    ------
    LayoutError
        Under ``strict``: more than 5 % of the common positions have another ID, or the two files do not have the same
        of Block, Row and Column. Always: nothing tells the spots apart and their number differs.

    Examples
    --------
    >>> one = SpotKeys(2, id=np.array([b"x", b"y"]))
    >>> compare(one, SpotKeys(2, id=np.array([b"y", b"x"])), "b.gpr").order
    array([1, 0])
    """
    if same_keys(reference, other):
        return Alignment(True)
    have_id = _have_id([reference, other])
    joined = align != "strict" and have_id
    if reference.titles != other.titles or not (reference.titles or have_id):
        if not joined:
            raise _incomparable(reference, other, file, reference_file)
        return _joined_by_id(reference, other, file, align, reference_file)
    one, two = _keyed([reference, other])
    rank_one, rank_two = np.argsort(one), np.argsort(two)
    if np.array_equal(one[rank_one], two[rank_two]):
        order = np.empty(other.size, np.int64)
        order[rank_one] = rank_two
        if np.array_equal(order, np.arange(order.size)):  # same spots, an ID column in one file only
            return Alignment(False, order, notes=_unnamed(reference, other, file, reference_file))
        note = f"{file}: the spots stand in another order than in {reference_file}; they were re-ordered"
        return Alignment(False, order, notes=(note, *_unnamed(reference, other, file, reference_file)))
    if joined:
        return _joined_by_id(reference, other, file, align, reference_file)
    missing, extra = int((~np.isin(one, two)).sum()), int((~np.isin(two, one)).sum())
    share, sentence = _mismatch(reference, other, missing, extra)
    if align == "strict" and share > OTHER_PRINT_RUN:
        raise LayoutError(
            f"the spots are not those of {reference_file}: another print run",
            file=file,
            found=sentence,
            hint=f"Leave it out, or join with {option_value('align', 'id')} or {option_value('align', 'union')}",
        )
    notes = list(_unnamed(reference, other, file, reference_file))
    if share and reference.titles:
        notes.append(f"{file}: {sentence}; these are kept as spots of their own")
    if missing:
        of = f"{missing} of the {reference.size} spots of {reference_file}"
        notes.append(f"{file}: {of} are missing; their cells stay empty")
    if extra:
        notes.append(f"{file}: {extra} spots are not in {reference_file}; they have rows of their own")
    return Alignment(False, None, missing, extra, share, tuple(notes))


def _joined_by_id(reference: SpotKeys, other: SpotKeys, file: str, align: str, reference_file: str) -> Alignment:
    """The comparison as ``union`` will join the arrays: spots that stand elsewhere are the same spots."""
    one, two = _keyed_by_id([reference, other])
    share = _mismatch(reference, other, 0, 0)[0] if reference.titles and reference.titles == other.titles else 0.0
    missing, extra = int((~np.isin(one, two)).sum()), int((~np.isin(two, one)).sum())
    left_out = "the table has what is in all files, and leaves them out"
    notes = []
    if missing:
        of = f"{missing} of the {reference.size} spots of {reference_file}"
        notes.append(f"{file}: {of} are missing; {left_out if align == 'id' else 'their cells stay empty'}")
    if extra:
        own = left_out if align == "id" else "they have rows of their own"
        notes.append(f"{file}: {extra} spots are not in {reference_file}; {own}")
    return Alignment(False, None, missing, extra, share, tuple(notes))


def union(keys: Sequence[SpotKeys], align: str = "strict") -> tuple[SpotKeys, tuple[IntArray, ...]]:
    """The rows of one table for many arrays.

    Rows stand in layout order (block, row, column), spots of one position in the order first seen; without
    positions in file order.

    Parameters
    ----------
    keys
        Keys of every array.
    align
        ``strict``: every spot of any array, known by its whole key. ``id``: spots whose ID all arrays have, paired by
        (ID, occurrence in layout order). ``union``: every ID of any array, paired the same way.

    Returns
    -------
    Keys of the rows, and for each array int64 (row,): its spot, -1 where it has none.

    Raises
    ------
    LayoutError
        An array has no ID under ``id`` or ``union``, or the arrays cannot be compared.
    """
    if align not in ALIGN:
        raise OptionError(f"unknown value of {option_word('align')}", found=repr(align), expected=", ".join(ALIGN))
    distinct: list[SpotKeys] = []
    which = []
    for candidate in keys:
        known = next((k for k, seen in enumerate(distinct) if same_keys(seen, candidate)), None)
        which.append(len(distinct) if known is None else known)
        if known is None:
            distinct.append(candidate)
    if align == "strict":
        for other in distinct[1:]:
            if other.titles != distinct[0].titles or not (other.titles or _have_id(distinct)):
                raise _incomparable(distinct[0], other, "", "the first file")
        codes = _keyed(distinct)
    elif _have_id(distinct):
        codes = _keyed_by_id(distinct)
    else:
        raise LayoutError(f"{option_value('align', align)} needs an ID column in every file")
    table, index = _joined(distinct, codes, common=align == "id")
    return table, tuple(index[k] for k in which)


def same_keys(one: SpotKeys, two: SpotKeys) -> bool:
    """Whether all key columns are equal, compared as bytes."""
    if one is two:
        return True
    if one.size != two.size:
        return False
    for mine, other in zip((*_columns(one),), (*_columns(two),), strict=True):
        if (mine is None) != (other is None):
            return False
        if mine is not None and other is not None and mine is not other and not np.array_equal(mine, other):
            return False
    return True


def _columns(keys: SpotKeys) -> tuple[Column | None, ...]:
    return keys.block, keys.row, keys.column, keys.id


def _have_id(keys: Sequence[SpotKeys]) -> bool:
    return all(one.id is not None for one in keys)


def _keyed(keys: Sequence[SpotKeys]) -> list[IntArray]:
    """One number per spot: equal across arrays exactly where the whole keys are equal. IDs count if all have them."""
    with_id = _have_id(keys)
    return _numbered([[*one.place, *([one.id] if with_id and one.id is not None else [])] for one in keys])


def _keyed_by_id(keys: Sequence[SpotKeys]) -> list[IntArray]:
    """The same for (ID, occurrence), occurrences counted in layout order."""
    codes = codes_of([[one.id] for one in keys if one.id is not None])
    counted = []
    for one, code in zip(keys, codes, strict=True):
        order = _layout_order(one)
        occurrence = np.empty(one.size, np.int64)
        occurrence[order] = _occurrence(code[order])
        counted.append(occurrence)
    return codes_of([[code, count] for code, count in zip(codes, counted, strict=True)])


def _numbered(tables: Sequence[Sequence[Column]]) -> list[IntArray]:
    codes = codes_of(tables)
    return codes_of([[code, _occurrence(code)] for code in codes])


def codes_of(tables: Sequence[Sequence[Column]]) -> list[IntArray]:
    """One number per row of several tables with the same columns: equal exactly where rows are equal.

    Ordered like the rows where all columns are integers.
    """
    lengths = [len(table[0]) for table in tables]
    code = np.zeros(sum(lengths), np.int64)
    span = 1
    for columns in zip(*tables, strict=True):
        values = np.concatenate(columns) if len(columns) > 1 else columns[0]
        if values.dtype.kind == "S":
            part, width = _factor(values)
        else:
            low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
            part, width = (values - low, high - low + 1) if high - low < 2**31 else _factor(values)
        if span * width >= 2**62:
            code, span = _factor(code)
        code = code * width + part
        span *= width
    return np.split(code, np.cumsum(lengths)[:-1])


def _factor(values: Column) -> tuple[IntArray, int]:
    distinct, inverse = np.unique(values, return_inverse=True)
    return inverse.astype(np.int64, copy=False), max(1, distinct.size)


def _occurrence(code: IntArray) -> IntArray:
    """How many earlier rows have the same code."""
    if code.size == 0 or np.all(code[1:] > code[:-1]):
        return np.zeros(code.size, np.int64)
    order = np.argsort(code, kind="stable")
    ordered = code[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    count = np.empty(code.size, np.int64)
    count[order] = np.arange(code.size) - np.repeat(starts, np.diff(np.append(starts, code.size)))
    return count


def _layout_order(keys: SpotKeys) -> IntArray:
    place = keys.place
    return np.lexsort(place[::-1]) if place else np.arange(keys.size)


def _joined(keys: Sequence[SpotKeys], codes: list[IntArray], common: bool) -> tuple[SpotKeys, list[IntArray]]:
    every = np.concatenate(codes)
    distinct, first = np.unique(every, return_index=True)
    if common:
        shared = np.ones(distinct.size, np.bool_)
        for code in codes:
            shared &= np.isin(distinct, code)
        distinct, first = distinct[shared], first[shared]
    titles = keys[0].titles if all(one.titles == keys[0].titles for one in keys) else ()
    columns = {title: np.concatenate([getattr(one, title) for one in keys])[first] for title in titles}
    order = np.lexsort((first, *(columns[title] for title in reversed(titles))))
    ids = None
    if any(one.id is not None for one in keys):
        every_id = [one.id if one.id is not None else np.zeros(one.size, "S1") for one in keys]
        ids = np.concatenate(every_id)[first[order]]
    table = SpotKeys(order.size, **{title: column[order] for title, column in columns.items()}, id=ids)
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    index = []
    for code in codes:
        spot = np.full(order.size, -1, np.int64)
        slot = np.minimum(np.searchsorted(distinct, code), max(0, distinct.size - 1))
        kept = np.flatnonzero(distinct[slot] == code) if distinct.size else np.empty(0, np.int64)
        spot[place[slot[kept]]] = kept
        index.append(spot)
    return table, index


def _mismatch(reference: SpotKeys, other: SpotKeys, missing: int, extra: int) -> tuple[float, str]:
    """Share of common positions with another ID, and the sentence that names the first three."""
    if reference.id is None or other.id is None:
        return 0.0, ""
    if not reference.titles:
        # Without positions: strangers on both sides; rows that one side merely lacks are no other print run.
        share = min(missing / reference.size, extra / other.size)
        strangers = np.flatnonzero(~np.isin(other.id, reference.id))[:3]
        examples = ", ".join(_text(other.id[k]) for k in strangers)
        return share, f"{extra} of {other.size} IDs are not there, such as {examples}"
    one, two = codes_of([reference.place, other.place])
    _, mine, theirs = np.intersect1d(one, two, return_indices=True)
    if mine.size == 0:
        return 1.0, "no position in common"
    named, wanted = other.id[theirs], reference.id[mine]
    different = np.flatnonzero(named != wanted)
    share = different.size / mine.size
    different = different[np.argsort(mine[different], kind="stable")]
    first = ", ".join(
        f"{reference.describe(int(mine[k]))}: {_text(named[k])} instead of {_text(wanted[k])}" for k in different[:3]
    )
    return share, f"another ID at {different.size} of {mine.size} common positions ({first})"


def _unnamed(reference: SpotKeys, other: SpotKeys, file: str, reference_file: str) -> tuple[str, ...]:
    if (reference.id is None) == (other.id is None):
        return ()
    without = file if other.id is None else reference_file
    return (f"{file}: {without} has no ID column; spots are matched by position alone",)


def _incomparable(reference: SpotKeys, other: SpotKeys, file: str, reference_file: str) -> LayoutError:
    def has(keys: SpotKeys) -> str:
        titles = [*(name.capitalize() for name in keys.titles), *([] if keys.id is None else ["ID"])]
        return f"{keys.size} spots with " + (", ".join(titles) or "neither position nor ID")

    return LayoutError(
        f"the spots cannot be compared with those of {reference_file}",
        file=file or None,
        found=has(other),
        expected=has(reference),
        hint=f"Join by ID on purpose with {option_value('align', 'id')}, or leave the file out",
    )


def examples(keys: SpotKeys, rows: IntArray, old: Column, new: Column) -> str:
    first = ", ".join(f"{keys.describe(int(k))}: {_text(old[k])}, GAL {_text(new[k])}" for k in rows[:3])
    return f"{rows.size} spot{'s' if rows.size > 1 else ''} ({first})"


def _text(cell: bytes) -> str:
    return repr(cell.decode("utf-8", "replace"))
