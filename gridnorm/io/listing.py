"""Small tables that people write by hand: a line of titles, then rows of text; tabs, commas or semicolons."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from gridnorm.errors import FormatError
from gridnorm.io.text import load, name_of, stamp


class Listing(NamedTuple):
    """The rows of a table as text, with the line of the file that each stands on."""

    name: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def column(self, title: str) -> list[str] | None:
        """The cells below a title, exact or else ignoring case; None where there is no such column."""
        at = find_title(self.titles, title)
        return None if at is None else [row[at] for row in self.rows]


def find_title(titles: Sequence[str], title: str) -> int | None:
    """Where a title stands, exact or else the only one that agrees ignoring case."""
    if title in titles:
        return list(titles).index(title)
    same = [k for k, one in enumerate(titles) if one.casefold() == title.casefold()]
    return same[0] if len(same) == 1 else None


def read_listing(path: str | os.PathLike[str], name: str = "", comment: str = "") -> Listing:
    """Read a small table; one that was read before and has not changed is not read again.

    ``name`` is what messages call it; by default its name without folder. Lines that begin with ``comment`` are left
    out.

    Raises
    ------
    FormatError
        It cannot be opened, has no rows, two columns of one title, a damaged quote, or a row with more cells than
        titles.
    """
    name = name or name_of(path)
    return _read(name, *stamp(path, name), comment)


@lru_cache(maxsize=4)
def _read(name: str, path: str, mtime: int, size: int, comment: str) -> Listing:
    import csv
    from io import StringIO

    content = load(path, name).data.decode("utf-8").lstrip("\ufeff")
    if comment:  # a blank line in its place keeps the numbers of lines
        content = "\n".join("" if text.lstrip().startswith(comment) else text for text in content.split("\n"))
    separator = max("\t,;", key=content.lstrip().split("\n", 1)[0].count)
    reader = csv.reader(StringIO(content, newline=""), delimiter=separator, strict=True)
    titles: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    begun = 1
    try:
        for cells in reader:
            line, begun = begun, reader.line_num + 1
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if reader.line_num > line:
                raise FormatError(
                    "a cell goes on in the next line", name, line, expected="one line a row", hint="Is a quote missing?"
                )
            if not titles:
                titles = _titles(cells, name, line)
                continue
            if any(cells[len(titles) :]):
                raise FormatError("more cells than titles", name, line, str(len(cells)), str(len(titles)))
            rows.append((*cells[: len(titles)], *[""] * (len(titles) - len(cells))))
            lines.append(line)
    except csv.Error as error:
        raise FormatError("the table is damaged here", name, begun, found=str(error)) from None
    if not rows:
        raise FormatError("the table has no rows", name, expected="a line of titles and rows below it")
    return Listing(name, titles, tuple(rows), tuple(lines))


def _titles(cells: list[str], name: str, line: int) -> tuple[str, ...]:
    while cells and not cells[-1]:
        cells = cells[:-1]
    twice = {title for title in cells if cells.count(title) > 1}
    if twice:
        raise FormatError("two columns have one title", name, line, found=", ".join(sorted(map(repr, twice))))
    return tuple(cells)
