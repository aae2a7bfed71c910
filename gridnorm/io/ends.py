"""Where the rows of a table end: at the end of the file, at blank lines before it, or where a program says so."""

from __future__ import annotations

import re

from gridnorm.errors import FormatError
from gridnorm.io.ragged import is_blank, split_quoted

# What programs write below the last row: the only cell of its line.
_TRAILER = re.compile(
    rb'^[\t,; "]*((end[ _]+(of[ _]+)?(the[ _]+)?(raw[ _]+)?(data|file|table|spots|report)|!\w+_table_end|<?eof>?)[.:]?)'
    rb'[\t,; "\r]*$',
    re.IGNORECASE | re.MULTILINE,
)


def last_row_end(data: bytes, start: int, stop: int, separator: bytes) -> int:
    """Offset behind the last line that is neither blank nor a trailer."""
    while stop > start:
        begin = data.rfind(b"\n", start, stop - 1) + 1 or start
        last = data[begin:stop].rstrip(b"\n")
        if not is_blank(last, separator) and not is_trailer(last):
            break
        stop = begin
    return stop


def is_trailer(line: bytes) -> bool:
    r"""Whether a line ends the table: ``END DATA``, ``!sample_table_end``, ``End of File``.

    Examples
    --------
    >>> is_trailer(b"END DATA,,,\r"), is_trailer(b"end data,5")
    (True, False)
    """
    return _TRAILER.match(line) is not None


def _cells(line: bytes, separator: bytes) -> int:
    """How many cells a line has, quotes respected where they pair."""
    parts = split_quoted(line.rstrip(b"\r\n"), separator) if b'"' in line else None
    return line.count(separator) + 1 if parts is None else len(parts)


def end_of_rows(data: bytes, start: int, stop: int, line: int, separator: bytes, file: str) -> tuple[int, list[str]]:
    """Where the rows end, at the first trailer below one, and a warning where something stands below it.

    Raises
    ------
    FormatError
        Lines below it have as many cells as the rows: no row is lost for a line that only looks like an end.
    """
    found = _TRAILER.search(data, start, stop)
    end = start if found is None else last_row_end(data, start, found.start(), separator)
    if found is None or end == start:  # a table without rows has more wrong with it
        return stop, []
    at, below = line + data.count(b"\n", start, found.start()), data.count(b"\n", found.start(), stop)
    said = found[1].decode("utf-8", "replace")
    width = _cells(data[data.rfind(b"\n", start, end - 1) + 1 or start : end], separator)
    below_it = data[found.end() : stop].split(b"\n")
    rows = [k for k, one in enumerate(below_it) if separator in one and _cells(one, separator) == width]
    if rows:
        raise FormatError(
            f"rows stand below the end of the table ({said} in line {at})", file, at + rows[0],
            found="1 line" if len(rows) == 1 else f"{len(rows)} lines of as many cells as the rows", expected="none",
            hint="Delete that line if it is a slip, or give each table a file of its own",
        )  # fmt: skip
    return end, [f"{file}:{at}: the table ends here ({said}); {below} lines below were not read"]
