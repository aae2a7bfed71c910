"""INPUT of the command line: files, folders, globs and targets tables become a list of array files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from gridnorm.errors import FormatError, GridnormError, OptionError
from gridnorm.io.cells import number
from gridnorm.io.formats.row import Format
from gridnorm.io.text import Text, load, load_head, name_of, path_text
from gridnorm.plain import named, natural_key

FILE_COLUMN = "FileName"
_FILE_TITLES = ("filename", "file")  # of the column that names the files, blanks and capitals aside
SHOWN_SIGNS = 20  # of what was found in a file that may be no array
_TWO_FILES = ("filenamecy3", "filenamecy5")


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
        """The path as it was given."""
        return path_text(self.path) or "''"

    @property
    def missing(self) -> bool:
        """Whether there is nothing at its path."""
        return not os.path.lexists(self.path)


def expand(inputs: Sequence[str]) -> list[InputFile]:
    """All files that INPUT stands for, in the order given; folders and globs sorted by name, slide2 before slide10.

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
        if os.path.isdir(given):
            try:
                names = sorted(os.listdir(given), key=natural_key)
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

            matches = sorted((p for p in glob(given) if os.path.isfile(p)), key=natural_key)
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


def file_names(paths: Sequence[str]) -> list[str]:
    """What messages call files (``plain.named``): for people their paths, for records what tells the files apart.

    That is as many of the last parts of each path as are needed, the same number for all: neither the folder that a
    run starts in nor the way in which a path is written matters.

    Examples
    --------
    >>> from gridnorm.plain import recorded
    >>> [recorded(name) for name in file_names(["x/a/000.gpr", "/data/x/b/000.gpr"])]
    ['a/000.gpr', 'b/000.gpr']
    """
    whole = [os.path.abspath(path).split(os.sep)[1:] for path in paths]
    files, deepest = len(set(map(tuple, whole))), max(map(len, whole), default=1)
    depth = next((k for k in range(1, deepest) if len({tuple(parts[-k:]) for parts in whole}) == files), deepest)
    short = [path_text("/".join(parts[-depth:])) for parts in whole]
    return [named(one, path_text(path) or "''") for one, path in zip(short, paths, strict=True)]


def unique_names(files: Sequence[InputFile]) -> list[str]:
    """Array names; where two are equal every array gets its folder in front.

    Raises
    ------
    OptionError
        Two are equal even so.
    """
    names = [f.name for f in files]
    if len(set(names)) == len(names):
        return names
    folders = [name_of(os.path.dirname(os.path.abspath(f.path))) for f in files]
    names = [f"{folder}/{name}" if folder else name for folder, name in zip(folders, names, strict=True)]
    first: dict[str, InputFile] = {}
    for name, file in zip(names, files, strict=True):
        other = first.setdefault(name, file)
        if other is not file:
            raise _equal(name, other, file)
    return names


def _equal(name: str, one: InputFile, two: InputFile) -> OptionError:
    if os.path.abspath(one.path) == os.path.abspath(two.path):
        return OptionError(
            "a file was given twice", found=" and ".join(dict.fromkeys((one.file, two.file))), hint="Give it once"
        )
    return OptionError(
        f"two arrays would be called {name!r}", found=f"{one.file} and {two.file}", expected="names that differ",
        hint="A targets table gives names in its column Name",
    )  # fmt: skip


def is_targets(head: bytes) -> bool:
    """Whether a file begins like a targets table.

    The first line has a ``FileName`` column, in capitals or not; or a ``File`` that names files, or both ``Cy3`` and
    ``Cy5`` without numbers: those are the columns of an array. So is one with the same file in every row.
    """
    lines = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 3)[:3]
    separator = _separator(lines[0].decode("utf-8", "replace"))
    titles, *rows = (_cells(line.decode("utf-8", "replace"), separator) for line in lines)
    folded = [_folded(title) for title in titles]
    one, two = (dict(zip(folded, row, strict=False)) for row in [*rows, [], []][:2])
    if FILE_COLUMN in titles or any(title in _TWO_FILES for title in folded):
        return True
    for title in _FILE_TITLES:
        if title in folded and (not one.get(title) or one[title] != two.get(title)):
            return title != "file" or stem(one.get(title, "")) != one.get(title, "")
    return all(one.get(dye) and number(one[dye].encode()) is None for dye in ("cy3", "cy5"))


def _folded(title: str) -> str:
    return title.casefold().replace(" ", "").replace("_", "")


def _separator(line: str) -> str:
    """What stands between the cells of a line; blanks where nothing else does."""
    found = max("\t,;", key=line.count)
    return found if found in line else " "


def _cells(line: str, separator: str) -> list[str]:
    cells = line.split() if separator == " " else line.split(separator)
    return [cell.strip().strip('"').strip() for cell in cells]


def read_targets(path: str) -> list[InputFile]:
    """Arrays of a targets table; each file is looked up beside the table, then in the current folder, also as ``.gz``.

    Columns beside ``FileName`` (``Name``, ``Cy3``, ``Cy5``, anything) are kept per array. Cells are separated by TAB,
    commas, semicolons or blanks.

    Raises
    ------
    FormatError
        No ``FileName`` column, a row with too many cells, a row without a file name, no row at all.
    """
    text: Text = load(path, named(name_of(path), path_text(path)))
    content = text.data.decode("utf-8")
    separator = _separator(content.split("\n", 1)[0])
    blanks = separator == " "
    rows = _rows(content, separator, text.name)
    titles = [cell.strip() for cell in rows[0]]
    folder = os.path.dirname(path)
    at = _file_column(titles, text.name)
    name = next((title for title in titles if _folded(title) == "name"), "Name")
    out: list[InputFile] = []
    for line, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        wrong = len(row) != len(titles) if blanks else any(cell.strip() for cell in row[len(titles) :])
        if wrong:
            hint = "Put cells that hold blanks in quotes, or separate by TAB" if blanks else None
            what = "more cells than titles" if len(row) > len(titles) else "fewer cells than titles"
            raise FormatError(what, text.name, line, str(len(row)), str(len(titles)), hint)
        record = dict(zip(titles, (cell.strip() for cell in row), strict=False))
        wanted = record.get(at, "")
        if not wanted:
            raise FormatError("no file name in this row", file=text.name, line=line)
        found = _found(wanted, folder)
        out.append(InputFile(found, record.get(name) or stem(name_of(wanted)), True, f"{text.name}:{line}", record))
    if not out:
        raise FormatError("the targets table names no files", file=text.name)
    return out


def _rows(content: str, separator: str, file: str) -> list[list[str]]:
    import csv
    from io import StringIO

    lines = [line.rstrip(" \r") for line in content.split("\n")]
    if separator == " ":
        lines = [line.replace("\t", " ").lstrip() for line in lines]
    rows: list[list[str]] = []
    try:
        rows.extend(
            csv.reader(StringIO("\n".join(lines)), delimiter=separator, skipinitialspace=separator == " ", strict=True)
        )
    except csv.Error as error:
        raise FormatError("the targets table is damaged here", file, len(rows) + 1, found=str(error)) from None
    for line, row in enumerate(rows, 1):
        if any("\n" in cell for cell in row):
            what = "a cell goes on in the next line"
            raise FormatError(what, file, line, expected="one line an array", hint="Is a quote missing?")
    return rows


def _file_column(titles: Sequence[str], file: str) -> str:
    """The title of the column that names the files."""
    folded = [_folded(title) for title in titles]
    for wanted in _FILE_TITLES:
        if folded.count(wanted) > 1:
            raise FormatError(f"more than one column {wanted}", file, 1, found=", ".join(titles))
        if wanted in folded:
            return titles[folded.index(wanted)]
    if _TWO_FILES[0] in folded or _TWO_FILES[1] in folded:
        what = "arrays in two files (FileNameCy3, FileNameCy5) cannot be read yet"
        raise FormatError(what, file, 1, expected="a column FileName, one file an array")
    what = "this targets table has no FileName column"
    raise FormatError(what, file, 1, found=", ".join(titles), expected="FileName, and if wanted Name, Cy3, Cy5")


def _places(wanted: str, folder: str) -> list[str]:
    """Where a file that a targets table names may lie, in order."""
    spelled = [wanted, *([wanted.replace("\\", "/")] if "\\" in wanted and os.sep == "/" else [])]
    plain = [place for name in spelled for place in dict.fromkeys((os.path.join(folder, name), name))]
    return [*plain, *(f"{place}.gz" for place in plain), *(p[:-3] for p in plain if p.lower().endswith(".gz"))]


def _found(wanted: str, folder: str) -> str:
    # One missing file must not cost the others: it fails when its turn comes, with the row that names it.
    places = _places(wanted, folder)
    return next(filter(os.path.isfile, places), places[0])


def with_origin(error: GridnormError, given: InputFile, format: Format | None) -> GridnormError:
    """The error of a file, with the row of the targets table that names it, and where it was looked for if missing.

    A targets table can name any file: nothing is quoted of one that no format knows, and little shown of one that any
    text would be.
    """
    if not given.origin:
        return error
    what, file, line, found, expected, advice = error.made
    hint = f"Named in {given.origin}"
    if given.missing:
        wanted = next(cell for title, cell in given.targets.items() if _folded(title) in _FILE_TITLES)
        if not os.path.isabs(wanted):
            hint += "; looked for beside the table and in the current folder, also as .gz"
        return FormatError("there is no such file", file, hint=hint)
    if format is None and found is not None and any(quote in found for quote in "'\""):
        found = None
    elif format is not None and format.catch_all and found is not None and len(found) > SHOWN_SIGNS:
        found = f"{found[:SHOWN_SIGNS]}…"
    return type(error)(what, file, line, found, expected, ". ".join(filter(None, (advice, hint))))
