"""Commas in numbers: decimal points, separators of thousands, or nobody can say."""

from __future__ import annotations

from collections.abc import Sequence

from gridnorm.io import cells


def unclear(found: Sequence[bytes], dotted: bool) -> str:
    """Why the commas of these numbers cannot be read as decimal points; empty where they can.

    Examples
    --------
    >>> unclear([b"1,5"], False), unclear([b"1,500"], False), unclear([b"1,5"], True)
    ('', 'it may stand for thousands', 'other numbers of the file have a decimal point')
    """
    if dotted:
        return "other numbers of the file have a decimal point"
    plain = all(cell.count(b",") == 1 and b"." not in cell for cell in found)
    return "" if plain and not all(map(_thousands, found)) else "it may stand for thousands"


def dotted_column(rows: bytes, separator: bytes) -> bool:
    """Whether some column, wanted or not, is one of numbers with decimal points (looks at the first rows)."""
    lines = rows[:65536].split(b"\n")[:100]
    for column in zip(*(line.rstrip(b"\r").split(separator) for line in lines if line.strip()), strict=False):
        if any(b"." in cell for cell in column) and all(cells.number(cell) is not None for cell in column):
            return True
    return False


def _thousands(cell: bytes) -> bool:
    """Whether the commas of a number may stand for thousands."""
    head, *groups = cell.lstrip(b"+-").split(b",")
    return 1 <= len(head) <= 3 and not head.startswith(b"0") and all(len(group) == 3 for group in groups)
