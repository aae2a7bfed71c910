"""Where the rows of a table end: at the end of the file, at blank lines before it, or where a program says so."""

from __future__ import annotations

import re

from gridnorm.io.ragged import is_blank

# What programs write below the last row: the only cell of its line.
_TRAILER = re.compile(
    rb"(end[ _]+(of[ _]+)?(the[ _]+)?(raw[ _]+)?(data|file|table|spots|report)|!\w+_table_end|<?eof>?)[.:]?",
    re.IGNORECASE,
)


def last_row_end(data: bytes, start: int, stop: int, separator: bytes) -> int:
    """Offset behind the last line that is neither blank nor a trailer."""
    while stop > start:
        begin = data.rfind(b"\n", start, stop - 1) + 1 or start
        last = data[begin:stop].rstrip(b"\n")
        if not is_blank(last, separator) and not is_trailer(last, separator):
            break
        stop = begin
    return stop


def is_trailer(line: bytes, separator: bytes) -> bool:
    r"""Whether a line ends the table: ``END DATA``, ``!sample_table_end``, ``End of File``.

    Examples
    --------
    >>> is_trailer(b"END DATA,,,\r", b","), is_trailer(b"end data,5", b",")
    (True, False)
    """
    return _TRAILER.fullmatch(line.strip(separator + b'" \r\t')) is not None


def end_of_rows(data: bytes, start: int, stop: int, line: int, separator: bytes, file: str) -> tuple[int, list[str]]:
    """Where the rows end, at the first trailer among them, and a warning where something stands below it."""
    for found in _TRAILER.finditer(data, start, stop):
        begin = data.rfind(b"\n", start, found.start()) + 1 or start
        end = data.find(b"\n", begin, stop)
        if begin == start or not is_trailer(data[begin : stop if end < 0 else end], separator):
            continue
        at = line + data.count(b"\n", start, begin)
        below = data.count(b"\n", begin, stop)
        said = found[0].decode("utf-8", "replace")
        return begin, [f"{file}:{at}: the table ends here ({said}); {below} lines below were not read"]
    return stop, []
