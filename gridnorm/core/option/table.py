"""Tables of rows, each of which owns its options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from gridnorm.core.option.option import AUTO, Option, nearest
from gridnorm.errors import OptionError

# Words that the options of rows cannot be: arguments of what calls them, options of the run and of the command line.
RESERVED = frozenset(
    [
        "align",
        "background",
        "between",
        "between_by",
        "by",
        "center",
        "cluster",
        "config",
        "controls",
        "correct",
        "covariate",
        "device",
        "dry_run",
        "exclude_types",
        "figure",
        "files",
        "fit_types",
        "flag_table",
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
        "merge_scans",
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
        "replicates",
        "report",
        "resume",
        "save_model",
        "save_target",
        "scale",
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
    >>> from typing import NamedTuple
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
                f"two rows of one name in the table of {self._words}", found=repr(row.name), expected="another name",
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

    @property
    def _words(self) -> str:
        """What its rows are called, several of them."""
        first, between, rest = self.word.partition(" between")
        return f"{first}s{between}{rest}"

    def check(self, row: R) -> R:
        """A row as given by hand, if it is whole."""
        name = getattr(row, "name", None)
        named = isinstance(name, str) and name not in ("", AUTO)
        if not named or not isinstance(getattr(row, "options", None), tuple):
            raise OptionError(f"this is no row of the table of {self._words}", found=repr(row), expected=self._listed())
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
