"""The column engine: decodes the wanted columns of a delimited table, and only those.

A results table is regular: every line has the same number of separators. One vectorized scan of a block finds them
all, and every column is a slice of the result. Whatever is not regular (quoted separators, blank lines, spare empty
cells) takes a tolerant path, line by line; whatever cannot be right there is an error that names the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, isinf

import numpy as np
from numpy.typing import NDArray

from gridnorm.errors import FormatError
from gridnorm.io import cells
from gridnorm.io.ends import end_of_rows, last_row_end
from gridnorm.io.odd_cells import errors_said, not_a_number
from gridnorm.io.ragged import read_rows, split_quoted
from gridnorm.io.text import Text

SEPARATORS = (b"\t", b",", b";")
_BLOCK = 1 << 20  # bytes per step: the temporaries of a step stay in the cache

IntArray = NDArray[np.int64]
ByteArray = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Table:
    """The wanted columns of one table.

    ``numbers`` is (column, row) float64 in the order asked for, missing and infinite cells NaN; ``missing`` and
    ``infinite`` count them per column. ``texts`` holds one bytes array per text column. ``lines`` is None where
    row i stands on line ``first_line + i``.
    """

    rows: int
    numbers: NDArray[np.float64]
    texts: tuple[NDArray[np.bytes_], ...]
    missing: tuple[int, ...]
    infinite: tuple[int, ...]
    warnings: tuple[str, ...]
    first_line: int
    lines: IntArray | None = None

    def line(self, row: int) -> int:
        """The 1-based line of the file on which a row begins."""
        return self.first_line + row if self.lines is None else int(self.lines[row])


@dataclass
class _Sink:
    """What has been decoded so far."""

    numbers: list[int]
    texts: list[int]
    values: NDArray[np.float64]
    parts: list[list[NDArray[np.bytes_]]]
    missing: list[int]
    infinite: list[int]
    row: int = 0
    dotted: bool = False
    bad: tuple[int, int, bytes] | None = None  # first cell that is no number: row, column, cell
    commas: list[tuple[int, int, bytes]] = field(default_factory=list)
    errors: list[tuple[int, int, bytes]] = field(default_factory=list)  # cells in which a program reports an error


def read(
    text: Text,
    start: int,
    line: int,
    titles: Sequence[str],
    numbers: Sequence[int] = (),
    texts: Sequence[int] = (),
    separator: bytes = b"\t",
    fill: bool = False,
    stop: int | None = None,
) -> Table:
    r"""Decode columns of the table that begins at byte ``start`` of a text.

    Parameters
    ----------
    text
        The file.
    start, line
        Offset of the first data line and its 1-based number.
    titles
        Column titles, one per cell of a row.
    numbers, texts
        Positions of the columns to decode as float64 and as bytes.
    separator
        One byte between cells.
    fill
        Take rows whose last cells are missing (with a warning), as long as no numeric column is among them.
    stop
        Offset behind the last data line; the end of the file by default.

    Raises
    ------
    FormatError
        No rows, a cut or overlong row, text where a number is needed, or commas of unclear meaning in numbers.

    Examples
    --------
    >>> text = Text("a.txt", b"ID\tF\nx\t1.5\ny\tError\n", "ascii", (), 0, "")
    >>> table = read(text, 5, 2, ["ID", "F"], numbers=[1], texts=[0])
    >>> table.numbers, table.texts[0], table.missing
    (array([[1.5, nan]]), array([b'x', b'y'], dtype='|S1'), (1,))
    """
    data = text.data
    stop = last_row_end(data, start, len(data) if stop is None else stop, separator)
    if stop <= start:
        found = "nothing below the column titles"
        raise FormatError("the table has no rows", text.name, line, found=found, hint="Copy the file again")
    count = _count_lines(data, start, stop)
    warnings: list[str] = []
    lines: IntArray | None = None
    sink = _sink(numbers, texts, count)
    if not _read_regular(data, start, stop, len(titles), separator, sink):
        stop, below = end_of_rows(data, start, stop, line, separator, text.name)
        warnings += below
        count = _count_lines(data, start, stop)
        sink = _sink(numbers, texts, count)
        needed = max(numbers, default=-1) + 1 if fill else None
        wanted = sink.numbers + sink.texts
        rows = read_rows(data, start, stop, line, len(titles), wanted, separator, text.name, needed)
        _add_rows(rows.columns, len(rows.lines), sink)
        lines = np.array(rows.lines, np.int64)
        warnings += rows.warnings
        count -= rows.skipped
    if sink.row != count:
        raise FormatError("not every line became a row", text.name, found=f"{sink.row} rows", expected=f"{count} lines")
    table = Table(
        sink.row,
        sink.values[:, : sink.row],
        tuple(np.concatenate(part) for part in sink.parts),
        tuple(sink.missing),
        tuple(sink.infinite),
        tuple(warnings),
        line,
        lines,
    )
    if sink.bad is not None:
        row, column, cell = sink.bad
        raise not_a_number(cell, titles[column], text.name, table.line(row))
    if sink.errors:
        table = replace(
            table,
            warnings=(*table.warnings, errors_said(sink.errors, text.name, table.line(min(sink.errors)[0]), titles)),
        )
    if sink.commas:
        sink.dotted = sink.dotted or _dotted_column(data, start, stop, separator)
        row, column, _ = min(sink.commas)
        warning = _take_commas(sink, text.name, table.line(row), titles[column])
        table = replace(table, warnings=(*table.warnings, warning))
    return table


def split(line: bytes, separator: bytes = b"\t") -> list[str]:
    r"""The cells of one line, quotes respected, surrounding quotes and blanks removed.

    Examples
    --------
    >>> split(b'"a,b", c ,"d"\r', b",")
    ['a,b', 'c', 'd']
    """
    line = line.rstrip(b"\r\n")
    parts = line.split(separator) if separator == b"\t" or b'"' not in line else split_quoted(line, separator)
    return [_unquoted(part) for part in (line.split(separator) if parts is None else parts)]


def splits(line: bytes, least: int = 0) -> Iterator[tuple[bytes, list[str]]]:
    """Every separator that stands at least ``least`` times in a line, with the cells that it makes."""
    for separator in SEPARATORS:
        if line.count(separator) >= least:
            yield separator, split(line, separator)


def _unquoted(cell: bytes) -> str:
    cell = cell.strip()
    if len(cell) >= 2 and cell[:1] == b'"' == cell[-1:]:
        cell = cell[1:-1].replace(b'""', b'"')
    return cell.decode("utf-8", "replace").strip()


def _sink(numbers: Sequence[int], texts: Sequence[int], rows: int) -> _Sink:
    k = len(numbers)
    return _Sink(list(numbers), list(texts), np.empty((k, rows)), [[] for _ in texts], [0] * k, [0] * k)


def _count_lines(data: bytes, start: int, stop: int) -> int:
    body = np.frombuffer(data, np.uint8, stop - start, start)
    full = sum(np.count_nonzero(body[i : i + _BLOCK] == 10) for i in range(0, body.size, _BLOCK))
    return int(full) + int(body[-1] != 10)


def _read_regular(data: bytes, start: int, stop: int, n: int, separator: bytes, sink: _Sink) -> bool:
    """Decode a table whose lines all have the same number of cells; False, and nothing promised, if they have not."""
    whole = np.frombuffer(data, np.uint8)
    width = 0
    position = start
    while position < stop:
        end = stop
        if stop - position > _BLOCK:
            end = data.rfind(b"\n", position, position + _BLOCK) + 1
            end = end or data.find(b"\n", position + _BLOCK, stop) + 1 or stop
        lead = min(position, cells.LEAD)
        buffer = whole[position - lead : end]
        if lead < cells.LEAD:
            buffer = np.concatenate([np.zeros(cells.LEAD - lead, np.uint8), buffer])
        marks = _separators(buffer, separator)
        if marks is None:
            return False
        if buffer[-1] != 10:
            marks = np.append(marks, buffer.size)
        if not width:
            first = data.find(b"\n", position, end)
            at = buffer.size if first < 0 else first - position + cells.LEAD
            width = int(np.searchsorted(marks, at)) + 1
        if width < n or marks.size % width:
            return False
        ends = marks.reshape(-1, width)
        if not _is_regular(buffer, ends, n):
            return False
        _add(buffer, *_bounds(buffer, ends, sink.numbers + sink.texts), sink)
        position = end
    return bool(sink.row == sink.values.shape[1])  # no LF but the last one in any row


def _separators(buffer: ByteArray, separator: bytes) -> IntArray | None:
    """Offsets of the bytes that end a cell, or None if quotes make that a question for the tolerant path."""
    body = buffer[cells.LEAD :]
    if separator == b"\t":
        # One comparison finds TAB and LF; other control characters below, which belong to their cells, are rare.
        marks = np.flatnonzero(body < 11)
        kept = body[marks] >= 9
        if not kept.all():
            marks = marks[kept]
        marks += cells.LEAD
        return marks
    marks = np.flatnonzero((body == separator[0]) | (body == 10)) + cells.LEAD
    quotes = np.flatnonzero(body == 34) + cells.LEAD
    if not quotes.size:
        return marks
    inside = np.searchsorted(quotes, marks) & 1 == 1
    hidden = marks[inside]
    if quotes.size & 1 or np.any(buffer[hidden] == 10):
        return None
    marks = np.asarray(marks[~inside], np.int64)
    if hidden.size:
        cell = np.searchsorted(marks, hidden)
        edges = np.concatenate([[cells.LEAD - 1], marks, [buffer.size]])
        first, last = edges[cell] + 1, edges[cell + 1] - 1
        last = last - (buffer[last] == 13)
        if np.any(buffer[first] != 34) or np.any(buffer[last] != 34):
            return None
    return marks


def _is_regular(buffer: ByteArray, ends: IntArray, n: int) -> bool:
    """Every row ends in LF, no row is blank, and cells beyond the titles are empty."""
    last = ends[:, -1]
    lines = last if buffer[-1] == 10 else last[:-1]
    if not (buffer[lines] == 10).all():
        return False
    width = ends.shape[1]
    length = np.diff(last, prepend=cells.LEAD - 1)  # with the LF
    if length.min() <= width + 1:  # so short that every cell may be empty
        content = length - (buffer[last - 1] == 13)
        if (content <= width).any():
            return False
    if width > n:
        if (buffer == 34).any():  # the cell too many may be one cut in two inside quotes
            return False
        spare = ends[:, n:] - ends[:, n - 1 : -1] - 1
        spare[:, -1] -= (spare[:, -1] > 0) & (buffer[last - 1] == 13)
        if spare.any():
            return False
    return True


def _bounds(buffer: ByteArray, ends: IntArray, columns: list[int]) -> tuple[IntArray, IntArray]:
    """First and past-the-end offset of the cells of some columns, (column, row) each."""
    start = np.empty((len(columns), ends.shape[0]), np.int64)
    end = np.empty_like(start)
    for k, column in enumerate(columns):
        end[k] = ends[:, column]
        if column:
            start[k] = ends[:, column - 1]
        else:
            start[k, 0] = cells.LEAD - 1
            start[k, 1:] = ends[:-1, -1]
        if column == ends.shape[1] - 1:
            end[k] -= (buffer[end[k] - 1] == 13) & (end[k] > start[k] + 1)
    start += 1
    return start, end


def _add_rows(columns: list[list[bytes]], rows: int, sink: _Sink) -> None:
    """Decode cells that were cut out one by one: laid end to end, they are a buffer like any other."""
    tokens = [cell for column in columns for cell in column]
    end = np.cumsum(np.fromiter(map(len, tokens), np.int64, len(tokens))) + cells.LEAD
    start = np.concatenate([[cells.LEAD], end[:-1]])[: end.size]
    buffer = np.frombuffer(bytes(cells.LEAD) + b"".join(tokens), np.uint8)
    _add(buffer, start.reshape(-1, rows), end.reshape(-1, rows), sink)


def _add(buffer: ByteArray, start: IntArray, end: IntArray, sink: _Sink) -> None:
    """Decode the next rows: the bounds are those of the numeric columns, then of the text columns."""
    k, rows = len(sink.numbers), start.shape[1]
    if k:
        values, rest, dotted = cells.numbers(buffer, start[:k], end[:k])
        sink.dotted = sink.dotted or dotted
        if rest.size:
            _add_odd(buffer.tobytes(), start[:k].reshape(-1), end[:k].reshape(-1), rest, rows, values, sink)
        sink.values[:, sink.row : sink.row + rows] = values
    for part, first, last in zip(sink.parts, start[k:], end[k:], strict=True):
        part.append(cells.texts(buffer, first, last))
    sink.row += rows


def _add_odd(
    raw: bytes, start: IntArray, end: IntArray, rest: IntArray, rows: int, values: NDArray[np.float64], sink: _Sink
) -> None:
    """The cells that are no plain decimal numbers: missing tokens, exponents, infinities, commas, text."""
    flat = values.reshape(-1)
    known: dict[bytes, float | None] = {}
    known_errors: dict[bytes, bool] = {}
    for i, first, last in zip(rest.tolist(), start[rest].tolist(), end[rest].tolist(), strict=True):
        cell = raw[first:last]
        if cell not in known:
            known[cell], known_errors[cell] = cells.number(cell), cells.is_error(cell)
        value = known[cell]
        k, row = divmod(i, rows)
        if value is None:
            column = sink.numbers[k]
            if b"," in cell and _finite(cells.number(cell.replace(b",", b""))):
                sink.commas.append((sink.row + row, column, cell.strip(b' "\t\r')))
            elif sink.bad is None or (sink.row + row, column) < sink.bad[:2]:
                sink.bad = (sink.row + row, column, cell)
            flat[i] = np.nan
        elif _finite(value):
            flat[i] = value
            sink.dotted = sink.dotted or b"." in cell
        else:
            flat[i] = np.nan
            (sink.infinite if isinf(value) else sink.missing)[k] += 1
            if known_errors[cell]:
                sink.errors.append((sink.row + row, sink.numbers[k], cell))


def _finite(value: float | None) -> bool:
    return value is not None and isfinite(value)


def _thousands(cell: bytes) -> bool:
    """Whether the commas of a number may stand for thousands."""
    head, *groups = cell.lstrip(b"+-").split(b",")
    return 1 <= len(head) <= 3 and not head.startswith(b"0") and all(len(group) == 3 for group in groups)


def _take_commas(sink: _Sink, file: str, line: int, title: str) -> str:
    """Read the commas as decimal points if nothing else is possible; the text of the warning."""
    found = [cell for _, _, cell in sorted(sink.commas)]
    plain = all(cell.count(b",") == 1 and b"." not in cell for cell in found)
    if sink.dotted or not plain or all(map(_thousands, found)):
        reason = "other numbers of the file have a decimal point" if sink.dotted else "it may stand for thousands"
        raise FormatError(
            f"column {title!r} holds a number with a comma whose meaning is unclear: {reason}",
            file,
            line,
            found=repr(found[0].decode()),
            expected="decimal points and no thousands separators",
            hint="Export the table again with a decimal point",
        )
    where = {column: k for k, column in enumerate(sink.numbers)}
    for row, column, cell in sink.commas:
        sink.values[where[column], row] = float(cell.replace(b",", b"."))
    return (
        f"{file}:{line}: {len(found)} numbers have a decimal comma (first: {found[0].decode()} in column {title!r}); "
        "read as decimal points"
    )


def _dotted_column(data: bytes, start: int, stop: int, separator: bytes) -> bool:
    """Whether some column, wanted or not, is one of numbers with decimal points (looks at the first rows)."""
    lines = data[start : min(stop, start + 65536)].split(b"\n")[:100]
    for column in zip(*(line.rstrip(b"\r").split(separator) for line in lines if line.strip()), strict=False):
        if any(b"." in cell for cell in column) and all(cells.number(cell) is not None for cell in column):
            return True
    return False
