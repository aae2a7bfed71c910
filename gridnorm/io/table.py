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
from gridnorm.io import cells, commas
from gridnorm.io.ends import end_of_rows, last_row_end
from gridnorm.io.odd_cells import errors_said, not_a_number
from gridnorm.io.ragged import read_rows, split_quoted
from gridnorm.io.regular import ByteArray, IntArray, bounds, is_regular, separators
from gridnorm.io.text import Text

SEPARATORS = (b"\t", b",", b";")
_BLOCK = 1 << 20  # bytes per step: the temporaries of a step stay in the cache


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
    optional: frozenset[int] = frozenset()  # columns whose text is missing, not wrong
    strange: list[tuple[int, int, bytes]] = field(default_factory=list)  # such text


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
    optional: Sequence[int] = (),
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
    optional
        Columns at the end of ``numbers`` in which text is a missing value, with a warning.

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
    sink = _sink(numbers, texts, count, optional)
    if not _read_regular(data, start, stop, len(titles), separator, sink):
        stop, below = end_of_rows(data, start, stop, line, separator, text.name)
        warnings += below
        count = _count_lines(data, start, stop)
        sink = _sink(numbers, texts, count, optional)
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
    return replace(table, warnings=(*table.warnings, *_take_odd(sink, text, start, stop, separator, table, titles)))


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


def _sink(numbers: Sequence[int], texts: Sequence[int], rows: int, optional: Sequence[int] = ()) -> _Sink:
    k, own = len(numbers), frozenset(optional)
    return _Sink(list(numbers), list(texts), np.empty((k, rows)), [[] for _ in texts], [0] * k, [0] * k, optional=own)


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
        marks = separators(buffer, separator)
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
        if not is_regular(buffer, ends, n):
            return False
        _add(buffer, *bounds(buffer, ends, sink.numbers + sink.texts), sink)
        position = end
    return bool(sink.row == sink.values.shape[1])  # no LF but the last one in any row


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
        if dotted and sink.optional and not sink.dotted:  # what a later file need not read decides nothing
            needed = k - len(sink.optional)
            dotted = cells.numbers(buffer, start[:needed], end[:needed])[2]
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
            elif column in sink.optional:
                sink.strange.append((sink.row + row, column, cell))
            elif sink.bad is None or (sink.row + row, column) < sink.bad[:2]:
                sink.bad = (sink.row + row, column, cell)
            flat[i] = np.nan
        elif _finite(value):
            flat[i] = value
            sink.dotted = sink.dotted or (b"." in cell and sink.numbers[k] not in sink.optional)
        else:
            flat[i] = np.nan
            (sink.infinite if isinf(value) else sink.missing)[k] += 1
            if known_errors[cell]:
                sink.errors.append((sink.row + row, sink.numbers[k], cell))


def _finite(value: float | None) -> bool:
    return value is not None and isfinite(value)


def _take_odd(
    sink: _Sink, text: Text, start: int, stop: int, separator: bytes, table: Table, titles: Sequence[str]
) -> list[str]:
    """Read commas as decimal points where nothing else is possible, and drop what optional columns hold; warnings."""
    warnings = []
    if sink.commas:
        dotted = sink.dotted or commas.dotted_column(text.data[start:stop], separator)
        needed = sorted(one for one in sink.commas if one[1] not in sink.optional)
        found = needed or sorted(sink.commas)
        row, column, first = found[0]
        reason = commas.unclear([cell for *_, cell in found], dotted)
        if reason and needed:
            raise FormatError(
                f"column {titles[column]!r} holds a number with a comma whose meaning is unclear: {reason}",
                text.name,
                table.line(row),
                found=repr(first.decode()),
                expected="decimal points and no thousands separators",
                hint="Export the table again with a decimal point",
            )
        count = 0 if reason else _set_decimals(sink)
        if count:
            warnings.append(
                f"{text.name}:{table.line(row)}: {count} numbers have a decimal comma (first: {first.decode()} in "
                f"column {titles[column]!r}); read as decimal points"
            )
        else:
            sink.strange += sink.commas
    if sink.strange:
        row, column, cell = min(sink.strange)
        n = len(sink.strange)
        many = "1 cell is no number and was" if n == 1 else f"{n} cells are no numbers and were"
        warnings.append(
            f"{text.name}:{table.line(row)}: {many} taken as missing "
            f"(first: {cell.decode('utf-8', 'replace')!r} in column {titles[column]!r})"
        )
    return warnings


def _set_decimals(sink: _Sink) -> int:
    """Put the numbers with a decimal comma in place; how many they are. Others, of optional columns, are strange."""
    where = {column: k for k, column in enumerate(sink.numbers)}
    count = 0
    for row, column, cell in sink.commas:
        value = cells.number(cell.replace(b",", b"."))
        if value is None:
            sink.strange.append((row, column, cell))
        else:
            sink.values[where[column], row] = value
            count += 1
    return count
