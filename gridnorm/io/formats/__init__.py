"""The formats that can be read, asked in order by content: the file's name means nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gridnorm.core.option import Table
from gridnorm.errors import FormatError, option_word
from gridnorm.io.formats import gpr, spot, table
from gridnorm.io.formats.row import Format, Head
from gridnorm.io.text import Text

__all__ = ["FORMATS", "Format", "Head", "recognise"]

FORMATS: Table[Format] = Table("format", (gpr.FORMAT, spot.FORMAT, table.FORMAT), functions=("sniff", "head", "read"))


def recognise(head: Text, settings: Mapping[str, Any]) -> Format:
    r"""The format of a file, from its beginning.

    Parameters
    ----------
    head
        The file, or its first lines.
    settings
        Options of formats by name, such as ``columns`` of plain tables.

    Raises
    ------
    FormatError
        No format recognises it; or a GAL, which holds no intensities.

    Examples
    --------
    >>> recognise(Text("a.txt", b"ID,R,G\nx,100,50\n", "ascii", (), 0, ""), {}).name
    'table'
    """
    for row in sorted(FORMATS.values(), key=lambda row: row.catch_all):
        if row.sniff(head, settings):
            return row
    from gridnorm.io.formats import foreign, gal  # rarely needed, and never by the main job

    if gal.sniff(head):
        raise FormatError(
            "this is a GAL: it names spots but holds no intensities",
            head.name,
            hint=f"Give it as {option_word('gal')} beside the array files",
        )
    raise foreign.not_an_array(head, FORMATS)
