"""Result tables: TSV, CSV (both also gzipped), Parquet, standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from gridnorm.errors import OptionError, OutputError, option_word
from gridnorm.io import fixed
from gridnorm.io.atomic import Output, guard, is_stream

Column = NDArray[Any]
Precision = int | Literal["full"]

FORMS = ("tsv", "csv", "tsv.gz", "csv.gz", "parquet")
# Rows are formatted in blocks. Larger ones fall out of the cache, and from 128 KiB an array is mapped anew each time.
_BLOCK_WORDS = 65536  # of four bytes
_BLOCK_NUMBERS = 12000  # of eight bytes


def write_table(
    path: str | os.PathLike[str],
    prefix: Mapping[str, Column],
    numbers: Mapping[str, NDArray[np.floating[Any]]],
    *,
    precision: Precision = 6,
    form: str | None = None,
    force: bool = False,
    output: Output | None = None,
) -> None:
    r"""Write columns of equal length as one table.

    Text is UTF-8, a missing value (NaN) an empty cell, a line ends in LF. Cells that hold the separator, a
    quote or a line break are quoted as CSV does, in TSV too. The same input gives the same bytes, gzipped
    or not.

    Parameters
    ----------
    path
        Target; its suffix says the form. ``-`` is standard output.
    prefix
        Title to column, written first: integers as they are, floats in their shortest form (``1820``, ``0.1``),
        bytes (dtype ``S``, UTF-8) and strings as text.
    numbers
        Title to column of floats, written with ``precision``.
    precision
        Decimals, 0 to 15, or ``"full"`` for the shortest text that reads back the same. Parquet holds full doubles.
    form
        One of ``tsv csv tsv.gz csv.gz parquet``, instead of the suffix.
    force
        Replace an existing file.
    output
        Put the table into this group of files, moved in place together; ``force`` is then that of the group.

    Raises
    ------
    OptionError
        Unknown suffix, precision out of range, equal titles, or a target that exists.
    OutputError
        The file cannot be written, or pyarrow is not installed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp(), "a.tsv")
    >>> write_table(target, {"ID": np.array([b"x", b"y"])}, {"M.a": np.array([0.5, np.nan])})
    >>> target.read_text()
    'ID\tM.a\nx\t0.500000\ny\t\n'
    """
    chosen = form_of(path, form)
    _check(prefix, numbers, precision)
    if os.fspath(path) == "-":
        _write_stream(sys.stdout.buffer, "standard output", chosen, prefix, numbers, precision)
        guard("standard output", sys.stdout.buffer.flush)
        return
    name = os.path.basename(path)
    if output is not None:
        _write_stream(output.open(path), name, chosen, prefix, numbers, precision)
        return
    with Output(force) as own:
        _write_stream(own.open(path), name, chosen, prefix, numbers, precision)


def form_of(path: str | os.PathLike[str], form: str | None = None) -> str:
    """The table form of a target: ``form`` if given, else by the suffix; ``tsv`` for standard output and devices."""
    if form is not None:
        if form not in FORMS:
            raise OptionError("unknown table format", found=repr(form), expected=", ".join(FORMS))
        return form
    name = os.path.basename(path)
    for known in FORMS:
        if name.lower().endswith("." + known):
            return known
    if name == "-" or is_stream(path):
        return "tsv"
    raise OptionError(
        "the suffix of the output names no table format",
        file=name,
        expected=", ".join("." + known for known in FORMS),
        hint=f"Or say it with {option_word('format')}",
    )


def table_blocks(
    prefix: Mapping[str, Column],
    numbers: Mapping[str, NDArray[np.floating[Any]]],
    *,
    delimiter: bytes = b"\t",
    precision: Precision = 6,
) -> Iterator[bytes]:
    """The bytes of a text table, title row first, then blocks of rows."""
    titles = [*prefix, *numbers]
    yield delimiter.join(quote(title.encode(), delimiter) for title in titles) + b"\n"
    leading = [_prepared(column, delimiter) for column in prefix.values()]
    trailing = list(numbers.values())
    rows = len(next(iter([*leading, *trailing]), ()))
    words = sum(1 + (column.dtype.itemsize + 4) // 4 for column in leading) + len(trailing) * 3 + 1
    step = max(16, min(_BLOCK_WORDS // words, _BLOCK_NUMBERS // max(1, len(trailing))))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        cells = [_prefix_words(column[part], delimiter if k else b"") for k, column in enumerate(leading)]
        cells += _number_words([column[part] for column in trailing], precision, delimiter, bool(leading))
        yield fixed.join(cells)


def quote(cell: bytes, delimiter: bytes = b"\t") -> bytes:
    """One cell by the CSV rules: quoted where it holds the delimiter, a quote or a line break."""
    if any(mark in cell for mark in (delimiter, b'"', b"\n", b"\r")):
        return b'"' + cell.replace(b'"', b'""') + b'"'
    return cell


def as_bytes(column: Column) -> NDArray[np.bytes_]:
    """A text column (``S``, ``U`` or strings in objects) as UTF-8 bytes, dtype ``S``."""
    if column.dtype.kind == "S":
        return column
    cells = [str(cell).encode() for cell in column.tolist()]
    return np.array(cells, dtype="S") if cells else np.empty(0, "S1")


def _check(prefix: Mapping[str, Column], numbers: Mapping[str, Column], precision: Precision) -> None:
    if precision != "full" and (isinstance(precision, str) or not 0 <= precision <= 15):
        raise OptionError("precision out of range", found=str(precision), expected="0 to 15, or full")
    same = [title for title in prefix if title in numbers]
    if same:
        raise OptionError("two columns of the table have the same title", found=repr(same[0]))
    if not prefix and not numbers:
        raise ValueError("a table needs a column")
    lengths = {len(column) for column in [*prefix.values(), *numbers.values()]}
    if len(lengths) > 1:
        raise ValueError(f"columns of unequal length: {sorted(lengths)}")


def _write_stream(
    handle: BinaryIO,
    name: str,
    form: str,
    prefix: Mapping[str, Column],
    numbers: Mapping[str, NDArray[np.floating[Any]]],
    precision: Precision,
) -> None:
    if form == "parquet":
        _write_parquet(handle, name, prefix, numbers)
        return
    delimiter = b"," if form.startswith("csv") else b"\t"
    blocks = table_blocks(prefix, numbers, delimiter=delimiter, precision=precision)
    if not form.endswith(".gz"):
        for block in blocks:
            guard(name, handle.write, block)
        return
    guard(name, _write_packed, handle, blocks)


def _write_packed(handle: BinaryIO, blocks: Iterator[bytes]) -> None:
    import gzip

    # Neither name nor time in the gzip header: same table, same bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=handle, mtime=0) as packed:
        for block in blocks:
            packed.write(block)


def _write_parquet(
    handle: BinaryIO, name: str, prefix: Mapping[str, Column], numbers: Mapping[str, NDArray[np.floating[Any]]]
) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        what, hint = "Parquet needs pyarrow, which is not installed", 'Install it with: pip install "gridnorm[parquet]"'
        raise OutputError(what, file=name, hint=hint) from error
    arrays = []
    for column in [*prefix.values(), *numbers.values()]:
        if column.dtype.kind in "SUO":
            arrays.append(pa.array(as_bytes(column).tolist(), pa.binary()).cast(pa.string()))
        else:
            # from_pandas: NaN is a missing value, not a number.
            arrays.append(pa.array(np.ascontiguousarray(column), from_pandas=True))
    table = pa.Table.from_arrays(arrays, names=[*prefix, *numbers])
    guard(name, pq.write_table, table, handle)


def _prepared(column: Column, delimiter: bytes) -> Column:
    """A prefix column as bytes (quoted where needed) or int64 or float64."""
    kind = column.dtype.kind
    if kind in "bui":
        return column.astype(np.int64, copy=False)
    if kind == "f":
        whole = column.astype(np.float64, copy=False)
        missing = np.isnan(whole)
        if bool(np.all(missing | ((whole == np.floor(whole)) & (np.abs(whole) < 1e15)))):
            return whole
        return fixed.shortest_text(whole, integers_plain=True)
    return _quoted(as_bytes(column), delimiter)


def _quoted(column: NDArray[np.bytes_], delimiter: bytes) -> NDArray[np.bytes_]:
    text = column.tobytes()
    marks = [mark for mark in (delimiter, b'"', b"\n", b"\r") if mark in text]
    if not marks:
        return column
    codes = np.ascontiguousarray(column).view(np.uint8).reshape(len(column), -1)
    rows = np.flatnonzero(np.isin(codes, [mark[0] for mark in marks]).any(axis=1))
    cells = np.array([quote(cell, delimiter) for cell in column[rows].tolist()], dtype="S")
    out = column.astype(f"S{max(column.dtype.itemsize, cells.dtype.itemsize)}")
    out[rows] = cells
    return out


def _prefix_words(column: Column, separator: bytes) -> fixed.Words:
    if column.dtype.kind == "S":
        return fixed.text_words(column, separator)
    if column.dtype.kind == "f":
        present = ~np.isnan(column)
        return fixed.integer_words(np.where(present, column, 0.0).astype(np.int64), separator, present)
    return fixed.integer_words(column, separator)


def _number_words(
    columns: list[NDArray[np.floating[Any]]], precision: Precision, delimiter: bytes, follows: bool
) -> list[fixed.Words]:
    if not columns:
        return []
    words: list[fixed.Words] = []
    for whole, group in groupby(columns, lambda column: column.dtype.kind == "i"):
        values = np.stack(list(group), axis=1).astype(np.float64, copy=False)
        digits: Precision = 0 if whole else precision
        if not (follows or words):  # the first column of a table has no separator before it
            words.append(_cells(values[:, :1], digits, b""))
            values = values[:, 1:]
        if values.shape[1]:
            words.append(_cells(values, digits, delimiter))
    return words


def _cells(values: NDArray[np.float64], precision: Precision, separator: bytes) -> fixed.Words:
    if precision != "full":
        return fixed.decimal_words(values, precision, separator)
    text = fixed.shortest_text(values)
    flat = fixed.text_words(text.ravel(), separator)
    return flat.reshape(values.shape[0], -1)
