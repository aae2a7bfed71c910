"""Many arrays into one table: rows in layout order, columns per array, nothing lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.align import compare, keys_of, union
from gridnorm.arrays.arrayset import column_title
from gridnorm.arrays.grouping import find_column
from gridnorm.arrays.raw import Column, FloatArray, RawArray
from gridnorm.errors import OptionError
from gridnorm.workflow.one import ArrayResult, Reference
from gridnorm.workflow.plan import Plan

SHOWN = ("Block", "Row", "Column", "ID", "Name")


@dataclass(frozen=True, eq=False)
class ResultTable:
    """The result: spot columns, then one to four number columns per array.

    ``rows`` is the number of spots; ``prefix`` and ``numbers`` map titles to columns of that length.
    """

    rows: int
    prefix: dict[str, Column]
    numbers: dict[str, FloatArray]
    warnings: tuple[str, ...]


def join_results(results: Sequence[ArrayResult], plan: Plan) -> ResultTable:
    """Put the arrays beside one another.

    Spots that an array lacks are empty cells, with a warning that counts them.

    Raises
    ------
    OptionError
        Arrays of one and two channels in one table.
    """
    _same_kind(results)
    spots, index, warnings = _rows(results, plan)
    weighted = any(result.weights is not None for result in results)
    numbers: dict[str, FloatArray] = {}
    for result, at in zip(results, index, strict=True):
        for matrix, values in result.values.items():
            numbers[column_title(matrix, result.name)] = _placed(values, at)
        if weighted:
            weights = result.weights if result.weights is not None else np.ones(result.n_spots)
            numbers[f"W.{result.name}"] = _placed(weights, at)
    titles = [title for title in SHOWN if title in spots]
    titles += [find_column(word, spots, "", "--keep") for word in plan.settings.keep]
    prefix = {title: spots[title] for title in dict.fromkeys(titles)}
    return ResultTable(len(next(iter(numbers.values()))), prefix, numbers, tuple(warnings))


def _same_kind(results: Sequence[ArrayResult]) -> None:
    first = results[0]
    for result in results[1:]:
        if result.values.keys() != first.values.keys():
            found = f"{' '.join(result.values)} in {result.file}, {' '.join(first.values)} in {first.file}"
            raise OptionError(
                "arrays with different channels in one table",
                found=found,
                hint="Run them apart, or choose with --channels",
            )


def _rows(
    results: Sequence[ArrayResult], plan: Plan
) -> tuple[dict[str, Column], list[NDArray[np.int64] | None], list[str]]:
    """Spot columns of the table, and for each array the row that stands there (−1: none; None: all, in this order)."""
    reference = plan.reference
    own = [result for result in results if result.keys is not None]
    if reference is not None and not own and _in_layout_order(reference):
        return reference.spots, [None] * len(results), []
    sources: list[tuple[dict[str, Column], Sequence[int]]] = []
    keys = []
    shared = [i for i, result in enumerate(results) if result.keys is None]
    if shared and reference is not None:
        keys.append(reference.keys)
        sources.append((reference.spots, shared))
    for i, result in enumerate(results):
        if result.keys is not None and result.spots is not None:
            keys.append(result.keys)
            sources.append((result.spots, [i]))
    joined, places = union(keys, plan.settings.align)
    index: list[NDArray[np.int64] | None] = [None] * len(results)
    for (_, members), place in zip(sources, places, strict=True):
        for i in members:
            index[i] = place
    warnings = _absent(results, index, joined.size) if len(keys) > 1 else []
    return _merged([spots for spots, _ in sources], places), index, warnings


def join_spots(results: Sequence[ArrayResult], plan: Plan) -> tuple[dict[str, Column], list[ArrayResult]]:
    """Spot columns of the table, and the arrays with their values brought to its rows."""
    _same_kind(results)
    spots, index, _ = _rows(results, plan)
    moved = []
    for result, at in zip(results, index, strict=True):
        if at is None:
            moved.append(result)
            continue
        weights, within = result.weights, result.within
        moved.append(
            replace(
                result,
                within=replace(
                    within,
                    values=np.stack([_placed(row, at) for row in within.values]),
                    start=np.stack([_placed(row, at) for row in within.start]),
                ),
                values={name: _placed(values, at) for name, values in result.values.items()},
                weights=None if weights is None else _placed(weights, at),
                flags=None if result.flags is None else np.where(at >= 0, result.flags[at], 0),
                n_spots=at.size,
            )
        )
    return spots, moved


def align_raw(raws: Sequence[RawArray], plan: Plan) -> list[RawArray]:
    """Raw arrays with the same spots in the same rows: layout order, NaN where a file lacks a spot.

    Raises
    ------
    LayoutError
        A file is another print run (``compare``).
    """
    reference = plan.reference
    assert reference is not None
    keys = [keys_of(raw) for raw in raws]
    alignments = [
        compare(reference.keys, own, raw.name, plan.settings.align, reference.file)
        for raw, own in zip(raws, keys, strict=True)
    ]
    if all(alignment.identical for alignment in alignments) and _in_layout_order(reference):
        return list(raws)
    _, places = union(keys, plan.settings.align)
    spots = _merged([raw.spots for raw in raws], places)
    out = []
    for raw, at, alignment in zip(raws, places, alignments, strict=True):
        flags = None if raw.flags is None else np.where(at >= 0, raw.flags[at], 0)
        background = None if raw.background is None else _moved(raw.background, at)
        moved = replace(raw, foreground=_moved(raw.foreground, at), background=background, spots=spots, flags=flags)
        out.append(moved.with_warnings(*alignment.notes))
    return out


def _moved(rows: FloatArray, at: NDArray[np.int64]) -> FloatArray:
    return np.stack([_placed(row, at) for row in rows])


def _in_layout_order(reference: Reference) -> bool:
    keys = reference.keys
    if keys.block is None or keys.row is None or keys.column is None:
        return True
    size_row, size_column = 1 + int(keys.row.max(initial=0)), 1 + int(keys.column.max(initial=0))
    place = (keys.block * size_row + keys.row) * size_column + keys.column
    return bool((place[1:] >= place[:-1]).all())


def _merged(tables: list[dict[str, Column]], places: Sequence[NDArray[np.int64]]) -> dict[str, Column]:
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


def _placed(values: FloatArray, at: NDArray[np.int64] | None) -> FloatArray:
    if at is None:
        return values
    return np.where(at >= 0, values[at], np.nan)


def _absent(results: Sequence[ArrayResult], index: Sequence[NDArray[np.int64] | None], rows: int) -> list[str]:
    out = []
    for result, at in zip(results, index, strict=True):
        missing = 0 if at is None else int(np.count_nonzero(at < 0))
        if missing:
            out.append(
                f"{result.file}: {missing} of {rows} spots of the table are not in this file; their cells are empty"
            )
    return out
