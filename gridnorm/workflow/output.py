"""Run a plan and write what comes out: one table, or a folder with one file an array. Whole or not at all."""

from __future__ import annotations

import builtins
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from gridnorm.arrays.arrayset import ArraySet, Origin
from gridnorm.errors import FitError, FormatError, OptionError, OutputError, option_word
from gridnorm.io.atomic import Output, check_target, sweep
from gridnorm.io.text import load
from gridnorm.io.write import Precision, form_of, write_table
from gridnorm.provenance import History, InputDigest, common
from gridnorm.workflow.collect import collect
from gridnorm.workflow.inputs import is_targets_file, stem
from gridnorm.workflow.plan import Plan, make_plan
from gridnorm.workflow.settings import Settings
from gridnorm.workflow.sidecar import SUFFIX, set_sidecar, sidecar, to_bytes
from gridnorm.workflow.unit import Failure, Work

FOLDER_SIDECAR = "gridnorm.json"
SOME_FAILED, WRONG_OPTION, NONE_READ, NONE_FITTED = 1, 2, 3, 4
MOST_DRAWN = 16  # arrays of a folder that are kept for a figure
_NOT_IN_NAMES = frozenset('/\\:*?"<>|')


class Request(NamedTuple):
    """Where the result goes, and how it is written.

    ``draw`` makes the bytes of ``figure`` from the arrays; whoever asks for a figure brings it: pictures stand above
    the workflow. ``log_file`` is checked here with the others and written by whoever asks for it.
    """

    output: str | None = None
    form: str | None = None
    precision: str | int = 6
    sidecar: str | None = None
    force: bool = False
    figure: str | None = None
    draw: Callable[[Sequence[ArraySet]], bytes] | None = None
    log_file: str | None = None


class Target(NamedTuple):
    """The resolved output: a file (or ``-``) or a folder."""

    path: str
    folder: bool
    form: str


@dataclass
class Outcome:
    """What a run did; it owns the exit code. ``arrays`` has the sidecar's entry of every array that was normalized."""

    arrays: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    sidecar: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 all good, 1 some arrays failed, 2 an option fits none, 3 none could be read, 4 none could be fitted."""
        if not self.arrays:
            if any(isinstance(f.error, OptionError) for f in self.failures):
                return WRONG_OPTION
            return NONE_FITTED if any(isinstance(f.error, FitError) for f in self.failures) else NONE_READ
        return SOME_FAILED if self.failures else 0


def target_of(inputs: Sequence[str], request: Request) -> Target:
    """Where the result goes: given, or ``<stem>.normalized.tsv`` here (``normalized.tsv`` for several inputs)."""
    form = request.form or "tsv"
    if request.output is None:
        one = len(inputs) == 1 and os.path.isfile(inputs[0]) and not is_targets_file(inputs[0])
        name = f"{stem(os.path.basename(inputs[0]))}.normalized" if one else "normalized"
        return Target(f"{name}.{form}", folder=False, form=form)
    if request.output != "-" and (request.output.endswith(("/", "\\")) or os.path.isdir(request.output)):
        return Target(request.output, folder=True, form=form)
    return Target(request.output, folder=False, form=form_of(request.output, request.form))


def parse_precision(given: str | int) -> Precision:
    """``full`` or a number of decimals from 0 to 15."""
    if given == "full":
        return "full"
    if str(given).isdecimal() and 0 <= int(given) <= 15:
        return int(given)
    raise OptionError(
        f"{option_word('precision')} is out of range", found=repr(given), expected="0 to 15 decimals, or full"
    )


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
        Runs the arrays: the built-in ``map``, or a pool's.

    Raises
    ------
    GridnormError
        For what concerns the whole run; errors about one array are in ``Outcome.failures``.
    """
    started = time.perf_counter()
    target, precision = check_request(inputs, settings, request)
    if target.path != "-":
        sweep(target.path if target.folder else os.path.dirname(target.path) or os.curdir)
    plan = make_plan(inputs, settings, compare=not target.folder)
    _keep_inputs(inputs, plan, target, request)
    outcome = Outcome(failures=list(plan.failures), skipped=list(plan.skipped), warnings=list(plan.warnings))
    outcome.timings["plan"] = time.perf_counter() - started
    job = _Job(plan, target, request, precision, extra_inputs(settings), outcome)
    if target.folder:
        _write_folder(job, run_plan(plan, map))
    else:
        _write_table(job, run_plan(plan, map))
    outcome.timings["total"] = time.perf_counter() - started
    if not outcome.arrays:
        refuse_wrong_option(outcome.failures)
    return outcome


def refuse_wrong_option(failures: Sequence[Failure]) -> None:
    """Where an option fits no file at all, what was asked is wrong and not the files: said once, not per file."""
    if failures and all(isinstance(failure.error, OptionError) for failure in failures):
        raise failures[0].error


def check_request(inputs: Sequence[str], settings: Settings, request: Request) -> tuple[Target, Precision]:
    """Refuse at once what could not be done at the end; where the result goes, and its precision.

    Raises
    ------
    OptionError
        An output exists, two outputs are one file, or the precision is out of range.
    OutputError
        A folder is missing or closed.
    DeviceError
        The device asked for cannot be used.
    """
    check_device(settings)
    precision = parse_precision(request.precision)
    target = target_of(inputs, request)
    _check_places(target, request)
    return target, precision


def check_device(settings: Settings) -> None:
    """Asking for a GPU that cannot be used is an error, never a silent fallback.

    ``auto`` is the CPU here: of the time of a file most goes into reading and writing, and the bytes of a result must
    not depend on the machine. Whoever wants the GPU says so.

    Raises
    ------
    DeviceError
        With the reason.
    """
    if settings.device == "gpu":
        from gridnorm.core.engines.cuda.device import current_device

        current_device()


def _check_places(target: Target, request: Request) -> None:
    new_folder = os.path.abspath(target.path) if target.folder and not os.path.isdir(target.path) else None
    if new_folder is not None and not os.path.isdir(os.path.dirname(new_folder)):
        raise OutputError("the folder above the output does not exist", file=target.path, hint="Make it first")
    seen = set()
    for path in _places(target, request):
        if os.path.dirname(os.path.abspath(path)) != new_folder:
            check_target(path, request.force or path == request.log_file)
        real = os.path.realpath(path)
        if real in seen and (os.path.isfile(real) or not os.path.exists(real)):
            raise OptionError("two outputs are one file", file=os.path.basename(path), hint="Give them different names")
        seen.add(real)


def _places(target: Target, request: Request) -> list[str]:
    """Every file that a run writes; of a folder those that belong to no array."""
    if target.folder:
        named = [request.sidecar or os.path.join(target.path, FOLDER_SIDECAR)]
    elif target.path == "-":
        named = [request.sidecar] if request.sidecar else []
    else:
        named = [target.path, request.sidecar or target.path + SUFFIX]
    return [*named, *filter(None, (request.figure, request.log_file))]


def _keep_inputs(inputs: Sequence[str], plan: Plan, target: Target, request: Request) -> None:
    """No output may take the place of an input, not even with ``--force``."""
    read = [*inputs, *(task.path for task in plan.tasks), *filter(None, [plan.settings.gal])]
    kept = {os.path.realpath(path) for path in read}
    places = _places(target, request)
    if target.folder:
        places += [os.path.join(target.path, name) for name in _file_names(plan, target.form)]
    for path in places:
        if os.path.realpath(path) in kept:
            raise OptionError(
                "an input would be overwritten", file=os.path.basename(path), hint="Choose another output"
            )


class _Job(NamedTuple):
    """One run: what is planned, where it goes, and what has come out of it."""

    plan: Plan
    target: Target
    request: Request
    precision: Precision
    extra: list[InputDigest]
    outcome: Outcome


def extra_inputs(settings: Settings) -> list[InputDigest]:
    """Digests of the files that are read beside the arrays."""
    if settings.gal is None:
        return []
    text = load(settings.gal)
    return [InputDigest(text.name, text.size, text.sha256)]


def run_plan(
    plan: Plan, map: Callable[..., Iterable[Any]] = builtins.map, *, normalize: bool = True
) -> Iterable[ArraySet | Failure]:
    """The arrays of a plan, in order, one at a time; normalized or as they were read."""
    work = Work(plan.settings, plan.reference, normalize)
    rest = plan.tasks
    if plan.first is not None:
        raw, digest = plan.first
        yield work.on(raw, plan.tasks[0], digest)
        rest = plan.tasks[1:]
    yield from map(work, rest)


def _write_table(job: _Job, items: Iterable[ArraySet | Failure]) -> None:
    started = time.perf_counter()
    outcome, target, request = job.outcome, job.target, job.request
    sets = [item for item in _sorted(outcome, items) if isinstance(item, ArraySet)]
    outcome.timings["arrays"] = time.perf_counter() - started
    if not sets:
        return
    arrays = collect(sets, job.plan, job.extra, _named(outcome.failures))
    outcome.warnings[:] = arrays.warnings
    started = time.perf_counter()
    beside = request.sidecar or (None if target.path == "-" else target.path + SUFFIX)
    with Output(request.force) as files:
        outcome.sidecar = put_set(arrays, target.path, files, precision=job.precision, form=target.form, beside=beside)
        outcome.arrays = outcome.sidecar["arrays"]
        _draw(files, request, outcome, [arrays])
    outcome.timings["write"] = time.perf_counter() - started
    if target.path != "-":
        count = len(arrays)
        outcome.written.append(
            f"wrote {target.path} ({arrays.n_spots} spots, {count} array{'s' if count != 1 else ''}); "
            f"record of the run in {beside}"
        )


def put_set(
    arrays: ArraySet, path: str, files: Output, *, precision: Precision, form: str, beside: str | None
) -> dict[str, Any]:
    """The table of a set and, at ``beside``, its sidecar, into one group of files; ``-`` is standard output.

    Returns
    -------
    The sidecar.
    """
    spots, numbers = arrays.shown, arrays.numbers()
    table = {
        "file": os.path.basename(path), "rows": arrays.n_spots, "columns": [*spots, *numbers], "precision": precision,
    }  # fmt: skip
    record = set_sidecar(arrays, table)
    write_table(path, spots, numbers, precision=precision, form=form, output=None if path == "-" else files)
    if beside is not None:
        files.write(beside, to_bytes(record))
    return record


def _sorted(outcome: Outcome, items: Iterable[ArraySet | Failure]) -> Iterable[ArraySet | Failure]:
    """The same items; failures and warnings are noted on their way."""
    for item in items:
        if isinstance(item, Failure):
            outcome.failures.append(item)
        else:
            outcome.warnings.extend(item.warnings)
        yield item


def _named(failures: Sequence[Failure]) -> list[tuple[str, str]]:
    return [(failure.file, str(failure.error)) for failure in failures]


def _draw(files: Output, request: Request, outcome: Outcome, sets: Sequence[ArraySet]) -> None:
    if request.figure is None or request.draw is None:
        return
    files.write(request.figure, request.draw(sets))
    outcome.written.append(f"drew {request.figure}")


def _write_folder(job: _Job, items: Iterable[ArraySet | Failure]) -> None:
    folder, request, outcome = job.target.path, job.request, job.outcome
    made = not os.path.isdir(folder)
    names = _file_names(job.plan, job.target.form)
    if made:
        _make(folder)
    for name in () if made else names:
        for path in (name, name + SUFFIX):
            check_target(os.path.join(folder, path), request.force)
    try:
        done, drawn = _write_arrays(job, zip(_sorted(outcome, items), names, strict=True))
    finally:
        if made:
            with suppress(OSError):  # not empty: something was written
                os.rmdir(folder)
    if not outcome.arrays:
        return
    origin = Origin(tuple(job.extra), job.plan.skipped, tuple(_named(outcome.failures)))
    digests = [digest for _, digest in done if digest]
    history = common([history for history, _ in done])
    outcome.sidecar = sidecar(history, digests, None, outcome.arrays, origin, outcome.warnings, None)
    beside = request.sidecar or os.path.join(folder, FOLDER_SIDECAR)
    with Output(request.force) as files:
        _draw(files, request, outcome, drawn)
        files.write(beside, to_bytes(outcome.sidecar))
    count = len(outcome.arrays)
    outcome.written.append(
        f"wrote {count} array{'s' if count != 1 else ''} to {job.target.path}; record of the run in {beside}"
    )


def _file_names(plan: Plan, form: str) -> list[str]:
    """One file per array: its name without what file systems refuse or hide, numbered where two are alike."""
    out: list[str] = []
    taken: set[str] = set()
    for task in plan.tasks:
        safe = "".join("_" if c in _NOT_IN_NAMES or ord(c) < 32 else c for c in task.name)
        safe = "_" + safe[1:] if safe.startswith(".") else safe
        name, number = safe, 1
        while name.casefold() in taken:
            number += 1
            name = f"{safe} ({number})"
        taken.add(name.casefold())
        out.append(f"{name}.{form}")
    return out


def _write_arrays(
    job: _Job, items: Iterable[tuple[ArraySet | Failure, str]]
) -> tuple[list[tuple[History, InputDigest | None]], list[ArraySet]]:
    """A file an array; nothing of an array stays but its record, and the first ones where a figure is drawn."""
    done: list[tuple[History, InputDigest | None]] = []
    drawn: list[ArraySet] = []
    for item, file in items:
        if isinstance(item, Failure):
            continue
        # As a run of this input alone would be: what concerns the set of files stands in the folder's own sidecar.
        alone = replace(job.plan, tasks=(), heads=(), failures=(), skipped=(), warnings=(), targets={})
        arrays = collect([item], alone, job.extra)
        path = os.path.join(job.target.path, file)
        with Output(job.request.force) as files:
            record = put_set(arrays, path, files, precision=job.precision, form=job.target.form, beside=path + SUFFIX)
        job.outcome.arrays += record["arrays"]
        done.append((arrays.history, arrays.records[0].digest))
        if job.request.draw is not None and len(drawn) < MOST_DRAWN:
            drawn.append(arrays)
    return done, drawn


def _make(folder: str) -> None:
    try:
        os.mkdir(folder)
    except OSError as error:
        raise OutputError("the output folder cannot be made", file=folder, found=error.strerror or str(error)) from None


def first_error(failures: Sequence[Failure]) -> Exception:
    """The error to raise in Python for arrays that failed."""
    return failures[0].error if failures else FormatError("no array file was found")
