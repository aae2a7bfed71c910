"""One array into several: every group of spots an array of its own, for slides that hold several samples.

A spot of a part is known by its place *inside* the part, so the parts of a slide have rows in common: blocks are
numbered from 1 within the part, and where parts share a block, its rows and columns are too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gridnorm.arrays.align import ALIGN, PLACE, codes_of, keys_of
from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.grouping import SPLIT, SPLITS, WHOLE, find_column
from gridnorm.arrays.join import join, moved, unique_among
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.positions import block_extents
from gridnorm.arrays.raw import Column, IntArray, RawArray, measures_of
from gridnorm.arrays.record import ArrayRecord, record_of
from gridnorm.core.fit import median_of
from gridnorm.core.segments import NONE_LABEL, Segments, distinct
from gridnorm.errors import LayoutError, OptionError, option_value, option_word
from gridnorm.plain import few

LEAST_SPOTS = 5  # that most parts must have: as many as the smallest group with a location of its own
SHOWN_CONTENTS = 4  # of the parts of a file, in a message


class Piece(NamedTuple):
    """An array, or the part of one; ``rows`` are its spots in the whole array.

    ``split`` and ``label`` say which part it is (``block``, ``3``); of a whole array they are empty and ``layout`` is
    not known yet.
    """

    raw: RawArray
    rows: IntArray | None = None
    split: str = ""
    label: str = ""
    layout: Layout | None = None

    def record(self, known: ArrayRecord) -> ArrayRecord:
        """The record of the part, from what is known of its spots and of the whole array's making."""
        if not self.label:
            return known
        history = known.history.then("split", split=self.split)
        return known._replace(split=self.split, part=self.label, history=history)


def split(arrays: ArraySet, by: Any = "block", *, align: str | None = None) -> ArraySet:
    """Every group of spots an array of its own, named ``<array>.<label>``.

    Parameters
    ----------
    arrays
        Arrays whose slides hold several samples.
    by
        ``block``, ``pad`` (sub-arrays that wide gaps set apart), a spot column, or one label for every spot as
        `normalize` takes them.
    align
        How rows of the parts are matched: ``strict`` by place within the part and ID, ``id`` and ``union`` by ID;
        None: as the files were.

    Returns
    -------
    ArraySet
        A row for each place within the parts and ID. Spots that a part does not have are missing and marked in
        ``absent``.

    Raises
    ------
    OptionError
        No such column, groups too small to be arrays, or parts that would be split again.
    LayoutError
        ``pad`` without positions.

    Examples
    --------
    >>> import gridnorm as gn
    >>> arrays = gn.simulate(1, blocks=(2, 2), spots=(10, 10), same_probes=True, channels=1, seed=1).arrays
    >>> parts = gn.split(arrays, by="block")
    >>> parts.names, parts.E.shape
    (('array1.1', 'array1.2', 'array1.3', 'array1.4'), (100, 4))
    """
    from gridnorm.arrays.given import as_arrays, with_labels

    arrays, by = with_labels(as_arrays(arrays), by, "split")
    return join_parts([one for *_, one in split_sets(arrays, by)], arrays, align)


def join_parts(sets: Sequence[ArraySet], whole: ArraySet, align: str | None = None) -> ArraySet:
    """Parts beside one another, in a set that is otherwise like the one that they come from."""
    done = join(sets, align or str(whole.record(0).history.parameters().get("align", ALIGN[0])))
    new = [text for text in done.warnings if text not in set(whole.warnings)]
    return replace(done, keep=whole.keep, origin=whole.origin, warnings=(*whole.warnings, *new))


def split_sets(arrays: ArraySet, by: str, tips: bool = False) -> list[tuple[int, IntArray, ArraySet]]:
    """Which array, which of its spots, and the set of one that they make, with spot columns of its own."""
    out = []
    for index, name in enumerate(arrays.names):
        one, record = arrays.part(index), arrays.record(index)
        if record.part:
            raise OptionError(
                "these arrays are parts already", found=option_value("split", record.split),
                expected="whole arrays", hint="Read them again to split them otherwise",
            )  # fmt: skip
        raw = arrays.spots_of(index)
        for piece in split_raw(raw, arrays.layout if raw.absent is None else record.layout, by, tips):
            found = record_of(piece.raw, piece.layout)
            said = (*record.warnings, *found.warnings)
            known = record._replace(
                spots=found.spots, flagged=found.flagged, missing=found.missing, infinite=0, types=found.types
            )
            known = piece.record(known._replace(layout=piece.layout, warnings=said))
            assert piece.rows is not None
            part = replace(
                moved(replace(one, fits=()), piece.rows), names=(f"{name}.{piece.label}",), columns=piece.raw.spots,
                layout=piece.layout, history=known.history, records=(known,), warnings=known.warnings,
            )  # fmt: skip
            out.append((index, piece.rows, part))
    return out


def split_raw(raw: RawArray, layout: Layout | None, by: str, tips: bool = False) -> list[Piece]:
    """The parts of one array, in the order of their labels; each knows of the doubts about all of them.

    Parameters
    ----------
    raw
        The array; spots that it lacks are in no part.
    layout
        Where its blocks lie, or None.
    by
        ``block``, ``pad``, or a spot column.
    tips
        Whether somebody asked for groups by print-tip, of which a part may have one only.

    Raises
    ------
    OptionError, LayoutError
    """
    here = np.arange(raw.n_spots) if raw.absent is None else np.flatnonzero(~raw.absent)
    columns = {title: column[here] for title, column in raw.spots.items()}
    word, labels = _labels(by, columns, layout, raw.name)
    groups = Segments.from_labels(labels)
    notes = _checked(groups, by, word, raw)
    texts = _texts(groups.labels)
    places = _renumbered(columns, groups, layout)
    rows = [_in_order(places.columns, group) for group in np.split(groups.order, groups.offsets[1:-1])]
    found = [{title: column[row] for title, column in places.columns.items()} for row in rows]
    notes += _contents(found, word, texts, raw.name)
    if tips and len(found) > 1 and all("Block" not in one or (one["Block"] == one["Block"][0]).all() for one in found):
        notes.append(f"{raw.name}: every part is one block, so that by print-tip its spots are one group, the array")
    told = "" if layout is None else f"one of {len(rows)} parts, by {word}, of {layout.describe()}"
    pieces = []
    for row, spots, label in zip(rows, found, texts, strict=True):
        part = _taken(raw, here[row], spots, f"{raw.name} {word} {label}", notes)
        place = None if layout is None else _layout_of(layout, spots, places, row, told)
        pieces.append(Piece(part, here[row], word, label, place))
    return pieces


def _taken(raw: RawArray, rows: IntArray, spots: dict[str, Column], name: str, notes: Sequence[str]) -> RawArray:
    """Some spots of an array, with columns of their own."""
    fore = raw.foreground[:, rows]
    back = None if raw.background is None else raw.background[:, rows]
    nothing = int(np.isnan(fore).sum()) + (0 if back is None else int(np.isnan(back).sum()))
    return replace(
        raw, name=name, part_of=raw.name, foreground=fore, background=back, spots=spots, missing=nothing, infinite=0,
        measures=measures_of(raw, rows),
        absent=None, flags=None if raw.flags is None else raw.flags[rows], warnings=(*raw.warnings, *notes),
    )  # fmt: skip


def _labels(by: str, columns: Mapping[str, Column], layout: Layout | None, file: str) -> tuple[str, Column]:
    """What the groups are called in messages, and the label of every spot."""
    if by not in SPLITS:
        word = find_column(by, columns, file, "split")
        return word, columns[word]
    if by == WHOLE:
        raise OptionError(f"there is nothing to split by in {option_value('split', by)}", expected=SPLIT.expected)
    if "Block" not in columns or (by == "pad" and layout is None):
        raise LayoutError(
            f"{option_value('split', by)} needs the blocks of the slide", file=file,
            found="no Block, Row and Column columns" if by == "pad" else "no Block column",
            hint=f"Name them with {option_word('columns')}, or split by a spot column",
        )  # fmt: skip
    if by == "block" or layout is None:
        return by, columns["Block"]
    return by, layout.pad_of_block[np.searchsorted(layout.blocks, columns["Block"])]


def _texts(labels: Sequence[Any]) -> list[str]:
    """Labels as names of arrays end in them: one line each, no two alike."""
    out: dict[str, None] = {}
    for label in labels:
        whole = isinstance(label, float) and label.is_integer()
        text = " ".join(str(int(label) if whole else label).split()) or NONE_LABEL
        out[unique_among(out, text)] = None
    return list(out)


def _checked(groups: Segments, by: str, word: str, raw: RawArray) -> list[str]:
    """Doubts about the groups.

    Raises
    ------
    OptionError
        Most of them are too small to be arrays.
    """
    file, n = raw.name, groups.n_segments
    if median_of(groups.sizes.astype(np.float64)) < LEAST_SPOTS:
        raise OptionError(
            f"the groups of {option_value('split', by)} are too small to be arrays", file=file,
            found=f"{n} groups for {groups.n_items} spots",
            expected=f"{LEAST_SPOTS} spots or more in most of them",
            hint=f"Split by what tells samples apart; {option_word('by')} groups spots within an array",
        )  # fmt: skip
    notes = []
    if raw.infinite:
        notes.append(f"{file}: {raw.infinite} infinite intensities are missing in the result")
    if n == 1:
        notes.append(f"{file}: all spots are of one {word}; split makes one array of them")
    elif groups.labels[-1] == NONE_LABEL:
        notes.append(f"{file}: {groups.sizes[-1]} spots have no {word}; they are the part {NONE_LABEL}")
    return notes


class _Places(NamedTuple):
    """Spot columns with places within the parts; ``block`` (spot,): which block of the layout, from 0, a spot is in.

    ``shared``: whether parts have blocks in common.
    """

    columns: dict[str, Column]
    block: IntArray
    shared: bool


def _renumbered(columns: dict[str, Column], groups: Segments, layout: Layout | None) -> _Places:
    size = groups.n_items
    block = columns.get("Block", np.ones(size, np.int64)).astype(np.int64)
    blocks, at = distinct(block)
    pairs, pair = distinct(groups.codes * blocks.size + at)
    part, place = pairs // blocks.size, pairs % blocks.size
    first = np.searchsorted(part, part)  # of the pairs of its part
    number = 1 + np.arange(pairs.size) - first
    if layout is not None:
        # It may have blocks of which there are no spots here.
        known = np.searchsorted(layout.blocks, blocks)
        number = _by_place(part, layout.block_row[known[place]], layout.block_column[known[place]], number)
    out = dict(columns)
    if "Block" in columns:
        out["Block"] = number[pair]
    shared = pairs.size > blocks.size
    if shared and "Row" in columns and "Column" in columns:
        for title in ("Row", "Column"):
            least = np.full(pairs.size, np.iinfo(np.int64).max)
            np.minimum.at(least, pair, columns[title])
            out[title] = columns[title] - least[pair] + 1
    return _Places(out, at if layout is None else known[at], shared)


def _by_place(part: IntArray, row: IntArray, column: IntArray, rank: IntArray) -> IntArray:
    """Numbers of blocks by their place in the part, so that one that a part lacks leaves a gap.

    Only where the parts are arranged alike: each is some of the places of the largest. Else by rank.
    """
    top, left = (_lowest(part, line) for line in (row, column))
    row, column = row - top[part], column - left[part]
    places, number = distinct(row * (int(column.max(initial=0)) + 1) + column)
    return number + 1 if places.size == int(rank.max(initial=0)) else rank


def _lowest(part: IntArray, values: IntArray) -> IntArray:
    least = np.full(int(part.max(initial=0)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, part, values)
    return least


def _in_order(columns: Mapping[str, Column], rows: IntArray) -> IntArray:
    """Rows of a part in layout order; as in the file where there are no places."""
    titles = [title.capitalize() for title in PLACE if title.capitalize() in columns]
    if not titles:
        return rows
    ordered: IntArray = rows[np.lexsort([columns[title][rows] for title in reversed(titles)])]
    return ordered


def _contents(parts: Sequence[Mapping[str, Column]], word: str, labels: Sequence[str], file: str) -> list[str]:
    """A sentence where the parts do not all have the same spots."""
    if len(parts) == 1:
        return []
    keys = [keys_of(spots, len(next(iter(spots.values()), ()))) for spots in parts]
    tables = [[*one.place, *([] if one.id is None else [one.id]), one.occurrence] for one in keys]
    codes = codes_of(tables)
    members: dict[bytes, list[int]] = {}
    for k, code in enumerate(codes):
        members.setdefault(np.sort(code).tobytes(), []).append(k)
    if len(members) == 1:
        return []
    told = []
    for alike in list(members.values())[:SHOWN_CONTENTS]:
        shown = few(labels[k] for k in alike)
        told.append(
            f"{len(alike)} part{'s' if len(alike) > 1 else ''} of {codes[alike[0]].size} spots ({word} {shown})"
        )
    more = f" and {len(members) - SHOWN_CONTENTS} more" if len(members) > SHOWN_CONTENTS else ""
    rows = distinct(np.concatenate(codes))[0].size
    return [
        f"{file}: parts by {word} hold different spots: {'; '.join(told)}{more}; of the {rows} rows, those that a part "
        "does not have are empty"
    ]


def _layout_of(whole: Layout, spots: Mapping[str, Column], places: _Places, rows: IntArray, told: str) -> Layout:
    """The layout of the part that these rows are."""
    block, row, column = (spots[title].astype(np.int64) for title in ("Block", "Row", "Column"))
    numbers, index, seen = block_extents(block, row, column)
    old = np.empty(numbers.size, np.int64)
    old[index] = places.block[rows]
    full = np.stack([whole.rows_per_block[old], whole.columns_per_block[old]])
    sizes = seen if places.shared else full  # of a block that parts share each has some rows and columns
    down, across = int(sizes[0].max()), int(sizes[1].max())
    grid_row, grid_column = (line[old] - line[old].min() for line in (whole.block_row, whole.block_column))
    grid_rows, grid_columns = int(grid_row.max()) + 1, int(grid_column.max()) + 1
    present = distinct((index * down + row - 1) * across + column - 1)[0].size
    missing = int((sizes[0] * sizes[1]).sum()) - present
    alike = bool((sizes == sizes.max(axis=1, keepdims=True)).all())
    return replace(
        whole, blocks=numbers, grid_rows=grid_rows, grid_columns=grid_columns, block_row=grid_row,
        block_column=grid_column, spot_rows=down, spot_columns=across, rows_per_block=sizes[0],
        columns_per_block=sizes[1], pad_of_block=distinct(whole.pad_of_block[old])[1] + 1,
        evidence=(told, *whole.evidence), complete=alike and missing == 0 and numbers.size == grid_rows * grid_columns,
        missing=missing, warnings=(),
    )  # fmt: skip
