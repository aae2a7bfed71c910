"""One option: how a value is read, checked, shown and explained, and what follows for those of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gridnorm.core.option.kinds import ExplainedError, Kind
from gridnorm.errors import OptionError, option_word

AUTO = "auto"


class Option(NamedTuple):
    """One option of a row: the same name as keyword, on the command line and in JSON.

    Attributes
    ----------
    name
        Keyword and JSON key; ``--name`` with hyphens on the command line.
    kind
        How a value is read.
    default
        What is used where nothing is given.
    help
        One sentence for people.
    check, expected
        What a value must fulfil (a ``Range`` can travel between processes), and the same in words.
    choices
        The words that a value may be, or a function that lists them.
    metavar
        What stands for the value on a help page.
    auto
        Whether ``auto`` and None mean the default.
    shown
        The default in words, where the value itself does not tell.
    source
        Paper or peer function.
    begins
        Words that a value may begin with, for people and shells; where these are all, they are ``choices``.
    """

    name: str
    kind: Kind
    default: Any = None
    help: str = ""
    check: Callable[[Any], bool] | None = None
    expected: str = ""
    choices: tuple[str, ...] | Callable[[], Iterable[str]] = ()
    metavar: str = ""
    auto: bool = False
    shown: str = ""
    source: str = ""
    begins: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The option as the command line has it."""
        return "--" + self.name.replace("_", "-")

    @property
    def word(self) -> str:
        """The option as messages name it."""
        return option_word(self.name)

    def _fits(self, value: Any) -> bool:
        try:
            return self.check is None or bool(self.check(value))
        except TypeError:
            return False

    @property
    def _expected(self) -> str:
        return self.expected or getattr(self.check, "words", "")

    def words(self) -> tuple[str, ...]:
        """The words that a value may be; none where it is no choice."""
        return tuple(self.choices() if callable(self.choices) else self.choices)

    def read(self, given: Any) -> Any:
        """A value from the text of the command line or from Python, checked; None where ``auto`` was said.

        Raises
        ------
        OptionError
            With the option's name, what was found and what was expected.
        """
        if self.auto and (given is None or (isinstance(given, str) and given == AUTO)):
            return None
        try:
            value = self.kind.read(given)
        except OptionError:  # a ValueError, too; it says more than could be said here
            raise
        except (TypeError, ValueError, OverflowError) as error:
            text = str(error) if isinstance(error, ExplainedError) else None
            raise OptionError(
                f"{self.word} must be {self.kind.name}", found=repr(given), expected=text or self._expected or None
            ) from None
        words = self.words()
        if words and isinstance(value, str) and value not in words:
            near = nearest(value, words)
            hint = f"Did you mean {near}?" if near else None
            raise OptionError(f"unknown value of {self.word}", found=repr(given), expected=", ".join(words), hint=hint)
        if self.check is not None and not self._fits(value):
            what = f"unknown value of {self.word}" if isinstance(value, str) else f"{self.word} is out of range"
            raise OptionError(what, found=str(given) or repr(given), expected=self._expected)
        return value

    def plain(self, value: Any) -> Any:
        """A value as JSON holds it."""
        return None if value is None else self.kind.plain(value)


def defaults_in_words(owned: Iterable[tuple[str, Any]]) -> str:
    """Defaults of an option by row, in words: one value, or which rows have another one than most.

    Examples
    --------
    >>> defaults_in_words([("none", 0.0), ("half", 0.0), ("normexp", 50.0)])
    '50 with normexp, else 0'
    """
    by_value: dict[Any, list[str]] = {}
    for row, value in owned:
        by_value.setdefault(value, []).append(row)
    most = max(by_value, key=lambda value: len(by_value[value]), default=None)
    others = [f"{_shown(value)} with {', '.join(rows)}" for value, rows in by_value.items() if value != most]
    return ", ".join([*others, f"else {_shown(most)}"]) if others else _shown(most)


def _shown(value: Any) -> str:
    if value is None or value == ():
        return ""
    return (
        {True: "yes", False: "no"}[value]
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, if any is like it."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(known), n=1)), None)


def effective(options: Iterable[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of a row with its value: as given, else (also where None says *automatic*) the row's default."""
    found = {}
    for option in options:
        value = given.get(option.name)
        found[option.name] = option.default if value is None else value
    return found


def take(options: Iterable[Option], given: Mapping[str, Any], owner: str, also: Iterable[str] = ()) -> dict[str, Any]:
    """``effective`` for keywords that somebody wrote: read, checked, and refused where the owner does not take them.

    ``also`` names what the caller takes beside the options, as one of which a slip of the pen may have been meant.

    Raises
    ------
    OptionError
        An option that ``owner`` does not take, or a value that cannot be.
    """
    known = {option.name: option for option in options}
    for name in given:
        if name not in known:
            raise no_meaning(name, owner, [*known, *also])
    return effective(known.values(), {name: known[name].read(value) for name, value in given.items()})


def no_meaning(name: str, owner: str, known: Iterable[str] = ()) -> OptionError:
    """The refusal of an option that its owner does not take."""
    words = [option_word(other) for other in known]
    near = nearest(option_word(name), words)
    hint = f"Did you mean {near}?" if near else f"It takes {', '.join(words)}" if words else None
    return OptionError(f"{option_word(name)} has no meaning for {owner}", hint=hint)
