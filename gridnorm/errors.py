"""Every error that gridnorm raises on purpose.

A message says what happened, where (``a.gpr:31``), what was found, what was expected, and what to do.
The exit code of the command line lives on the class.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable
from typing import Any, Self

from gridnorm.plain import one_line, recorded, shown

_spoken = {"command line": False}


def speak_command_line(wanted: bool = True) -> None:
    """Name options in messages as the command line has them (``--min-group``), not as keywords (``min_group``)."""
    _spoken["command line"] = wanted


def speaks_command_line() -> bool:
    """Whether messages name options as the command line has them; worker processes take it over."""
    return _spoken["command line"]


def option_word(name: str) -> str:
    """An option as whoever reads the message has written it: ``--min-group`` or ``min_group``."""
    return "--" + name.replace("_", "-") if _spoken["command line"] else name


def option_value(name: str, value: str | bool) -> str:
    """An option with a value as whoever reads the message would write it: ``--align id`` or ``align="id"``."""
    if isinstance(value, bool):
        return option_word(name) if _spoken["command line"] else f"{name}={value}"
    return f"{option_word(name)} {value}" if _spoken["command line"] else f'{name}="{value}"'


def recorded_option(name: str, value: str | None = None) -> str:
    """An option in a sentence that goes into a record, which is the same on every route: ``--align=id``."""
    flag = "--" + name.replace("_", "-")
    if value is None:
        return flag
    return f"{flag}={value}" if re.fullmatch(r"[^\s;)'\"]*[^\s;)'\",]", value) else f'{flag}="{value}"'


_RECORDED = re.compile(r"""(?<![^ (])--([a-z]+(?:-[a-z]+)*)(?:=(?:"([^"]*)"|([^\s;)'"]*[^\s;)'",])))?""")


def spoken(text: str) -> str:
    """A sentence of a record with its options as whoever reads the message would write them.

    Examples
    --------
    >>> spoken("compare with --flags=ignore, or say with --min-group how many")
    'compare with flags="ignore", or say with min_group how many'
    """
    return text if _spoken["command line"] else _RECORDED.sub(_as_keyword, text)


def _as_keyword(found: re.Match[str]) -> str:
    name, value = found[1].replace("-", "_"), found[3] if found[2] is None else found[2]
    return name if value is None else f'{name}="{value}"'


_PASSED = ("gridnorm", "torch")  # packages that stand between a warning and the line that it is about


def warn(texts: Iterable[str]) -> None:
    """Warnings that point at the line of whoever called gridnorm, one line of text each."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _PASSED:
        frame, level = frame.f_back, level + 1
    for text in texts:
        warnings.warn(one_line(spoken(text)), GridnormWarning, stacklevel=level)


class GridnormError(Exception):
    """Base class of all errors that gridnorm raises on purpose.

    Parameters
    ----------
    what
        What happened, one sentence without a final full stop.
    file
        The file concerned, as its reader calls it: ``plain.named``, or a path.
    line
        1-based line number in that file.
    found, expected
        What stood there, and what should have.
    hint
        What the user can do about it.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        file: str | None = None,
        line: int | None = None,
        found: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        # As it was made, where files have both forms of their names; everything else is for people.
        self.made = (what, file, line, found, expected, hint)
        self.what = shown(what)
        self.file = None if file is None else shown(file)
        self.line = line
        self.found = None if found is None else shown(found)
        self.expected = None if expected is None else shown(expected)
        self.hint = None if hint is None else shown(hint)
        super().__init__(self.what, self.file, self.line, self.found, self.expected, self.hint)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.made  # so it crosses process pools whole

    def completed(self, *, file: str | None = None, hint: str | None = None) -> Self:
        """The same error with the file or hint that only the caller knows, where it has none of its own."""
        what, known, line, found, expected, own = self.made
        return type(self)(what, known or file, line, found, expected, own or hint)

    def recorded(self) -> str:
        """The message as a record has it: files by their short names."""
        return one_line(recorded(self._text()))

    def _text(self) -> str:
        what, file, line, found, expected, hint = self.made
        where = "" if file is None else file if line is None else f"{file}:{line}"
        text = f"{where}: {what}" if where else what
        if found is not None:
            text += f"; found {found}"
        if expected is not None:
            text += f", expected {expected}" if found is not None else f"; expected {expected}"
        return text if hint is None else f"{text}. {hint}"

    def __str__(self) -> str:
        return one_line(self._text())


class OptionError(GridnormError, ValueError):
    """An option or argument has a value that it cannot have."""

    exit_code = 2


class UnknownNameError(OptionError, KeyError):
    """A set has no array of this name; also a ``KeyError``, as of a dict."""


class FormatError(GridnormError):
    """A file cannot be read as what it claims to be."""

    exit_code = 3


class LayoutError(GridnormError):
    """The spots of a file contradict the layout, or the layout cannot be had."""

    exit_code = 3


class FitError(GridnormError):
    """The data of an array do not allow the fit that was asked for."""

    exit_code = 4


class DeviceError(GridnormError):
    """The device that was asked for cannot be used."""

    exit_code = 5


class OutputError(GridnormError):
    """The result could not be written."""

    exit_code = 6


class LostError(GridnormError):
    """A worker process ended before it gave a result: the failure of the array that it had."""


class GridnormWarning(UserWarning):
    """A repair or a doubt about the data, worth a look; the text names file and line."""
