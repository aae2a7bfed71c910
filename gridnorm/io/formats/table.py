"""Plain tables (TSV, CSV, semicolons): columns are named with ``--columns``, or bear the role's own name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.errors import FormatError, OptionError, option_word
from gridnorm.io import cells, columns
from gridnorm.io import table as tables
from gridnorm.io.formats.row import Format, Head
from gridnorm.io.roles import COLUMNS, ONE, SPOT_ROLES, TWO, Pairs, channels_named, grid_titles, no_such_titles
from gridnorm.io.text import Text

HEAD_LINES = 200  # the row of titles is looked for among these


def sniff(text: Text, settings: Mapping[str, Any]) -> bool:
    r"""Whether columns are named, or some line bears the titles R and G, or E.

    Examples
    --------
    >>> sniff(Text("a.csv", b"gene,E\nx,100\n", "ascii", (), 0, ""), {})
    True
    """
    named = columns.settings_of((COLUMNS,), settings)["columns"]
    return bool(named) or _find(text, named) is not None


def head(text: Text, settings: Mapping[str, Any]) -> Head:
    """Channels and columns of a plain table.

    Raises
    ------
    FormatError, OptionError
        As :func:`read`.
    """
    frame, roles = _header(text, columns.settings_of((COLUMNS,), settings)["columns"])
    return Head("table", "", _channels(roles), frame.titles)


def read(text: Text, options: ReadOptions) -> RawArray:
    r"""One array from a plain table.

    Parameters
    ----------
    text
        The file.
    options
        The setting ``columns`` holds pairs of role and title; the roles are those of ``ROLES``.

    Raises
    ------
    FormatError
        No such columns, text or fractions where numbers or whole numbers belong, a damaged table.
    OptionError
        ``columns`` names no intensities, or those of one and of two channels.

    Examples
    --------
    >>> text = Text("a.tsv", b"gene\tred\tgreen\nx\t100\t50\ny\t80\t90\n", "ascii", (), 0, "")
    >>> raw = read(text, ReadOptions({"columns": {"R": "red", "G": "green", "ID": "gene"}}))
    >>> raw.channels, raw.foreground[0], raw.spots["ID"]
    (('R', 'G'), array([100.,  80.]), array([b'x', b'y'], dtype='|S1'))
    """
    settings = columns.settings_of(FORMAT.options, options.settings)
    frame, titles = _header(text, settings["columns"])
    channels = _channels(titles)
    roles = {role: columns.need(frame, title, text.name) for role, title in titles.items()}
    source = columns.Source("table", "", frame, channels, ("",) * len(channels), roles, settings)
    try:
        return columns.read_array(text, source, options)
    except FormatError as error:
        # The rows of another kind of file may not be those of a plain table.
        hint = ". ".join(filter(None, (_foreign(text), error.hint))) or None
        raise FormatError(error.what, error.file, error.line, error.found, error.expected, hint) from None


def _channels(roles: Mapping[str, str]) -> tuple[str, ...]:
    return ("E",) if "E" in roles else ("R", "G")


def _find(text: Text, named: Pairs) -> tuple[columns.Frame, dict[str, str]] | None:
    """The first line with every title named (or R and G, or E), and the title of every role there; else None."""
    offset = 0
    for number, line in enumerate(text.data.split(b"\n", HEAD_LINES)[:HEAD_LINES], 1):
        for separator, titles in tables.splits(line):
            roles = _roles(titles, named)
            if not all(title in titles for _, title in named) or not ("E" in roles or {"R", "G"} <= roles.keys()):
                continue
            # E is also the fifth row of a microtitre plate: a line with numbers in it is no row of titles.
            if named or not any(_is_number(title) for title in titles):
                frame = columns.Frame(tuple(titles), separator, offset + len(line) + 1, number)
                _refuse_doubled(frame, roles, text.name)
                return frame, roles
        offset += len(line) + 1
    return None


def _is_number(cell: str) -> bool:
    value = cells.number(cell.encode())
    return value is not None and value == value


def _roles(titles: list[str], named: Pairs) -> dict[str, str]:
    """Roles as named; others by a title that equals the role, intensities only where none is named."""
    roles = dict(named)
    own = SPOT_ROLES if roles.keys() & {"R", "G", "E"} else (*SPOT_ROLES, *(TWO if "R" in titles else ONE))
    found = {role: role for role in own if role in titles}
    if not {"Block", *columns.GRID} & (roles.keys() | found.keys()):
        found |= grid_titles(titles)
    numbered = "Block" in roles or ("Block" in found and columns.GRID[0] not in roles)
    other = columns.GRID if numbered or not set(columns.GRID) <= (found | roles).keys() else ("Block",)
    return {role: title for role, title in found.items() if role not in other} | roles


def _refuse_doubled(frame: columns.Frame, roles: Mapping[str, str], file: str) -> None:
    for title in columns.doubled(frame, [frame.titles.index(title) for title in roles.values()]):
        raise FormatError(
            f"several columns are called {title!r}",
            file,
            frame.line,
            found=str(frame.titles.count(title)),
            expected="one",
        )


def _header(text: Text, named: Pairs) -> tuple[columns.Frame, dict[str, str]]:
    """As ``_find``, or an error that says which titles are wanting."""
    roles = dict(named)
    if named and "E" not in roles and not {"R", "G"} <= roles.keys():
        raise OptionError(
            f"{option_word('columns')} names no intensities", found=", ".join(roles), expected="R=… and G=…, or E=…"
        )
    channels_named(roles)
    if any(title[:2] in ("M.", "A.") for title in roles.values()):
        from gridnorm.io.formats.foreign import refuse_result  # rarely needed

        refuse_result(text)
    found = _find(text, named)
    if found is None:
        raise _not_titled(text, roles)
    return found


def _not_titled(text: Text, named: Mapping[str, str]) -> FormatError:
    """The error that no row has the titles, with those of the line that looks most like it."""
    wanted = {title.casefold() for title in named.values()}
    lines = enumerate(text.data.split(b"\n", HEAD_LINES)[:HEAD_LINES], 1)
    rows = [(titles, number) for number, line in lines for _, titles in tables.splits(line)]
    titles, number = max(rows, key=lambda row: (sum(title.casefold() in wanted for title in row[0]), len(row[0])))
    kind = _foreign(text)
    return no_such_titles(titles, named, text.name, number, kind)


def _foreign(text: Text) -> str | None:
    """The sentence that a file is of a kind which is not read as such."""
    from gridnorm.io.formats.foreign import said_of  # rarely needed, and never by the main job

    return said_of(text)


def titled(text: Text, named: Pairs) -> bool:
    """Whether a row of titles holds all that are named."""
    try:
        return _find(text, named) is not None
    except FormatError:
        return False


FORMAT = Format(
    "table",
    sniff,
    head,
    read,
    (COLUMNS,),
    "plain tables whose columns are named (`columns`) or called R, G, E and so on",
    catch_all=True,
)
