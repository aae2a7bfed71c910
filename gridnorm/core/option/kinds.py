"""Kinds of values that an option can have, and how each is read from what a user gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


def _same(value: Any) -> Any:
    return value


class Kind(NamedTuple):
    """How the values of an option are read, and what they are in JSON.

    ``read`` raises ``ValueError`` where a value cannot be, or an ``OptionError`` that says more.
    """

    name: str
    read: Callable[[Any], Any]
    schema: Mapping[str, Any]
    plain: Callable[[Any], Any] = _same


class Range:
    """A check that can travel between processes: numbers from ``low`` to ``high``, ends included unless open.

    Examples
    --------
    >>> share = Range(0, 1, low_open=True)
    >>> share(0.0), share(1.0), share.words
    (False, True, 'more than 0 and at most 1')
    """

    def __init__(self, low: float = float("-inf"), high: float = float("inf"), *, low_open: bool = False) -> None:
        self.low, self.high, self.low_open = low, high, low_open

    def __call__(self, value: Any) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        return bool(above and (value <= self.high if self.high < float("inf") else value < self.high))

    @property
    def words(self) -> str:
        """What is expected."""
        least = f"more than {self.low:g}" if self.low_open else f"{self.low:g} or more"
        if self.high == float("inf"):
            return least
        return f"{least} and at most {self.high:g}" if self.low_open else f"{self.low:g} to {self.high:g}"


class ExplainedError(ValueError):
    """A ValueError whose text tells what was expected."""


def _number(given: Any) -> float:
    if isinstance(given, bool):
        raise ValueError
    value = float(given)
    if value != value:
        raise ValueError
    return value


def _whole(given: Any) -> int:
    if isinstance(given, bool):
        raise ValueError
    value = int(given)
    if not isinstance(given, str) and value != given:
        raise ValueError
    return value


def _text(given: Any) -> str:
    if given is None:
        raise ValueError
    return str(given)


def _flag(given: Any) -> bool:
    known = {"yes": True, "true": True, "no": False, "false": False}
    if isinstance(given, str) and given.lower() in known:
        return known[given.lower()]
    if isinstance(given, bool):
        return given
    raise ExplainedError("yes or no")


def _words(given: Any) -> tuple[str, ...]:
    parts = given.split(",") if isinstance(given, str) else given
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _floats(given: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in given)


NUMBER = Kind("a number", _number, {"type": "number"})
NUMBERS = Kind("numbers", _floats, {"type": "array"}, list)
WHOLE = Kind("a whole number", _whole, {"type": "integer"})
TEXT = Kind("text", _text, {"type": "string"})
FLAG = Kind("yes or no", _flag, {"type": "boolean"})
WORDS = Kind("a list of words", _words, {"type": "array", "items": {"type": "string"}}, list)
