"""Rows that own their options: what a method takes is declared once, on the row itself.

An :class:`Option` says how a value is read, checked, shown and explained; a :class:`Table` holds the rows of one kind.
Settings, command line, documentation, history and sidecar are made from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from gridnorm.errors import OptionError, option_word

AUTO = "auto"
# Words that the options of rows cannot be: arguments of what calls them, options of the run and of the command line.
RESERVED = frozenset(
    [
        "align",
        "background",
        "by",
        "center",
        "cluster",
        "config",
        "covariate",
        "device",
        "dry_run",
        "figure",
        "files",
        "flags",
        "force",
        "form",
        "format",
        "gal",
        "groups",
        "help",
        "inputs",
        "jobs",
        "json",
        "keep",
        "keep_level",
        "layout",
        "log_file",
        "map",
        "method",
        "minimum",
        "min_group",
        "model",
        "names",
        "options",
        "out",
        "output",
        "position",
        "precision",
        "preset",
        "quiet",
        "report",
        "resume",
        "save_model",
        "save_target",
        "segments",
        "sidecar",
        "small_groups",
        "split",
        "target",
        "use",
        "values",
        "verbose",
        "version",
        "weights",
    ]
)


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
            text = str(error) if isinstance(error, _ExplainedError) else None
            raise OptionError(
                f"{self.word} must be {self.kind.name}", found=repr(given), expected=text or self._expected or None
            ) from None
        words = self.words()
        if words and isinstance(value, str) and value not in words:
            near = nearest(value, words)
            hint = f"Did you mean {near}?" if near else None
            raise OptionError(f"unknown value of {self.word}", found=repr(given), expected=", ".join(words), hint=hint)
        if self.check is not None and not self._fits(value):
            raise OptionError(f"{self.word} is out of range", found=str(given), expected=self._expected)
        return value

    def plain(self, value: Any) -> Any:
        """A value as JSON holds it."""
        return None if value is None else self.kind.plain(value)


class _ExplainedError(ValueError):
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
    raise _ExplainedError("yes or no")


def _words(given: Any) -> tuple[str, ...]:
    parts = given.split(",") if isinstance(given, str) else given
    return tuple(str(part).strip() for part in parts if str(part).strip())


NUMBER = Kind("a number", _number, {"type": "number"})
WHOLE = Kind("a whole number", _whole, {"type": "integer"})
TEXT = Kind("text", _text, {"type": "string"})
FLAG = Kind("yes or no", _flag, {"type": "boolean"})
WORDS = Kind("a list of words", _words, {"type": "array", "items": {"type": "string"}}, list)


class Row(Protocol):
    """What every table asks of its rows."""

    @property
    def name(self) -> str: ...
    @property
    def options(self) -> tuple[Option, ...]: ...


R = TypeVar("R", bound=Row)


class Table(Mapping[str, R]):
    """The rows of one kind, by name, in the order in which they are shown.

    Parameters
    ----------
    word
        What a row is called in messages, such as ``method``.
    rows
        The rows.
    functions
        Names of the fields that must be callable (dots lead into a field).
    complaint
        What else is wrong with a row, as a sentence; None if nothing is.

    Examples
    --------
    >>> class Taste(NamedTuple):
    ...     name: str
    ...     taste: Callable[[], str]
    ...     options: tuple[Option, ...] = ()
    >>> table = Table("taste", [Taste("sweet", lambda: "sugar")], functions=("taste",))
    >>> table.find("swet")
    Traceback (most recent call last):
        ...
    gridnorm.errors.OptionError: unknown taste; found 'swet', expected sweet. Did you mean sweet?
    """

    def __init__(
        self,
        word: str,
        rows: Iterable[R] = (),
        *,
        functions: tuple[str, ...] = (),
        complaint: Callable[[R], str | None] | None = None,
    ) -> None:
        self.word = word
        self._functions, self._complaint = functions, complaint
        self._rows: dict[str, R] = {}
        for row in rows:
            self.register(row)

    def __getitem__(self, name: str) -> R:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def register(self, row: R) -> R:
        """Add a row; it is found by its name from then on.

        Raises
        ------
        OptionError
            The row has no name or lacks a function, another row has its name, or one of its options means something
            else in another row.
        """
        self.check(row)
        if row.name in self._rows:
            raise OptionError(
                f"two rows of one name in the table of {self.word}s", found=repr(row.name), expected="another name",
                hint="There are " + ", ".join(self._rows),
            )  # fmt: skip
        known = self.options()
        for option in row.options:
            other = known.get(option.name)
            if other is not None and other.kind is not option.kind:
                raise OptionError(
                    f"{option.name} of {self.word} {row.name!r} is {option.kind.name}",
                    expected=f"{other.kind.name}, as in the other rows that have it",
                )
        self._rows[row.name] = row
        return row

    def unregister(self, name: str) -> None:
        """Take a row out again."""
        self._rows.pop(name, None)

    def check(self, row: R) -> R:
        """A row as given by hand, if it is whole."""
        name = getattr(row, "name", None)
        named = isinstance(name, str) and name not in ("", AUTO)
        if not named or not isinstance(getattr(row, "options", None), tuple):
            raise OptionError(f"this is no row of the table of {self.word}s", found=repr(row), expected=self._listed())
        for path in self._functions:
            value: Any = row
            for part in path.split("."):
                value = getattr(value, part, None)
            if not callable(value):
                raise OptionError(f"{self.word} {name!r} has no function", found=f"{path} = {value!r}")
        for option in row.options:
            _check_option(option, f"{self.word} {name!r}")
        complaint = self._complaint(row) if self._complaint is not None else None
        if complaint is not None:
            raise OptionError(f"{self.word} {name!r}: {complaint}")
        return row

    def find(self, given: str | R, *, also: tuple[str, ...] = ()) -> R:
        """The row of a name, or the row itself where one is given.

        Raises
        ------
        OptionError
            There is none; the message lists what there is (``also`` in front) and the nearest name.
        """
        if not isinstance(given, str):
            return self.check(given)
        if given in self._rows:
            return self._rows[given]
        listed = (*also, *self._rows)
        near = nearest(given, listed)
        hint = f"Did you mean {near}?" if near else None
        raise OptionError(f"unknown {self.word}", found=repr(given), expected=", ".join(listed), hint=hint)

    def options(self) -> dict[str, Option]:
        """Every option that some row takes, by name; the first row that has it tells its help and default."""
        found: dict[str, Option] = {}
        for row in self._rows.values():
            for option in row.options:
                found.setdefault(option.name, option)
        return found

    def takers(self, name: str) -> tuple[str, ...]:
        """Names of the rows that take an option."""
        return tuple(row.name for row in self._rows.values() if any(option.name == name for option in row.options))

    def _listed(self) -> str:
        return "a row such as " + ", ".join(list(self._rows)[:3]) if self._rows else "a row"


def _check_option(option: Option, owner: str) -> None:
    """Refuse an option that could not be given, or whose own default it refuses."""
    name = option.name
    if not name.isidentifier() or name != name.lower() or name in RESERVED:
        raise OptionError(
            f"an option of {owner} cannot have this name", found=repr(name),
            expected="a word of small letters that is no option of every run",
        )  # fmt: skip
    if option.default is not None:
        try:
            option.read(option.default)
        except OptionError as error:
            raise OptionError(f"{owner} has an option that refuses its own default", found=str(error)) from None


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


def take(options: Iterable[Option], given: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """``effective`` for keywords that somebody wrote: read, checked, and refused where the owner does not take them.

    Raises
    ------
    OptionError
        An option that ``owner`` does not take, or a value that cannot be.
    """
    known = {option.name: option for option in options}
    for name in given:
        if name not in known:
            raise no_meaning(name, owner, known)
    return effective(known.values(), {name: known[name].read(value) for name, value in given.items()})


def no_meaning(name: str, owner: str, known: Iterable[str] = ()) -> OptionError:
    """The refusal of an option that its owner does not take."""
    words = [option_word(other) for other in known]
    near = nearest(option_word(name), words)
    hint = f"Did you mean {near}?" if near else f"It takes {', '.join(words)}" if words else None
    return OptionError(f"{option_word(name)} has no meaning for {owner}", hint=hint)
