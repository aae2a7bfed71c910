"""Where the blocks and spots of an array lie on its slide, and how we know."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridnorm.arrays.positions import Grid, Origins, block_extents, block_origins, find_pads, grid_of, same_arrangement
from gridnorm.core.fit import median_of
from gridnorm.core.segments import distinct
from gridnorm.errors import LayoutError, OptionError, option_value, option_word, recorded_option

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class BlockRecord(Protocol):
    """What a GAL says of one block: place of its first spot, spacings, rows and columns."""

    @property
    def block(self) -> int: ...
    @property
    def x(self) -> float: ...
    @property
    def y(self) -> float: ...
    @property
    def columns(self) -> int: ...
    @property
    def x_spacing(self) -> float: ...
    @property
    def rows(self) -> int: ...
    @property
    def y_spacing(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Layout:
    """The grid of a slide: blocks in rows and columns, spots in rows and columns inside each block.

    All arrays have one entry per block that the file holds, blocks in ascending order. ``block_row`` and
    ``block_column`` are 0-based places in a grid of ``grid_rows`` by ``grid_columns`` blocks; ``rows_per_block`` and
    ``columns_per_block`` are the sizes of each block, ``spot_rows`` and ``spot_columns`` the largest of them.
    ``source`` is ``positions``, ``gal``, ``file`` (which numbers the rows and columns of its blocks), ``override`` or
    ``block numbers`` (a guess where there are several blocks); ``evidence`` says in sentences what was seen.
    ``missing`` counts the spots absent from blocks taken as full
    rectangles; ``complete`` means that no block and no spot is absent and all blocks are alike. ``pad_of_block``
    numbers the pads (sub-arrays set apart by wide gaps) from 1.
    """

    blocks: IntArray
    grid_rows: int
    grid_columns: int
    block_row: IntArray
    block_column: IntArray
    spot_rows: int
    spot_columns: int
    rows_per_block: IntArray
    columns_per_block: IntArray
    pad_of_block: IntArray
    source: str
    evidence: tuple[str, ...]
    complete: bool
    missing: int
    warnings: tuple[str, ...] = ()

    @property
    def n_pads(self) -> int:
        return int(self.pad_of_block.max())

    def slide_position(self, block: ArrayLike, row: ArrayLike, column: ArrayLike) -> tuple[IntArray, IntArray]:
        """Row and column of spots on the grid of the whole slide, 0-based.

        Every block takes the room of the largest one, so blocks of unequal size keep their places.

        Parameters
        ----------
        block, row, column
            Numbers of the spots as in the file, from 1, of one shape.

        Raises
        ------
        LayoutError
            A block, row or column that the layout does not have.
        """
        numbers, rows, columns = (np.asarray(v, np.int64) for v in (block, row, column))
        place = np.minimum(np.searchsorted(self.blocks, numbers), self.blocks.size - 1)
        outside = (self.blocks[place] != numbers) | (rows < 1) | (rows > self.spot_rows)
        outside |= (columns < 1) | (columns > self.spot_columns)
        if outside.any():
            first = int(np.flatnonzero(outside.ravel())[0])
            raise LayoutError(
                "a spot lies outside the layout",
                found=f"Block {numbers.flat[first]} Row {rows.flat[first]} Column {columns.flat[first]}",
                expected=self.describe(),
            )
        slide_row = self.block_row[place] * self.spot_rows + rows - 1
        slide_column = self.block_column[place] * self.spot_columns + columns - 1
        return slide_row, slide_column

    def describe(self) -> str:
        """One line, such as ``4 x 4 blocks of 22 x 24 spots (from X/Y positions)``."""
        sizes = self.rows_per_block * self.columns_per_block
        alike = bool((sizes == self.spot_rows * self.spot_columns).all())
        spots = f"{'' if alike else 'up to '}{self.spot_rows} x {self.spot_columns} spots"
        if self.grid_rows * self.grid_columns == 1:
            return f"1 block of {spots}"
        text = f"{self.grid_rows} x {self.grid_columns} blocks of {spots}"
        if self.blocks.size < self.grid_rows * self.grid_columns:
            text += f", {self.blocks.size} of them in the file"
        if self.n_pads > 1:
            text += f", {self.n_pads} pads"
        how = {
            "positions": "from X/Y positions",
            "gal": "from the GAL",
            "override": f"as given with {recorded_option('layout')}",
            "file": "as the file numbers them",
        }
        return f"{text} ({how.get(self.source, 'guessed from block numbers')})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "blocks": [int(number) for number in self.blocks],
            "grid_rows": self.grid_rows,
            "grid_columns": self.grid_columns,
            "spot_rows": self.spot_rows,
            "spot_columns": self.spot_columns,
            "pads": self.n_pads,
            "complete": self.complete,
            "missing": self.missing,
            "source": self.source,
            "evidence": list(self.evidence),
        }


def infer_layout(
    block: ArrayLike | None,
    row: ArrayLike,
    column: ArrayLike,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    *,
    gal_blocks: Sequence[BlockRecord] | None = None,
    grid: tuple[int, int] | None = None,
    override: str | None = None,
    file: str = "",
) -> Layout:
    """Find the layout of an array from what its file says.

    Evidence in this order: ``override``, the block records of a GAL, the rows and columns of blocks that the file
    numbers, the X/Y positions of the spots, the block numbers alone (then limma's rule: four blocks a row if their
    number is a multiple of four, else one; a guess). Where two of the first four disagree, the warnings say so; a GAL
    that the file's own grid or the positions contradict is refused.

    Parameters
    ----------
    block, row, column
        Numbers of every spot, from 1, shape (spot,); ``block`` None means one block.
    x, y
        Centres of the spots in any unit, NaN where unknown.
    gal_blocks
        Block records of a GAL.
    grid
        Rows and columns of blocks, where the file has them and ``block`` counts along the rows.
    override
        Grid rows, grid columns, spot rows and spot columns as ``4x4x22x24``.
    file
        Name of the file for messages.

    Raises
    ------
    OptionError
        ``override`` cannot be read.
    LayoutError
        Numbers below 1, spots that do not fit into ``override``, or a GAL of another geometry than the file's.

    Examples
    --------
    >>> infer_layout([1, 1, 2, 2], [1, 2, 1, 2], [1, 1, 1, 1], override="1x2x2x1").describe()
    '1 x 2 blocks of 2 x 1 spots (as given with --layout)'
    """
    rows, columns = np.asarray(row, np.int64), np.asarray(column, np.int64)
    numbers = np.ones(rows.size, np.int64) if block is None else np.asarray(block, np.int64)
    _check_numbers(numbers, rows, columns, file)
    blocks, index, sizes = block_extents(numbers, rows, columns)
    notes, evidence = list[str](), list[str]()
    found: dict[str, Grid] = {}
    observed = sizes
    measured: tuple[Origins, Grid] | None = None
    if override is not None:
        found["override"], sizes = _from_override(override, blocks, sizes, file)
        evidence.append(recorded_option("layout", override))
    if gal_blocks:
        records = _from_gal(gal_blocks, blocks, observed, notes)
        if records is not None:
            found["gal"], origins, gal_sizes = records
            measured = origins, found["gal"]
            sizes = sizes if override is not None else np.maximum(sizes, gal_sizes)
            evidence.append(f"block records of the GAL: {_size(found['gal'])} blocks")
    if grid is not None:
        found["file"] = _in_rows(blocks, *grid)
        evidence.append(f"rows and columns of blocks in the file: {_size(found['file'])} blocks")
    if x is not None and y is not None:
        seen = _from_positions(index, blocks, rows, columns, np.asarray(x, float), np.asarray(y, float), notes)
        if seen is not None:
            measured, found["positions"] = seen, seen[1]
            evidence.append(f"X/Y positions: {_count(blocks.size)} in {_size(seen[1])} places" + _numbering(seen[1]))
        elif blocks.size > 1:
            evidence.append("X/Y positions do not set the blocks apart")
    if not found:
        found["block numbers"] = _from_numbers(blocks)
        if blocks.size > 1:
            evidence.append(f"block numbers only: {_size(found['block numbers'])} is a guess")
    source, chosen = next(iter(found.items()))
    notes += _contradictions(found, file)
    pad = np.ones(blocks.size, np.int64)
    if measured is not None and same_arrangement(measured[1], chosen):
        pad, gaps = find_pads(measured[0], chosen, int(sizes[0].max()), int(sizes[1].max()))
        evidence += [gaps] if gaps else []
    missing = _absent(index, rows, columns, sizes)
    if missing:
        evidence.append(f"{missing} spots of the full blocks are not in the file")
    alike = bool((sizes == sizes.max(axis=1, keepdims=True)).all())
    return Layout(
        blocks, chosen.rows, chosen.columns, chosen.row, chosen.column, int(sizes[0].max()), int(sizes[1].max()),
        sizes[0], sizes[1], pad, source, tuple(evidence),
        alike and missing == 0 and blocks.size == chosen.rows * chosen.columns, missing,
        tuple(f"{file}: {note}" if file else note for note in notes),
    )  # fmt: skip


def _check_numbers(block: IntArray, row: IntArray, column: IntArray, file: str) -> None:
    if not block.size == row.size == column.size:
        raise ValueError("block, row and column differ in length")
    if block.size == 0:
        raise LayoutError("no spots", file=file or None)
    for title, values in (("Block", block), ("Row", row), ("Column", column)):
        if int(values.min()) < 1:
            raise LayoutError(
                f"{title} numbers must be 1 or more",
                file=file or None,
                found=f"{title} {int(values.min())} in spot {int(values.argmin()) + 1}",
                hint="Number blocks, rows and columns from 1",
            )


def _from_override(text: str, blocks: IntArray, sizes: IntArray, file: str) -> tuple[Grid, IntArray]:
    match = re.fullmatch(r"\s*(\d+)\s*[xX×]\s*(\d+)\s*[xX×]\s*(\d+)\s*[xX×]\s*(\d+)\s*", text)
    numbers = [int(part) for part in match.groups()] if match else []
    if not numbers or min(numbers) < 1:
        raise OptionError(
            f"{option_word('layout')} cannot be read",
            found=repr(text),
            expected="grid rows x grid columns x spot rows x spot columns, such as 4x4x22x24",
        )
    grid_rows, grid_columns, spot_rows, spot_columns = numbers
    limits = {"Block": grid_rows * grid_columns, "Row": spot_rows, "Column": spot_columns}
    highest = {"Block": int(blocks.max()), "Row": int(sizes[0].max()), "Column": int(sizes[1].max())}
    excess = [f"{title} {highest[title]}" for title, limit in limits.items() if highest[title] > limit]
    if excess:
        raise LayoutError(
            f"the spots do not fit into {option_value('layout', text)}",
            file=file or None,
            found=", ".join(excess),
            expected=f"at most {grid_rows * grid_columns} blocks of {spot_rows} rows and {spot_columns} columns",
        )
    grid = _in_rows(blocks, grid_rows, grid_columns)
    full = np.array([[spot_rows], [spot_columns]]) * np.ones_like(sizes)
    return grid, full


def _from_gal(
    listed: Sequence[BlockRecord], blocks: IntArray, sizes: IntArray, notes: list[str]
) -> tuple[Grid, Origins, IntArray] | None:
    """Grid, origins and sizes of the blocks that the file holds, from all blocks of the GAL."""
    records = sorted(listed, key=lambda record: record.block)
    numbers = np.array([record.block for record in records], np.int64)
    absent = np.setdiff1d(blocks, numbers)
    if absent.size:
        notes.append(f"the GAL has no record of block {int(absent[0])}; its block records are not used")
        return None
    here = np.searchsorted(numbers, blocks)
    size = np.array([[record.rows for record in records], [record.columns for record in records]], np.int64)
    over = np.flatnonzero((sizes > size[:, here]).any(axis=0))
    if over.size:
        k = int(over[0])
        notes.append(
            f"block {int(blocks[k])} reaches {sizes[0, k]} x {sizes[1, k]} spots, the GAL gives it "
            f"{size[0, here[k]]} x {size[1, here[k]]}; the block records of the GAL are not used"
        )
        return None
    origin_x = np.array([float(record.x) for record in records])
    origin_y = np.array([float(record.y) for record in records])
    pitch_x = median_of([record.x_spacing for record in records])
    pitch_y = median_of([record.y_spacing for record in records])
    whole = Origins(origin_x, origin_y, pitch_x, pitch_y, int(size[0].max()), int(size[1].max()))
    grid = grid_of(whole, numbers)
    if grid is None:
        notes.append("the block records of the GAL put several blocks at one place; they are not used")
        return None
    mine = Grid(grid.rows, grid.columns, grid.row[here], grid.column[here], grid.in_order)
    return mine, Origins(whole.x[here], whole.y[here], pitch_x, pitch_y, whole.rows, whole.columns), size[:, here]


def _from_positions(
    index: IntArray, blocks: IntArray, row: IntArray, column: IntArray, x: FloatArray, y: FloatArray, notes: list[str]
) -> tuple[Origins, Grid] | None:
    origins = block_origins(index, blocks.size, row, column, x, y)
    if origins is None:
        return None
    if origins.turned:
        notes.append("X grows with Row and Y with Column; the meaning of Row and Column may be exchanged")
    grid = grid_of(origins, blocks)
    return None if grid is None else (origins, grid)


def _from_numbers(blocks: IntArray) -> Grid:
    last = int(blocks.max())
    if blocks.size == 1:
        return Grid(1, 1, np.zeros(1, np.int64), np.zeros(1, np.int64))
    columns = 4 if last % 4 == 0 else 1
    return _in_rows(blocks, -(-last // columns), columns)


def _in_rows(blocks: IntArray, rows: int, columns: int) -> Grid:
    """The grid of blocks whose numbers count along the rows."""
    return Grid(rows, columns, (blocks - 1) // columns, (blocks - 1) % columns)


def _contradictions(found: dict[str, Grid], file: str) -> list[str]:
    """Every pair of sources that place the blocks differently; a guess contradicts nothing.

    Raises
    ------
    LayoutError
        The first source is a GAL, which then is that of another slide.
    """
    say = {
        "override": f"{recorded_option('layout')} says",
        "gal": "the GAL says",
        "file": "the file says",
        "positions": "the X/Y positions say",
    }
    (first, chosen), *rest = found.items()
    others = {source: grid for source, grid in rest if not same_arrangement(chosen, grid)}
    if first == "gal" and others:
        other, grid = next(iter(others.items()))
        raise LayoutError(
            "the GAL is not that of this slide: another geometry", file=file or None,
            found=f"{_size(grid)} blocks by the {'X/Y positions' if other == 'positions' else other}",
            expected=f"{_size(chosen)} blocks by the GAL",
            hint=f"Give the GAL of this print run; {option_word('layout')} says which of the two is right",
        )  # fmt: skip
    return [
        f"{say[first]} {_size(chosen)} blocks, {say[other]} {_size(grid)}"
        f"{' in another arrangement' if _size(chosen) == _size(grid) else ''}; the first is used"
        for other, grid in others.items()
    ]


def _absent(index: IntArray, row: IntArray, column: IntArray, sizes: IntArray) -> int:
    """Number of spots that the blocks, taken as full rectangles, lack."""
    spot_rows, spot_columns = int(sizes[0].max()), int(sizes[1].max())
    present, _ = distinct((index * spot_rows + row - 1) * spot_columns + column - 1)
    return int((sizes[0] * sizes[1]).sum()) - present.size


def _size(grid: Grid) -> str:
    return f"{grid.rows} x {grid.columns}"


def _count(blocks: int) -> str:
    return "1 block" if blocks == 1 else f"{blocks} blocks"


def _numbering(grid: Grid) -> str:
    return "" if grid.in_order else "; block numbers do not run left to right, top to bottom"
