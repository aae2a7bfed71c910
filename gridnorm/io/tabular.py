"""Plain tables (TSV, CSV, semicolons): columns are named with ``--columns``, or bear the role's own name."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import Column, RawArray, ReadOptions
from gridnorm.errors import FormatError, OptionError
from gridnorm.io import atf, cells, table
from gridnorm.io.text import Text

SEPARATORS = (b"\t", b",", b";")
HEAD_LINES = 200  # the row of titles is looked for among these
FOREGROUND = ("R", "G", "E")
WHOLE = ("Block", "Row", "Column")
PLACES = ("X", "Y")
WORDS = ("ID", "Name")


class TableHead(NamedTuple):
    """Where the row of titles is, how its cells are separated, and which column plays which role."""

    columns: tuple[str, ...]
    separator: bytes
    start: int
    line: int
    roles: dict[str, str]

    @property
    def channels(self) -> tuple[str, ...]:
        return ("E",) if "E" in self.roles else ("R", "G")


def find_head(text: Text, columns: tuple[tuple[str, str], ...]) -> TableHead | None:
    """The row of titles: the first line with every title of ``columns`` (or R and G, or E, by name); else None."""
    wanted = [title for _, title in columns]
    offset = 0
    for number, line in enumerate(text.data.split(b"\n", HEAD_LINES)[:HEAD_LINES], 1):
        for separator in SEPARATORS:
            titles = table.split(line.rstrip(b"\r"), separator)
            roles = _roles(titles, columns)
            if not all(title in titles for title in wanted) or not ("E" in roles or {"R", "G"} <= roles.keys()):
                continue
            # E is also the fifth row of a microtitre plate: a line with numbers in it is no row of titles.
            if columns or not any(_is_number(title) for title in titles):
                _refuse_doubled(titles, roles, text.name, number)
                return TableHead(tuple(titles), separator, offset + len(line) + 1, number, roles)
        offset += len(line) + 1
    return None


def _is_number(cell: str) -> bool:
    value = cells.number(cell.encode())
    return value is not None and value == value


def _roles(titles: list[str], columns: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Roles from ``columns``; others by a title that equals the role, foreground only where none is named."""
    roles = dict(columns)
    named = any(role in roles for role in FOREGROUND)
    own = [*WHOLE, *WORDS, *PLACES, "Flags"] + (
        [] if named else ["R", "G", "Rb", "Gb"] if "R" in titles else ["E", "Eb"]
    )
    return {role: role for role in own if role in titles} | roles


def _refuse_doubled(titles: list[str], roles: dict[str, str], file: str, line: int) -> None:
    for title in roles.values():
        if titles.count(title) > 1:
            raise FormatError(
                f"several columns are called {title!r}", file, line, found=str(titles.count(title)), expected="one"
            )


def read_head(text: Text, columns: tuple[tuple[str, str], ...]) -> TableHead:
    """As ``find_head``, or an error that says which titles are wanting.

    Raises
    ------
    FormatError, OptionError
    """
    roles = dict(columns)
    if columns and "E" not in roles and not {"R", "G"} <= roles.keys():
        raise OptionError("--columns names no intensities", found=", ".join(roles), expected="R=… and G=…, or E=…")
    if "E" in roles and roles.keys() & {"R", "G", "Rb", "Gb"}:
        raise OptionError("--columns mixes one and two channels", found=", ".join(roles), expected="R=…,G=… or E=…")
    head = find_head(text, columns)
    if head is None:
        best = max(
            (table.split(line, s) for line in text.data.splitlines()[:HEAD_LINES] for s in SEPARATORS),
            key=len,
            default=[],
        )
        missing = [title for _, title in columns if title not in best]
        raise FormatError(
            "no row of titles holds the columns asked for",
            text.name,
            found=", ".join(best[:30]) or "nothing",
            expected=", ".join(missing) or "R and G, or E",
            hint="Name the columns with --columns, for example R=ch2,G=ch1,ID=gene",
        )
    return head


def read(text: Text, options: ReadOptions) -> RawArray:
    r"""One array from a plain table.

    Parameters
    ----------
    text
        The file.
    options
        ``columns`` maps roles to titles; ``extra`` names further spot columns; ``foreground`` and ``channels`` mean
        nothing here.

    Raises
    ------
    FormatError
        No such columns, text or fractions where numbers or whole numbers belong, a damaged table.

    Examples
    --------
    >>> text = Text("a.tsv", b"gene\tred\tgreen\nx\t100\t50\ny\t80\t90\n", "ascii", (), 0, "")
    >>> raw = read(text, ReadOptions(columns=(("R", "red"), ("G", "green"), ("ID", "gene"))))
    >>> raw.channels, raw.foreground[0], raw.spots["ID"]
    (('R', 'G'), array([100.,  80.]), array([b'x', b'y'], dtype='|S1'))
    """
    head = read_head(text, options.columns)
    roles, place = head.roles, {title: i for i, title in enumerate(head.columns)}
    channels = head.channels
    measured = all(f"{c}b" in roles for c in channels)
    levels = [*channels, *(f"{c}b" for c in channels if measured)]
    skipped = (*PLACES, "Name") if options.keys_only else ()
    numeric = [role for role in (*levels, *WHOLE, *PLACES, "Flags") if role in roles and role not in skipped]
    words = [role for role in WORDS if role in roles and role not in skipped]
    for title in options.extra:
        if title not in place:
            raise FormatError(f"no column {title!r}", text.name, head.line, found=", ".join(head.columns))
    found = table.read(
        text,
        head.start,
        head.line + 1,
        head.columns,
        [place[roles[role]] for role in numeric],
        [place[roles[role]] for role in words] + [place[title] for title in options.extra],
        head.separator,
    )
    number = dict(zip(numeric, found.numbers, strict=True))
    spots: dict[str, Column] = {
        role: _whole(number[role], roles[role], found, text.name) for role in WHOLE if role in number
    }
    spots |= dict(zip(words, found.texts, strict=False))
    spots |= {role: number[role] for role in PLACES if role in number}
    for title, column in zip(options.extra, found.texts[len(words) :], strict=True):
        values = cells.as_numbers(column)
        spots[title] = column if values is None else values
    repeat = None
    if all(role in spots for role in WHOLE):
        repeat = atf.repeated(spots["Block"], spots["Row"], spots["Column"], found, text.name)
    at = [numeric.index(role) for role in levels]
    return RawArray(
        name=text.name,
        format="table",
        version="",
        channels=channels,
        wavelengths=("",) * len(channels),
        foreground=np.stack([number[c] for c in channels]),
        background=np.stack([number[f"{c}b"] for c in channels]) if measured else None,
        spots=spots,
        flags=_whole(number["Flags"], roles["Flags"], found, text.name) if "Flags" in number else None,
        columns=head.columns,
        taken=tuple((role, roles[role]) for role in levels),
        warnings=(
            *text.warnings,
            *_half_background(roles, channels, text.name),
            *found.warnings,
            *([repeat] if repeat else []),
        ),
        missing=sum(found.missing[i] for i in at),
        infinite=sum(found.infinite[i] for i in at),
    )


def _whole(values: NDArray[np.float64], title: str, found: Any, file: str) -> NDArray[np.int64]:
    bad = ~((np.abs(values) < 2**53) & (values == np.floor(values)))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise FormatError(f"column {title!r} must hold whole numbers", file, found.line(row), found=f"{values[row]:g}")
    return values.astype(np.int64)


def _half_background(roles: dict[str, str], channels: tuple[str, ...], file: str) -> list[str]:
    have = [f"{c}b" for c in channels if f"{c}b" in roles]
    if have and len(have) < len(channels):
        return [f"{file}: only {have[0]} is a background column; a background needs one per channel, so none is used"]
    return []
