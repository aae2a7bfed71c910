"""Settings of a run, made from option rows: those of the run itself, and those that its rows take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gridnorm.arrays.align import ALIGN
from gridnorm.arrays.background import BACKGROUNDS
from gridnorm.arrays.chain import Recipe, check_options
from gridnorm.arrays.grouping import GROUPINGS, words_of
from gridnorm.arrays.weights import FLAGS, WEIGHTS
from gridnorm.arrays.within import method_options
from gridnorm.core.methods import METHODS
from gridnorm.core.option import TEXT, WORDS, Kind, Option, Table, nearest
from gridnorm.errors import OptionError, option_word
from gridnorm.io.formats import FORMATS


def _row_kind(table: Table[Any], also: tuple[str, ...] = ()) -> Kind:
    """Names of a table's rows, or a row itself."""

    def read(given: Any) -> Any:
        if given is None:
            raise ValueError
        if isinstance(given, str) and given in also:
            return given
        row = table.find(given, also=also)
        return given if isinstance(given, str) else row

    return Kind(f"a {table.word}", read, {"type": "string"}, lambda row: row if isinstance(row, str) else row.name)


def _by(given: Any) -> Any:
    words_of(given if not isinstance(given, int | float | None) else str(given))
    return given


BY = Option(
    "by", Kind("a grouping", _by, {"type": "string"}, lambda row: row if isinstance(row, str) else row.name),
    "print-tip", "{rows} or a spot column; a,b crosses.", metavar="GROUPING",
)  # fmt: skip
METHOD = Option(
    "method", _row_kind(METHODS, ("auto",)), "auto", "auto, {rows}.", metavar="METHOD",
    shown="auto = loess, median for one channel",
)  # fmt: skip
BACKGROUND = Option(
    "background", _row_kind(BACKGROUNDS, ("auto",)), "auto", "auto, {rows}.", metavar="METHOD",
    shown="auto = normexp where measured",
)  # fmt: skip
ALIGN_RULE = Option(
    "align", TEXT, "strict", "strict, or join arrays of different print runs by id or union.", choices=ALIGN,
    metavar="RULE",
)  # fmt: skip
LAYOUT = Option(
    "layout", TEXT, None, "Blocks down × across × spots down × across, instead of what was inferred.",
    metavar="RxCxrxc", auto=True,
)  # fmt: skip
GAL = Option("gal", TEXT, None, "GAL with identifiers and layout; it overrides the files.", metavar="FILE", auto=True)
KEEP = Option("keep", WORDS, (), "Further spot columns in the table.", metavar="COL,…")
DEVICE = Option(
    "device", TEXT, "auto", "Where to compute: auto is the CPU; gpu never falls back.", choices=("auto", "cpu", "gpu"),
    metavar="auto|cpu|gpu",
)  # fmt: skip
# What a preset sets against the defaults, where it applies; options given explicitly win.
PRESETS: dict[str, dict[str, Any]] = {
    "recommended": {},
    "limma": {
        "background": "subtract",
        "offset": 0.0,
        "foreground": "mean",
        "span": 0.3,
        "iterations": 4,
        "flags": "ignore",
        "clamp_weights": True,
        "small_groups": "own",
    },
}
PRESET = Option(
    "preset", TEXT, "recommended", "recommended, limma (its defaults and its numbers); explicit options win.",
    choices=tuple(PRESETS), metavar="NAME",
)  # fmt: skip
# Options of the run, in the order of the help page; those of the rows follow the option that chooses the row.
RUN_OPTIONS: dict[str, Option] = {
    option.name: option
    for option in (BY, METHOD, BACKGROUND, FLAGS, WEIGHTS, ALIGN_RULE, LAYOUT, GAL, KEEP, PRESET, DEVICE)
}
# Options that say how files are read; ``read`` takes these and those of the formats, ``inspect`` some more.
READING = ("align", "layout", "gal", "keep")


# The rows that an option of the run chooses among; formats are chosen by what a file holds.
_TABLES: dict[str, Table[Any]] = {"method": METHODS, "by": GROUPINGS, "background": BACKGROUNDS, "format": FORMATS}


def row_options(name: str) -> dict[str, Option]:
    """Options of the rows that an option of the run chooses among; of formats for ``format``."""
    if name == "method":
        return {option.name: option for row in METHODS.values() for option in method_options(row)}
    return _TABLES[name].options() if name in _TABLES else {}


def row_names(name: str) -> tuple[str, ...]:
    """The rows that an option of the run may name, ``auto`` in front where it may be that."""
    if name not in _TABLES or name == "format":
        return ()
    return (*(("auto",) if name != "by" else ()), *_TABLES[name])


def owners(name: str) -> tuple[str, ...]:
    """The rows that take an option, where not every row of their table does."""
    for table in _TABLES.values():
        takers = table.takers(name)
        if takers:
            return takers if len(takers) < len(table) else ()
    return ()


def all_options() -> dict[str, Option]:
    """Every option of a run by name, in the order of the help page."""
    found: dict[str, Option] = {}
    for name, option in RUN_OPTIONS.items():
        found[name] = option
        for owned in row_options(name).values():
            found.setdefault(owned.name, owned)
        if name == "background":
            found |= {owned.name: owned for owned in row_options("format").values() if owned.name not in found}
    return found


@dataclass(frozen=True)
class Settings:
    """All options of a run that change numbers or rows.

    ``run`` holds every option of the run, ``own`` those of rows as far as they were given (None: *automatic*);
    ``given`` names what was given explicitly, not by the preset. An option is an attribute too: ``settings.by``,
    ``settings.span`` (None where it was not given).
    """

    run: Mapping[str, Any]
    own: Mapping[str, Any]
    given: frozenset[str] = frozenset()

    def __getattr__(self, name: str) -> Any:
        run, own = self.__dict__.get("run"), self.__dict__.get("own")
        if run is None or own is None or name.startswith("_"):
            raise AttributeError(name)
        if name in run:
            return run[name]
        if name in own or name in all_options():
            return own.get(name)
        raise AttributeError(f"there is no option {name}")

    @property
    def recipe(self) -> Recipe:
        """What the chain is asked to do."""
        run = self.run
        known = {name for kind in ("method", "background", "by") for name in _with_row(kind, run[kind])}
        options = {name: value for name, value in self.own.items() if name in known}
        return Recipe(
            run["by"], run["method"], run["background"], run["flags"], run["weights"], run["device"], options
        )  # fmt: skip

    @property
    def reading(self) -> dict[str, Any]:
        """Options of formats as far as they were given."""
        formats = row_options("format")
        return {name: value for name, value in self.own.items() if name in formats}


def make_settings(options: Mapping[str, Any], only: Iterable[str] | None = None, owner: str = "") -> Settings:
    """Settings from given options, over the preset they name.

    Parameters
    ----------
    options
        Only what was given explicitly, under the options' names; text of the command line or values of Python.
    only, owner
        Names of the options that ``owner`` takes, where these are not all.

    Raises
    ------
    OptionError
        Unknown name (with a suggestion), unknown value, a number outside its range, or an option that the chosen row
        does not take.

    Examples
    --------
    >>> made = make_settings({"preset": "limma", "span": 0.5})
    >>> made.background, made.span, make_settings({"min_group": "auto"}).min_group
    ('subtract', 0.5, None)
    """
    rows = {kind: options.get(kind) for kind in ("method", "background", "by")}
    known = all_options() | {name: o for kind, row in rows.items() for name, o in _with_row(kind, row).items()}
    allowed = None if only is None else set(only)
    for name in options:
        if name not in known:
            near = nearest(name, known)
            hint = f"Did you mean {option_word(near)}?" if near else "Known: " + ", ".join(map(option_word, known))
            raise OptionError("unknown option", found=option_word(name), hint=hint)
        if allowed is not None and name not in allowed:
            raise OptionError(
                f"{option_word(name)} has no meaning for {owner}", expected=", ".join(o for o in known if o in allowed)
            )
    read = {name: known[name].read(value) for name, value in options.items()}
    preset = read.get("preset", PRESET.default)
    run = {name: option.default for name, option in RUN_OPTIONS.items()}
    run |= {name: value for name, value in {**PRESETS[preset], **read}.items() if name in RUN_OPTIONS}
    own = {name: value for name, value in read.items() if name not in RUN_OPTIONS}
    made = Settings(run, own, frozenset(read))
    check_options(made.recipe)
    return Settings(run, {**_applying(PRESETS[preset], made), **own}, frozenset(read))


def _with_row(kind: str, row: Any) -> dict[str, Option]:
    """Options of a kind of row, with those of a row that was given as an object."""
    mine = {} if row is None or isinstance(row, str) else {option.name: option for option in row.options}
    return row_options(kind) | mine


def _applying(preset: Mapping[str, Any], made: Settings) -> dict[str, Any]:
    """What a preset sets of the options of rows: only what the chosen rows take, and nothing against explicit ones."""
    found = {}
    recipe = made.recipe
    for name, value in preset.items():
        if name in RUN_OPTIONS:
            continue
        if name in row_options("format"):
            found[name] = value
            continue
        try:
            check_options(Recipe(recipe.by, recipe.method, recipe.background, options={name: value}))
        except OptionError:
            continue
        found[name] = value
    if made.own.get("small_groups") is None and made.own.get("min_group") is not None:
        found.pop("small_groups", None)
    return found
