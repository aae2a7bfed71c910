"""Identifiers from a GAL: it is the authority for what was printed where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from gridnorm.arrays.align import PLACE, SpotKeys, codes_of, examples, keys_of
from gridnorm.arrays.raw import Column, RawArray
from gridnorm.errors import LayoutError, option_word


class SpotList(Protocol):
    """What :func:`annotate` needs of a GAL."""

    @property
    def name(self) -> str: ...
    @property
    def spots(self) -> Mapping[str, Column]: ...


def annotate(raw: RawArray, gal: SpotList) -> RawArray:
    """The array with ID, Name and further columns from a GAL, matched by Block, Row and Column.

    The GAL is the authority: where the file has another ID or Name the GAL's is taken, with a warning. Spots that the
    GAL does not list keep what they have.

    Raises
    ------
    LayoutError
        The array has no Block, Row and Column, or the GAL lists none of its spots.
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
    if not known.any():
        what = f"{gal.name} lists none of the spots"
        raise LayoutError(what, file=raw.name, found=mine.describe(0), hint="Is it the GAL of this print?")
    spots, notes = dict(raw.spots), []
    for title in [title for title in gal.spots if title not in ("Block", "Row", "Column")]:
        named = gal.spots[title][spot]
        old = spots.get(title)
        if old is not None and (old.dtype.kind == "S") != (named.dtype.kind == "S"):
            continue  # the file's own measurements under the same title
        if old is None:
            old = np.full(raw.n_spots, b"" if named.dtype.kind == "S" else np.nan, named.dtype)
        elif title in ("ID", "Name"):
            other = np.flatnonzero(known & (old != named) & (old != b""))
            if other.size:
                where = examples(mine, other, old, named)
                notes.append(f"{raw.name}: {title} differs from {gal.name} in {where}; the GAL's is used")
        else:
            continue
        spots[title] = np.where(known, named, old)
    if not known.all():
        notes.append(f"{raw.name}: {int((~known).sum())} spots are not in {gal.name}; they keep the ID of the file")
    return replace(raw, spots=spots).with_warnings(*notes)
