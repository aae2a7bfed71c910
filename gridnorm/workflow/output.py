"""Run a plan and write what comes out: one table, or a folder with one file an array. Whole or not at all."""

from __future__ import annotations

import builtins
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gridnorm.arrays.arrayset import ArraySet, Origin
from gridnorm.arrays.between import BetweenTarget
from gridnorm.arrays.grouping import WHOLE
from gridnorm.errors import (
    DeviceError,
    FitError,
    FormatError,
    GridnormError,
    LostError,
    OptionError,
    option_word,
)
from gridnorm.io.atomic import Output, sweep
from gridnorm.io.write import Precision
from gridnorm.plain import shown
from gridnorm.provenance import History, InputDigest, common, twins
from gridnorm.workflow.between import Alike, alike_of, check_saving, make_alike, target_bytes
from gridnorm.workflow.collect import collect
from gridnorm.workflow.execute import run
from gridnorm.workflow.folder import Errand, Folder, Written, folder_work
from gridnorm.workflow.opening import ArrayTask
from gridnorm.workflow.passes import FirstPass, Levels, first_pass
from gridnorm.workflow.plan import Plan, make_plan
from gridnorm.workflow.record import extra_inputs, put_set, put_sidecar
from gridnorm.workflow.replicated import averaged
from gridnorm.workflow.settings import Settings
from gridnorm.workflow.sidecar import Sidecar, Summary, sidecar
from gridnorm.workflow.target import FOLDER_SIDECAR, Request, Target, beside_of, check_request, file_names, keep_inputs
from gridnorm.workflow.unit import Failure, Work

SOME_FAILED, WRONG_OPTION, NONE_READ, NONE_FITTED = 1, 2, 3, 4


@dataclass
class Outcome:
    """What a run did; it owns the exit code. ``arrays`` has every array that was normalized in a line."""

    arrays: list[Summary] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    sidecar: Sidecar | None = None
    timings: dict[str, float] = field(default_factory=dict)
    folder: bool = False  # whether each array has a table of its own

    @property
    def exit_code(self) -> int:
        """0 all good, 1 some arrays failed, 2 an option fits none, 3 none could be read, 4 none could be fitted.

        Where a worker process died, it is 1: that says nothing of the files.
        """
        if not self.arrays:
            if any(isinstance(f.error, LostError) for f in self.failures):
                return SOME_FAILED
            if any(isinstance(f.error, OptionError) for f in self.failures):
                return WRONG_OPTION
            return NONE_FITTED if any(isinstance(f.error, FitError) for f in self.failures) else NONE_READ
        return SOME_FAILED if self.failures else 0


def normalize_to(
    inputs: Sequence[str], settings: Settings, request: Request, map: Callable[..., Iterable[Any]] = builtins.map
) -> Outcome:
    """Normalize files and write the result.

    Parameters
    ----------
    inputs
        Files, folders, globs, targets tables.
    settings, request
        What to compute, and where it goes.
    map
        Runs the arrays: the built-in ``map``, or a pool's, where ``request.jobs`` is 1.

    Raises
    ------
    GridnormError
        For what concerns the whole run; errors about one array are in ``Outcome.failures``.
    """
    if request.jobs > 1 and map is not builtins.map:
        raise OptionError(
            "map and jobs both say who runs the arrays", found=f"a map and {request.jobs} jobs",
            expected="one of them", hint="Leave jobs at 1, or map out",
        )  # fmt: skip
    started = time.perf_counter()
    target, precision = check_request(inputs, settings, request)
    settings, alike = alike_of(settings)
    if request.save_target is not None:
        check_saving(settings, alike)
    if request.figure is not None and settings.recipe.takes_intensities:
        raise OptionError(
            f"{option_word('figure')} draws fits within arrays",
            found=f"{option_word('between')} {settings.recipe.alike()[0].name}, which takes the place of them",
            hint="Leave one of them out",
        )
    if target.path != "-":
        sweep(target.path if target.folder else os.path.dirname(target.path) or os.curdir)
    plan = plan_for(inputs, settings, target, alike)
    keep_inputs(inputs, plan, target, request)
    outcome = Outcome(
        failures=list(plan.failures), skipped=list(plan.skipped), warnings=list(plan.warnings), folder=target.folder
    )
    outcome.timings["plan"] = time.perf_counter() - started
    job = _Job(plan, target, request, precision, extra_inputs(settings, alike), outcome, alike)
    if target.folder:
        _write_folder(job, map)
    else:
        _write_table(job, map)
    outcome.timings["total"] = time.perf_counter() - started
    # Records have been made; what follows is for people.
    outcome.warnings[:] = [shown(text) for text in outcome.warnings]
    outcome.skipped[:] = [(shown(file), reason) for file, reason in outcome.skipped]
    outcome.failures[:] = [failure._replace(file=shown(failure.file)) for failure in outcome.failures]
    if not outcome.arrays:
        refuse_wrong_option(outcome.failures)
    return outcome


def plan_for(inputs: Sequence[str], settings: Settings, target: Target, alike: Alike | None) -> Plan:
    """The plan of a run whose results go there, as ``make_plan`` makes it."""
    return make_plan(inputs, settings, compare=not target.folder or alike is not None, keep_columns=target.folder)


@contextmanager
def after(failures: Sequence[Failure]) -> Iterator[None]:
    """An error of the whole run tells of the arrays that failed before it and so are not in it."""
    try:
        yield
    except GridnormError as error:
        if failures:
            told = f"{failures[0].file} failed: {failures[0].error.what}"
            rest = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
            what, file, line, found, expected, hint = error.made
            hint = f"{told}{rest}" + ("" if hint is None else f". {hint}")
            raise type(error)(what, file, line, found, expected, hint) from None
        raise


def refuse_wrong_option(failures: Sequence[Failure]) -> None:
    """Where an option or a device fits no file at all, what was asked is wrong: said once, not per file."""
    for kind in (OptionError, DeviceError):
        if failures and all(isinstance(failure.error, kind) for failure in failures):
            raise failures[0].error


class _Job(NamedTuple):
    """One run: what is planned, where it goes, and what has come out of it."""

    plan: Plan
    target: Target
    request: Request
    precision: Precision
    extra: list[InputDigest]
    outcome: Outcome
    alike: Alike | None = None


def run_plan(
    plan: Plan, map: Callable[..., Iterable[Any]] = builtins.map, *, normalize: bool = True, jobs: int = 1
) -> Generator[ArraySet | Failure, None, None]:
    """The arrays of a plan, in order; normalized or as they were read."""
    with closing(_files_of(plan, map, normalize, jobs)) as files:
        for arrays in files:
            yield from arrays


def _files_of(
    plan: Plan, map: Callable[..., Iterable[Any]], normalize: bool, jobs: int
) -> Generator[list[ArraySet | Failure], None, None]:
    """The arrays of a plan file by file: one, or its parts."""
    work = Work(plan.settings, plan.settings.recipe.resolved(), plan.reference, normalize)
    rest = plan.tasks
    # With workers every array is theirs: one that ends its process costs itself only.
    if plan.first is not None and jobs == 1:
        raw, digest = plan.first
        yield work.on(raw, plan.tasks[0], digest)
        rest = plan.tasks[1:]
    with closing(_run(work, rest, _lost, plan.settings, jobs, map)) as done:
        yield from done


def _lost(task: ArrayTask, error: LostError) -> list[Failure]:
    return [Failure.lost(task, error)]


def _run(
    unit: Any, tasks: Sequence[Any], lost: Any, settings: Settings, jobs: int, map: Callable[..., Any]
) -> Generator[Any, None, None]:
    return run(unit, tasks, lost=lost, jobs=jobs, map=map, spawn=settings.device == "gpu")


def _write_table(job: _Job, map: Callable[..., Iterable[Any]]) -> None:
    started = time.perf_counter()
    outcome, target, request = job.outcome, job.target, job.request
    with closing(_files_of(job.plan, map, True, request.jobs)) as files:
        sets = [item for item in _watched(job, files) if isinstance(item, ArraySet)]
    outcome.timings["arrays"] = time.perf_counter() - started
    if not sets:
        return
    with after(outcome.failures):
        arrays = make_alike(collect(sets, job.plan, job.extra, _named(outcome.failures)), job.alike, job.plan.settings)
    table = averaged(arrays, job.plan.settings)
    outcome.warnings[:] = table.warnings
    started = time.perf_counter()
    beside = beside_of(target.path, request.sidecar)
    with Output(request.force) as files:
        outcome.sidecar, outcome.arrays = put_set(
            table, target.path, files, precision=job.precision, form=target.form, beside=beside
        )
        _draw(files, request, outcome, [arrays], len(arrays))
        _keep_target(files, request, outcome, arrays.between)
    outcome.timings["write"] = time.perf_counter() - started
    if target.path != "-":
        count = len(arrays)
        rows = f"{table.n_spots} rows of {arrays.n_spots} spots" if table is not arrays else f"{arrays.n_spots} spots"
        outcome.written.append(
            f"wrote {target.path} ({rows}, {count} array{'s' if count != 1 else ''})"
            + (f"; record of the run in {beside}" if beside is not None else "")
        )


def _watched(job: _Job, files: Iterable[Sequence[Any]]) -> Iterator[Any]:
    """The items of all files; failures and warnings are noted on their way, and progress is told."""
    total = len(job.plan.tasks)
    known = {(failure.file, str(failure.error)) for failure in job.outcome.failures}
    for number, items in enumerate(files, 1):
        said: dict[str, None] = {}  # parts repeat what concerns their file
        for item in items:
            if isinstance(item, Failure):
                if (item.file, str(item.error)) not in known:  # a part fails in both passes
                    job.outcome.failures.append(item)
            else:
                said.update(dict.fromkeys(item.warnings))
        job.outcome.warnings.extend(said)
        if job.request.progress is not None:
            job.request.progress(number, total)
        yield from items


def _named(failures: Sequence[Failure]) -> list[tuple[str, str]]:
    return [(failure.file, failure.error.recorded()) for failure in failures]


def _draw(files: Output, request: Request, outcome: Outcome, sets: Sequence[ArraySet], total: int) -> None:
    if request.figure is None or request.draw is None:
        return
    files.write(request.figure, request.draw(sets, total))
    outcome.written.append(f"drew {request.figure}")


def _keep_target(files: Output, request: Request, outcome: Outcome, target: BetweenTarget | None) -> None:
    if request.save_target is None:
        return
    if target is None:
        raise OptionError(
            f"{option_word('save_target')} has nothing to keep: no two channels were made alike",
            hint="The warnings name the samples that stand alone",
        )
    files.write(request.save_target, target_bytes(target))
    outcome.written.append(f"kept the target in {request.save_target}")


def _write_folder(job: _Job, map: Callable[..., Iterable[Any]]) -> None:
    started = time.perf_counter()
    path, request, outcome = job.target.path, job.request, job.outcome
    names, form = file_names(job.plan, job.target.form), job.target.form
    parted = job.plan.settings.split != WHOLE
    drawn = request.most_drawn if request.draw is not None else 0
    with Folder(path, names, request.force, form if parted else None) as folder, Levels(path) as levels:
        errands = [
            Errand(task, name, k < drawn) for k, (task, name) in enumerate(zip(job.plan.tasks, names, strict=True))
        ]
        first = _first_pass(job, levels, map) if job.alike is not None else None
        if first is not None:
            places = first.places
            errands = [one._replace(rows=places[one.task.name]) for one in errands if one.task.name in places]
        elif job.alike is not None:
            return
        unit = folder_work(
            job.plan, path, form, job.precision, request.force, job.extra, None if first is None else first.rows
        )
        with closing(_run(unit, errands, folder.lost, job.plan.settings, request.jobs, map)) as files:
            texts, histories, named, sets = _kept(_watched(job, files), outcome)
    outcome.timings["arrays"] = time.perf_counter() - started
    if not texts:
        return
    origin = Origin(tuple(job.extra), job.plan.skipped, tuple(_named(outcome.failures)))
    outcome.warnings += twins(named)
    digests = [digest for _, digest in named]
    outcome.sidecar = sidecar(common(histories), digests, None, texts, origin, outcome.warnings, None)
    beside = request.sidecar or os.path.join(path, FOLDER_SIDECAR)
    with Output(request.force) as files:
        _draw(files, request, outcome, sets[:drawn], len(texts))
        put_sidecar(outcome.sidecar, beside, files)
        _keep_target(files, request, outcome, None if first is None else first.target)
    count = len(texts)
    outcome.written.append(f"wrote {count} array{'s' if count != 1 else ''} to {path}; record of the run in {beside}")


def _first_pass(job: _Job, levels: Levels, map: Callable[..., Iterable[Any]]) -> FirstPass | None:
    """The levels of all arrays, made alike; failures are noted."""
    assert job.alike is not None
    found = None
    with closing(_files_of(job.plan, map, True, job.request.jobs)) as files, after(job.outcome.failures):
        items = (item for arrays in files for item in arrays)
        for one in first_pass(job.plan, items, job.alike, job.plan.settings, levels):
            if isinstance(one, Failure):
                job.outcome.failures.append(one)
            else:
                found = one
    if found is not None:
        job.outcome.warnings.extend(found.notes)
    return found


def _kept(
    items: Iterable[Written | Failure], outcome: Outcome
) -> tuple[list[str], list[History], list[tuple[str, InputDigest]], list[ArraySet]]:
    """What stays of the arrays of a folder: texts, histories that differ, named digests, sets of a figure."""
    texts: list[str] = []
    histories: list[History] = []
    digests: list[tuple[str, InputDigest]] = []
    sets: list[ArraySet] = []
    for item in items:
        if isinstance(item, Failure):
            continue
        texts.append(item.text)
        outcome.arrays.append(item.summary)
        if item.history not in histories:
            histories.append(item.history)
        digests += item.files
        if item.arrays is not None:
            sets.append(item.arrays)
    return texts, histories, digests, sets


def first_error(failures: Sequence[Failure]) -> Exception:
    """The error to raise in Python for arrays that failed."""
    return failures[0].error if failures else FormatError("no array file was found")
