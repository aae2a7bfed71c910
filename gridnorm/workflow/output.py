"""Run a plan and write what comes out: one table, or a folder with one file an array. Whole or not at all."""

from __future__ import annotations

import builtins
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from gridnorm.errors import FitError, FormatError, GridnormError, OptionError, OutputError
from gridnorm.io.atomic import Output, check_target, sweep
from gridnorm.io.text import load, load_head
from gridnorm.io.write import Precision, form_of, write_table
from gridnorm.provenance import InputDigest
from gridnorm.workflow.inputs import is_targets, stem
from gridnorm.workflow.join import ResultTable, join_results
from gridnorm.workflow.one import ArrayResult, Failure, normalize_array, normalize_raw
from gridnorm.workflow.plan import Plan, make_plan
from gridnorm.workflow.settings import Settings
from gridnorm.workflow.sidecar import SUFFIX, run_sidecar, to_bytes

FOLDER_SIDECAR = "gridnorm.json"
SOME_FAILED, WRONG_OPTION, NONE_READ, NONE_FITTED = 1, 2, 3, 4
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
    draw: Callable[[Sequence[ArrayResult]], bytes] | None = None
    log_file: str | None = None


class Target(NamedTuple):
    """The resolved output: a file (or ``-``) or a folder."""

    path: str
    folder: bool
    form: str


@dataclass
class Outcome:
    """What a run did; it owns the exit code."""

    results: list[ArrayResult] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    sidecar: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 all good, 1 some arrays failed, 2 an option fits none, 3 none could be read, 4 none could be fitted."""
        if not self.results:
            if any(isinstance(f.error, OptionError) for f in self.failures):
                return WRONG_OPTION
            return NONE_FITTED if any(isinstance(f.error, FitError) for f in self.failures) else NONE_READ
        return SOME_FAILED if self.failures else 0


def target_of(inputs: Sequence[str], request: Request) -> Target:
    """Where the result goes: given, or ``<stem>.normalized.tsv`` here (``normalized.tsv`` for several inputs)."""
    form = request.form or "tsv"
    if request.output is None:
        one = len(inputs) == 1 and os.path.isfile(inputs[0]) and not is_targets(load_head(inputs[0], 4096).data)
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
    raise OptionError("--precision is out of range", found=repr(given), expected="0 to 15 decimals, or full")


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
    extra = [_digest(settings.gal)] if settings.gal else []
    if target.folder:
        _write_folder(plan, outcome, target, request, precision, extra, map)
    else:
        _write_table(plan, outcome, target, request, precision, extra, map)
    outcome.timings["total"] = time.perf_counter() - started
    if not outcome.results:
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
        from gridnorm.core.kernels import engine

        engine()


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


def _digest(path: str) -> InputDigest:
    text = load(path)
    return InputDigest(text.name, text.size, text.sha256)


def run_plan(plan: Plan, map: Callable[..., Iterable[Any]] = builtins.map) -> Iterable[ArrayResult | Failure]:
    """Normalize the arrays of a plan, in order, one at a time."""
    rest = plan.tasks
    if plan.first is not None:
        raw, digest = plan.first
        yield _guarded(
            partial(normalize_raw, raw, plan.settings, plan.reference, task=plan.tasks[0], digest=digest),
            plan.tasks[0].file,
        )
        rest = plan.tasks[1:]
    yield from map(partial(normalize_array, settings=plan.settings, reference=plan.reference), rest)


def _guarded(call: Callable[[], ArrayResult], file: str) -> ArrayResult | Failure:
    try:
        return call()
    except GridnormError as error:
        return Failure(file, error)


def _collect(outcome: Outcome, items: Iterable[ArrayResult | Failure]) -> None:
    for item in items:
        if isinstance(item, Failure):
            outcome.failures.append(item)
        else:
            outcome.results.append(item)
            outcome.warnings.extend(item.warnings)


def _write_table(
    plan: Plan,
    outcome: Outcome,
    target: Target,
    request: Request,
    precision: Precision,
    extra: list[InputDigest],
    map: Callable[..., Iterable[Any]],
) -> None:
    started = time.perf_counter()
    _collect(outcome, run_plan(plan, map))
    outcome.timings["arrays"] = time.perf_counter() - started
    if not outcome.results:
        return
    table = join_results(outcome.results, plan)
    outcome.warnings.extend(table.warnings)
    started = time.perf_counter()
    name = os.path.basename(target.path)
    outcome.sidecar = run_sidecar(
        plan, outcome.results, outcome.failures, extra, outcome.warnings, _described(table, name, precision)
    )
    if target.path == "-":
        write_table("-", table.prefix, table.numbers, precision=precision, form=target.form)
        with Output(request.force) as files:
            _write_figure(files, request, outcome)
            if request.sidecar:
                files.write(request.sidecar, to_bytes(outcome.sidecar))
        return
    sidecar = request.sidecar or target.path + SUFFIX
    with Output(request.force) as files:
        write_table(target.path, table.prefix, table.numbers, precision=precision, form=target.form, output=files)
        _write_figure(files, request, outcome)
        files.write(sidecar, to_bytes(outcome.sidecar))
    outcome.timings["write"] = time.perf_counter() - started
    count = len(outcome.results)
    outcome.written.append(
        f"wrote {target.path} ({table.rows} spots, {count} array{'s' if count != 1 else ''}); "
        f"record of the run in {sidecar}"
    )


def _write_figure(files: Output, request: Request, outcome: Outcome) -> None:
    if request.figure is None or request.draw is None:
        return
    files.write(request.figure, request.draw(outcome.results))
    outcome.written.append(f"drew {request.figure}")


def _described(table: ResultTable, name: str, precision: Precision) -> dict[str, Any]:
    return {"file": name, "rows": table.rows, "columns": [*table.prefix, *table.numbers], "precision": precision}


def _write_folder(
    plan: Plan,
    outcome: Outcome,
    target: Target,
    request: Request,
    precision: Precision,
    extra: list[InputDigest],
    map: Callable[..., Iterable[Any]],
) -> None:
    folder = target.path
    made = not os.path.isdir(folder)
    names = _file_names(plan, target.form)
    if made:
        _make(folder)
    for name in () if made else names:
        for path in (name, name + SUFFIX):
            check_target(os.path.join(folder, path), request.force)
    try:
        _write_arrays(plan, outcome, target, request, precision, extra, zip(run_plan(plan, map), names, strict=True))
    finally:
        if made:
            with suppress(OSError):  # not empty: something was written
                os.rmdir(folder)
    if not outcome.results:
        return
    outcome.sidecar = run_sidecar(plan, outcome.results, outcome.failures, extra, outcome.warnings, None)
    sidecar = request.sidecar or os.path.join(folder, FOLDER_SIDECAR)
    with Output(request.force) as files:
        _write_figure(files, request, outcome)
        files.write(sidecar, to_bytes(outcome.sidecar))
    count = len(outcome.results)
    outcome.written.append(
        f"wrote {count} array{'s' if count != 1 else ''} to {target.path}; record of the run in {sidecar}"
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
    plan: Plan,
    outcome: Outcome,
    target: Target,
    request: Request,
    precision: Precision,
    extra: list[InputDigest],
    items: Iterable[tuple[ArrayResult | Failure, str]],
) -> None:
    for item, file in items:
        _collect(outcome, [item])
        if isinstance(item, Failure):
            continue
        table = join_results([item], plan)
        record = run_sidecar(plan, [item], [], extra, item.warnings, _described(table, file, precision))
        path = os.path.join(target.path, file)
        with Output(request.force) as files:
            write_table(path, table.prefix, table.numbers, precision=precision, form=target.form, output=files)
            files.write(path + SUFFIX, to_bytes(record))


def _make(folder: str) -> None:
    try:
        os.mkdir(folder)
    except OSError as error:
        raise OutputError("the output folder cannot be made", file=folder, found=error.strerror or str(error)) from None


def first_error(failures: Sequence[Failure]) -> Exception:
    """The error to raise in Python for arrays that failed."""
    return failures[0].error if failures else FormatError("no array file was found")
