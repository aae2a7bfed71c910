"""Identifiers from a GAL: it is the authority for what was printed where, if it is the GAL of this print run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.align import OTHER_PRINT_RUN, PLACE, IntArray, SpotKeys, codes_of, examples, keys_of
from gridnorm.arrays.layout import BlockRecord
from gridnorm.arrays.positions import block_extents
from gridnorm.arrays.raw import Column, RawArray
from gridnorm.errors import LayoutError, option_word

ENOUGH = 0.5  # of the common positions: fewer IDs of its own than that do not tell of which print run a file is
_HINT = "Give the GAL of this print run, or none"


class SpotList(Protocol):
    """What :func:`annotate` needs of a GAL."""

    @property
    def name(self) -> str: ...
    @property
    def spots(self) -> Mapping[str, Column]: ...
    @property
    def blocks(self) -> Sequence[BlockRecord]: ...


def annotate(raw: RawArray, gal: SpotList) -> RawArray:
    """The array with ID, Name and further columns from a GAL, matched by Block, Row and Column.

    The GAL is held to the rule of files. Where both have IDs (names, if there are no IDs; capitals and blanks aside) at
    most 5 % of them may differ, and one ID more that has another name throughout; the GAL's are taken then, with a
    warning. A file without IDs must have the GAL's geometry. Spots that the GAL does not list keep what they have.

    Raises
    ------
    LayoutError
        The array has no Block, Row and Column, or the GAL is that of another print run.
    """
    mine, listed = (
        keys_of(raw.spots, raw.n_spots),
        SpotKeys(len(gal.spots["Block"]), *(gal.spots[k.capitalize()] for k in PLACE)),
    )
    if mine.titles != PLACE:
        what = "a GAL needs Block, Row and Column in the array file"
        raise LayoutError(what, file=raw.name, hint=f"Name them with {option_word('columns')}")
    here, there = codes_of([mine.place, listed.place])
    distinct, first = np.unique(there, return_index=True)
    spot = first[np.minimum(np.searchsorted(distinct, here), distinct.size - 1)]
    known = there[spot] == here
    notes = _checked(raw, gal, mine, spot, known)
    spots = dict(raw.spots)
    for title in [title for title in gal.spots if title not in ("Block", "Row", "Column")]:
        named = gal.spots[title][spot]
        old = spots.get(title)
        if old is not None and (old.dtype.kind == "S") != (named.dtype.kind == "S"):
            continue  # the file's own measurements under the same title
        taken = known if named.dtype.kind != "S" else known & (named != b"")
        if old is None:
            old = np.full(raw.n_spots, b"" if named.dtype.kind == "S" else np.nan, named.dtype)
        elif title in ("ID", "Name"):
            other = np.flatnonzero(taken & (old != named) & (old != b""))
            if other.size:
                where = examples(mine, other, old, named)
                notes.append(f"{raw.name}: {title} differs from {gal.name} in {where}; the GAL's is used")
        else:
            continue
        spots[title] = np.where(taken, named, old)
    if not known.all():
        notes.append(f"{raw.name}: {int((~known).sum())} spots are not in {gal.name}; they keep the ID of the file")
    lacking = distinct.size - np.unique(here[known]).size
    if lacking:
        notes.append(f"{raw.name}: {lacking} spots of {gal.name} are not in this file")
    return replace(raw, spots=spots).with_warnings(*notes)


def _checked(raw: RawArray, gal: SpotList, mine: SpotKeys, spot: IntArray, known: NDArray[np.bool_]) -> list[str]:
    """A sentence where nothing but the geometry says that it is the GAL of this print run.

    Raises
    ------
    LayoutError
        It is that of another one.
    """
    alike, here, there = _geometries(raw, gal)
    if not known.any():
        raise LayoutError(f"{gal.name} lists none of the spots", raw.name, None, here, there, _HINT)
    title = next((name for name in ("ID", "Name") if _is_text(raw.spots, name) and _is_text(gal.spots, name)), None)
    judged = np.zeros(raw.n_spots, np.bool_)
    if title is not None:
        own, named = raw.spots[title], gal.spots[title][spot]
        judged = known & (own != b"") & (named != b"")
        other = _differing(own, named, judged)
        if other.size > OTHER_PRINT_RUN * judged.sum():
            first = examples(mine, other, own, named)
            raise LayoutError(
                f"the spots are not those of {gal.name}: another print run", raw.name,
                found=f"another {title} in {first} of {int(judged.sum())} common ones"
                + ("" if alike else f", and {here} where the GAL has {there}"), hint=_HINT,
            )  # fmt: skip
    if judged.sum() >= ENOUGH * known.sum():
        return []
    if not alike:
        what = f"the spots are not those of {gal.name}: another geometry"
        raise LayoutError(what, raw.name, None, here, there, _HINT)
    return [f"{raw.name}: no IDs of its own to compare; that {gal.name} is its GAL rests on the geometry alone, {here}"]


def _differing(own: Column, named: Column, judged: NDArray[np.bool_]) -> IntArray:
    """Spots with another ID; one ID may have another name throughout, as ``EMPTY`` for spots of buffer."""
    rows: IntArray = np.flatnonzero(judged & (own != named))
    rows = rows[_folded(own[rows]) != _folded(named[rows])]
    if rows.size == 0:
        return rows
    pair = codes_of([[own[rows], named[rows]]])[0]
    codes, first, counts = np.unique(pair, return_index=True, return_counts=True)
    most = int(counts.argmax())
    here, there = own[rows[first[most]]], named[rows[first[most]]]
    throughout = min(np.count_nonzero(judged & (own == here)), np.count_nonzero(judged & (named == there)))
    if 1 < throughout == counts[most]:
        rows = rows[pair != codes[most]]
    return rows


def _is_text(spots: Mapping[str, Column], title: str) -> bool:
    return title in spots and spots[title].dtype.kind == "S"


def _folded(cells: Column) -> Column:
    return np.char.lower(np.char.strip(cells))


def _geometries(raw: RawArray, gal: SpotList) -> tuple[bool, str, str]:
    """Whether file and GAL have the same blocks, of the sizes of its rows or block records; and both in words."""
    numbers, _, sizes = block_extents(*(raw.spots[key.capitalize()] for key in PLACE))
    listed, _, rows = block_extents(*(gal.spots[key.capitalize()] for key in PLACE))
    records = {one.block: (one.rows, one.columns) for one in gal.blocks}
    stated = np.array([records.get(block, tuple(size)) for block, size in zip(listed.tolist(), rows.T, strict=True)]).T
    alike = np.array_equal(numbers, listed) and bool(((sizes == rows) | (sizes == stated)).all())
    return alike, _in_words(sizes), _in_words(rows)


def _in_words(sizes: NDArray[np.int64]) -> str:
    down, across = sizes.max(axis=1).tolist()
    count = sizes.shape[1]
    upto = "" if bool((sizes == sizes[:, :1]).all()) else "up to "
    return f"{count} block{'' if count == 1 else 's'} of {upto}{down} x {across} spots"
