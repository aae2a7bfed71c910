"""Rows of tables that are not regular, line by line.

Quoted separators and line breaks, stray quotes, blank lines and spare empty cells are understood here; whatever
cannot be right is an error that names the line. No line is dropped or merged silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gridnorm.errors import FormatError

_LONGEST_CELL = 20  # lines that one quoted cell may span


class Rows(NamedTuple):
    """The wanted cells of every row: one list per wanted column, the line of every row, and what was odd."""

    columns: list[list[bytes]]
    lines: list[int]
    skipped: int
    warnings: list[str]


def read_rows(
    data: bytes,
    start: int,
    stop: int,
    line: int,
    n: int,
    columns: Sequence[int],
    separator: bytes,
    file: str,
    needed: int | None = None,
) -> Rows:
    """Cut the lines between two offsets into rows of ``n`` cells and keep the wanted columns.

    Parameters
    ----------
    data, start, stop, line
        The text, the offsets around the table, and the 1-based number of its first line.
    n
        Cells of a row.
    columns
        Positions of the cells to keep.
    separator
        One byte between cells.
    file
        Name for messages.
    needed
        Cells that a row must have at least; ``n`` if not given.

    Returns
    -------
    The rows; ``skipped`` counts the lines that are no row of their own: blank ones and continued cells.

    Raises
    ------
    FormatError
        A row has too few cells, or more cells than there are titles and not all of them empty.
    """
    lines = data[start:stop].split(b"\n")
    if not lines[-1]:
        lines.pop()
    wanted: list[list[bytes]] = [[] for _ in columns]
    at: list[int] = []
    blank: list[int] = []
    short: list[int] = []
    spanned: list[int] = []
    i = 0
    while i < len(lines):
        if is_blank(lines[i], separator):
            blank.append(line + i)
            i += 1
            continue
        parts, span = _row(lines, i, n, separator)
        # A last line without its end may be cut off anywhere; only whole lines are filled up.
        if parts is None and needed is not None and (i < len(lines) - 1 or data[stop - 1] == 10):
            raw = lines[i].rstrip(b"\r").split(separator)
            if needed <= len(raw) < n:
                parts = raw + [b""] * (n - len(raw))
                short.append(line + i)
        if parts is None:
            raise _bad_row(lines, i, line, n, separator, file)
        for kept, column in zip(wanted, columns, strict=True):
            kept.append(parts[column])
        at.append(line + i)
        spanned += range(line + i, line + i + span - 1)
        i += span
    warnings = []
    if blank:
        warnings.append(f"{file}:{blank[0]}: {len(blank)} blank lines inside the table were skipped")
    if short:
        warnings.append(f"{file}:{short[0]}: {len(short)} rows have fewer than {n} cells; the rest is empty")
    if spanned:
        warnings.append(f"{file}:{spanned[0]}: a quoted cell holds a line break; its lines were read as one row")
    return Rows(wanted, at, len(blank) + len(spanned), warnings)


def is_blank(line: bytes, separator: bytes) -> bool:
    """Whether a line holds blanks only, or separators only."""
    return not line.strip(b" \r") or not line.strip(separator + b"\r")


def split_quoted(line: bytes, separator: bytes, strict: bool = False) -> list[bytes] | None:
    """Cells of a line in which a cell that begins with a quote ends at the matching one; None if it never does.

    With ``strict``, the matching quote must stand right before a separator or the end.
    """
    parts: list[bytes] = []
    begin = 0
    while True:
        search = begin
        if line[begin : begin + 1] == b'"':
            search = begin + 1
            while True:
                search = line.find(b'"', search) + 1
                if not search:
                    return None
                if line[search : search + 1] != b'"':
                    break
                search += 1
            if strict and search < len(line) and line[search : search + 1] != separator:
                return None
        end = line.find(separator, search)
        if end < 0:
            parts.append(line[begin:])
            return parts
        parts.append(line[begin:end])
        begin = end + 1


def _fit(parts: list[bytes] | None, n: int) -> list[bytes] | None:
    """The parts if they are the cells of a whole row; spare empty cells are cut off."""
    if parts is None or len(parts) < n or any(part.strip(b' "') for part in parts[n:]):
        return None
    return parts[:n]


def _row(lines: list[bytes], i: int, n: int, separator: bytes) -> tuple[list[bytes] | None, int]:
    """The cells of the row that begins at line ``i`` and the number of lines it spans; None if there is no way."""
    line = lines[i].rstrip(b"\r")
    plain = line.split(separator)
    if b'"' not in line:
        return _fit(plain, n), 1
    # A stray quote in a TAB-separated Name is far likelier than a TAB inside quotes; with commas it is the reverse.
    if separator == b"\t" and len(plain) == n:
        return plain, 1
    parts = _fit(split_quoted(line, separator), n) or _fit(plain, n)
    if parts is not None:
        return parts, 1
    joined = lines[i]
    for span in range(2, _LONGEST_CELL + 1):
        # A line that is a whole row by itself is never swallowed by an open quote above it.
        # Where no quote is open, the line was broken by something else, and the next one may be half of another row.
        if split_quoted(joined.rstrip(b"\r"), separator) is not None:
            break
        if i + span > len(lines) or _fit(lines[i + span - 1].rstrip(b"\r").split(separator), n):
            break
        joined += b"\n" + lines[i + span - 1]
        parts = _fit(split_quoted(joined.rstrip(b"\r"), separator, strict=True), n)
        if parts is not None:
            return parts, span
    return None, 1


def _bad_row(lines: list[bytes], i: int, line: int, n: int, separator: bytes, file: str) -> FormatError:
    """Why a line is no row."""
    parts = split_quoted(lines[i].rstrip(b"\r"), separator)
    have = len(lines[i].split(separator) if parts is None else parts)
    found, expected = f"{have} cells", f"{n} cells as in the column titles"
    if have < n and i == len(lines) - 1:
        return FormatError(
            "the file looks cut off: its last row is not whole", file, line + i, found, expected,
            "Copy the file again, or delete the line if it is no spot",
        )  # fmt: skip
    hint = "A lone CR stands in this line" if b"\r" in lines[i].rstrip(b"\r") else "Correct the row, or delete it"
    what = "the row has too few cells" if have < n else "the row has more cells than there are column titles"
    return FormatError(what, file, line + i, found, expected, hint)
