"""Functions that take the options of rows as keywords, and show every one of them with its default."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from gridnorm.core.option.option import AUTO, Option, defaults_in_words

F = TypeVar("F", bound=Callable[..., Any])
_WILD = "\n**options\n"
_INDENT, _WIDTH = " " * 4, 110


def _own_words(option: Option) -> str:
    return option.shown or defaults_in_words([("", option.default)])


def default_words(owned: Sequence[tuple[str, Iterable[Option]]]) -> Callable[[Option], str]:
    """The default of an option in words, from rows and the options that they take."""

    def words(option: Option) -> str:
        mine = [(row, one.default) for row, every in owned for one in every if one.name == option.name]
        return option.shown or defaults_in_words(mine)

    return words


def shows(options: Iterable[Option], words: Callable[[Option], str] = _own_words) -> Callable[[F], F]:
    """Put options into the signature and the documentation of a function that takes them as ``**options``.

    The function stays what it is and reads its keywords itself: options of rows that come later are taken too.

    Parameters
    ----------
    options
        Those that it takes; one that is a parameter of its own stays as it is.
    words
        The default of an option for people; its own unless given.

    Examples
    --------
    >>> from gridnorm.core.option import NUMBER
    >>> @shows([Option("span", NUMBER, 0.3, "Share of the group.")])
    ... def smooth(values, **options): ...
    >>> inspect.signature(smooth)
    <Signature (values, *, span: 'float' = 0.3)>
    """
    found: dict[str, Option] = {}
    for option in options:
        found.setdefault(option.name, option)

    def made(function: F) -> F:
        plain = inspect.signature(function)
        own = [one for one in plain.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        new = [(option, words(option)) for option in found.values() if option.name not in plain.parameters]
        keywords = [
            inspect.Parameter(
                option.name, inspect.Parameter.KEYWORD_ONLY, default=_default(option, told), annotation=_type(option)
            )
            for option, told in new
        ]
        function.__signature__ = plain.replace(parameters=[*own, *keywords])  # type: ignore[attr-defined]
        if function.__doc__:  # none where Python was told to leave them out
            entries = "\n" + "".join(_entry(*one) for one in new)
            function.__doc__ = f"{inspect.cleandoc(function.__doc__)}\n".replace(_WILD, entries)
        return function

    return made


def shows_those_of(other: Callable[..., Any], *without: str) -> Callable[[F], F]:
    """Put keywords of another function into the signature of one that hands its ``**options`` on to that.

    Examples
    --------
    >>> def smooth(values, *, span=0.3, axis=0): ...
    >>> @shows_those_of(smooth, "axis")
    ... def smooth_rows(values, **options): ...
    >>> inspect.signature(smooth_rows)
    <Signature (values, *, span=0.3)>
    """

    def made(function: F) -> F:
        plain = inspect.signature(function)
        own = [one for one in plain.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        taken = {*plain.parameters, *without}
        theirs = [one for one in inspect.signature(other).parameters.values() if one.name not in taken]
        keywords = [one for one in theirs if one.kind is inspect.Parameter.KEYWORD_ONLY]
        function.__signature__ = plain.replace(parameters=[*own, *keywords])  # type: ignore[attr-defined]
        return function

    return made


def _default(option: Option, told: str) -> Any:
    """What may be given to say the default; where rows differ about it, that is ``auto``."""
    return AUTO if option.auto and option.default is not None and AUTO in told else option.default


_TYPES = {"number": "float", "integer": "int", "boolean": "bool", "array": "str | Sequence[Any]"}


def _type(option: Option) -> str:
    """What a type checker is told; what only the option itself can judge is left to it."""
    name = "str" if option.words() else _TYPES.get(str(option.kind.schema.get("type")), "Any")
    more = " | str | None" if option.auto and name != "str" else " | None" if option.auto else ""
    return name if name == "Any" else name + more


def _entry(option: Option, told: str) -> str:
    words = option.words()
    kind = f"{{{', '.join(words)}}}" if words else option.kind.name
    text = f"{option.help} Default: {told}." if told else option.help
    lines = textwrap.wrap(" ".join(text.split()), _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return f"{option.name} : {kind}\n" + "".join(f"{line}\n" for line in lines)
