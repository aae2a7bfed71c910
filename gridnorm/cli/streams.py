"""Standard output and standard error as commands may use them: whatever is printed, in any encoding.

What a stream cannot encode is written with other signs, what would act on a terminal is made visible, and what cannot
be written is an error with a message.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from gridnorm.errors import OutputError
from gridnorm.io.atomic import guard
from gridnorm.plain import ascii_only, one_line, visible

_HANDLER = "gridnorm.plain"
_INSTEAD = {
    "×": "x", "…": "...", "–": "-", "—": "-", "−": "-", "→": "->", "±": "+-", "≤": "<=", "≥": ">=", "µ": "u", "²": "2",
}  # fmt: skip


def _instead(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    signs = error.object[error.start : error.end]
    return "".join(_INSTEAD.get(sign, ascii_only(sign)) for sign in signs), error.end


codecs.register_error(_HANDLER, _instead)


class Stream:
    """A text stream that takes any text; everything else is that of the stream below, ``raw``."""

    encoding = "utf-8"  # what may be written; click goes around a stream that says ascii

    def __init__(self, raw: Any, name: str) -> None:
        self.raw, self._name = raw, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def write(self, text: str) -> int:
        """Write text that may hold any character."""
        encoding = self.raw.encoding or "utf-8"
        guard(self._name, self.raw.write, visible(text).encode(encoding, _HANDLER).decode(encoding))
        return len(text)

    def flush(self) -> None:
        guard(self._name, self.raw.flush)


class _Closed:
    """Stands for standard output where whoever started the program closed it: nothing is lost in silence."""

    encoding = "utf-8"

    def write(self, data: str | bytes) -> int:
        raise OutputError(
            "standard output is closed", hint="Send it somewhere, /dev/null for nowhere, or name a file with -o"
        )

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False

    @property
    def buffer(self) -> _Closed:
        return self


@contextmanager
def safe_streams() -> Iterator[None]:
    """Standard output and standard error take any text inside the block."""
    before = sys.stdout, sys.stderr
    if None in before:
        # Files that are opened later must not become what others take for the streams.
        while os.open(os.devnull, os.O_RDWR) < 2:
            pass
    mine = (
        Stream(_Closed() if before[0] is None else before[0], "standard output"),
        Stream(open(os.devnull, "w") if before[1] is None else before[1], "standard error"),  # noqa: SIM115
    )
    sys.stdout, sys.stderr = mine
    try:
        yield
    finally:
        if sys.stdout is mine[0]:  # else its reader has left
            sys.stdout = before[0]
        sys.stderr = before[1]


def say(lines: Iterable[str]) -> None:
    """Write lines for people to standard error."""
    sys.stderr.write("".join(one_line(line) + "\n" for line in lines))
    sys.stderr.flush()


def show(lines: Iterable[str]) -> None:
    """Write lines for people to standard output."""
    sys.stdout.write("".join(one_line(line) + "\n" for line in lines))


def show_json(pieces: Iterable[str]) -> None:
    """Write JSON text to standard output; what the stream cannot encode is escaped."""
    below = getattr(sys.stdout, "raw", sys.stdout)
    full = codecs.lookup(below.encoding or "utf-8").name.startswith("utf")
    for piece in pieces:
        sys.stdout.write(piece if full else ascii_only(piece))
