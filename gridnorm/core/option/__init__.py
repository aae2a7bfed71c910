"""Rows that own their options: what a method takes is declared once, on the row itself.

An :class:`Option` says how a value is read, checked, shown and explained; a :class:`Table` holds the rows of one kind.
Settings, command line, documentation, history and sidecar are made from them.
"""

from __future__ import annotations

from gridnorm.core.option.kinds import FLAG, NUMBER, NUMBERS, TEXT, WHOLE, WORDS, ExplainedError, Kind, Range
from gridnorm.core.option.option import AUTO, Option, defaults_in_words, effective, nearest, no_meaning, take
from gridnorm.core.option.table import RESERVED, Row, Table

__all__ = [
    "AUTO",
    "FLAG",
    "NUMBER",
    "NUMBERS",
    "RESERVED",
    "TEXT",
    "WHOLE",
    "WORDS",
    "ExplainedError",
    "Kind",
    "Option",
    "Range",
    "Row",
    "Table",
    "defaults_in_words",
    "effective",
    "nearest",
    "no_meaning",
    "take",
]
