"""The one place where an input is opened: what it is, what its head says, and the whole array."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gridnorm.arrays.annotate import annotate
from gridnorm.arrays.arrayset import SPOT_COLUMNS
from gridnorm.arrays.background import choose_background
from gridnorm.arrays.grouping import SPLITS, WHOLE, find_column, needed_columns
from gridnorm.arrays.layout import Layout, infer_layout
from gridnorm.arrays.merge import STEP as MERGED
from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.arrays.scans import merge_raws, saturation_columns
from gridnorm.arrays.weights import weight_columns
from gridnorm.arrays.within import choose_method
from gridnorm.errors import FormatError, OptionError, option_word
from gridnorm.io.columns import LATER
from gridnorm.io.formats import Format, Head, recognise
from gridnorm.io.text import Text, load, load_head, name_of, path_text
from gridnorm.plain import named
from gridnorm.provenance import History, InputDigest, joined
from gridnorm.workflow.inputs import is_targets
from gridnorm.workflow.settings import READING, RUN_OPTIONS, Settings
from gridnorm.workflow.spot_files import FILES, comes_from_tables, read_too, told

if TYPE_CHECKING:
    from gridnorm.io.formats.gal import Gal


@dataclass(frozen=True)
class ArrayTask:
    """One array of a plan: where it lies, what it and its file (``plain.named``) are called, how it is read.

    ``scans``: of a slide that was scanned several times, each scan; its path, format and options are then those of the
    first one, and ``slide`` is what it is called.
    """

    path: str
    name: str
    file: str
    format: Format
    options: ReadOptions
    origin: str = ""
    scans: tuple[ArrayTask, ...] = ()
    slide: str = ""

    @property
    def paths(self) -> list[str]:
        """The files that are read for it."""
        return [scan.path for scan in self.scans] or [self.path]


@dataclass(frozen=True)
class Recognised:
    """A file whose format is known, with the beginning of its text."""

    format: Format | None
    text: Text
    settings: Settings

    def head(self) -> Head:
        """What the beginning of an array file tells."""
        assert self.format is not None
        return self.format.head(self.text, self.settings.reading)


def recognise_file(path: str, settings: Settings, *, name: str = "", gal: bool = False) -> Recognised:
    """The format of a file, from its beginning; None for a GAL, where one is welcome. ``name`` is for messages.

    Raises
    ------
    FormatError
        It cannot be opened, no reader knows it, or it is a GAL or a targets table.
    """
    text = load_head(path, name=name)
    if is_targets(text.data):
        raise FormatError("a targets table (name it to use it)", text.name)
    if gal:
        from gridnorm.io.formats.gal import sniff

        if sniff(text):
            return Recognised(None, text, settings)
    return Recognised(recognise(text, settings.reading), text, settings)


def read_array(task: ArrayTask, settings: Settings) -> tuple[RawArray, InputDigest]:
    """The whole array of a task, with the identifiers of ``gal`` where one is given; of several scans merged.

    Raises
    ------
    FormatError, LayoutError, OptionError, FitError
    """
    if task.scans:
        return _read_scans(task, settings)
    text = load(task.path, task.file)
    raw = replace(task.format.read(text, task.options), not_found=task.format.not_found)
    if settings.gal is not None:
        raw = annotate(raw, read_gal(settings.gal))
    return told(raw, settings, task.name), InputDigest(task.file, text.size, text.sha256, text.content)


def _read_scans(task: ArrayTask, settings: Settings) -> tuple[RawArray, InputDigest]:
    """The array that the scans of a slide are merged into, and one digest for all of their files."""
    first, *others = task.scans
    extra = tuple(dict.fromkeys((*task.options.extra, *first.options.extra)))
    first = replace(first, options=replace(task.options, extra=extra))
    read = [read_array(scan, settings) for scan in (first, *others)]
    digests = [digest for _, digest in read]
    raw = merge_raws([raw for raw, _ in read], task.slide, digests)
    strange = {title for title in saturation_columns(raw.spots) if title not in task.options.extra}
    digest = joined(task.file, digests)
    assert digest is not None
    return replace(raw, spots={title: cells for title, cells in raw.spots.items() if title not in strange}), digest


def read_gal(path: str) -> Gal:
    """The GAL of ``gal``; decoded once, although every array of a run asks for it."""
    from gridnorm.io.formats import gal

    return gal.read_file(path, named(name_of(path), path_text(path)))


def layout_of(raw: RawArray, settings: Settings) -> tuple[Layout | None, tuple[str, ...]]:
    """Layout of an array from its spots, the GAL and ``layout``; None where it has no Block, Row and Column."""
    spots = raw.spots
    if not all(name in spots for name in ("Block", "Row", "Column")):
        if settings.layout is not None:
            raise OptionError(
                f"{option_word('layout')} needs the columns Block, Row and Column", file=raw.name,
                hint=f"Name them with {option_word('columns')}",
            )  # fmt: skip
        return None, ()
    layout = infer_layout(
        spots["Block"],
        spots["Row"],
        spots["Column"],
        spots.get("X"),
        spots.get("Y"),
        gal_blocks=None if settings.gal is None else read_gal(settings.gal).blocks or None,
        grid=raw.grid,
        override=settings.layout,
        file=raw.name,
    )
    return layout, layout.warnings


def reading_history(raw: RawArray, format: Format, settings: Settings) -> History:
    """The step that every array begins with: how it was read, with every effective setting."""
    options = {option.name: option for option in format.options}
    parameters: dict[str, Any] = {name: options[name].plain(value) for name, value in raw.settings.items()}
    merging = settings.merge_scans
    parameters |= {name: RUN_OPTIONS[name].plain(settings.run[name]) for name in READING if name != "merge_scans"}
    for name in ("gal", *FILES):
        if settings.run[name] is not None:
            # No folder of this machine goes into a result.
            parameters[name] = name_of(settings.run[name].replace("\\", "/"))
    history = History().then("read", **parameters)
    return history if merging is None else history.then(MERGED, by=merging)


def read_options(settings: Settings, columns: tuple[str, ...], file: str, *, keys_only: bool) -> ReadOptions:
    """What to read from a file with these column titles.

    Raises
    ------
    OptionError
        ``by``, ``split``, ``keep`` or ``weights`` names a column that the file lacks.
    """
    # The parts of a file are told apart, and matched, before it is compared with others.
    keys_only = keys_only and settings.split == WHOLE
    wanted = [
        find_column(word, columns, file, option)
        for option in ("by", "between_by")
        for word in needed_columns(getattr(settings, option))
        if not _comes_otherwise(word, columns, settings)
    ]
    if settings.split not in SPLITS and not _comes_otherwise(settings.split, columns, settings):
        wanted.append(find_column(settings.split, columns, file, "split"))
    if not comes_from_tables(settings.weights, settings):
        wanted += weight_columns(settings.weights, columns, file)
    wanted += [
        find_column(word, columns, file, "method")
        for word in _method_columns(settings)
        if not _comes_otherwise(word, columns, settings)
    ]
    looked, seen = _correction_columns(settings)
    wanted += [
        find_column(word, columns, file, option, groupings=option.endswith(("_by", "_groups")))
        for option, word in looked
        if not _comes_otherwise(word, columns, settings)
    ]
    wanted += [title for title in seen if title in columns or title in LATER]
    wanted += read_too(settings, columns)
    if not keys_only:
        kept = [word for word in settings.keep if not comes_from_tables(word, settings)]
        wanted += [find_column(word, columns, file, "keep") for word in kept]
    extra = tuple(title for title in dict.fromkeys(wanted) if title not in SPOT_COLUMNS)
    # Name, X and Y are left out of later files unless something looks at them.
    later = keys_only and not any(title in LATER for title in wanted)
    return ReadOptions(settings.reading, extra, later, choose_background(settings.background, True).columns)


def _method_columns(settings: Settings) -> list[str]:
    """Spot columns that the chosen method looks at."""
    from gridnorm.arrays.covariates import COVARIATES

    if settings.method == "auto":
        return []
    row = choose_method(settings.method, ())
    covariates = [name for name in row.covariates if name != "level" and name not in COVARIATES]
    return [*covariates, *row.columns]


def _correction_columns(settings: Settings) -> tuple[list[tuple[str, str]], list[str]]:
    """Spot columns that the corrections of intensities name, with the option that does, and those they look at."""
    rows = settings.recipe.corrections()
    looked = [pair for row, options in rows for pair in row.columns(options)]
    return looked, [title for row, _ in rows for title in row.sees]


def _comes_otherwise(word: str, columns: tuple[str, ...], settings: Settings) -> bool:
    """Whether a word of ``by`` need not be a title of the file: a role, or what the GAL may add."""
    if word.lower() in {title.lower() for title in columns}:
        return False
    roles = {title.lower() for title in (*SPOT_COLUMNS, *(role for role, _ in settings.columns or ()))}
    return settings.gal is not None or word.lower() in roles or comes_from_tables(word, settings)
