"""Text that came from outside, in a form that cannot act on a terminal."""

from __future__ import annotations

import re

# Control characters (TAB and LF excepted), separators of lines, marks that turn the direction of writing, and the
# halves of characters by which Python stands for bytes that are no UTF-8.
_ACTING = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""The text with every character that is a command rather than a sign written as JSON escapes it.

    Text that is JSON stays the same JSON.

    Examples
    --------
    >>> print(visible("GenePix \x1b[2J × 3"))
    GenePix \u001b[2J × 3
    """
    return _ACTING.sub(_escaped, text)


def one_line(text: str) -> str:
    r"""``visible`` for what must stay one line.

    Examples
    --------
    >>> print(one_line("a\nfailed: b"))
    a\u000afailed: b
    """
    return visible(text).replace("\n", "\\u000a")


def ascii_only(json: str) -> str:
    """JSON text in ASCII: in JSON, whatever is none stands inside quotes and may be escaped."""
    return re.sub("[^\0-\x7f]", _escaped, json)


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
