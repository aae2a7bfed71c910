"""Text that came from outside, in a form that cannot act on a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SHOWN_NAMES, WIDEST_NAME = 3, 24  # of a list in a sentence
SHOWN_TITLES = 6  # of the columns of a file
_DIGITS = re.compile("([0-9]+)")
WHOLE = 10**6  # signs: names of files, which are not cut

# Control characters (TAB and LF excepted), separators of lines, marks that turn the direction of writing, and the
# halves of characters by which Python stands for bytes that are no UTF-8.
_ACTING = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# A file's name in a message, in both of its forms, between signs that Unicode keeps for programs and that no text has.
_NAMED = re.compile("\ufdd0([^\ufdd0-\ufdd2]*)\ufdd1([^\ufdd0-\ufdd2]*)\ufdd2")


def visible(text: str) -> str:
    r"""The text with every character that is a command rather than a sign written as JSON escapes it.

    Text that is JSON stays the same JSON. Files have the path that people gave (``named``).

    Examples
    --------
    >>> print(visible("GenePix \x1b[2J × 3"))
    GenePix \u001b[2J × 3
    """
    return _ACTING.sub(_escaped, shown(text))


def one_line(text: str) -> str:
    r"""``visible`` for what must stay one line.

    Examples
    --------
    >>> print(one_line("a\nfailed: b"))
    a\u000afailed: b
    """
    return visible(text).replace("\n", "\\u000a")


def few(names: Iterable[object], shown: int = SHOWN_NAMES, widest: int = WIDEST_NAME) -> str:
    """A list as a sentence has it: the first names, each of at most ``widest`` signs, and how many more.

    Examples
    --------
    >>> few(["a.gpr", "b.gpr"]), few(range(1, 9))
    ('a.gpr, b.gpr', '1, 2, 3 and 5 more')
    """
    listed = list(names)
    # "and 1 more" would take the place of the name itself.
    taken = listed[:shown] if len(listed) > shown + 1 else listed
    words = [word if len(word) <= widest else word[: widest - 1] + "…" for word in map(str, taken)]
    return ", ".join(words) + (f" and {len(listed) - len(words)} more" if len(listed) > len(words) else "")


def natural_key(text: str) -> tuple[object, ...]:
    """What texts are sorted by so that numbers in them count as numbers.

    Examples
    --------
    >>> sorted(["slide10", "slide2", "slide02"], key=natural_key)
    ['slide02', 'slide2', 'slide10']
    """
    parts = _DIGITS.split(text)
    parts[1::2] = [digits.lstrip("0") for digits in parts[1::2]]
    # Of numbers without zeros in front the longer one is larger; no text is too long for it.
    return (*((len(part), part) if k % 2 else part for k, part in enumerate(parts)), text)


def ascii_only(json: str) -> str:
    """JSON text in ASCII: in JSON, whatever is none stands inside quotes and may be escaped."""
    return re.sub("[^\0-\x7f]", _escaped, json)


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def named(short: str, given: str) -> str:
    """The name of a file for messages: people see the path they gave, records keep the short name.

    Messages are made once, and go to people and into records: which form a name has is decided where they go, by
    ``shown`` (part of ``visible``) or ``recorded``.

    Examples
    --------
    >>> text = f"{named('000.gpr', '../strainA/000.gpr')}:31: looks cut off"
    >>> shown(text), recorded(text)
    ('../strainA/000.gpr:31: looks cut off', '000.gpr:31: looks cut off')
    """
    return given if given == short else f"\ufdd0{short}\ufdd1{given}\ufdd2"


def shown(text: str) -> str:
    """The text with every file by the path that people gave."""
    return _NAMED.sub(r"\2", text) if "\ufdd0" in text else text


def recorded(text: str) -> str:
    """The text with every file by its name in records, which is the same wherever the run was started."""
    return _NAMED.sub(r"\1", text) if "\ufdd0" in text else text


def some(names: Sequence[str]) -> str:
    """Names of files or arrays as a sentence has them, which are not cut: all of three, of more the first and a count.

    Examples
    --------
    >>> some(["a", "b"]), some(["a", "b", "c", "d", "e"])
    ('a and b', 'a, b, c and 2 more')
    """
    if len(names) > SHOWN_NAMES:
        return few(names, widest=WHOLE)
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
