"""Results of CSIRO Spot.

Foreground is ``Rmean``/``Gmean`` (or the medians), background the morphological opening ``morphR``/``morphG``, as in
limma's "spot". Blocks are numbered row by row from the grid coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.errors import FormatError, OptionError, option_word
from gridnorm.io import columns
from gridnorm.io import table as tables
from gridnorm.io.formats.row import Format, Head
from gridnorm.io.roles import COLUMNS, all_named, channels_named, named_doubts, with_named
from gridnorm.io.text import Text

_PLACES = {"BlockRow": "grid.r", "BlockColumn": "grid.c", "Row": "spot.r", "Column": "spot.c"}  # role: title


def sniff(text: Text, settings: Mapping[str, Any]) -> bool:
    r"""Whether the beginning of a file looks like a SPOT file.

    Examples
    --------
    >>> titles = b"indexs\tgrid.r\tgrid.c\tspot.r\tspot.c\tGmean\tRmean\n"
    >>> sniff(Text("a.spot", titles, "ascii", (), 0, ""), {})
    True
    """
    return _frame(text.data) is not None


def head(text: Text, settings: Mapping[str, Any]) -> Head:
    """Channels and columns of a SPOT file.

    Raises
    ------
    FormatError
        The first line holds no SPOT titles.
    """
    named = dict(columns.settings_of((COLUMNS,), settings)["columns"])
    return Head("SPOT", "", channels_named(named) or ("R", "G"), _needed_frame(text).titles)


def read(text: Text, options: ReadOptions) -> RawArray:
    r"""Read a SPOT file.

    Parameters
    ----------
    text
        The whole file.
    options
        Settings are ``foreground``, ``"mean"`` (default) or ``"median"``, and ``channels``, nothing or R and G in
        either order; and ``columns``, titles in the place of those of the roles. ``extra`` may name ``area`` or
        ``badspot``.

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
    settings = columns.settings_of(FORMAT.options, options.settings)
    frame = _with_row_names(text.data, _needed_frame(text))
    sources = _sources(settings["channels"], text.name)
    named = dict(settings["columns"])
    channels = channels_named(named) or (("R", "G") if len(sources) == 2 else ("E",))
    if not all_named(channels_named(named), named, settings["channels"], text.name) and len(channels) < len(sources):
        expected = "E=…, or the channels option with one of R and G"
        raise OptionError(f"{option_word('columns')} names no intensities", text.name, None, ", ".join(named), expected)
    warnings = named_doubts(named, settings, frame, text.name)
    roles = {role: columns.need(frame, title, text.name) for role, title in _PLACES.items()}
    for channel, source in zip(channels, sources, strict=False):  # E that is named stands for none of them
        if channel not in named:
            roles[channel] = columns.need(frame, source + settings["foreground"], text.name)
            if f"{channel}b" not in named:
                roles[f"{channel}b"] = _background(frame, source, text.name, warnings)
    roles = with_named(roles, named, frame, text.name)
    found = columns.Source("SPOT", "", frame, channels, ("",) * len(channels), roles, settings, warnings=warnings)
    return columns.read_array(text, found, options)


def _frame(data: bytes) -> columns.Frame | None:
    end = data.find(b"\n") + 1 or len(data)
    for separator, titles in tables.splits(data[:end]):
        if set(_PLACES.values()) <= set(titles) and any(title in titles for title in ("Rmean", "Rmedian")):
            while not titles[-1]:
                titles.pop()
            return columns.Frame(tuple(titles), separator, end, 1)
    return None


def _needed_frame(text: Text) -> columns.Frame:
    found = _frame(text.data)
    if found is None:
        expected = ", ".join(_PLACES.values())
        raise FormatError("the first line holds no SPOT titles", text.name, 1, expected=expected)
    return found


def _with_row_names(data: bytes, frame: columns.Frame) -> columns.Frame:
    """The frame that knows whether rows begin with a name that has no title, as R writes them."""
    end = data.find(b"\n", frame.start)
    row = tables.split(data[frame.start : end if end >= 0 else len(data)], frame.separator)
    return frame._replace(shift=int(len(row) == len(frame.titles) + 1 and row[-1] != ""))


def _sources(asked: tuple[str, ...], file: str) -> tuple[str, ...]:
    """The file's own channels in the order R, G; the channels option may swap them or take one."""
    if len(set(asked)) < len(asked) or not set(asked) <= {"R", "G"}:
        raise FormatError(
            "the channels of a SPOT file have no wavelengths", file, found=", ".join(asked), expected="R, G"
        )
    return asked or ("R", "G")


def _background(frame: columns.Frame, source: str, file: str, warnings: list[str]) -> int:
    if f"morph{source}" in frame.titles:
        return columns.need(frame, f"morph{source}", file)
    at = columns.need(frame, f"bg{source}med", file)
    warnings.append(columns.instead(frame, f"morph{source}", f"bg{source}med", file))
    return at


FORMAT = Format(
    "SPOT",
    sniff,
    head,
    read,
    (columns.FOREGROUND, columns.CHANNELS, COLUMNS),
    "results of CSIRO Spot",
    'the columns are those of limma\'s source "spot"',
)
