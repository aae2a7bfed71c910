"""GPR, SPOT and plain tables read by other means: plain strings and ``csv``, nothing of gridnorm.

Slow and short. Where a file leaves room for two readings, ``doubts`` says so: there a refusal is right, too, and so is
a reading that says what it did. What cannot be an array is ``RefusedError``.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

MISSING = ["", "error", "nan", "-nan", "+nan", "na", "n/a", "n.a.", "<na>", "null", "(null)", "-", "--"]
MISSING += ["#n/a", "#na", "#div/0!", "#value!", "#num!", "#ref!", "#null!", "#name?"]
PLACES = ("Block", "Row", "Column")
FOREGROUND = re.compile(r"F(\d+) (Mean|Median)")
NAN, HIDDEN = math.nan, "\ue000"
QUOTES = "quotes that no rule explains"  # what belongs to the cell is anyone's guess


class RefusedError(Exception):
    """No array can be read here."""


class Row(NamedTuple):
    """A spot: the line it stands on and its cells."""

    line: int
    cells: list[str]


class Reading(NamedTuple):
    """Titles, rows, lines that are neither rows nor blank (``odd``), and why another reading may be right as well."""

    titles: list[str]
    rows: list[Row]
    odd: list[int]
    doubts: list[str]
    separator: str
    lines: list[str]

    def at(self, title: str) -> int:
        """Where a title stands: the exact one first."""
        folded = [t.casefold() for t in self.titles]
        return self.titles.index(title) if title in self.titles else folded.index(title.casefold())

    def column(self, title: str) -> list[str]:
        at = self.at(title)
        return [row.cells[at] for row in self.rows]


def text_of(raw: bytes, doubts: list[str]) -> str:
    """The text of a file: unpacked, decoded, lines that end in LF."""
    if raw[:2] == b"\x1f\x8b":
        if re.search(rb"\x1f\x8b\x08[\x20-\xff]", raw):
            doubts.append("a gzip header of the future")
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise RefusedError(f"gzip: {error}") from None
    for bom, name in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if raw.startswith(bom):
            raw, names = raw[len(bom) :], (name, "cp1252", "latin-1") if name == "utf-8" else (name,)
            break
    else:
        names = ("utf-8", "cp1252", "latin-1")
    for name in names:
        try:
            text = raw.decode(name)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise RefusedError("encoding")
    text = text.rstrip("\x1a")
    if "\0" in text:
        raise RefusedError("NUL")
    if not text.strip():
        raise RefusedError("empty")
    text = re.sub("\r+\n", "\n", text) if "\n" in text else text.replace("\r", "\n")
    if "\r" in text:
        doubts.append("a lone CR")
    return text


def number(cell: str, doubts: list[str]) -> float:
    """A cell as a number, NaN where it says that there is none (or one without end)."""
    token = cell.strip(' "\t\r')
    low = token.lower()
    if low in MISSING or low.lstrip("+-").startswith("1.#"):
        return NAN
    if not token.isascii() or "_" in token:
        raise RefusedError(f"no number: {cell!r}")
    try:
        value = float(token)
    except ValueError:
        try:
            value = float(token.replace(",", "."))
        except ValueError:
            raise RefusedError(f"no number: {cell!r}") from None
        doubts.append("a decimal comma")
    return value if math.isfinite(value) else NAN


def whole(cells: Iterable[str], doubts: list[str], empty: float = NAN) -> list[int]:
    values = [number(cell, doubts) for cell in cells]
    values = [empty if value != value else value for value in values]
    for value in values:
        if not abs(value) < 2**53 or value != int(value):
            raise RefusedError(f"no whole number: {value}")
    return [int(value) for value in values]


def word(cell: str) -> str:
    """A text cell without the quotes around it."""
    quoted = len(cell) >= 2 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if quoted else cell


def parsed(line: str, separator: str, strict: bool) -> list[str]:
    """A line as ``csv`` has it, which takes a lone CR for the end of one; nothing where it cannot be."""
    try:
        cells = next(csv.reader([line.replace("\r", HIDDEN)], delimiter=separator, strict=strict), [])
    except csv.Error:
        return []
    return [cell.replace(HIDDEN, "\r") for cell in cells]


def cells_of(line: str, n: int, separator: str, doubts: list[str]) -> list[str] | None:
    """The ``n`` cells of a line, more if they are empty; None if it is no row."""
    plain = line.split(separator)
    if separator == "\t" and len(plain) == n:
        return plain
    quoted = parsed(line, separator, strict=True)
    loose = parsed(line, separator, strict=False) if '"' in line else []
    for parts in (quoted, plain, loose):
        if len(parts) >= n and not any(part.strip(' "') for part in parts[n:]):
            if parts is loose and not quoted:
                doubts.append(QUOTES)
            return parts[:n]
    return None


def titles_in(line: str, separator: str) -> list[str]:
    cells = [] if separator == "\t" else parsed(line, separator, strict=True)
    return [word(cell.strip()).strip() for cell in cells or line.split(separator)]


def is_titles(kind: str, titles: list[str], columns: Mapping[str, str]) -> bool:
    if kind == "GPR":
        return len(titles) > 1 and any(map(FOREGROUND.fullmatch, titles))
    if kind == "SPOT":
        return {"grid.r", "grid.c", "spot.r", "spot.c"} <= set(titles) and bool({"Rmean", "Rmedian"} & set(titles))
    return set(columns.values()) <= set(titles)


def read(raw: bytes, kind: str, columns: Mapping[str, str]) -> Reading:
    """A file of a kind; ``columns`` are the titles that its roles have."""
    doubts: list[str] = []
    lines = text_of(raw, doubts).split("\n")
    if kind != "GPR" and any("type=genepix" in line.lower() for line in lines[:200]):
        doubts.append("a record of GenePix")
    for at, line in enumerate(lines[:1] if kind == "SPOT" else lines[:200]):
        for separator in "\t,;":
            titles = titles_in(line, separator)
            if is_titles(kind, titles, columns):
                return _table(lines, at, titles, separator, kind != "table", doubts)
    raise RefusedError("no titles")


def _table(lines: list[str], at: int, titles: list[str], separator: str, popped: bool, doubts: list[str]) -> Reading:
    while popped and not titles[-1]:
        titles.pop()
    rows: list[Row] = []
    odd: list[int] = []
    blank: list[int] = []
    first = (lines[at + 1] if at + 1 < len(lines) else "").split(separator)
    named = len(first) == len(titles) + 1 and bool(first[-1].strip('"')) and "grid.r" in titles  # rows by R, with names
    for k, line in enumerate(lines[at + 1 :], at + 2):
        if not line.strip(" ") or not line.strip(separator):
            blank.append(k)
            continue
        cells = cells_of(line, len(titles) + named, separator, doubts)
        if cells is None:
            odd.append(k)
        else:
            rows.append(Row(k, cells[named:]))
    if not rows:
        raise RefusedError("no rows")
    if any(k < rows[-1].line for k in blank):
        doubts.append("blank lines")
    if odd:
        doubts.append("odd lines")
    return Reading(titles, rows, odd, doubts, separator, lines)


def joined_rows(reading: Reading) -> Iterator[tuple[Row, int]]:
    """Rows that an odd line begins and a quoted cell takes on into the next lines; and how many lines they have.

    A line that is a whole row as it stands belongs to no other.
    """
    n = len(reading.titles)
    for at in reading.odd:
        lines = [line.replace("\r", HIDDEN) + "\n" for line in reading.lines[at - 1 : at + 19]]
        parser = csv.reader(lines, delimiter=reading.separator, strict=True)
        try:
            cells = next(parser)
        except (csv.Error, StopIteration):
            continue
        taken = lines[1 : parser.line_num]
        if not taken or any(len(line.split(reading.separator)) == n for line in taken):
            continue
        if len(cells) >= n and not any(cell.strip() for cell in cells[n:]):
            yield Row(at, [cell.replace(HIDDEN, "\r") for cell in cells[:n]]), parser.line_num
