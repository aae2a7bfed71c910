"""GenePix array lists (GAL): what was printed where.

The block records are the authority for the geometry of the slide, the rows for the identity of the spots. Where the
two disagree both are kept and the disagreement is named.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from gridnorm.arrays.positions import block_extents
from gridnorm.arrays.raw import Column
from gridnorm.errors import FormatError
from gridnorm.io import atf, cells, columns
from gridnorm.io.text import Text, load, name_of, stamp
from gridnorm.plain import few

_EXPECTED = "a line with Block, Column, Row and ID or Name"


class BlockRecord(NamedTuple):
    """One ``BlockN=`` record: place of the first spot, spot diameter and spacing (all in µm), rows and columns."""

    block: int
    x: float
    y: float
    diameter: float
    columns: int
    x_spacing: float
    rows: int
    y_spacing: float


@dataclass(frozen=True, eq=False)
class Gal:
    """An array list.

    ``spots`` has ``Block``, ``Row`` and ``Column`` (int64), ``ID`` and ``Name`` (bytes, those the file has), and
    every further column under its title (float64 if all its cells are numbers or missing, else bytes), rows in file
    order.
    """

    name: str
    header: dict[str, str]
    blocks: tuple[BlockRecord, ...]
    spots: dict[str, Column]
    columns: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def n_spots(self) -> int:
        return int(self.spots["Block"].size)


def sniff(text: Text) -> bool:
    r"""Whether the beginning of a file looks like a GAL file.

    Examples
    --------
    >>> sniff(Text("a.gal", b'ATF\t1.0\n1\t5\n"Type=GenePix ArrayList V1.0"\n', "ascii", (), 0, ""))
    True
    """
    folded = text.data.lower()
    if b"type=genepix arraylist" in folded:
        return True
    if not atf.is_atf(text.data) or b"type=genepix" in folded:
        return False
    return atf.has_titles(text.data, _is_titles, 3)


def read(text: Text) -> Gal:
    r"""Read a GAL file.

    Raises
    ------
    FormatError
        The table is damaged, has neither ID nor Name, or a Block, Row or Column is no whole number.

    Examples
    --------
    >>> rows = b"Block\tRow\tColumn\tID\n1\t1\t1\tx\n1\t1\t2\ty\n"
    >>> head = b'ATF\t1.0\n1\t4\n"Block1= 400, 400, 100, 2, 180, 1, 180"\n'
    >>> gal = read(Text("a.gal", head + rows, "ascii", (), 0, ""))
    >>> gal.blocks[0].columns, gal.spots["ID"].tolist()
    (2, [b'x', b'y'])
    """
    try:
        found = atf.parse(text, _is_titles, _EXPECTED)
    except FormatError as error:
        raise _no_list(text, error) from None
    titles = found.frame.titles
    roles = columns.positions(titles, (*columns.KEYS, *columns.NAMES))
    if not roles.keys() & set(columns.NAMES):
        raise FormatError("the array list names no spots", text.name, found.frame.line, ", ".join(titles), "ID or Name")
    rest = [title for at, title in enumerate(titles) if title and at not in roles.values()]
    spots = columns.read_spots(text, found.frame, roles, extra=rest, fill=True)
    warnings = [*text.warnings, *found.warnings, *spots.warnings]
    blocks = _blocks(found, text.name, warnings)
    warnings += _doubts(found, blocks, spots.columns, text.name)
    return Gal(text.name, found.records, blocks, spots.columns, titles, tuple(warnings))


def read_file(path: str | os.PathLike[str], name: str = "") -> Gal:
    """Load and read a GAL file; one that was read before and has not changed is not read again.

    ``name`` is what messages call it; by default its name without folder.

    Raises
    ------
    FormatError
        As ``read``, or the file cannot be opened.
    """
    name = name or name_of(path)
    return _read_file(name, *stamp(path, name))


@lru_cache(maxsize=4)
def _read_file(name: str, path: str, mtime: int, size: int) -> Gal:
    return read(load(path, name))


def _is_titles(found: list[str]) -> bool:
    named = any(title.casefold() in ("id", "name") for title in found)
    measured = any(title[:1] == "F" and title[1:2].isdigit() for title in found)
    return columns.has_keys(found) and named and not measured


def _no_list(text: Text, error: FormatError) -> FormatError:
    """The error of a file without titles, or that it is of another kind."""
    from gridnorm.io.formats import FORMATS
    from gridnorm.io.formats.foreign import said_of

    kind = next((row.name for row in FORMATS.values() if row.sniff(text, {})), None)
    said = f"This is a {kind} file with results" if kind else said_of(text)
    return (
        error if said is None else FormatError("this is no array list (GAL)", text.name, expected=_EXPECTED, hint=said)
    )


def _record(records: dict[str, str], name: str) -> str:
    """A header record whatever its case and blanks: labs write ``Block Count`` too."""
    wanted = name.casefold()
    return next((value for key, value in records.items() if key.replace(" ", "").casefold() == wanted), "")


def _blocks(found: atf.Atf, file: str, warnings: list[str]) -> tuple[BlockRecord, ...]:
    """The block records; commas, TABs, semicolons and blanks all separate, in any mixture."""
    blocks: list[BlockRecord] = []
    for key, value in found.records.items():
        number = key.casefold().removeprefix("block").strip()
        if not key.casefold().startswith("block") or cells.count(number) is None:
            continue
        for separator in ",;\t":
            value = value.replace(separator, " ")
        fields = [cells.number(field.encode()) for field in value.split()]
        sizes = [field for field in fields if field is not None and np.isfinite(field)]
        if len(fields) != 7 or len(sizes) != 7 or sizes[3] != int(sizes[3]) or sizes[5] != int(sizes[5]):
            warnings.append(
                f"{file}:{found.record_lines[key]}: the record of block {number} was left out; found "
                f"{found.records[key]!r}, expected x, y, diameter, columns, x spacing, rows, y spacing"
            )
            continue
        x, y, diameter, columns, x_spacing, rows, y_spacing = sizes
        blocks.append(BlockRecord(int(number), x, y, diameter, int(columns), x_spacing, int(rows), y_spacing))
    return tuple(blocks)


def _doubts(found: atf.Atf, blocks: tuple[BlockRecord, ...], spots: dict[str, Column], file: str) -> list[str]:
    """Where header and rows disagree."""
    doubts: list[str] = []
    told = {name: few([_record(found.records, name)]) for name in ("BlockType", "BlockCount")}
    kind = cells.number(_record(found.records, "BlockType").encode())
    if kind is None or kind > 0 or kind < 0:
        doubts.append(
            f"{file}: BlockType is {told['BlockType']}: the spots of a block stand in no rectangle; "
            "rows and columns are taken as written"
        )
    count = cells.number(_record(found.records, "BlockCount").encode())
    if blocks and (count is None or (count == count and count != len(blocks))):
        doubts.append(f"{file}: BlockCount is {told['BlockCount']}, block records: {len(blocks)}")
    if not blocks:
        return doubts
    numbers, _, sizes = block_extents(*(spots[key] for key in columns.KEYS))
    extent = dict(zip(numbers.tolist(), zip(*sizes.tolist(), strict=True), strict=True))
    differing = [
        f"block {b.block}: record {b.rows} rows x {b.columns} columns, table "
        + ("none" if b.block not in extent else "{} x {}".format(*extent[b.block]))
        for b in blocks
        if extent.get(b.block) != (b.rows, b.columns)
    ]
    known = {b.block for b in blocks}
    differing += [f"block {number}: no record" for number in extent if number not in known]
    if differing:
        doubts.append(
            f"{file}: the rows disagree with the block records in {len(differing)} of "
            f"{len(known | extent.keys())} blocks (first: {differing[0]}); both were kept"
        )
    return doubts
