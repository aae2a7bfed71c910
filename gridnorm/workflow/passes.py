"""A folder run that makes its arrays alike: pass 1 puts their levels into a file, pass 2 writes what became of them.

Memory does not grow with the number of arrays: the levels lie in a temporary file beside the results.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.align import SpotKeys, compare, keys_of
from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.between import BetweenTarget
from gridnorm.arrays.between.rows import Between
from gridnorm.arrays.between.step import Block, with_step
from gridnorm.arrays.grouping import By
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.matrices import LEVELS
from gridnorm.arrays.raw import Column
from gridnorm.errors import LayoutError, option_word
from gridnorm.io.atomic import guard, temporary_in
from gridnorm.provenance import History
from gridnorm.workflow.between import Alike
from gridnorm.workflow.collect import collect
from gridnorm.workflow.plan import Plan
from gridnorm.workflow.settings import Settings
from gridnorm.workflow.unit import Failure, Reference


class SpotOrder(NamedTuple):
    """The order of the spots in the rows of the levels: that of the first file, and how files are compared with it."""

    keys: SpotKeys
    file: str
    align: str

    def of(self, arrays: ArraySet) -> NDArray[np.int64] | None:
        """For each spot of the levels its place in a file that has them in an order of its own; None: the same."""
        mine = keys_of(arrays.columns, arrays.n_spots)
        return compare(self.keys, mine, arrays.record(0).file, self.align, self.file).order


class Rows(NamedTuple):
    """Where the new levels of the arrays of a run lie, and what step they come from; it can travel to workers."""

    path: str
    shape: tuple[int, int, int]
    row: Between
    by: By
    options: Mapping[str, Any]
    target: BetweenTarget | None
    digests: Sequence[str]
    order: SpotOrder

    def brought(self, arrays: ArraySet, index: int) -> ArraySet:
        """A set of one array with its new levels, which is number ``index`` of the run.

        Raises
        ------
        LayoutError
            The file is no longer what it was in the first pass.
        """
        digest = arrays.record(0).digest
        if digest is not None and digest.sha256 != self.digests[index]:
            raise LayoutError(
                "the file has changed while the run was reading it", file=arrays.record(0).file,
                hint="Run again when nothing writes to it",
            )  # fmt: skip
        made = self.row.made(arrays.channels, tuple(m.name for m in arrays.matrices.values()))
        vectors = np.memmap(self.path, np.float64, "r", shape=self.shape)[index]
        order = self.order.of(arrays)
        if order is not None:
            own = np.empty(vectors.shape)
            own[:, order] = vectors
            vectors = own
        before = {name: arrays.values[name][0] for name in arrays.matrices}
        levels = {name: np.array(level)[None] for name, level in made.give(before, tuple(vectors)).items()}
        return with_step(replace(arrays, values=levels, stage=LEVELS), self.row, self.by, self.options, self.target)


class Heads(NamedTuple):
    """What the arrays of a run share, and their names."""

    names: tuple[str, ...]
    channels: tuple[str, ...]
    columns: Mapping[str, Column]
    layout: Layout | None
    targets: Mapping[str, Sequence[str]]
    history: History


class FirstPass(NamedTuple):
    """What pass 1 left: the new levels, the row of each part of each array, what they were brought to, doubts.

    ``places``: by the name of the file's array, then by the part's label, empty for a whole.
    """

    rows: Rows
    places: Mapping[str, Mapping[str, int]]
    target: BetweenTarget | None
    notes: tuple[str, ...]


class Levels:
    """Temporary files of the levels, in the folder of the results; removed at the end."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.paths: list[str] = []

    def __enter__(self) -> Levels:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self.paths:
            with suppress(OSError):
                os.unlink(path)

    def room(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """An array in a file of its own, whose room on the disk is taken now.

        Raises
        ------
        OutputError
            The disk is full, or closed.
        """
        path = temporary_in(self._folder, "levels")
        self.paths.append(path)
        size = max(int(np.prod(shape)) * np.dtype(dtype).itemsize, 1)
        guard(self._folder, _take_room, path, size)
        return np.memmap(path, dtype, "r+", shape=shape)


def _take_room(path: str, size: int) -> None:
    with open(path, "xb") as handle:
        if hasattr(os, "posix_fallocate"):  # else a full disk would end the process when a page is written
            os.posix_fallocate(handle.fileno(), 0, size)
        else:
            handle.truncate(size)


def first_pass(
    plan: Plan, items: Iterable[ArraySet | Failure], alike: Alike, settings: Settings, levels: Levels
) -> Iterator[Failure | FirstPass]:
    """Failures as they come, and at the end what the pass left, where any array was read."""
    files = {task.name: task.file for task in plan.tasks}
    alone = replace(plan, tasks=(), heads=(), failures=(), skipped=(), warnings=(), targets={})
    most = len(files) * max(1, len(plan.reference.parts) if plan.reference is not None else 1)
    block: Block | None = None
    done: list[tuple[str, str]] = []  # the file's array, the part
    digests: list[str] = []
    first: ArraySet | None = None
    content: Reference | None = None
    row, options = alike.effective(settings)
    for item in items:
        if isinstance(item, Failure):
            yield item
            continue
        part = item.records[0].part
        name = item.names[0].removesuffix(f".{part}") if part else item.names[0]
        mine = None if plan.reference is None or item.columns else plan.reference.of(part)
        if plan.reference is not None and (mine is None or (first is not None and mine is not content)):
            yield Failure(files[name], _strange(files[name], plan))
            continue
        arrays = collect([item], alone)
        if block is None or first is None:
            names = tuple(m.name for m in arrays.matrices.values())
            types = settings.exclude_types, settings.fit_types
            block = Block(row, arrays.channels, names, most, arrays.n_spots, levels.room, types)
            first, content = arrays, mine
        block.put(len(done), arrays, 0)
        digest = arrays.record(0).digest
        digests.append("" if digest is None else digest.sha256)
        done.append((name, part))
    if block is None or first is None:
        return
    block.only(len(done))
    heads = Heads(
        tuple(f"{name}.{part}" if part else name for name, part in done),
        first.channels, first.columns, first.layout, _targets_of(plan, done), first.history,
    )  # fmt: skip
    target = block.make_alike(heads, alike.by, options, alike.target)
    shape = (most, len(block.made.kinds), first.n_spots)
    order = SpotOrder(keys_of(first.columns, first.n_spots), first.record(0).file, settings.align)
    rows = Rows(levels.paths[0], shape, row, alike.by, options, alike.target, digests, order)
    places: dict[str, dict[str, int]] = {}
    for k, (name, part) in enumerate(done):
        places.setdefault(name, {})[part] = k
    yield FirstPass(rows, places, target, tuple(block.notes))


def _targets_of(plan: Plan, done: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Cells of the targets table for the arrays of the run; parts have those of their file."""
    place = {task.name: k for k, task in enumerate(plan.tasks)}
    return {title: [cells[place[name]] for name, _ in done] for title, cells in plan.targets.items()}


def _strange(file: str, plan: Plan) -> LayoutError:
    assert plan.reference is not None
    return LayoutError(
        f"its spots are not all those of {plan.reference.file}, beside which it is to be made alike", file=file,
        hint=f"One table joins them: {option_word('output')} FILE.tsv",
    )  # fmt: skip
