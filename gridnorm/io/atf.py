"""The Axon Text File container, shared by GPR and GAL files.

Line 1 says ``ATF`` and a version, line 2 the number of header records and of columns, then come the records
(``"Key=value"``), the column titles and the rows. Both counts are wrong in many files: the titles are looked for
where they are declared and, failing that, everywhere in the header.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gridnorm.errors import FormatError
from gridnorm.io import cells
from gridnorm.io.columns import Frame
from gridnorm.io.table import splits
from gridnorm.io.text import Text

_HEADER_LINES = 2000  # how far titles are looked for; the longest header met has 60 lines
_SNIFFED = 200  # the same where no ATF line promises them


class Atf(NamedTuple):
    """The header of an ATF file.

    ``records`` and ``record_lines`` (1-based) have the same keys.
    """

    version: str
    records: dict[str, str]
    record_lines: dict[str, int]
    frame: Frame
    warnings: tuple[str, ...]


def is_atf(head: bytes) -> bool:
    """Whether a file begins like an ATF file."""
    first = head[:4096].lstrip()[:5].strip(b'"').upper()
    return first[:3] == b"ATF" and (len(first) == 3 or not chr(first[3]).isalnum())


def lines(data: bytes, count: int = _HEADER_LINES) -> Iterator[tuple[int, int, bytes]]:
    """Begin offset, past-the-end offset (with the LF) and content of the first lines."""
    begin = 0
    for _ in range(count):
        end = data.find(b"\n", begin) + 1 or len(data)
        if begin >= end:
            return
        yield begin, end, data[begin:end]
        begin = end


def has_titles(data: bytes, is_titles: Callable[[list[str]], bool], least: int) -> bool:
    """Whether one of the first lines with at least ``least`` separators of a kind holds the column titles."""
    return any(is_titles(titles) for _, _, line in lines(data, _SNIFFED) for _, titles in splits(line, least))


def parse(text: Text, is_titles: Callable[[list[str]], bool], expected: str) -> Atf:
    """Read the header.

    Parameters
    ----------
    text
        The file, or a head of it that holds the whole header.
    is_titles
        Whether the cells of a line are the column titles.
    expected
        What the titles must hold, for messages.

    Raises
    ------
    FormatError
        No line holds the titles.
    """
    all_lines = list(lines(text.data, 2))
    warnings: list[str] = []
    top = 0
    declared: int | None = None
    version = ""
    if is_atf(text.data):
        top = 1
        version = all_lines[0][2].decode("utf-8", "replace").strip().strip('"')[3:].strip("\t ,;\"'")
        counts = all_lines[1][2].replace(b",", b" ").replace(b'"', b" ").split() if len(all_lines) > 1 else []
        declared = cells.count(counts[0].decode("utf-8", "replace")) if counts else None
        top = 1 if declared is None else 2
    found: tuple[int, list[str], bytes] | None = None
    if declared is not None and declared < _HEADER_LINES:
        all_lines = list(lines(text.data, top + declared + 1))
        found = _titles(all_lines, range(top + declared, len(all_lines)), is_titles)
    if found is None:
        all_lines = list(lines(text.data))
        found = _titles(all_lines, range(top, len(all_lines)), is_titles)
        if found is None:
            raise FormatError(
                "no line holds the column titles",
                text.name,
                found=f"{len(all_lines)} lines without them",
                expected=expected,
                hint="Is the file cut off, or another kind of file?",
            )
        at = f"{text.name}:{found[0] + 1}"
        if declared is not None:
            warnings.append(
                f"{at}: the header declares {declared} records and has {found[0] - top}; "
                "the column titles were found here"
            )
        elif not top:
            warnings.append(f"{at}: the file does not begin with an ATF line; the column titles were found here")
    row, titles, separator = found
    records, record_lines = _records(all_lines[top:row], top + 1, separator)
    while titles and not titles[-1]:
        titles.pop()
    frame = Frame(tuple(titles), separator, all_lines[row][1], row + 1)
    return Atf(version, records, record_lines, frame, tuple(warnings))


def _titles(
    all_lines: list[tuple[int, int, bytes]], rows: range, is_titles: Callable[[list[str]], bool]
) -> tuple[int, list[str], bytes] | None:
    for row in rows:
        for separator, titles in splits(all_lines[row][2], 1):
            if is_titles(titles):
                return row, titles, separator
    return None


def _records(found: list[tuple[int, int, bytes]], line: int, separator: bytes) -> tuple[dict[str, str], dict[str, int]]:
    """Header records; the first ``=`` splits, TABs inside quotes stay, padding and quotes around go."""
    records: dict[str, str] = {}
    where: dict[str, int] = {}
    times: dict[str, int] = {}
    last = ""
    for at, (_, _, raw) in enumerate(found, line):
        content = raw.strip().rstrip(separator + b"\t ").decode("utf-8", "replace")
        if not content.strip('"'):
            continue
        key, equals, value = content.strip('"').replace('""', '"').partition("=")
        if not equals and last:  # a value that goes on in the next line
            records[last] += "\n" + key
            continue
        key = last = _unused(key.strip(" \t"), records, times)
        records[key] = value.strip(' "')
        where[key] = at
    return records, where


def _unused(key: str, records: dict[str, str], times: dict[str, int]) -> str:
    """A record that comes twice keeps both values; ``times`` has how often a key came."""
    name = key
    while name in records:
        times[key] = times.get(key, 1) + 1
        name = f"{key} ({times[key]})"
    return name
