"""Array files with known content, and ways to damage them as the world does.

A ``Sheet`` is a GPR file as text cells, made by the simulator and the writer of gridnorm. Damages are functions from
sheet to sheet, or from sheet to bytes where the damage is below the cells.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gridnorm.arrays.simulate import Simulated, simulate
from gridnorm.cli import run
from gridnorm.io.gpr_write import gpr_blocks, simulated_columns

KEYS = ("Block", "Row", "Column")


@dataclass(frozen=True)
class Sheet:
    """Header records, column titles and rows of a GPR file; cells without their quotes."""

    records: dict[str, str]
    titles: list[str]
    rows: list[list[str]]

    def at(self, title: str) -> int:
        return self.titles.index(title)

    def cells(self, title: str) -> list[str]:
        return [row[self.at(title)] for row in self.rows]

    def where(self, **wanted: int) -> list[int]:
        """Numbers of the rows whose cells are these, for instance ``where(Block=2)``."""
        return [k for k, row in enumerate(self.rows) if all(row[self.at(t)] == str(v) for t, v in wanted.items())]

    def text(self, end: str = "\r\n", tab: str = "\t", pad: bool = False) -> str:
        """The file; ``pad`` fills every line up to the full width, as spreadsheets do."""
        width = len(self.titles)
        head = [["ATF", "1.0"], [str(len(self.records)), str(width)]]
        head += [[_quoted(f"{key}={value}")] for key, value in self.records.items()]
        lines = [*head, [_quoted(title) for title in self.titles]]
        words = {self.at(title) for title in ("ID", "Name") if title in self.titles}
        lines += [[_quoted(cell) if k in words else cell for k, cell in enumerate(row)] for row in self.rows]
        if pad:
            lines = [line + [""] * (width - len(line)) for line in lines]
        return "".join(tab.join(line) + end for line in lines)

    def write(self, path: Path, encoding: str = "utf-8", **form: Any) -> Path:
        path.write_bytes(self.text(**form).encode(encoding))
        return path


def _quoted(cell: str) -> str:
    return f'"{cell}"'


@lru_cache(maxsize=32)
def _simulated(
    n: int, blocks: tuple[int, int], spots: tuple[int, int], options: tuple[tuple[str, Any], ...]
) -> Simulated:
    return simulate(n, blocks, spots, **dict(options))


def sheet(array: int = 0, blocks: tuple[int, int] = (2, 2), spots: tuple[int, int] = (8, 7), **options: Any) -> Sheet:
    """A sound file: four tips of 56 spots, no flags; arrays of other numbers are other slides of the same print."""
    options = {"bad": 0.0, "not_found": 0.0, "empty": 0.0, "additive_sd": 2.0, "seed": 5} | options
    made = _simulated(3, blocks, spots, tuple(sorted(options.items())))
    text = b"".join(gpr_blocks(simulated_columns(made, array), made.wavelengths)).decode()
    lines = text.split("\r\n")[:-1]
    count = int(lines[1].split("\t")[0])
    records = dict(line.strip('"').split("=", 1) for line in lines[2 : 2 + count])
    titles, *rows = list(csv.reader(lines[2 + count :], delimiter="\t"))
    return Sheet(records, titles, rows)


# ---- damages above the bytes ---------------------------------------------------------------------------------------


def with_cells(given: Sheet, title: str, rows: Iterable[int], value: str | Callable[[str], str]) -> Sheet:
    """Other content in some cells of a column."""
    at, chosen = given.at(title), set(rows)
    new = value if callable(value) else lambda _: value
    return replace(
        given, rows=[[*r[:at], new(r[at]), *r[at + 1 :]] if k in chosen else r for k, r in enumerate(given.rows)]
    )


def with_records(given: Sheet, **records: str) -> Sheet:
    return replace(given, records=given.records | records)


def with_rows(given: Sheet, order: Iterable[int]) -> Sheet:
    """The rows of these numbers, in this order: shuffled, cut, doubled."""
    return replace(given, rows=[given.rows[k] for k in order])


def shuffled(given: Sheet, seed: int = 0) -> Sheet:
    return with_rows(given, np.random.default_rng(seed).permutation(len(given.rows)).tolist())


def without(given: Sheet, rows: Iterable[int]) -> Sheet:
    gone = set(rows)
    return with_rows(given, [k for k in range(len(given.rows)) if k not in gone])


def with_columns(given: Sheet, order: Sequence[str]) -> Sheet:
    places = [given.at(title) for title in order]
    return replace(given, titles=list(order), rows=[[row[k] for k in places] for row in given.rows])


def renamed(given: Sheet, **wavelengths: str) -> Sheet:
    """Other wavelengths: ``renamed(sheet, _635="700")``."""

    def new(text: str) -> str:
        for old, number in wavelengths.items():
            text = text.replace(old.strip("_"), number)
        return text

    records = {k: new(v) if k in ("Wavelengths", "RatioFormulations") else v for k, v in given.records.items()}
    return replace(given, records=records, titles=[new(title) for title in given.titles])


def four_wavelengths(given: Sheet) -> Sheet:
    """Two more scanned channels, with numbers of their own."""
    titles, rows = list(given.titles), [list(row) for row in given.rows]
    for source, number, factor in (("635", "594", 2), ("532", "488", 3)):
        for title in (f"F{source} Median", f"F{source} Mean", f"B{source} Median"):
            titles.append(title.replace(source, number))
            for row in rows:
                row.append(str(min(65535, factor * int(row[given.at(title)]))))
    return Sheet(given.records | {"Wavelengths": "635\t532\t594\t488"}, titles, rows)


def version_12(given: Sheet) -> Sheet:
    """As GenePix Pro 3 wrote it: another type, fewer columns."""
    kept = [title for title in given.titles if title not in ("Autoflag", "F Pixels", "Normalize")]
    old = with_columns(given, kept)
    return replace(old, records={"Type": "GenePix Results 1.2"} | {k: v for k, v in old.records.items() if k != "Type"})


def export(given: Sheet) -> Sheet:
    """A GenePix Export: chosen columns only."""
    titles = ["Block", "Column", "Row", "Name", "ID", "F635 Mean", "B635 Median", "F532 Mean", "B532 Median", "Flags"]
    return with_records(with_columns(given, titles), Type="GenePix Export 3")


def fractions(given: Sheet, mark: str) -> Sheet:
    """Foreground means with one decimal, and ``mark`` as the decimal mark of every number of the file."""
    words = {given.at(title) for title in ("ID", "Name")}
    means = {given.at(title) for title in ("F635 Mean", "F532 Mean")}

    def new(at: int, cell: str) -> str:
        return cell if at in words else cell.replace(".", mark) + (f"{mark}5" if at in means else "")

    return replace(given, rows=[[new(k, cell) for k, cell in enumerate(row)] for row in given.rows])


# ---- damages below the cells ---------------------------------------------------------------------------------------


def excel_resaved(given: Sheet) -> bytes:
    """What a spreadsheet makes of it: header records quoted again, every line padded with TABs."""
    lines = given.text(pad=True).split("\r\n")
    out = []
    for line in lines:
        first, tab, rest = line.partition("\t")
        if first.startswith('"') and "=" in first:
            first = '"' + first.replace('"', '""') + '"'
        out.append(first + tab + rest)
    return "\r\n".join(out).encode()


def mixed_line_ends(given: Sheet) -> bytes:
    """CR LF and LF by turns."""
    lines = given.text(end="\n").split("\n")
    return "".join(line + ("\r\n" if k % 2 else "\n") for k, line in enumerate(lines[:-1])).encode()


def gzip_members(data: bytes, parts: int = 2) -> bytes:
    """Several gzip members one after another, as ``cat a.gz b.gz`` makes them."""
    step = -(-len(data) // parts)
    return b"".join(gzip.compress(data[k : k + step], mtime=0) for k in range(0, len(data), step))


def gal_of(given: Sheet, path: Path, ids: dict[int, str] | None = None, blocks: str | None = None) -> Path:
    """A GAL with the spots of a sheet; ``ids`` names other identifiers by row number, ``blocks`` other block records."""
    rows = [f"{r[given.at('Block')]}\t{r[given.at('Row')]}\t{r[given.at('Column')]}\t" for r in given.rows]
    named = [(ids or {}).get(k, r[given.at("ID")]) for k, r in enumerate(given.rows)]
    records = ['"Type=GenePix ArrayList V1.0"', *(blocks.splitlines() if blocks else [])]
    lines = [
        "ATF\t1.0",
        f"{len(records)}\t4",
        *records,
        "Block\tRow\tColumn\tID",
        *(r + i for r, i in zip(rows, named, strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


# ---- what came out -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """Exit code and what was said."""

    code: int
    out: str
    err: str


class Cli:
    """Runs ``gridnorm`` in process and asserts what holds for every run: no traceback, nothing half-written."""

    def __init__(self, capsys: Any, *folders: Path) -> None:
        self.capsys, self.folders = capsys, folders

    def __call__(self, *args: object) -> Ran:
        self.capsys.readouterr()
        code = run([str(a) for a in args])
        said = self.capsys.readouterr()
        assert code != 70, said.err
        assert "Traceback" not in said.err and "internal error" not in said.err, said.err
        assert leftovers(*self.folders) == []
        return Ran(code, said.out, said.err)


def leftovers(*folders: Path) -> list[str]:
    """Temporary files anywhere below the folders."""
    return [str(p) for folder in folders for p in folder.rglob("*") if p.name.startswith(".") or p.suffix == ".tmp"]


def table(source: Path | str | bytes) -> dict[str, list[str]]:
    """Columns of a result table by title."""
    if isinstance(source, Path):
        data = source.read_bytes()
        source = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    text = source.decode() if isinstance(source, bytes) else source
    titles, *rows = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t"))
    assert len(set(titles)) == len(titles)
    assert all(len(row) == len(titles) for row in rows)
    return {title: [row[k] for row in rows] for k, title in enumerate(titles)}


def places(columns: dict[str, list[str]]) -> list[tuple[int, ...]]:
    """Block, Row and Column of every row."""
    return list(zip(*(map(int, columns[key]) for key in KEYS), strict=True))


def sidecar(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.with_name(path.name + ".gridnorm.json").read_bytes())
    return found
