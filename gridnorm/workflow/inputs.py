"""INPUT of the command line: files, folders, globs and targets tables become a list of array files."""

from __future__ import annotations

import csv
import glob
import io as stdio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gridnorm.errors import FormatError, OptionError
from gridnorm.io.text import Text, load

FILE_COLUMN = "FileName"


@dataclass(frozen=True)
class InputFile:
    """One array file to read.

    ``named`` tells files the user named from files found in a folder or glob: the former must be readable, the latter
    are listed and skipped where they are no arrays. ``origin`` is the row of the targets table that names the file.
    """

    path: str
    name: str
    named: bool = True
    origin: str = ""
    targets: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        return Path(self.path).name


def expand(inputs: Sequence[str]) -> list[InputFile]:
    """All files that INPUT stands for, in the order given; folders and globs sorted by name.

    Raises
    ------
    OptionError
        Nothing given, a path that does not exist, a folder or glob without files.
    """
    if not inputs:
        raise OptionError("no input", expected="array files, folders, globs or a targets table")
    out: list[InputFile] = []
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
            if not found:
                raise OptionError("the folder holds no files", file=given, hint="Folders are not searched below the first level")
            out.extend(InputFile(str(p), stem(p.name), named=False) for p in found if not p.name.endswith(".gridnorm.json"))
        elif path.exists():
            out.append(InputFile(given, stem(path.name)))
        elif any(c in given for c in "*?["):
            matches = sorted(p for p in glob.glob(given) if Path(p).is_file())  # noqa: PTH207  keeps the path as typed
            if not matches:
                raise OptionError("no file matches", file=given)
            out.extend(InputFile(p, stem(Path(p).name), named=False) for p in matches)
        else:
            raise OptionError("no such file or folder", file=given)
    return out


def stem(file: str) -> str:
    """File name without ``.gz`` and its format suffix: ``swirl.1.spot.gz`` → ``swirl.1``."""
    base = file[:-3] if file.lower().endswith(".gz") else file
    head, dot, suffix = base.rpartition(".")
    return head if dot and head and suffix.isalnum() and not suffix.isdigit() and len(suffix) <= 5 else base


def unique_names(files: Sequence[InputFile]) -> list[str]:
    """Array names; equal ones get their folder in front, and a number where that does not help."""
    names = [f.name for f in files]
    doubled = {name for name in names if names.count(name) > 1}
    names = [f"{Path(f.path).resolve().parent.name}/{n}" if n in doubled else n for f, n in zip(files, names, strict=True)]
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return out


def is_targets(head: bytes) -> bool:
    """Whether a file begins like a targets table: a header row with a ``FileName`` column."""
    first = head.lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0].replace(b'"', b"").strip()
    cells = [cell.strip() for separator in (b"\t", b",", b";") for cell in first.split(separator)]
    return any(cell.startswith(FILE_COLUMN.encode()) for cell in cells)


def read_targets(path: str) -> list[InputFile]:
    """Arrays of a targets table; each ``FileName`` is looked up beside the table, then in the current folder.

    Columns beside ``FileName`` (``Name``, ``Cy3``, ``Cy5``, anything) are kept per array.

    Raises
    ------
    FormatError
        No ``FileName`` column, a row with too many cells, a row without a file name, no row at all.
    """
    text: Text = load(path)
    content = text.data.decode("utf-8")
    separator = max("\t,;", key=content.split("\n", 1)[0].count)
    rows = list(csv.reader(stdio.StringIO(content), delimiter=separator))
    titles = [cell.strip() for cell in rows[0]]
    if FILE_COLUMN not in titles:
        hint = "Two-file arrays (FileNameCy3, FileNameCy5) are not of a format that can be read here" if "FileNameCy3" in titles else None
        raise FormatError("no FileName column", file=text.name, line=1, found=", ".join(titles), hint=hint)
    out: list[InputFile] = []
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) > len(titles) and any(cell.strip() for cell in row[len(titles) :]):
            raise FormatError("more cells than titles", file=text.name, line=number, found=str(len(row)), expected=str(len(titles)))
        record = dict(zip(titles, (cell.strip() for cell in row), strict=False))
        out.append(_target(record, text.name, number, Path(path).parent))
    if not out:
        raise FormatError("the targets table names no files", file=text.name)
    return out


def _target(record: dict[str, str], table: str, number: int, folder: Path) -> InputFile:
    wanted = record.get(FILE_COLUMN, "")
    if not wanted:
        raise FormatError("no file name in this row", file=table, line=number)
    for candidate in (folder / wanted, Path(wanted), folder / f"{wanted}.gz", Path(f"{wanted}.gz")):
        if candidate.is_file():
            break
    else:
        # One missing file must not cost the others: it fails when its turn comes, with the row that names it.
        candidate = folder / wanted
    return InputFile(str(candidate), record.get("Name") or stem(Path(wanted).name), origin=f"{table}:{number}", targets=record)
