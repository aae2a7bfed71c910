"""Messages about many arrays: those of one kind are said once, with a count and the first names.

A message begins with what it is about, a file (``a.gpr``, ``a.gpr:31``) or an array. Two are of one kind where the rest
differs in nothing but names, numbers and quoted text; of an error that is its class, what happened and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import NamedTuple

from gridnorm.errors import GridnormError, LayoutError, option_word
from gridnorm.plain import WHOLE, few

MOST_KINDS = 8  # lines of messages of one sort, without -v,
LONGEST, LONGEST_QUOTE = 300, 60  # characters of one, paths and quoted text not counted, and of a quotation
_QUOTED = re.compile(r"""(?<!\w)(['"]).*?\1(?!\w)""")
_PATH = re.compile(r"\S*[/\\]\S*")
_WORD = re.compile(r"[^\s,;:()]+(?:[:.][^\s,;:()]+)*")
_LIST = re.compile(r"#(?:(?:, | and )(?:#|…))*(?: more)?")


class Message(NamedTuple):
    """One message: what it is about, the rest of it, and what it has in common with others of its kind."""

    where: str
    what: str
    kind: Hashable

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


def of_warnings(texts: Iterable[str], names: Collection[str] = ()) -> list[Message]:
    """Messages of warnings; ``names`` are those of files and arrays that stand inside of texts too."""
    parts = [text.split(": ", 1) if ": " in text else ["", text] for text in texts]
    known = {*names, *(where for where, _ in parts)}
    return [Message(where, what, _masked(what, known)) for where, what in parts]


def of_failures(failures: Iterable[tuple[str, GridnormError]]) -> list[Message]:
    """Messages of the errors of files."""
    out = []
    listed = list(failures)
    known = {file for file, _ in listed}
    for file, error in listed:
        where = (error.file or file) + ("" if error.line is None else f":{error.line}")
        kind = (type(error), _masked(error.what, known), _masked(error.hint or "", known))
        out.append(Message(where, str(error).removeprefix(f"{where}: "), kind))
    return out


def of_skipped(skipped: Iterable[tuple[str, str]]) -> list[Message]:
    """Messages of files that were found and are no arrays."""
    return [Message(file, reason, _masked(reason, ())) for file, reason in skipped]


def gathered(word: str, messages: Sequence[Message], *, verbose: bool) -> list[str]:
    """Lines that begin with ``word``: one a kind; with ``verbose`` one a message.

    Examples
    --------
    >>> texts = [f"{name}.gpr: {n} spots are missing" for n, name in enumerate("abc", 4)]
    >>> gathered("warning: ", of_warnings(texts), verbose=False)
    ['warning: a.gpr: 4 spots are missing (likewise b.gpr, c.gpr)']
    """
    if verbose:
        return [f"{word}{message}" for message in messages]
    kinds: dict[Hashable, list[Message]] = {}
    for message in messages:
        kinds.setdefault(message.kind, []).append(message)
    lines = [word + _together(alike) for alike in kinds.values()]
    shown = lines if len(lines) <= MOST_KINDS else lines[: MOST_KINDS - 2]
    left = len(messages) - sum(len(alike) for alike in list(kinds.values())[: len(shown)])
    return [*shown, f"{word}{left} more of {len(lines) - len(shown)} kinds; -v shows all"] if left else shown


def failed(failures: Sequence[tuple[str, GridnormError]], *, verbose: bool, folder: bool = False) -> list[str]:
    """Lines about files that failed, and what goes where their spots cannot share a table.

    ``folder``: each file had a table of its own already.
    """
    lines = gathered("failed: ", of_failures(failures), verbose=verbose)
    word = option_word("align")
    if not folder and any(isinstance(error, LayoutError) and word in (error.hint or "") for _, error in failures):
        lines.append("hint: -o FOLDER/ gives every file a table of its own, whatever spots it has")
    return lines


def _together(alike: Sequence[Message]) -> str:
    first = alike[0]
    if len(first.what) > LONGEST:
        alike = [one._replace(what=_shortened(one.what)) for one in alike]
        first = alike[0]
    where = list(dict.fromkeys(message.where for message in alike))
    if len(alike) == 1 or len(set(alike)) == 1:
        return str(first)
    if all(message.what == first.what for message in alike):
        return f"{few(where, widest=WHOLE)}: {first.what}"
    more = f"likewise {few(where[1:], widest=WHOLE)}" if len(where) > 1 else f"{len(alike) - 1} more like it"
    return f"{first} ({more})"


def _shortened(text: str) -> str:
    """What files have made long: quoted text is cut first, then the end."""
    text = _QUOTED.sub(lambda found: few([found[0][:-1]], widest=LONGEST_QUOTE) + found[1], text)
    ours = len(_PATH.sub("", _QUOTED.sub("", text)))  # paths and IDs could not be used if they were cut
    return text if ours <= LONGEST else f"{text[: len(text) - ours + LONGEST]}… (-v shows all)"


def _masked(text: str, names: Collection[str]) -> str:
    """The text with a sign in the place of everything that may differ within a kind."""

    def one(found: re.Match[str]) -> str:
        word = found[0].rstrip(".?")
        return "#" if word in names or any(sign.isdigit() for sign in word) else found[0]

    return _LIST.sub("#", _WORD.sub(one, _QUOTED.sub("#", text)))
