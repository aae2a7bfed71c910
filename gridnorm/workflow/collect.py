"""Many arrays into one set: rows in layout order, nothing lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from gridnorm.arrays.align import keys_of, union
from gridnorm.arrays.arrayset import ArraySet, Origin
from gridnorm.arrays.join import Rows, covering, merged, stacked
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import Column
from gridnorm.arrays.record import ArrayRecord
from gridnorm.arrays.stack import same_kind
from gridnorm.plain import recorded, some
from gridnorm.provenance import InputDigest, twins
from gridnorm.workflow.plan import Plan
from gridnorm.workflow.unit import Reference


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
    known = [_shared_by(one, plan.reference) for one in sets]
    spots, index, warnings = _rows(sets, known, plan)
    done = stacked(sets, index)
    return replace(
        done,
        columns=spots,
        layout=_layout(sets, known, plan.reference),
        targets=_targets_of(sets, plan),
        keep=tuple(plan.settings.keep),
        origin=Origin(tuple(extra), plan.skipped, tuple(failed)),
        # What concerns a table that all arrays share is said once.
        warnings=tuple(dict.fromkeys((*plan.warnings, *done.warnings, *warnings, *_twins(sets)))),
    )


def kept(arrays: ArraySet) -> ArraySet:
    """The set as it is kept, with files by their names in records wherever it names one: the run is over."""
    layouts: dict[int, Layout] = {}

    def layout_of(one: Layout | None) -> Layout | None:
        if one is None or not any(recorded(text) != text for text in one.warnings):
            return one
        return layouts.setdefault(id(one), replace(one, warnings=tuple(map(recorded, one.warnings))))

    def digest_of(one: InputDigest | None) -> InputDigest | None:
        return one and one._replace(name=recorded(one.name))

    def record_of(one: ArrayRecord) -> ArrayRecord:
        warnings = tuple(map(recorded, one.warnings))
        scans = tuple(s._replace(file=recorded(s.file), digest=digest_of(s.digest)) for s in one.scans)
        return one._replace(
            file=recorded(one.file), layout=layout_of(one.layout), digest=digest_of(one.digest), warnings=warnings,
            scans=scans,
        )  # fmt: skip

    skipped = tuple((recorded(file), reason) for file, reason in arrays.origin.skipped)
    return replace(
        arrays, layout=layout_of(arrays.layout), records=tuple(map(record_of, arrays.records)),
        warnings=tuple(map(recorded, arrays.warnings)), origin=arrays.origin._replace(skipped=skipped),
    )  # fmt: skip


def _twins(sets: Sequence[ArraySet]) -> list[str]:
    """That files have the same content; the parts of a file are one file."""
    whole: dict[str, InputDigest] = {}
    for one in sets:
        record = one.records[0]
        name = one.names[0].removesuffix(f".{record.part}") if record.part else one.names[0]
        whole.update(measurements(name, record))
    return twins(whole.items())


def measurements(name: str, record: ArrayRecord) -> list[tuple[str, InputDigest]]:
    """What an array was measured in, with the digests: the array itself, or each of its scans by its file."""
    if record.scans:
        return [(recorded(digest.name), digest) for digest in record.digests]
    return [(name, digest) for digest in record.digests]


def _shared_by(one: ArraySet, reference: Reference | None) -> Reference | None:
    """What gives an array its rows; None where it has rows of its own."""
    return None if reference is None or one.columns else reference.of(one.records[0].part)


def _layout(sets: Sequence[ArraySet], known: Sequence[Reference | None], reference: Reference | None) -> Layout | None:
    """The layout of the table: the reference's; of parts one that has a place for all of their spots."""
    if not sets[0].records[0].part:
        return reference.layout if reference else sets[0].layout
    return covering([one.layout if mine is None else mine.layout for one, mine in zip(sets, known, strict=True)])


def _targets_of(sets: Sequence[ArraySet], plan: Plan) -> dict[str, list[str]]:
    """Cells of the targets table for the arrays that came out; parts have those of their file."""
    if not plan.targets:
        return {}
    place = {task.name: k for k, task in enumerate(plan.tasks)}
    named = [(one.names[0], one.records[0].part) for one in sets]
    whole = [name.removesuffix(f".{part}") if part else name for name, part in named]
    return {title: [cells[place[name]] for name in whole] for title, cells in plan.targets.items()}


def _rows(
    sets: Sequence[ArraySet], known: Sequence[Reference | None], plan: Plan
) -> tuple[Mapping[str, Column], list[Rows], list[str]]:
    """Spot columns of the table, where each array's spots go, and sentences about spots that an array lacks."""
    shared = list({id(one): one for one in known if one is not None}.values())
    if len(shared) == 1 and None not in known and _in_layout_order(shared[0]):
        return shared[0].spots, [None] * len(sets), []
    sources: list[tuple[Mapping[str, Column], Sequence[int]]] = []
    keys = []
    for reference in shared:
        keys.append(reference.keys)
        sources.append((reference.spots, [i for i, one in enumerate(known) if one is reference]))
    for i, one in enumerate(sets):
        if known[i] is None:
            keys.append(keys_of(one.columns, one.n_spots))
            sources.append((one.columns, [i]))
    joined, places = union(keys, plan.settings.align)
    index: list[Rows] = [None] * len(sets)
    for (_, members), place in zip(sources, places, strict=True):
        for i in members:
            index[i] = place
    warnings = _absent(sets, index, joined.size) if len(keys) > 1 else []
    return merged([spots for spots, _ in sources], places), index, warnings


def _in_layout_order(reference: Reference) -> bool:
    keys = reference.keys
    if keys.block is None or keys.row is None or keys.column is None:
        return True
    size_row, size_column = 1 + int(keys.row.max(initial=0)), 1 + int(keys.column.max(initial=0))
    place = (keys.block * size_row + keys.row) * size_column + keys.column
    return bool((place[1:] >= place[:-1]).all())


def _absent(sets: Sequence[ArraySet], index: Sequence[Rows], rows: int) -> list[str]:
    """A sentence about the files that lack spots of the table."""
    lacking = {}
    for one, at in zip(sets, index, strict=True):
        # Parts need not have the same spots; what a part lacks beside its like in the first file has been said.
        missing = 0 if at is None or one.records[0].part else int(np.count_nonzero(at < 0))
        if missing:
            lacking[one.records[0].file] = missing
    if not lacking:
        return []
    least, most = min(lacking.values()), max(lacking.values())
    many = f"{least}" if least == most else f"{least} to {most}"
    where = "this file; its" if len(lacking) == 1 else "these files; their"
    return [f"{some(list(lacking))}: {many} of {rows} spots of the table are not in {where} cells are empty"]
