"""Settings of a run, made from option rows: those of the run itself, and those that its rows take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gridnorm.arrays.align import ALIGN
from gridnorm.arrays.corrections.correction import CORRECT
from gridnorm.arrays.corrections.rows import CORRECT_OPTION, options_of
from gridnorm.arrays.grouping import SPLIT, grouping_options
from gridnorm.arrays.recipe import BACKGROUND, BETWEEN, BETWEEN_BY, BY, DEVICE, METHOD, TABLES, Recipe, check_options
from gridnorm.arrays.replicates import REPLICATE_SPOTS, REPLICATES_TABLE
from gridnorm.arrays.spot_types import EXCLUDE_TYPES, FIT_TYPES
from gridnorm.arrays.weights import FLAGS, WEIGHTS
from gridnorm.arrays.within import method_options
from gridnorm.core.option import TEXT, WORDS, Option, Table, defaults_in_words, nearest, take
from gridnorm.errors import OptionError, option_value, option_word
from gridnorm.io.formats import FORMATS
from gridnorm.workflow.spot_files import CONTROLS, FILES, FLAG_TABLE

ALIGN_RULE = Option(
    "align", TEXT, "strict", "strict, or join arrays of different print runs by id or union.", choices=ALIGN,
    metavar="RULE",
)  # fmt: skip
LAYOUT = Option(
    "layout", TEXT, None, "Blocks down × across × spots down × across, instead of what was inferred.",
    metavar="RxCxrxc", auto=True,
)  # fmt: skip
GAL = Option("gal", TEXT, None, "GAL with identifiers and layout; it overrides the files.", metavar="FILE", auto=True)
TARGET = Option(
    "target", TEXT, None, "Bring arrays to what others were brought to: a target that was kept.", metavar="FILE",
    auto=True,
)  # fmt: skip
MERGE_SCANS = Option(
    "merge_scans", TEXT, None, "Column of the targets table: files of one entry are scans of one slide and are merged.",
    metavar="COLUMN", auto=True, source="limma's mergeScansRG, aroma.light's calibrateMultiscan",
)  # fmt: skip
KEEP = Option("keep", WORDS, (), "Further spot columns in the table.", metavar="COL,…")
# What a preset sets against the defaults, where it applies; options given explicitly win.
PRESETS: dict[str, dict[str, Any]] = {
    "recommended": {},
    "limma": {
        "background": "subtract",
        "offset": 0.0,
        "normexp_method": "saddle",
        "foreground": "mean",
        "span": 0.3,
        "iterations": 4,
        "flags": "ignore",
        "clamp_weights": True,
        "small_groups": "own",
    },
    # Foregrounds differ by reader: of GenePix files medians, of the others what gridnorm takes anyhow.
    "marray": {
        "background": "subtract",
        "offset": 0.0,
        "foreground": "median",
        "span": 0.4,
        "iterations": 5,
        "surface": "direct",
        "flags": "ignore",
        "small_groups": "own",
    },
}
PRESET = Option(
    "preset", TEXT, "recommended", "recommended; limma or marray: their defaults and numbers. Explicit options win.",
    choices=tuple(PRESETS), metavar="NAME",
)  # fmt: skip
# Options of the run, in the order of the help page; those of the rows follow the option that chooses the row.
RUN_OPTIONS: dict[str, Option] = {
    option.name: option
    for option in (
        *(BY, SPLIT, METHOD, BACKGROUND, CORRECT_OPTION, BETWEEN, BETWEEN_BY, TARGET, FLAGS, FLAG_TABLE, WEIGHTS),
        *(CONTROLS, EXCLUDE_TYPES, FIT_TYPES, REPLICATE_SPOTS, MERGE_SCANS, ALIGN_RULE, LAYOUT, GAL, KEEP),
        *(PRESET, DEVICE),
    )
}
# Options that say how files are read; ``read`` takes these and those of the formats, ``inspect`` some more.
READING = ("align", "layout", "gal", "keep", *FILES, MERGE_SCANS.name)


# The rows that an option of the run chooses among; formats are chosen by what a file holds.
_TABLES: dict[str, Table[Any]] = {**TABLES, "format": FORMATS, "replicates": REPLICATES_TABLE}


def _options_of(kind: str, row: Any) -> tuple[Option, ...]:
    options: tuple[Option, ...] = method_options(row) if kind == "method" else row.options
    return options


def row_options(kind: str) -> dict[str, Option]:
    """Options of the rows that an option of the run chooses among; of formats for ``format``."""
    found: dict[str, Option] = {}
    for row in _TABLES[kind].values() if kind in _TABLES else ():
        for option in _options_of(kind, row):
            found.setdefault(option.name, option)
    return found


def _owned(name: str) -> list[tuple[str, Any]]:
    """Rows that take an option, and its default there."""
    return [
        (row.name, one.default)
        for kind, table in _TABLES.items()
        for row in table.values()
        for one in _options_of(kind, row)
        if one.name == name
    ]


def row_defaults(name: str) -> list[Any]:
    """Defaults of an option in the rows that take it."""
    return [default for _, default in _owned(name)]


def default_in_words(option: Option) -> str:
    """The default of an option for people: what rows make of it, where they differ."""
    return option.shown or defaults_in_words(_owned(option.name) or [("", option.default)])


def row_names(name: str) -> tuple[str, ...]:
    """The rows that an option of the run may name, ``auto`` in front where it may be that."""
    if name not in _TABLES or name == "format":
        return ()
    return (*(("auto",) if RUN_OPTIONS[name].default == "auto" else ()), *_TABLES[name])


def help_text(option: Option) -> str:
    """What an option does, with the rows that it may name."""
    return option.help.replace("{rows}", ", ".join(word for word in row_names(option.name) if word != "auto"))


def taken_by(names: Iterable[str] | None = None) -> list[Option]:
    """Options by name (None: all), in the order of the help page, as a function of Python shows them."""
    known = all_options()
    wanted = None if names is None else set(names)
    return [o._replace(help=help_text(o)) for o in known.values() if wanted is None or o.name in wanted]


def owners(name: str) -> tuple[str, ...]:
    """The rows that take an option, where not every row of their table does."""
    for kind, table in _TABLES.items():
        if kind == "method" and any(option.name == name for option in method_options(table["median"])):
            continue  # what every method that fits something takes
        takers = tuple(row.name for row in table.values() if any(o.name == name for o in _options_of(kind, row)))
        if takers:
            return takers if len(takers) < len(table) else ()
    return ()


def all_options() -> dict[str, Option]:
    """Every option of a run by name, in the order of the help page."""
    found: dict[str, Option] = {}
    for name, option in RUN_OPTIONS.items():
        found[name] = option
        # Formats have no option that names them; theirs stand behind those of backgrounds.
        for kind in (name, "format") if name == "background" else (name,):
            if kind in _TABLES:
                found = _agreeing(found, row_options(kind))
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
        known = {name for kind in TABLES for name in _with_row(kind, run[kind])}
        options = {name: value for name, value in self.own.items() if name in known}
        return Recipe(
            by=run["by"],
            method=run["method"],
            background=run["background"],
            correct=run[CORRECT],
            between=run["between"],
            between_by=run["between_by"],
            flags=run["flags"],
            weights=run["weights"],
            device=run["device"],
            exclude_types=run["exclude_types"],
            fit_types=run["fit_types"],
            options=options,
            given=self.given,
        )

    @property
    def replicating(self) -> tuple[Any, dict[str, Any]]:
        """What becomes of replicate spots: the row, and all its options."""
        row = REPLICATES_TABLE.find(self.run["replicates"])
        known = row_options("replicates")
        given = {name: value for name, value in self.own.items() if name in known}
        return row, take(row.options, given, f"{option_word('replicates')} {row.name}")

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
    rows = {kind: RUN_OPTIONS[kind].read(options[kind]) for kind in TABLES if kind in options}
    known = all_options()
    for kind, row in rows.items():
        known = _agreeing(known, _with_row(kind, row))
    allowed = None if only is None else set(only)
    for name in options:
        if name not in known:
            taken = [one for one in known if allowed is None or one in allowed]
            near, listed = nearest(name, taken), [option_word(one) for one in taken]
            hint = f"Did you mean {option_word(near)}?" if near else "Known: " + ", ".join(listed)
            raise OptionError("unknown option", found=option_word(name), hint=hint)
        if allowed is not None and name not in allowed:
            raise OptionError(
                f"{option_word(name)} has no meaning for {owner}",
                expected=", ".join(option_word(o) for o in known if o in allowed),
            )
    read = {name: known[name].read(value) for name, value in options.items()}
    preset = read.get("preset", PRESET.default)
    run = {name: option.default for name, option in RUN_OPTIONS.items()}
    run |= {name: value for name, value in {**PRESETS[preset], **read}.items() if name in RUN_OPTIONS}
    own = {name: value for name, value in read.items() if name not in RUN_OPTIONS}
    made = Settings(run, own, frozenset(read))
    # A target says which method takes options between arrays, once it has been read.
    later = row_options("between") if run["target"] is not None and "between" not in read else {}
    check_options(replace(made, own={name: value for name, value in own.items() if name not in later}).recipe)
    _ = made.replicating  # refuses what its row does not take
    return Settings(run, {**_applying(PRESETS[preset], made), **own}, frozenset(read))


def _agreeing(known: dict[str, Option], more: Mapping[str, Option]) -> dict[str, Option]:
    """Options of several tables together; one name has one kind of value everywhere.

    Raises
    ------
    OptionError
        It has not.
    """
    for name, option in more.items():
        if name in known and known[name].kind.name != option.kind.name:
            raise OptionError(
                f"two rows take an option {name} of different kinds",
                found=option.kind.name,
                expected=known[name].kind.name,
            )
    return known | {name: option for name, option in more.items() if name not in known}


def _with_row(kind: str, row: Any) -> dict[str, Option]:
    """Options of a kind of row, with those of a row that was given as an object."""
    if row is None or isinstance(row, str):
        return row_options(kind)
    several = {"by": grouping_options, CORRECT: options_of}
    mine = several[kind](row) if kind in several else _options_of(kind, row)
    return row_options(kind) | {option.name: option for option in mine}


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
            check_options(recipe._replace(options={name: value}))
        except OptionError:
            continue
        found[name] = value
    if found.get("small_groups") == "own" and "small_groups" not in made.own and made.own.get("min_group") is not None:
        raise OptionError(
            f"{option_word('min_group')} has no meaning for {option_value('small_groups', 'own')}, which "
            f"{option_value('preset', made.run['preset'])} sets",
            hint=f"Name a rule too, such as {option_value('small_groups', 'shrink')}, or leave it out",
        )
    return found
