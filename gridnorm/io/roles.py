"""The roles that people give to columns by their titles, and how titles are shown where one is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gridnorm.core.option import Kind, Option, nearest
from gridnorm.errors import FormatError, OptionError, option_word
from gridnorm.io import columns
from gridnorm.plain import few

Pairs = tuple[tuple[str, str], ...]  # role, title

TWO = ("R", "G", "Rb", "Gb")
ONE = ("E", "Eb")
SPOT_ROLES = (*columns.KEYS, *columns.GRID, *columns.NAMES, *columns.PLACES, columns.FLAGS)
ROLES = (*TWO, *ONE, *SPOT_ROLES)

_SHOWN = 8  # titles of a table, in a message
# What image software calls the row and column of a block and of a spot inside it; as ``_folded`` writes them.
_GRIDS = (
    ("blockrow", "blockcolumn", "row", "column"),
    ("metarow", "metacolumn", "row", "column"),  # ImaGene
    ("mainrow", "maincolumn", "subrow", "subcolumn"),  # MicroVigene
    ("arrayrow", "arraycolumn", "spotrow", "spotcolumn"),  # ScanArray Express
    ("arrayrow", "arraycolumn", "row", "column"),  # QuantArray
    ("gridr", "gridc", "spotr", "spotc"),  # SPOT
    ("mr", "mc", "sr", "sc"),  # TIGR Spotfinder
)


def pairs_of(given: Any) -> Pairs:
    """Roles and titles from ``R=…,G=…``, a mapping or pairs.

    Raises
    ------
    OptionError
        A part without ``=``, an unknown role, a role given twice, or blocks both numbered and in rows and columns.

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
    blocks = [role for role in ("Block", *columns.GRID) if role in roles]
    if blocks and blocks not in (["Block"], list(columns.GRID)):
        expected = f"Block=…, or {' and '.join(f'{role}=…' for role in columns.GRID)}"
        what = f"{option_word('columns')} does not say where the blocks are"
        raise OptionError(what, found=", ".join(blocks), expected=expected)
    return tuple(pairs)


COLUMNS = Option(
    "columns",
    Kind("a list of ROLE=title", pairs_of, {"type": "object", "additionalProperties": {"type": "string"}}, plain=dict),
    (),
    "Titles of columns: R, G, Rb, Gb or E, Eb; Block, or BlockRow and BlockColumn; Row, Column, ID, Name, X, Y, Flags.",
    metavar="ROLE=TITLE,…",
)


def channels_named(named: Mapping[str, str]) -> tuple[str, ...]:
    """The channels whose columns are named, as far as roles tell: R and G, E, or none.

    Raises
    ------
    OptionError
        Roles of one and of two channels.

    Examples
    --------
    >>> channels_named({"Rb": "B635", "ID": "gene"}), channels_named({"ID": "gene"})
    (('R', 'G'), ())
    """
    one, two = named.keys() & set(ONE), named.keys() & set(TWO)
    if one and two:
        raise OptionError(
            f"{option_word('columns')} mixes one and two channels", found=", ".join(named), expected="R=…,G=… or E=…"
        )
    return ("E",) if one else ("R", "G") if two else ()


def all_named(channels: Sequence[str], named: Mapping[str, str], asked: Sequence[str], file: str) -> bool:
    """Whether the column of every channel is named, so that the file may call them as it likes.

    Raises
    ------
    OptionError
        The channels option (``asked``) says what the channels are, too.
    """
    if not channels or not named.keys() >= set(channels):
        return False
    if asked:
        what = f"{option_word('channels')} and {option_word('columns')} both say what the channels are"
        raise OptionError(what, file, hint="Give one of them")
    return True


def with_named(roles: Mapping[str, int], named: Mapping[str, str], frame: columns.Frame, file: str) -> dict[str, int]:
    """Roles of a format with those that were named in their place.

    Raises
    ------
    FormatError
        A title that the file does not have.
    """
    replaced = {"Block": columns.GRID, columns.GRID[0]: ("Block",)}
    gone = {role for name in named for role in replaced.get(name, ())}
    kept = {role: at for role, at in roles.items() if role not in gone}
    return kept | {role: columns.need(frame, title, file) for role, title in named.items()}


def named_doubts(named: Mapping[str, str], settings: Mapping[str, Any], frame: columns.Frame, file: str) -> list[str]:
    """That a foreground is named and no background, or against another option.

    Where a title says that the background is subtracted, nobody misses it.
    """
    channels = [channel for channel in ("R", "G", "E") if channel in named]
    bare = [f"{c}b" for c in channels if f"{c}b" not in named and " - B" not in named[c]]
    doubts = []
    if bare:
        doubts.append(f"the columns option names no background ({', '.join(bare)}); the array has none")
    if channels and settings["foreground"] != columns.FOREGROUND.default:
        doubts.append(
            f"foreground {settings['foreground']} does not count for {', '.join(channels)}, which columns names"
        )
    return [f"{file}:{frame.line}: {doubt}" for doubt in doubts]


def grid_titles(titles: Sequence[str]) -> dict[str, str]:
    """Roles of the titles by which image software says the row and column of a block and of a spot inside it.

    Examples
    --------
    >>> grid_titles(["Main.Row", "Main.Col", "Sub.Row", "Sub.Col", "Raw"])
    {'BlockRow': 'Main.Row', 'BlockColumn': 'Main.Col', 'Row': 'Sub.Row', 'Column': 'Sub.Col'}
    """
    folded = {_folded(title): title for title in reversed(titles)}
    for grid in _GRIDS:
        if all(name in folded for name in grid):
            return dict(zip((*columns.GRID, "Row", "Column"), (folded[name] for name in grid), strict=True))
    return {}


def _folded(title: str) -> str:
    name = "".join(filter(str.isalnum, title.casefold()))
    return name + "umn" if name.endswith("col") else name


def no_such_titles(
    titles: Sequence[str], named: Mapping[str, str], file: str, line: int, hint: str | None = None
) -> FormatError:
    """The error that titles asked for are not there: those that are, and the nearest to each that is wanting."""
    wanting = {role: title for role, title in named.items() if title not in titles}
    free = [title for title in titles if title and title not in named.values()]
    near = {role: _same(title, free) or nearest(title, free) for role, title in wanting.items()}
    meant = ", ".join(f"{role}={title}" for role, title in near.items() if title)
    return FormatError(
        "the titles asked for are not there" if named else "no row of titles holds R and G, or E",
        file,
        line,
        found=f"titles {few([title for title in titles if title], _SHOWN)}",
        expected=", ".join(wanting.values()) or "R and G, or E",
        hint=" ".join(filter(None, (f"Did you mean {meant}?" if meant else "", hint))) or None,
    )


def _same(title: str, titles: Sequence[str]) -> str | None:
    return next((one for one in titles if one.casefold() == title.casefold()), None)
