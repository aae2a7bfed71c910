"""Plain tables (TSV, CSV, semicolons): columns are named with ``--columns``, or bear the role's own name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.core.option import Kind, Option
from gridnorm.errors import FormatError, OptionError, option_word
from gridnorm.io import cells, columns
from gridnorm.io import table as tables
from gridnorm.io.formats.row import Format, Head
from gridnorm.io.text import Text
from gridnorm.plain import SHOWN_TITLES, few

Pairs = tuple[tuple[str, str], ...]  # role, title

HEAD_LINES = 200  # the row of titles is looked for among these
TWO = ("R", "G", "Rb", "Gb")
ONE = ("E", "Eb")
SPOT_ROLES = (*columns.KEYS, *columns.NAMES, *columns.PLACES, columns.FLAGS)
ROLES = (*TWO, *ONE, *SPOT_ROLES)


def pairs_of(given: Any) -> Pairs:
    """Roles and titles from ``R=…,G=…``, a mapping or pairs.

    Raises
    ------
    OptionError
        A part without ``=``, an unknown role, or a role given twice.

    Examples
    --------
    >>> pairs_of("R=ch2,G=ch1"), pairs_of({"E": "signal"})
    ((('R', 'ch2'), ('G', 'ch1')), (('E', 'signal'),))
    """
    if isinstance(given, str):
        parts = [part.partition("=") for part in filter(None, given.split(","))]
        for role, equals, _ in parts:
            if not equals:
                expected = "ROLE=title, for example R=ch2,G=ch1,ID=gene"
                raise OptionError(f"malformed {option_word('columns')}", found=repr(role), expected=expected)
        pairs = [(role.strip(), title.strip()) for role, _, title in parts]
    else:
        listed = given.items() if isinstance(given, Mapping) else given
        pairs = [(str(role), str(title)) for role, title in listed]
    roles = [role for role, _ in pairs]
    for role in roles:
        if role not in ROLES:
            raise OptionError(f"unknown role in {option_word('columns')}", found=repr(role), expected=", ".join(ROLES))
    twice = {role for role in roles if roles.count(role) > 1}
    if twice:
        raise OptionError(f"a role is given twice in {option_word('columns')}", found=", ".join(sorted(twice)))
    return tuple(pairs)


COLUMNS = Option(
    "columns",
    Kind("a list of ROLE=title", pairs_of, {"type": "object", "additionalProperties": {"type": "string"}}, plain=dict),
    (),
    "Columns of plain tables: R, G, Rb, Gb or E, Eb; Block, Row, Column, ID, Name, X, Y, Flags.",
    metavar="ROLE=TITLE,…",
)


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
    return columns.read_array(text, source, options)


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
    return {role: role for role in own if role in titles} | roles


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
    if "E" in roles and roles.keys() & set(TWO):
        raise OptionError(
            f"{option_word('columns')} mixes one and two channels", found=", ".join(roles), expected="R=…,G=… or E=…"
        )
    found = _find(text, named)
    if found is None:
        lines = text.data.splitlines()[:HEAD_LINES]
        best = max((titles for line in lines for _, titles in tables.splits(line)), key=len, default=[])
        missing = [title for _, title in named if title not in best]
        raise FormatError(
            "no row of titles holds the columns asked for",
            text.name,
            found=few(best, SHOWN_TITLES) or "nothing",
            expected=few(missing) or "R and G, or E",
            hint=f"Name the columns with {option_word('columns')}, for example R=ch2,G=ch1,ID=gene",
        )
    return found


FORMAT = Format(
    "table",
    sniff,
    head,
    read,
    (COLUMNS,),
    "plain tables whose columns are named with --columns or called R, G, E and so on",
    catch_all=True,
)
