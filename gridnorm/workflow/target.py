"""Where the result of a run goes, and how: resolved and checked before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.grouping import WHOLE
from gridnorm.errors import OptionError, OutputError, option_word
from gridnorm.io.atomic import check_target, is_stream
from gridnorm.io.cells import count
from gridnorm.io.write import Precision, form_of
from gridnorm.workflow.inputs import is_targets_file, stem
from gridnorm.workflow.plan import Plan
from gridnorm.workflow.settings import Settings
from gridnorm.workflow.sidecar import SUFFIX
from gridnorm.workflow.spot_files import FILES

FOLDER_SIDECAR = "gridnorm.json"
# Of 255 bytes, some are those of the suffixes of table and record and of a number; names of parts have a label too.
_NAME_BYTES, _LABEL_BYTES = 220, 60
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{k}" for port in ("com", "lpt") for k in range(10))]
)  # Windows
_NOT_IN_NAMES = frozenset('/\\:*?"<>|')


class Request(NamedTuple):
    """Where the result goes, and how it is written.

    ``draw`` makes the bytes of ``figure`` from the first ``most_drawn`` arrays and the number of all; whoever asks for
    a figure brings it: pictures stand above the workflow. ``log_file`` is checked here with the others and written by
    whoever asks for it. ``jobs`` are worker processes; ``progress`` is told after each array how many of how many are
    done.
    """

    output: str | None = None
    form: str | None = None
    precision: str | int = 6
    sidecar: str | None = None
    force: bool = False
    figure: str | None = None
    draw: Callable[[Sequence[ArraySet], int], bytes] | None = None
    most_drawn: int = 0
    log_file: str | None = None
    save_target: str | None = None
    jobs: int = 1
    progress: Callable[[int, int], None] | None = None


class Target(NamedTuple):
    """The resolved output: a file (or ``-``) or a folder."""

    path: str
    folder: bool
    form: str


def beside_of(path: str, named: str | None = None) -> str | None:
    """Where the record of a table goes; nowhere if none is named and the table is no file, as ``-`` and devices."""
    return named or (None if path == "-" or is_stream(path) else path + SUFFIX)


def target_of(inputs: Sequence[str], request: Request) -> Target:
    """Where the result goes: given, or ``<stem>.normalized.tsv`` here (``normalized.tsv`` for several inputs)."""
    form = request.form or "tsv"
    if request.output is None:
        one = len(inputs) == 1 and os.path.isfile(inputs[0]) and not is_targets_file(inputs[0])
        name = f"{_cut(stem(os.path.basename(inputs[0])), _NAME_BYTES - 11)}.normalized" if one else "normalized"
        return Target(f"{name}.{form}", folder=False, form=form)
    if request.output != "-" and (request.output.endswith(("/", "\\")) or os.path.isdir(request.output)):
        return Target(request.output, folder=True, form=form)
    return Target(request.output, folder=False, form=form_of(request.output, request.form))


def parse_precision(given: str | int) -> Precision:
    """``full`` or a number of decimals from 0 to 15."""
    if given == "full":
        return "full"
    decimals = count(str(given))
    if decimals is not None and decimals <= 15:
        return decimals
    raise OptionError(
        f"{option_word('precision')} is out of range", found=repr(given), expected="0 to 15 decimals, or full"
    )


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
    for name in ("sidecar", "log_file", "save_target", "figure"):
        if getattr(request, name) == "-":
            raise OptionError(f"{option_word(name)} needs the name of a file", found="-", expected="a path")
    for path in _places(target, request):
        if os.path.dirname(os.path.abspath(path)) != new_folder:
            check_target(path, request.force)
        real = os.path.realpath(path)
        if real in seen and (os.path.isfile(real) or not os.path.exists(real)):
            raise OptionError("two outputs are one file", file=os.path.basename(path), hint="Give them different names")
        seen.add(real)


def _places(target: Target, request: Request) -> list[str]:
    """Every file that a run writes; of a folder those that belong to no array."""
    if target.folder:
        named = [request.sidecar or os.path.join(target.path, FOLDER_SIDECAR)]
    else:
        named = [
            *([] if target.path == "-" else [target.path]),
            *filter(None, [beside_of(target.path, request.sidecar)]),
        ]
    return [*named, *filter(None, (request.figure, request.log_file, request.save_target))]


def keep_inputs(inputs: Sequence[str], plan: Plan, target: Target, request: Request) -> None:
    """No output may take the place of an input, not even with ``--force``."""
    read = [
        *inputs,
        *(path for task in plan.tasks for path in task.paths),
        *filter(None, (plan.settings.run[name] for name in ("gal", "target", *FILES))),
    ]
    kept = {os.path.realpath(path) for path in read}
    places = _places(target, request)
    names, folder = file_names(plan, target.form) if target.folder else [], os.path.realpath(target.path)
    taken = set(names)
    _refuse_tables(places, taken, folder, None if plan.settings.split == WHOLE else target.form)
    if target.folder and plan.settings.split == WHOLE:
        places += [os.path.join(target.path, name) for name in names]
    elif target.folder:
        places += [
            path for path in kept if os.path.dirname(path) == folder
            and whole_name(os.path.basename(path).removesuffix(SUFFIX), target.form) in taken
        ]  # fmt: skip
    for path in places:
        if os.path.realpath(path) in kept:
            raise OptionError(
                "an input would be overwritten", file=os.path.basename(path), hint="Choose another output"
            )


def _refuse_tables(places: Sequence[str], names: set[str], folder: str, parted: str | None) -> None:
    """What a run writes beside the tables of a folder must not take the place of one.

    ``names`` are those of the arrays' files; ``parted``: the format of files that have a part's label in theirs.
    """
    for path in places:
        real = os.path.realpath(path)
        name = os.path.basename(real).removesuffix(SUFFIX)
        mine = name if parted is None else whole_name(name, parted)
        if os.path.dirname(real) == folder and mine in names:
            raise OptionError(
                "two outputs are one file", file=os.path.basename(path), found="the table of an array, or its record",
                hint="Give them different names",
            )  # fmt: skip


def file_names(plan: Plan, form: str) -> list[str]:
    """One file per array: its name without what file systems refuse or hide, numbered where two are alike."""
    out: list[str] = []
    taken: dict[str, int] = {}
    most = _NAME_BYTES - (0 if plan.settings.split == WHOLE else _LABEL_BYTES)
    for task in plan.tasks:
        safe = _safe(task.name, most)
        safe = "_" + safe[1:] if safe.startswith(".") else safe
        safe = "_" + safe if safe.partition(".")[0].rstrip().casefold() in _DEVICES else safe
        out.append(f"{_apart(safe, taken)}.{form}")
    return out


def part_names(file: str, form: str, labels: Sequence[str]) -> list[str]:
    """The files of the parts of an array whose own file would be ``file``; of a whole array (label empty) that one.

    No label has a point in it here: whose part a file is can be told, and no two arrays meet.

    Examples
    --------
    >>> part_names("a.tsv", "tsv", ["1", "S/1.5", "s_1_5"]), part_names("a.tsv", "tsv", [""])
    (['a.1.tsv', 'a.S_1_5.tsv', 'a.s_1_5 (2).tsv'], ['a.tsv'])
    """
    base, taken = file.removesuffix(f".{form}"), dict[str, int]()
    most = max(_LABEL_BYTES, _NAME_BYTES - len(base.encode())) - 8
    return [
        f"{base}.{_apart(_safe(label, most).replace('.', '_'), taken)}.{form}" if label else file for label in labels
    ]


def whole_name(file: str, form: str) -> str | None:
    """The file of the array that a file of a part belongs to; None where it cannot be one.

    Examples
    --------
    >>> whole_name("a.b.1.tsv.gz", "tsv.gz"), whole_name("a.tsv", "tsv"), whole_name("a.1.csv", "tsv")
    ('a.b.tsv.gz', None, None)
    """
    base, point, _ = file.removesuffix(f".{form}").rpartition(".")
    return f"{base}.{form}" if file.endswith(f".{form}") and point else None


def _safe(name: str, most: int) -> str:
    """A name that every file system takes, in at most so many bytes: the whole one is in the record."""
    return _cut("".join("_" if c in _NOT_IN_NAMES or ord(c) < 32 or 127 <= ord(c) < 160 else c for c in name), most)


def _cut(name: str, most: int) -> str:
    raw = name.encode("utf-8", "surrogateescape")
    return name if len(raw) <= most else raw[:most].decode("utf-8", "ignore")


def _apart(name: str, taken: dict[str, int]) -> str:
    """The name, numbered where it is taken; file systems may not tell capitals.

    ``taken`` has the last number that was tried for a name, so that many equal ones cost one step each.
    """
    unique, key = name, name.casefold()
    number = taken.get(key, 1)
    while unique.casefold() in taken:
        number += 1
        unique = f"{name} ({number})"
    taken[key] = number
    taken.setdefault(unique.casefold(), 1)
    return unique
