"""Tables about spots that a run is given beside its arrays: spot types, and flags set by hand."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.corrections.correction import TYPES
from gridnorm.arrays.flag_table import WEIGHT, FlagTable, flag_table, strangers, with_flags
from gridnorm.arrays.given import as_arrays, kind_of
from gridnorm.arrays.raw import RawArray
from gridnorm.arrays.spot_types import (
    TYPE,
    TypesTable,
    check_types,
    check_words,
    count_types,
    needed_columns,
    types_of,
    types_table,
    with_types,
)
from gridnorm.arrays.weights import flag_rule
from gridnorm.core.option import TEXT, Option
from gridnorm.errors import OptionError, recorded_option, warn
from gridnorm.io.listing import Listing, read_listing
from gridnorm.io.text import name_of, path_text
from gridnorm.plain import named, recorded
from gridnorm.workflow.inputs import stem

CONTROLS = Option(
    "controls", TEXT, None, f"Table of spot types: {TYPE}, and patterns of ID, Name or other columns.", metavar="FILE",
    auto=True, source="limma's readSpotTypes",
)  # fmt: skip

FLAG_TABLE = Option(
    "flag_table", TEXT, None,
    "Table of flags set by hand: Block, Row, Column or ID, then Flag or Weight; Array, where a row is about one.",
    metavar="FILE", auto=True,
)  # fmt: skip
FILES = (CONTROLS.name, FLAG_TABLE.name)  # options that name such a table


def spot_types(arrays: ArraySet, table: str | os.PathLike[str] | Mapping[str, Sequence[str]]) -> ArraySet:
    """Arrays with the spot column ``SpotType``.

    Parameters
    ----------
    arrays
        At any stage.
    table
        A file, or its columns (a DataFrame, too): ``SpotType``, and patterns of ``ID``, ``Name`` or any other spot
        column. A pattern is for the whole cell; ``*`` stands for any text, ``.`` for any letter, and case counts. Of
        rows that match a spot the last one wins. Other columns, such as ``Color``, do nothing.

    Returns
    -------
    ArraySet

    Raises
    ------
    FormatError
        No column ``SpotType``, none of the spots, a pattern that is none, or a table that matches no spot.

    Notes
    -----
    Peer: limma's ``readSpotTypes`` and ``controlStatus``. Here a cell that is the pattern letter for letter matches
    too: ``Ratio (1:2)`` need not be written as a regular expression.

    Examples
    --------
    >>> import gridnorm as gn
    >>> arrays = gn.simulate(1, blocks=(2, 2), spots=(10, 10), seed=1).arrays
    >>> typed = gn.spot_types(arrays, {"SpotType": ["gene", "control"], "ID": ["*", "P00000*"]})
    >>> typed.spots["SpotType"].value_counts().to_dict()
    {'gene': 391, 'control': 9}
    """
    arrays = as_arrays(arrays)
    if isinstance(table, str | os.PathLike):
        known = types_file(os.fspath(table))
    else:
        titles, rows = _cells(table)
        known = types_table("the table", titles, rows, range(1, len(rows) + 1))
    found = types_of(known, arrays.columns, arrays.n_spots, arrays.names[0])
    warn(found.notes)
    columns = {**arrays.columns, TYPE: found.types}
    counts, step = count_types(columns), {"controls": recorded(known.name)}
    records = [arrays.record(k) for k in range(len(arrays))]
    return replace(
        arrays, columns=columns, warnings=(*arrays.warnings, *found.notes),
        history=arrays.history.then("spot_types", **step),
        records=tuple(r._replace(types=counts, history=r.history.then("spot_types", **step)) for r in records),
    )  # fmt: skip


def _cells(table: Any) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of a table of columns, such as a DataFrame.

    Raises
    ------
    OptionError
        It is none, or its columns are of unequal length.
    """
    try:
        columns = {str(title): list(table[title]) for title in table}
    except (TypeError, KeyError, IndexError):
        raise OptionError(
            "no table of spot types", found=kind_of(table), expected="a file, a DataFrame, or columns by their title"
        ) from None
    lengths = {title: len(cells) for title, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{title} of {n}" for title, n in lengths.items())
        raise OptionError("the columns of the spot types are of unequal length", found=found)
    rows = zip(*columns.values(), strict=True)
    return list(columns), [["" if cell is None else str(cell) for cell in row] for row in rows]


def types_file(path: str) -> TypesTable:
    """The table of spot types in a file; made once, although every array of a run asks for it."""
    return _types(_listing(path, "#"))  # lines that begin with # are comments, as in limma


def _listing(path: str, comment: str = "") -> Listing:
    return read_listing(path, named(name_of(path), path_text(path)), comment)


@lru_cache(maxsize=4)
def _types(listing: Listing) -> TypesTable:
    return types_table(listing.name, listing.titles, listing.rows, listing.lines)


def check_files(settings: Any) -> None:
    """Read the tables of a run: what is wrong with them concerns all arrays, and is said once.

    Raises
    ------
    FormatError, OptionError
    """
    if settings.controls is not None:
        table = types_file(settings.controls)
        known = dict.fromkeys(table.types)
        check_words(known, settings.exclude_types, settings.fit_types, table.name)
        for row, options in settings.recipe.corrections():
            for option in row.options:
                if option.name in row.types:
                    check_types(option, options[option.name], known, table.name)
    if settings.flag_table is not None:
        flags_file(settings.flag_table)


def read_too(settings: Any, titles: Iterable[str]) -> list[str]:
    """Columns of a file that the tables of a run look at."""
    if settings.controls is not None:
        return needed_columns(types_file(settings.controls), titles)
    typed = settings.exclude_types or settings.fit_types
    typed = typed or any(TYPES in row.needs for row, _ in settings.recipe.corrections())
    return [title for title in titles if title == TYPE and typed]


def comes_from_tables(word: str, settings: Any) -> bool:
    """Whether a spot column is made by the tables of a run."""
    made = [TYPE.casefold()] if settings.controls is not None else []
    if settings.flag_table is not None and flags_file(settings.flag_table).weights is not None:
        made.append(WEIGHT.casefold())
    return word.casefold() in made


def told(raw: RawArray, settings: Any, name: str) -> RawArray:
    """The array, called ``name``, with what the tables of a run say of its spots.

    Raises
    ------
    FormatError
    """
    if settings.controls is not None:
        raw = with_types(raw, types_file(settings.controls))
    if settings.flag_table is not None:
        raw = with_flags(raw, flags_file(settings.flag_table), _called(raw.name, name))
    return raw


def doubts(settings: Any, arrays: Iterable[tuple[str, str]]) -> list[str]:
    """Sentences about the tables of a run, given the files and names of its arrays."""
    if settings.flag_table is None:
        return []
    table = flags_file(settings.flag_table)
    out = [*table.notes, *strangers(table, [word for file, name in arrays for word in _called(file, name)])]
    if table.flags is not None and flag_rule(settings.flags).policy == "ignore":
        out.append(f"{table.name}: its flags do nothing with {recorded_option('flags', 'ignore')}")
    if table.weights is not None and settings.weights.casefold() != WEIGHT.casefold():
        out.append(f"{table.name}: its weights do nothing without {recorded_option('weights', WEIGHT)}")
    return out


def _called(file: str, name: str) -> tuple[str, ...]:
    """What a table may call an array: its name, its file as records have it, or without folders or suffixes."""
    short = recorded(file)
    base = short.rpartition("/")[2]
    return (name, short, base, stem(base))


def flags_file(path: str) -> FlagTable:
    """The table of flags in a file; made once, although every array of a run asks for it."""
    return _flags(_listing(path))


@lru_cache(maxsize=4)
def _flags(listing: Listing) -> FlagTable:
    columns = {title: [row[k] for row in listing.rows] for k, title in enumerate(listing.titles)}
    return flag_table(listing.name, columns, listing.lines)
