"""Types of spots by patterns of their ID, Name or other columns, and what they may do in a fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import Column, RawArray
from gridnorm.core.option import WORDS, Option, nearest
from gridnorm.errors import FitError, FormatError, OptionError, option_word, recorded_option

TYPE = "SpotType"  # the spot column, and the column of the table that names the types
UNTYPED = "(none)"  # what spots without a type are called in counts
# Columns of the table that say how spots are drawn, in limma's tables.
DRAWN = frozenset(["color", "colour", "col", "cex", "pch", "symbol", "size", "shape", "bg", "fg", "lwd", "lty"])
EXCLUDE_TYPES = Option(
    "exclude_types", WORDS, (), "Spot types that are in no fit, such as spiked ones; they are normalized like others.",
    metavar="TYPE,…",
)  # fmt: skip
FIT_TYPES = Option(
    "fit_types", WORDS, (), "Spot types that alone are in the fits, as controls that do not change.", metavar="TYPE,…"
)


class TypesTable(NamedTuple):
    """A table of spot types: a row is a type, its patterns by column, and the line of the file it stands on."""

    name: str
    titles: tuple[str, ...]
    types: tuple[str, ...]
    patterns: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]


class Typed(NamedTuple):
    """The type of every spot (bytes), and sentences about rows and columns of the table that do nothing."""

    types: Column
    notes: tuple[str, ...]


def types_table(name: str, titles: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[int]) -> TypesTable:
    """A table of spot types from its cells.

    Raises
    ------
    FormatError
        No column ``SpotType``, no row, a row without a type, or a pattern that is none.
    """
    twice = next((t for k, t in enumerate(titles) if t.casefold() in [one.casefold() for one in titles[:k]]), None)
    if twice is not None and twice.casefold() not in DRAWN:
        raise FormatError("two columns of the spot types have one title", name, 1, found=twice, expected="one of them")
    same = [k for k, title in enumerate(titles) if title.casefold() == TYPE.casefold()]
    if len(same) != 1:
        raise FormatError(
            f"a table of spot types needs one column {TYPE}", name, 1, found=", ".join(titles),
            expected=f"{TYPE}, then columns of spots such as ID and Name",
        )  # fmt: skip
    if not rows:
        raise FormatError("a table of spot types has no rows", name, expected="a line of titles and types below it")
    at = same[0]
    rest = [k for k in range(len(titles)) if k != at]
    for row, line in zip(rows, lines, strict=True):
        if not row[at]:
            raise FormatError("a row has no spot type", name, line)
        if row[at] == UNTYPED:
            raise FormatError("this is what spots without a type are called", name, line, found=UNTYPED)
        for k in rest:
            if titles[k].casefold() not in DRAWN:
                _compiled(row[k], name, line, titles[k])
    return TypesTable(
        name, tuple(titles[k] for k in rest), tuple(row[at] for row in rows),
        tuple(tuple(row[k] for k in rest) for row in rows), tuple(lines),
    )  # fmt: skip


def needed_columns(table: TypesTable, titles: Iterable[str]) -> list[str]:
    """Columns of a file that the patterns look at."""
    return [title for _, title in _matching(table, titles)]


def types_of(table: TypesTable, columns: Mapping[str, Column], n_spots: int, file: str) -> Typed:
    """The type of every spot: of rows of the table whose patterns all match, the last one's; none: empty.

    A pattern is a regular expression for the whole cell in which ``*`` stands for any text, as in limma; a cell that is
    the pattern letter for letter matches too. Case counts.

    Raises
    ------
    FormatError
        No column of the table is one of the spots, or no row matches any spot.
    """
    used = _matching(table, columns)
    if not used:
        near = next((found for title in table.titles if (found := nearest(title, columns))), None)
        raise FormatError(
            f"no column of the spot types is one of the spots of {file}", table.name, 1,
            found=", ".join(table.titles) or TYPE, expected="ID, Name or another of " + ", ".join(columns),
            hint=f"Did you mean {near}?" if near else None,
        )  # fmt: skip
    out = np.zeros(n_spots, f"S{max(len(word.encode()) for word in table.types)}")
    cells = {title: np.unique(columns[title], return_inverse=True) for _, title in used}
    idle: list[int] = []
    for word, patterns, line in zip(table.types, table.patterns, table.lines, strict=True):
        hit = np.ones(n_spots, bool)
        for k, title in used:
            hit &= _hits(cells[title], patterns[k], (table.name, line, title))
        out[hit] = word.encode()
        if not hit.any():
            idle.append(line)
    if len(idle) == len(table.types):
        shown = ", ".join(f"{title} {table.patterns[0][k]!r}" for k, title in used)
        raise FormatError(
            f"no spot of {file} is of any of these types", table.name, table.lines[0], found=shown,
            expected="patterns of these spots; * stands for any text, and case counts",
        )  # fmt: skip
    return Typed(out, tuple(_notes(table, used, idle, columns)))


def with_types(raw: RawArray, table: TypesTable) -> RawArray:
    """The array with the spot column ``SpotType``."""
    found = types_of(table, raw.spots, raw.n_spots, raw.name)
    notes = [*found.notes]
    if TYPE in raw.spots:
        notes.append(f"{raw.name}: the spot types of {table.name} stand in the place of the file's column {TYPE}")
    return replace(raw, spots={**raw.spots, TYPE: found.types}).with_warnings(*notes)


def count_types(columns: Mapping[str, Column]) -> dict[str, int]:
    """Numbers of spots by type, in the order in which types first appear; ``(none)``: without a type."""
    column = columns.get(TYPE)
    if column is None or column.dtype.kind != "S":
        return {}
    names, first, counts = np.unique(column, return_index=True, return_counts=True)
    order = np.argsort(first, kind="stable")
    return {names[k].decode("utf-8", "replace") or UNTYPED: int(counts[k]) for k in order}


def check_words(known: Iterable[str], exclude: Sequence[str], fit: Sequence[str], where: str) -> None:
    """Refuse types that are none of those known.

    Raises
    ------
    OptionError
        Naming the nearest type.
    """
    names = list(known)
    both = [word for word in exclude if same_type(word, fit)]
    if both:
        raise OptionError(
            f"a type cannot be in {option_word('exclude_types')} and in {option_word('fit_types')}", found=both[0]
        )
    check_types(EXCLUDE_TYPES, exclude, names, where)
    check_types(FIT_TYPES, fit, names, where)


def check_types(option: Option, words: Sequence[str], known: Iterable[str], where: str | None = None) -> None:
    """Refuse what ``option`` names and no spot is.

    Raises
    ------
    OptionError
        Naming the nearest type.
    """
    names = list(known)
    for word in words:
        if not names:
            raise untyped(option.word, where)
        if not same_type(word, names):
            near = nearest(word, names)
            raise OptionError(
                f"{option.word} names a type that no spot has", file=where, found=repr(word),
                expected=", ".join(names) or "none", hint=f"Did you mean {near}?" if near else None,
            )  # fmt: skip


def types_meant(
    option: Option, named: Sequence[str], usual: str, known: Iterable[str], where: str | None = None
) -> list[str]:
    """The types that an option means: those named, ignoring case; where none is, those whose name begins as usual.

    Raises
    ------
    OptionError
        Types were named, and no spot is of any of them.
    """
    names = list(known)
    if not named:
        return [name for name in names if name != UNTYPED and name.casefold().startswith(usual)]
    found = dict.fromkeys(name for word in named for name in same_type(word, names))
    if not found:
        check_types(option, named, names, where)
    return list(found)


def use_of_types(
    use: NDArray[np.bool_], raw: RawArray, exclude: Sequence[str], fit: Sequence[str]
) -> NDArray[np.bool_]:
    """Those of the spots ``use`` that may teach, given which types may not, or which alone may.

    An array may lack some of the types.

    Raises
    ------
    OptionError
        The spots have no types.
    FitError
        No spot of the types may enter the fit.
    """
    chosen = use
    for option, words, wanted in ((EXCLUDE_TYPES, exclude, False), (FIT_TYPES, fit, True)):
        if words:
            chosen = chosen & (_of_types(raw, words, option) == wanted)
    if (exclude or fit) and use.any() and not chosen.any():
        named = fit or exclude
        raise FitError(
            f"no spot is left for the fit by {option_word('fit_types' if fit else 'exclude_types')}", file=raw.name,
            found=", ".join(named), hint="Spots of other types are flagged, missing, or not there",
        )  # fmt: skip
    return chosen


def type_doubts(raw: RawArray, exclude: Sequence[str], fit: Sequence[str]) -> list[str]:
    """That a whole array has no spot of a type that was named."""
    known = count_types(raw.spots)
    return [
        f"{raw.name}: no spot is of the type {word} ({recorded_option(option.name)})"
        for option, words in ((EXCLUDE_TYPES, exclude), (FIT_TYPES, fit))
        for word in words
        if not raw.part_of and not same_type(word, known)
    ]


def _of_types(raw: RawArray, words: Sequence[str], option: Option) -> NDArray[np.bool_]:
    column = raw.spots.get(TYPE)
    if column is None or column.dtype.kind != "S":
        raise untyped(option.word, raw.name)
    known = count_types(raw.spots)
    return np.isin(column, [name.encode() for word in words for name in same_type(word, known)])


def untyped(word: str, where: str | None) -> OptionError:
    """The error that spots have no types, which what is called ``word`` needs."""
    hint = f"Give a table of them with {option_word('controls')}"
    return OptionError(f"{word} needs the types of the spots", where, found=f"no column {TYPE}", hint=hint)


def same_type(word: str, known: Iterable[str]) -> list[str]:
    """The types that a word means: exact, else ignoring case."""
    names = list(known)
    return [word] if word in names else [name for name in names if name.casefold() == word.casefold()]


def _matching(table: TypesTable, titles: Iterable[str]) -> list[tuple[int, str]]:
    """Columns of the table that are spot columns, exact or else ignoring case; not how spots are drawn."""
    there = list(titles)
    found = []
    for k, title in enumerate(table.titles):
        same = [title] if title in there else [one for one in there if one.casefold() == title.casefold()]
        if len(same) == 1 and same[0] != TYPE and (title in there or title.casefold() not in DRAWN):
            found.append((k, same[0]))
    return found


def _notes(
    table: TypesTable, used: Sequence[tuple[int, str]], idle: Sequence[int], columns: Mapping[str, Column]
) -> list[str]:
    out = []
    if idle:
        where = ", ".join(map(str, idle[:5])) + (", …" if len(idle) > 5 else "")
        which = f"the row of line {where} matches" if len(idle) == 1 else f"{len(idle)} rows (lines {where}) match"
        out.append(f"{table.name}:{idle[0]}: of {len(table.types)} spot types {which} no spot")
    taken = {k for k, _ in used}
    for k, title in enumerate(table.titles):
        if k in taken or not title or title.casefold() in DRAWN:
            continue
        near = nearest(title, columns)
        meant = f"; did you mean {near}?" if near else ""
        out.append(f"{table.name}:1: column {title} is no spot column and tells no types apart{meant}")
    return out


def _hits(cells: tuple[Column, Column], pattern: str, where: tuple[str, int, str]) -> NDArray[np.bool_]:
    """The spots whose cell, one of the distinct ones, fits the pattern."""
    if pattern and not pattern.strip("*"):
        return np.ones(cells[1].shape, bool)
    compiled = _compiled(pattern, *where)
    texts = [cell_text(cell) for cell in cells[0].tolist()]
    return np.asarray([text == pattern or compiled.fullmatch(text) is not None for text in texts], bool)[cells[1]]


def cell_text(cell: object) -> str:
    """A cell of a spot column as text; a missing number is empty."""
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace")
    if isinstance(cell, float):
        return "" if cell != cell else f"{cell:.15g}"
    return str(cell)


def _compiled(pattern: str, name: str, line: int, title: str) -> re.Pattern[str]:
    try:
        return _expression(pattern)
    except re.error as error:
        raise FormatError(
            f"the pattern of column {title} is no regular expression", name, line, found=repr(pattern),
            expected="* for any text, . for any letter, \\ before a sign that stands for itself", hint=str(error),
        ) from None  # fmt: skip


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern[str]:
    r"""The pattern as a regular expression; of letters, dots and stars alone one that never tries twice.

    Examples
    --------
    >>> bool(_expression("A*B").fullmatch("A1B2B")), bool(_expression(r"x\.").fullmatch("xy"))
    (True, False)
    """
    head, *parts = pattern.split("*")
    if not parts or re.search(r"[\[\](){}+?|^$]|\\(?!\W)", pattern):
        return re.compile(pattern.replace("*", ".*"), re.DOTALL)
    *middle, last = parts
    return re.compile(head + "".join(f"(?>.*?{part})" for part in middle if part) + f".*{last}", re.DOTALL)
