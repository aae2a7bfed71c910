"""What is said of cells that hold no number where one belongs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gridnorm.errors import FormatError

_SHOWN = 40  # characters of a cell, in a message


def not_a_number(cell: bytes, title: str, file: str, line: int) -> FormatError:
    """The error that a column holds text, or its own title once more."""
    text = _text(cell)
    if text == title:
        return FormatError(
            "the titles of the columns are repeated: several tables stand one below the other",
            file,
            line,
            expected="one table in a file",
            hint="Save each table as a file of its own; if a column tells them apart, delete the repeated titles",
        )
    return FormatError(
        f"column {title!r} holds text where a number belongs",
        file,
        line,
        found=repr(text[:_SHOWN] + ("…" if len(text) > _SHOWN else "")),
        expected="a number",
        hint="Correct the cell, make it empty, or name another column",
    )


def errors_said(errors: Sequence[tuple[int, int, bytes]], file: str, line: int, titles: Sequence[str]) -> str:
    """The warning that a program has written errors (row, column, cell) where numbers belong; ``line`` of the first."""
    counts = sorted(Counter(column for _, column, _ in errors).items())
    where = " and ".join(f"{n} of column {titles[column]!r}" for column, n in counts)
    many = "1 cell holds" if len(errors) == 1 else f"{len(errors)} cells hold"
    return f"{file}:{line}: {many} an error and no number ({where}; first: {_text(min(errors)[2])}); they are missing"


def _text(cell: bytes) -> str:
    return cell.decode("utf-8", "replace").strip(' "\t\r\n')
