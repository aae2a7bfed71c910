"""Results of CSIRO Spot.

Foreground is ``Rmean``/``Gmean`` (or the medians), background the morphological opening ``morphR``/``morphG``, as in
limma's "spot". Blocks are numbered row by row from the grid coordinates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gridnorm.arrays.raw import Column, RawArray, ReadOptions
from gridnorm.errors import FormatError, OptionError
from gridnorm.io import atf, cells
from gridnorm.io import table as tables
from gridnorm.io.text import Text

_KEYS = ("grid.r", "grid.c", "spot.r", "spot.c")
_SEPARATORS = (b"\t", b",", b";")


class SpotHead(NamedTuple):
    """The titles of a SPOT file and what separates them."""

    columns: tuple[str, ...]
    separator: bytes


def sniff(head: bytes) -> bool:
    r"""Whether the beginning of a file looks like a SPOT file.

    Examples
    --------
    >>> sniff(b"indexs\tgrid.r\tgrid.c\tspot.r\tspot.c\tGmean\tRmean\n")
    True
    """
    return _titles(head) is not None


def read_head(text: Text) -> SpotHead:
    """Read the titles of a SPOT file from its text or from a head of it.

    Raises
    ------
    FormatError
        The first line holds no SPOT titles.
    """
    found = _titles(text.data)
    if found is None:
        raise FormatError("the first line holds no SPOT titles", text.name, 1, expected=", ".join(_KEYS))
    return SpotHead(tuple(found[0]), found[1])


def read(text: Text, options: ReadOptions) -> RawArray:
    r"""Read a SPOT file.

    Parameters
    ----------
    text
        The whole file.
    options
        ``foreground`` ``"mean"`` (default) or ``"median"``; ``extra`` further columns by title, such as ``area`` or
        ``badspot``; ``channels`` nothing, or R and G in either order.

    Returns
    -------
    Foreground and background (channel, spot) of R and G; spots in file order, without ID and Name. There are no flags.

    Raises
    ------
    FormatError
        The table is damaged or lacks a needed column.
    OptionError
        ``foreground`` is neither mean nor median.

    Examples
    --------
    >>> titles = b"grid.r\tgrid.c\tspot.r\tspot.c\tGmean\tRmean\tmorphG\tmorphR\n"
    >>> row = b"1\t1\t1\t1\t90.5\t80\t20\tNA\n"
    >>> raw = read(Text("a.spot", titles + row, "ascii", (), 0, ""), ReadOptions())
    >>> raw.foreground.tolist(), raw.background.tolist(), raw.missing
    ([[80.0], [90.5]], [[nan], [20.0]], 1)
    """
    head = read_head(text)
    titles, separator = list(head.columns), head.separator
    start = text.data.find(b"\n") + 1 or len(text.data)
    shift = _row_names(text.data, start, titles, separator)
    cell_titles = [""] * shift + titles
    measure = options.foreground or "mean"
    if measure not in ("mean", "median"):
        raise OptionError(f"foreground cannot be {options.foreground!r}", expected="mean or median")
    sources = _sources(options, text.name)
    warnings = list(text.warnings)
    foreground = [_need(cell_titles, f"{source}{measure}", text.name) for source in sources]
    background = [_background(cell_titles, source, text.name, warnings) for source in sources]
    keys = [_need(cell_titles, key, text.name) for key in _KEYS]
    extra = [_need(cell_titles, title, text.name) for title in options.extra]
    table = tables.read(text, start, 2, cell_titles, [*foreground, *background, *keys], extra, separator=separator)
    places = zip(_KEYS, table.numbers[2 * len(sources) :], strict=True)
    grid_row, grid_column, row, column = (atf.whole(values, key, table, text.name) for key, values in places)
    spots: dict[str, Column] = {
        "Block": (grid_row - 1) * int(grid_column.max()) + grid_column,
        "Row": row,
        "Column": column,
    }
    for title, values in zip(options.extra, table.texts, strict=True):
        number = cells.as_numbers(values)
        spots.setdefault(title, values if number is None else number)
    repeat = atf.repeated(spots["Block"], row, column, table, text.name)
    warnings += [*table.warnings, *([repeat] if repeat else [])]
    k = len(sources)
    channels = ("R", "G") if k == 2 else ("E",)
    pairs = zip(channels, foreground, background, strict=True)
    return RawArray(
        name=text.name,
        format="SPOT",
        version="",
        channels=channels,
        wavelengths=("",) * k,
        foreground=np.ascontiguousarray(table.numbers[:k]),
        background=np.ascontiguousarray(table.numbers[k : 2 * k]),
        spots=spots,
        columns=head.columns,
        taken=tuple(pair for role, f, b in pairs for pair in ((role, cell_titles[f]), (f"{role}b", cell_titles[b]))),
        warnings=tuple(warnings),
        missing=sum(table.missing[: 2 * k]),
        infinite=sum(table.infinite[: 2 * k]),
    )


def _titles(data: bytes) -> tuple[list[str], bytes] | None:
    line = data[: data.find(b"\n") + 1 or len(data)]
    for separator in _SEPARATORS:
        titles = tables.split(line, separator)
        if set(_KEYS) <= set(titles) and any(title in titles for title in ("Rmean", "Rmedian")):
            while not titles[-1]:
                titles.pop()
            return titles, separator
    return None


def _row_names(data: bytes, start: int, titles: list[str], separator: bytes) -> int:
    """1 if the rows begin with a name that has no title (R's row names), else 0."""
    end = data.find(b"\n", start)
    row = tables.split(data[start : end if end >= 0 else len(data)], separator)
    return int(len(row) == len(titles) + 1 and row[-1] != "")


def _sources(options: ReadOptions, file: str) -> tuple[str, ...]:
    """The file's own channels in the order R, G; ``channels`` may swap them or take one."""
    if not options.channels:
        return ("R", "G")
    if len(set(options.channels)) < len(options.channels) or not set(options.channels) <= {"R", "G"}:
        raise FormatError(
            "the channels of a SPOT file have no wavelengths", file, found=", ".join(options.channels), expected="R, G"
        )
    return options.channels


def _need(titles: list[str], title: str, file: str) -> int:
    if title not in titles:
        raise FormatError(
            f"there is no column {title!r}", file, 1, found=", ".join(filter(None, titles)), expected=repr(title)
        )
    return titles.index(title)


def _background(titles: list[str], source: str, file: str, warnings: list[str]) -> int:
    if f"morph{source}" in titles:
        return titles.index(f"morph{source}")
    at = _need(titles, f"bg{source}med", file)
    warnings.append(f"{file}:1: there is no column morph{source}; bg{source}med was taken")
    return at
