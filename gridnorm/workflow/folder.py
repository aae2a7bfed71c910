"""A folder of results: one file an array, written by the unit that made it; of an array its record alone stays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.errors import LayoutError, LostError, OutputError
from gridnorm.io.atomic import Output, check_target, sweep
from gridnorm.io.write import Precision
from gridnorm.provenance import History, InputDigest
from gridnorm.workflow.collect import collect, measurements
from gridnorm.workflow.opening import ArrayTask
from gridnorm.workflow.passes import Rows
from gridnorm.workflow.plan import Plan
from gridnorm.workflow.record import put_set
from gridnorm.workflow.replicated import averaged
from gridnorm.workflow.sidecar import SUFFIX, Summary
from gridnorm.workflow.target import part_names, whole_name
from gridnorm.workflow.unit import Failure, Work


class Errand(NamedTuple):
    """A file to read and the file its array goes to.

    ``drawn``: the set comes back for a figure; ``rows``: where the new levels of its parts lie, by label, in a run that
    makes arrays alike.
    """

    task: ArrayTask
    file: str
    drawn: bool = False
    rows: Mapping[str, int] = {}


class Written(NamedTuple):
    """What is left of an array that has been written: its text in the sidecar, history, files and warnings.

    ``files``: what it was measured in, with digests; of the parts of a file the first one has them.
    """

    text: str
    summary: Summary
    history: History
    files: tuple[tuple[str, InputDigest], ...]
    warnings: tuple[str, ...]
    arrays: ArraySet | None = None


class FolderWork(NamedTuple):
    """What all units of a folder run share: read → normalize → write."""

    work: Work
    alone: Plan
    folder: str
    form: str
    precision: Precision
    force: bool
    extra: tuple[InputDigest, ...] = ()
    rows: Rows | None = None

    def __call__(self, errand: Errand) -> list[Written | Failure]:
        """One unit: the files of the arrays of one file, put in place together.

        Raises
        ------
        OptionError, OutputError
            A file is there already, or cannot be written: that concerns the whole run.
        """
        items = self.work(errand.task)
        labels = [item.records[0].part for item in items if isinstance(item, ArraySet)]
        names = iter(part_names(errand.file, self.form, labels))
        with Output(self.force) as files:
            tried = [
                item if isinstance(item, Failure) else self._put(item, next(names), files, errand) for item in items
            ]
        done = [one for one in tried if one is not None]
        named = False
        for k, one in enumerate(done):
            if isinstance(one, Written):
                done[k] = one._replace(files=()) if named else one
                named = True
        return done

    def _put(self, one: ArraySet, name: str, files: Output, errand: Errand) -> Written | Failure | None:
        arrays = collect([one], self.alone, self.extra)
        if self.rows is not None:
            try:
                row = errand.rows.get(arrays.record(0).part)
                if row is None:
                    return None  # it failed in the first pass, which said so
                arrays = self.rows.brought(arrays, row)
            except LayoutError as error:
                return Failure(errand.task.file, error)
        path = os.path.join(self.folder, name)
        table = averaged(arrays, self.alone.settings)
        record, lines = put_set(table, path, files, precision=self.precision, form=self.form, beside=path + SUFFIX)
        read, shown = tuple(measurements(lines[0].name, arrays.record(0))), arrays if errand.drawn else None
        return Written(record.entries[0], lines[0], table.history, read, table.warnings, shown)


def folder_work(
    plan: Plan,
    folder: str,
    form: str,
    precision: Precision,
    force: bool,
    extra: Sequence[InputDigest],
    rows: Rows | None = None,
) -> FolderWork:
    """The unit of a plan whose arrays have a file each.

    Each file is what a run of its input alone would write: what concerns the set of files stands in the folder's own
    sidecar.
    """
    alone = replace(plan, tasks=(), heads=(), failures=(), skipped=(), warnings=(), targets={})
    return FolderWork(
        Work(plan.settings, plan.settings.recipe.resolved(), None), alone, folder, form, precision, force, tuple(extra),
        rows,
    )  # fmt: skip


class Folder:
    """The folder of a run: made where it is not there, and removed again where nothing was written.

    Parameters
    ----------
    path, names, force
        The folder, its files, and whether they may be replaced.
    parted
        The format of files that will have a part's label in their names; labels are known when a file is read.
    """

    def __init__(self, path: str, names: Iterable[str], force: bool, parted: str | None = None) -> None:
        self.path, self._names, self._force, self._parted = path, names, force, parted
        self._before: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Folder:
        self._made = not os.path.isdir(self.path)
        if self._made:
            _make(self.path)
        else:
            for name in self._tables(self._names):
                for file in (name, name + SUFFIX):
                    check_target(os.path.join(self.path, file), self._force)
                    self._note(file)
        return self

    def _tables(self, names: Iterable[str]) -> list[str]:
        """The tables that arrays of these file names have, or may have where they are split."""
        if self._parted is None:
            return list(names)
        there = [name.removesuffix(SUFFIX) for name in os.listdir(self.path)]
        mine = set(names)
        return sorted({name for name in there if whole_name(name, self._parted) in mine})

    def __exit__(self, *_: object) -> None:
        if self._made:
            with suppress(OSError):  # not empty: something was written
                os.rmdir(self.path)

    def lost(self, errand: Errand, error: LostError) -> list[Failure]:
        """The failure of a file whose worker died, perhaps while it wrote: half of a pair of files is taken away."""
        sweep(self.path)
        for table in self._tables([errand.file]):
            if self._changed(table) and not self._changed(table + SUFFIX):
                with suppress(OSError):
                    os.unlink(os.path.join(self.path, table))
        return [Failure.lost(errand.task, error)]

    def _note(self, file: str) -> None:
        found = self._state(file)
        if found is not None:
            self._before[file] = found

    def _changed(self, file: str) -> bool:
        """Whether the run has put a file there."""
        found = self._state(file)
        return found is not None and found != self._before.get(file)

    def _state(self, file: str) -> tuple[int, int] | None:
        try:
            found = os.stat(os.path.join(self.path, file))
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


def _make(folder: str) -> None:
    try:
        os.mkdir(folder)
    except OSError as error:
        raise OutputError("the output folder cannot be made", file=folder, found=error.strerror or str(error)) from None
