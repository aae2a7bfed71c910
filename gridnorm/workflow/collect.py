"""Many arrays into one set: rows in layout order, nothing lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.align import keys_of, union
from gridnorm.arrays.arrayset import ArraySet, Origin
from gridnorm.arrays.raw import Column
from gridnorm.arrays.stack import same_kind, stack
from gridnorm.provenance import InputDigest
from gridnorm.workflow.plan import Plan
from gridnorm.workflow.unit import Reference

Rows = NDArray[np.int64] | None  # for each row of the table the spot of the array, −1: none; None: all, in this order


def collect(
    sets: Sequence[ArraySet], plan: Plan, extra: Sequence[InputDigest] = (), failed: Sequence[tuple[str, str]] = ()
) -> ArraySet:
    """Put the arrays of a run beside one another.

    Spots that an array lacks are NaN, with a warning that counts them.

    Parameters
    ----------
    sets
        Sets of one array each, as units make them.
    plan
        The plan they come from.
    extra
        Files that were read beside the arrays.
    failed
        Names of arrays that failed, and why.

    Raises
    ------
    OptionError
        Arrays of different channels.
    LayoutError
        Arrays whose spots cannot be compared.
    """
    same_kind(sets)
    spots, index, warnings = _rows(sets, plan)
    keep = tuple(plan.settings.keep)
    weighted = any(one.spot_weights is not None for one in sets)
    done = stack([_moved(one, at, weighted) for one, at in zip(sets, index, strict=True)])
    return replace(
        done,
        columns=spots,
        layout=plan.reference.layout if plan.reference else done.layout,
        targets=_targets_of(done.names, plan),
        keep=keep,
        origin=Origin(tuple(extra), plan.skipped, tuple(failed)),
        warnings=(*plan.warnings, *done.warnings, *warnings),
    )


def _targets_of(names: Sequence[str], plan: Plan) -> dict[str, list[str]]:
    """Cells of the targets table for the arrays that came out."""
    place = {task.name: k for k, task in enumerate(plan.tasks)}
    if not plan.targets:
        return {}
    return {title: [cells[place[name]] for name in names] for title, cells in plan.targets.items()}


def _rows(sets: Sequence[ArraySet], plan: Plan) -> tuple[dict[str, Column], list[Rows], list[str]]:
    """Spot columns of the table, where each array's spots go, and sentences about spots that an array lacks."""
    reference = plan.reference
    shared = [i for i, one in enumerate(sets) if reference is not None and not one.columns]
    if reference is not None and len(shared) == len(sets) and _in_layout_order(reference):
        return reference.spots, [None] * len(sets), []
    sources: list[tuple[dict[str, Column], Sequence[int]]] = []
    keys = []
    if shared and reference is not None:
        keys.append(reference.keys)
        sources.append((reference.spots, shared))
    for i, one in enumerate(sets):
        if i not in shared:
            keys.append(keys_of(one.columns, one.n_spots))
            sources.append((dict(one.columns), [i]))
    joined, places = union(keys, plan.settings.align)
    index: list[Rows] = [None] * len(sets)
    for (_, members), place in zip(sources, places, strict=True):
        for i in members:
            index[i] = place
    warnings = _absent(sets, index, joined.size) if len(keys) > 1 else []
    return _merged([spots for spots, _ in sources], places), index, warnings


def _moved(one: ArraySet, at: Rows, weighted: bool) -> ArraySet:
    """The same array with its spots in the rows of the table; with weights, where some array of the table has any."""
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


def _absent(sets: Sequence[ArraySet], index: Sequence[Rows], rows: int) -> list[str]:
    out = []
    for one, at in zip(sets, index, strict=True):
        missing = 0 if at is None else int(np.count_nonzero(at < 0))
        if missing:
            file = one.records[0].file
            out.append(f"{file}: {missing} of {rows} spots of the table are not in this file; their cells are empty")
    return out
