"""What every reader needs once: the roles that columns play, and the array that is made of them.

A format says which column serves which role (:class:`Source`); keys, flags, repeated positions, further columns,
counts and the record itself are the same for all (:func:`read_array`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import Column, RawArray, ReadOptions
from gridnorm.core.option import TEXT, WORDS, Option, effective, nearest
from gridnorm.core.segments import Segments
from gridnorm.errors import FormatError, option_word
from gridnorm.io import cells
from gridnorm.io import table as tables
from gridnorm.io.text import Text
from gridnorm.io.whole import flag_codes, whole
from gridnorm.plain import SHOWN_TITLES, few

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

KEYS = ("Block", "Row", "Column")
NAMES = ("ID", "Name")
PLACES = ("X", "Y")
FLAGS = "Flags"
GRID = ("BlockRow", "BlockColumn")  # in files that do not number the blocks
LATER = (*PLACES, "Name")  # what files after the first do not need
MOST_BLOCKS = 1_000_000  # rows or columns of blocks: two such numbers make one block number
_NUMBERED = re.compile("[FB]([0-9]+)")  # titles of the measures of one channel in GenePix files

FOREGROUND = Option(
    "foreground",
    TEXT,
    "mean",
    "Foreground of GenePix and SPOT files.",
    choices=("mean", "median"),
    auto=True,
    source='limma\'s source "genepix" or "genepix.median"',
)
CHANNELS = Option("channels", WORDS, (), "Wavelengths, for example 635,532.", metavar="R,G", shown="R = the longer one")


class Frame(NamedTuple):
    """The titles of a table and where its rows begin.

    Attributes
    ----------
    titles
        Column titles.
    separator
        One byte between cells.
    start
        Offset of the first row.
    line
        1-based line of the titles; the first row stands below it.
    shift
        Cells of a row that stand before the first one with a title (R's row names).
    """

    titles: tuple[str, ...]
    separator: bytes
    start: int
    line: int
    shift: int = 0

    def title(self, position: int) -> str:
        """The title of a cell of a row."""
        return self.titles[position - self.shift]


class Source(NamedTuple):
    """One array in a file: which column serves which role.

    Attributes
    ----------
    format, version, header
        As the array shows them.
    frame
        Titles and rows.
    channels, wavelengths
        Of the array, in order.
    roles
        Role to position among the cells of a row. Roles are the channels, their backgrounds (``Rb`` of ``R``), and
        ``Block Row Column ID Name X Y Flags``; ``BlockRow`` and ``BlockColumn`` stand for ``Block`` in files that
        do not number their blocks.
    settings
        Effective options of the format.
    warnings
        What the reader has noticed.
    """

    format: str
    version: str
    frame: Frame
    channels: tuple[str, ...]
    wavelengths: tuple[str, ...]
    roles: Mapping[str, int]
    settings: Mapping[str, Any]
    header: Mapping[str, str] = {}
    warnings: Sequence[str] = ()


class Spots(NamedTuple):
    """Decoded columns: the table as it was read, spot columns by name, flags, and what was odd.

    ``grid`` has the rows and columns of blocks where the file says them, ``measures`` columns of numbers by position.
    """

    table: tables.Table
    columns: dict[str, Column]
    flags: IntArray | None
    warnings: list[str]
    grid: tuple[int, int] | None = None
    measures: Mapping[int, FloatArray] = {}


def settings_of(owned: Iterable[Option], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of a format with its value, checked; options of other formats are passed over.

    Examples
    --------
    >>> settings_of((FOREGROUND, CHANNELS), {"channels": "635,532", "columns": ()})
    {'foreground': 'mean', 'channels': ('635', '532')}
    """
    owned = tuple(owned)
    given = ((option, settings.get(option.name)) for option in owned)
    return effective(owned, {option.name: option.read(value) for option, value in given if value is not None})


def position(titles: Sequence[str], name: str) -> int | None:
    """Where a title stands: the exact one, else the first that differs only in case; None if there is none."""
    if name in titles:
        return titles.index(name)
    folded = [title.casefold() for title in titles]
    return folded.index(name.casefold()) if name.casefold() in folded else None


def positions(titles: Sequence[str], names: Iterable[str]) -> dict[str, int]:
    """Where those of some titles stand that are there at all."""
    return {name: at for name in names if (at := position(titles, name)) is not None}


def has_keys(titles: Sequence[str]) -> bool:
    """Whether the columns that give a spot its place are there."""
    return {key.casefold() for key in KEYS} <= {title.casefold() for title in titles}


def need(frame: Frame, title: str, file: str) -> int:
    """Where the column of a title stands among the cells of a row.

    Raises
    ------
    FormatError
        There is none; the message lists those that there are.
    """
    if title in frame.titles:
        return frame.titles.index(title) + frame.shift
    near = nearest(title, frame.titles)
    raise FormatError(
        f"there is no column {title!r}",
        file,
        frame.line,
        found="columns " + few(filter(None, frame.titles), SHOWN_TITLES),
        expected=repr(title),
        hint=f"Did you mean {near}?" if near else None,
    )


def instead(frame: Frame, lacking: str, taken: str, file: str) -> str:
    """The warning that one column was taken where another was looked for."""
    return f"{file}:{frame.line}: there is no column {lacking}; {taken} was taken"


def doubled(frame: Frame, at: Iterable[int]) -> list[str]:
    """Titles of some columns that other columns have, too."""
    return [title for title in dict.fromkeys(map(frame.title, at)) if frame.titles.count(title) > 1]


def read_spots(
    text: Text,
    frame: Frame,
    roles: Mapping[str, int],
    *,
    levels: Sequence[str] = (),
    extra: Sequence[str] = (),
    fill: bool = False,
    measures: Sequence[int] = (),
) -> Spots:
    """Decode the columns that play roles, and further ones.

    Parameters
    ----------
    text
        The whole file.
    frame
        Titles and rows.
    roles
        As in :class:`Source`.
    levels
        Roles that are intensities; they come first in the table, in this order.
    extra
        Titles of further columns: numbers if all their cells are numbers or missing, else text.
    fill
        Whether rows may lack their last cells.
    measures
        Positions of further columns, of numbers.

    Raises
    ------
    FormatError
        The table is damaged, a column is not there, or a key or flag is no whole number.
    """
    file = text.name
    numeric = [*levels, *(role for role in (*GRID, *KEYS, FLAGS, *PLACES) if role in roles)]
    named = [role for role in NAMES if role in roles]
    roles_at = [roles[role] for role in numeric]
    # Behind the levels, which are a piece, and before the places, which are the last ones.
    more = [at for at in dict.fromkeys(measures) if at not in roles_at]
    numeric_at = [*roles_at[: len(levels)], *more, *roles_at[len(levels) :]]
    text_at = [roles[role] for role in named] + [need(frame, title, file) for title in extra]
    titles = ("",) * frame.shift + frame.titles
    # Places are evidence that later files are not asked for: bad ones must not cost a file for being the first.
    optional = [roles[role] for role in PLACES if role in roles]
    table = tables.read(
        text, frame.start, frame.line + 1, titles, numeric_at, text_at, frame.separator, fill, optional=optional
    )
    by_position = dict(zip(numeric_at, table.numbers, strict=True))
    numbers = {role: by_position[roles[role]] for role in numeric}
    warnings = [
        f"{file}:{frame.line}: column {title!r} comes twice; the first one was taken"
        for title in doubled(frame, numeric_at + text_at)
    ]
    warnings += table.warnings
    titled = {role: (frame.title(roles[role]), numbers[role]) for role in numeric}
    keys, grid = _keys({role: titled[role] for role in (*GRID, *KEYS) if role in titled}, table, file)
    flags, doubts = flag_codes(*titled[FLAGS], table, file) if FLAGS in titled else (None, [])
    keys, again = _one_block(keys, table, file)
    warnings += [*doubts, *again]
    columns: dict[str, Column] = {**keys, **dict(zip(named, table.texts, strict=False))}
    # Copies: spots outlive the intensities that were decoded in one piece with them.
    columns |= {place: np.array(numbers[place]) for place in PLACES if place in roles}
    for title, values in zip(extra, table.texts[len(named) :], strict=True):
        if title not in columns:
            number = cells.as_numbers(values)
            columns[title] = values if number is None else number
    return Spots(table, columns, flags, warnings, grid, {at: np.array(by_position[at]) for at in measures})


def _keys(
    given: Mapping[str, tuple[str, FloatArray]], table: tables.Table, file: str
) -> tuple[dict[str, IntArray], tuple[int, int] | None]:
    """Whole numbers from the title and the values of each key; blocks that have no number are counted row by row."""
    found = {role: whole(*column, table, file) for role, column in given.items()}
    if GRID[0] not in found:
        return found, None
    for role in GRID:
        low, high = int(np.argmin(found[role])), int(np.argmax(found[role]))
        if found[role][low] < 1 or found[role][high] >= MOST_BLOCKS:
            odd = low if found[role][low] < 1 else high
            raise FormatError(
                f"column {given[role][0]!r} numbers rows or columns of blocks", file, table.line(odd),
                found=str(found[role][odd]), expected=f"1 or more, and less than {MOST_BLOCKS}",
            )  # fmt: skip
    row, column = (found.pop(role) for role in GRID)
    grid = int(row.max()), int(column.max())
    return {"Block": (row - 1) * grid[1] + column, **found}, grid


def _one_block(keys: dict[str, IntArray], table: tables.Table, file: str) -> tuple[dict[str, IntArray], list[str]]:
    """The keys and a warning where positions repeat; Row and Column alone are one block, unless they do."""
    if "Block" in keys or not {"Row", "Column"} <= keys.keys():
        return keys, repeated(keys, table, file)
    whole_array = {"Block": np.ones(table.rows, np.int64), **keys}
    why = "repeat" if repeated(whole_array, table, file) else "do not begin at 1"
    if why == "repeat" or min(int(keys[key].min()) for key in ("Row", "Column")) < 1:
        return keys, [f"{file}: Row and Column {why}, so they are no block; without a column Block there is no layout"]
    return whole_array, []


def read_array(text: Text, source: Source, options: ReadOptions) -> RawArray:
    """The array of a file.

    A background is taken where every channel has one.

    Parameters
    ----------
    text
        The whole file.
    source
        Which column serves which role.
    options
        ``extra`` columns by title; ``keys_only`` leaves out Name, X and Y.

    Raises
    ------
    FormatError
        As :func:`read_spots`.
    """
    channels, frame = source.channels, source.frame
    roles = {role: at for role, at in source.roles.items() if not (options.keys_only and role in LATER)}
    below = [f"{channel}b" for channel in channels]
    measured = all(role in roles for role in below)
    levels = [*channels, *(below if measured else ())]
    measures = [_measures(options.measures, frame, roles[channel], text.name) for channel in channels]
    needed = [at for one in measures for at in one.values()]
    found = read_spots(text, frame, roles, levels=levels, extra=options.extra, measures=needed)
    k = len(channels)
    table = found.table
    # Every intensity next to its own background, as people look for them.
    pairs = [role for pair in zip(channels, below, strict=True) for role in pair]
    return RawArray(
        name=text.name,
        format=source.format,
        version=source.version,
        channels=channels,
        wavelengths=source.wavelengths,
        foreground=np.ascontiguousarray(table.numbers[:k]),
        background=np.ascontiguousarray(table.numbers[k : 2 * k]) if measured else None,
        spots=found.columns,
        flags=found.flags,
        header=dict(source.header),
        columns=frame.titles,
        taken=tuple((role, frame.title(roles[role])) for role in pairs if role in levels),
        warnings=(*text.warnings, *source.warnings, *_half(roles, below, text.name), *found.warnings),
        missing=sum(table.missing[: len(levels)]),
        infinite=sum(table.infinite[: len(levels)]),
        settings=source.settings,
        grid=found.grid,
        measures=tuple({title: found.measures[at] for title, at in one.items()} for one in measures if one),
    )


def _measures(titles: Sequence[str], frame: Frame, channel: int, file: str) -> dict[str, int]:
    """Where columns of a channel stand, by their titles with ``{nm}`` for the number of the channel's own column.

    Raises
    ------
    FormatError
        Some are not there.
    """
    number = _NUMBERED.match(frame.title(channel))
    named = {title: title.replace("{nm}", number[1]) if number else title for title in titles}
    lacking = [name for name in named.values() if name not in frame.titles]
    if lacking:
        raise FormatError(
            "columns are not there that the background method looks at", file, frame.line,
            found=f"no {', '.join(lacking)}", expected="a GenePix file with all of its columns",
            hint=f"Export them, too, or use another {option_word('background')}, such as normexp",
        )  # fmt: skip
    return {title: frame.titles.index(name) + frame.shift for title, name in named.items()}


def _half(roles: Mapping[str, int], below: list[str], file: str) -> list[str]:
    have = [role for role in below if role in roles]
    if have and len(have) < len(below):
        return [f"{file}: only {have[0]} is a background column; a background needs one per channel, so none is used"]
    return []


def repeated(spots: Mapping[str, IntArray], table: tables.Table, file: str) -> list[str]:
    """A warning if some Block, Row and Column come together more than once."""
    if not all(key in spots for key in KEYS):
        return []
    block, row, column = keys = [spots[key] for key in KEYS]
    low = [int(key.min()) for key in keys]
    span = [int(key.max()) - least + 1 for key, least in zip(keys, low, strict=True)]
    if span[0] * span[1] * span[2] >= 2**62:
        code = Segments.from_labels(*keys).codes
    else:
        code = ((block - low[0]) * span[1] + (row - low[1])) * span[2] + (column - low[2])
    if code.size < 2 or bool((np.diff(code) > 0).all()):  # in order, the usual case
        return []
    order = np.argsort(code, kind="stable")
    again = order[1:][np.diff(code[order]) == 0]
    if not again.size:
        return []
    second = int(again.min())
    first = int(np.flatnonzero(code == code[second])[0])
    rows = "1 row repeats" if again.size == 1 else f"{again.size} rows repeat"
    spot = f"block {block[second]}, row {row[second]}, column {column[second]}"
    return [
        f"{file}:{table.line(second)}: {rows} the position of an earlier row; all were kept "
        f"(first: {spot}, lines {table.line(first)} and {table.line(second)})"
    ]
