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
from gridnorm.workflow.between import Alike
from gridnorm.workflow.collect import collect
from gridnorm.workflow.opening import ArrayTask
from gridnorm.workflow.plan import Plan
from gridnorm.workflow.settings import Settings
from gridnorm.workflow.unit import Failure


class Rows(NamedTuple):
    """Where the new levels of the arrays of a run lie, and what step they come from; it can travel to workers."""

    path: str
    shape: tuple[int, int, int]
    row: Between
    by: By
    options: Mapping[str, Any]
    target: BetweenTarget | None
    digests: Sequence[str]

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


class FirstPass(NamedTuple):
    """What pass 1 left: rows of the new levels, tasks that have one, what they were brought to, doubts."""

    rows: Rows
    tasks: tuple[ArrayTask, ...]
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
    tasks = {task.name: task for task in plan.tasks}
    alone = replace(plan, tasks=(), heads=(), failures=(), skipped=(), warnings=(), targets={})
    block: Block | None = None
    done: list[ArrayTask] = []
    digests: list[str] = []
    first: ArraySet | None = None
    row, options = alike.effective(settings)
    for item in items:
        if isinstance(item, Failure):
            yield item
            continue
        task = tasks[item.names[0]]
        if item.columns and plan.reference is not None:
            yield Failure(task.file, _strange(task, plan))
            continue
        arrays = collect([item], alone)
        if block is None or first is None:
            names = tuple(m.name for m in arrays.matrices.values())
            types = settings.exclude_types, settings.fit_types
            block = Block(row, arrays.channels, names, len(tasks), arrays.n_spots, levels.room, types)
            first = arrays
        block.put(len(done), arrays, 0)
        digest = arrays.record(0).digest
        digests.append("" if digest is None else digest.sha256)
        done.append(task)
    if block is None or first is None:
        return
    block.only(len(done))
    place = {task.name: k for k, task in enumerate(plan.tasks)}
    targets = {title: [cells[place[task.name]] for task in done] for title, cells in plan.targets.items()}
    heads = Heads(tuple(task.name for task in done), first.channels, first.columns, first.layout, targets)
    target = block.make_alike(heads, alike.by, options, alike.target)
    rows = Rows(
        levels.paths[0],
        (len(tasks), len(block.made.kinds), first.n_spots),
        row,
        alike.by,
        options,
        alike.target,
        digests,
    )
    yield FirstPass(rows, tuple(done), target, tuple(block.notes))


def _strange(task: ArrayTask, plan: Plan) -> LayoutError:
    assert plan.reference is not None
    return LayoutError(
        f"its spots are not all those of {plan.reference.file}, beside which it is to be made alike", file=task.file,
        hint=f"One table joins them: {option_word('output')} FILE.tsv",
    )  # fmt: skip
