"""INPUT of the command line: files, folders, globs and targets tables become a list of array files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from gridnorm.errors import FormatError, OptionError
from gridnorm.io.text import Text, load, load_head, name_of

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
        return name_of(self.path)


def expand(inputs: Sequence[str]) -> list[InputFile]:
    """All files that INPUT stands for, in the order given; folders and globs sorted by name.

    Raises
    ------
    OptionError
        Nothing given, a folder or glob without files.
    FormatError
        A folder cannot be read.
    """
    if not inputs:
        raise OptionError("no input", expected="array files, folders, globs or a targets table")
    out: list[InputFile] = []
    for given in inputs:
        if "\0" in given:
            raise OptionError("a file name cannot hold a NUL character", found=repr(given))
        if os.path.isdir(given):
            try:
                names = sorted(os.listdir(given))
            except OSError as error:
                raise FormatError("the folder cannot be read", file=given, found=error.strerror) from None
            paths = [os.path.join(given, name) for name in names if not name.startswith(".")]
            found = [path for path in paths if os.path.isfile(path)]
            if not found:
                raise OptionError(
                    "the folder holds no files", file=given, hint="Folders are not searched below the first level"
                )
            out.extend(InputFile(p, stem(name_of(p)), named=False) for p in found if not p.endswith(".gridnorm.json"))
        elif os.path.exists(given):
            out.append(InputFile(given, stem(name_of(given))))
        elif any(c in given for c in "*?["):
            from glob import glob

            matches = sorted(p for p in glob(given) if os.path.isfile(p))
            if not matches:
                raise OptionError("no file matches", file=given)
            out.extend(InputFile(p, stem(name_of(p)), named=False) for p in matches)
        else:
            # A name that leads nowhere fails when its turn comes, so that it does not cost the other files.
            out.append(InputFile(given, stem(name_of(given))))
    return out


def array_files(inputs: Sequence[str]) -> list[InputFile]:
    """``expand`` with the arrays of targets tables in the place of the tables.

    Raises
    ------
    OptionError, FormatError
        As ``expand`` and ``read_targets``.
    """
    out: list[InputFile] = []
    for given in expand(inputs):
        out.extend(read_targets(given.path) if given.named and is_targets_file(given.path) else [given])
    return out


def is_targets_file(path: str) -> bool:
    """Whether a file is a targets table; one that cannot be read is none, and its own turn tells why."""
    try:
        return is_targets(load_head(path, 4096).data)
    except FormatError:
        return False


def stem(file: str) -> str:
    """File name without ``.gz`` and its format suffix: ``swirl.1.spot.gz`` → ``swirl.1``."""
    base = file[:-3] if file.lower().endswith(".gz") else file
    head, dot, suffix = base.rpartition(".")
    return head if dot and head and suffix.isalnum() and not suffix.isdigit() and len(suffix) <= 5 else base


def unique_names(files: Sequence[InputFile]) -> list[str]:
    """Array names; equal ones get their folder in front, and a number where that does not help."""
    names = [f.name for f in files]
    doubled = {name for name, times in Counter(names).items() if times > 1}
    names = [
        f"{name_of(os.path.dirname(os.path.realpath(f.path)))}/{n}" if n in doubled else n
        for f, n in zip(files, names, strict=True)
    ]
    out: dict[str, None] = {}
    for name in names:
        unique, number = name, 1
        while unique in out:
            number += 1
            unique = f"{name} ({number})"
        out[unique] = None
    return list(out)


def is_targets(head: bytes) -> bool:
    """Whether a file begins like a targets table: a header row with a ``FileName`` column."""
    first = head.lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0].replace(b'"', b"").strip()
    cells = [cell.strip() for separator in (b"\t", b",", b";") for cell in first.split(separator)]
    # A record of a scanner's header may begin so, too: FileName=….
    return any(cell.startswith(FILE_COLUMN.encode()) and b"=" not in cell for cell in cells)


def read_targets(path: str) -> list[InputFile]:
    """Arrays of a targets table; each ``FileName`` is looked up beside the table, then in the current folder.

    Columns beside ``FileName`` (``Name``, ``Cy3``, ``Cy5``, anything) are kept per array.

    Raises
    ------
    FormatError
        No ``FileName`` column, a row with too many cells, a row without a file name, no row at all.
    """
    import csv
    from io import StringIO

    text: Text = load(path)
    content = text.data.decode("utf-8")
    separator = max("\t,;", key=content.split("\n", 1)[0].count)
    rows: list[list[str]] = []
    try:
        rows.extend(csv.reader(StringIO(content), delimiter=separator, strict=True))
    except csv.Error as error:
        raise FormatError(
            "the targets table is damaged here", file=text.name, line=len(rows) + 1, found=str(error)
        ) from None
    for number, row in enumerate(rows, 1):
        if any("\n" in cell for cell in row):
            what = "a cell goes on in the next line"
            raise FormatError(what, text.name, number, expected="one line an array", hint="Is a quote missing?")
    titles = [cell.strip() for cell in rows[0]]
    if FILE_COLUMN not in titles:
        hint = (
            "Two-file arrays (FileNameCy3, FileNameCy5) are not of a format that can be read here"
            if "FileNameCy3" in titles
            else None
        )
        raise FormatError("no FileName column", file=text.name, line=1, found=", ".join(titles), hint=hint)
    out: list[InputFile] = []
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) > len(titles) and any(cell.strip() for cell in row[len(titles) :]):
            raise FormatError(
                "more cells than titles", file=text.name, line=number, found=str(len(row)), expected=str(len(titles))
            )
        record = dict(zip(titles, (cell.strip() for cell in row), strict=False))
        out.append(_target(record, text.name, number, os.path.dirname(path)))
    if not out:
        raise FormatError("the targets table names no files", file=text.name)
    return out


def _target(record: dict[str, str], table: str, number: int, folder: str) -> InputFile:
    wanted = record.get(FILE_COLUMN, "")
    if not wanted:
        raise FormatError("no file name in this row", file=table, line=number)
    beside = os.path.join(folder, wanted)
    for candidate in (beside, wanted, f"{beside}.gz", f"{wanted}.gz"):
        if os.path.isfile(candidate):
            break
    else:
        # One missing file must not cost the others: it fails when its turn comes, with the row that names it.
        candidate = beside
    return InputFile(candidate, record.get("Name") or stem(name_of(wanted)), origin=f"{table}:{number}", targets=record)
