"""What the chain is asked to do: rows by name or as objects, and the options that they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gridnorm.arrays.background import BACKGROUNDS, Background, choose_background
from gridnorm.arrays.between.rows import BETWEEN as BETWEEN_ROWS
from gridnorm.arrays.between.rows import WHOLE, Between
from gridnorm.arrays.between.target import settings_of
from gridnorm.arrays.corrections.correction import CORRECT, Correction
from gridnorm.arrays.corrections.rows import CORRECT_OPTION, CORRECTIONS, NOTHING, Corrections, name_of, options_of
from gridnorm.arrays.covariates import covariate_options
from gridnorm.arrays.grouping import GROUPINGS, By, by_text, grouping_of, grouping_options, groups_kind, words_of
from gridnorm.arrays.matrices import INTENSITIES
from gridnorm.arrays.spot_types import EXCLUDE_TYPES, FIT_TYPES
from gridnorm.arrays.weights import FLAGS, WEIGHTS, flag_rule
from gridnorm.arrays.within import choose_method, method_options, take_options
from gridnorm.core.methods import METHODS, Method
from gridnorm.core.option import TEXT, Kind, Option, Table, effective, no_meaning, take
from gridnorm.errors import OptionError, option_word, recorded_option
from gridnorm.provenance import Step

TABLES: dict[str, Table[Any]] = {
    "method": METHODS, "by": GROUPINGS, "background": BACKGROUNDS, CORRECT: CORRECTIONS, "between": BETWEEN_ROWS,
}  # fmt: skip


def _row_text(row: Any) -> str:
    return row if isinstance(row, str) else str(row.name)


def _row_kind(table: Table[Any], also: tuple[str, ...] = ("auto",)) -> Kind:
    """``auto``, the name of a row, or a row itself."""

    def read(given: Any) -> Any:
        if given is None:
            raise ValueError
        if isinstance(given, str):
            return given if given in also else table.find(given, also=also).name
        return table.check(given)

    return Kind(f"a {table.word}", read, {"type": "string"}, _row_text)


BY = Option("by", groups_kind("by"), "print-tip", "{rows} or a spot column; a,b crosses.", metavar="GROUPING")
METHOD = Option(
    "method",
    _row_kind(METHODS),
    "auto",
    "auto, {rows}.",
    metavar="METHOD",
    shown="auto = loess; one channel none, median where a grouping is named",
)
BACKGROUND = Option(
    "background", _row_kind(BACKGROUNDS), "auto", "auto, {rows}.", metavar="METHOD",
    shown="auto = normexp where measured",
)  # fmt: skip
BETWEEN = Option(
    "between", _row_kind(BETWEEN_ROWS, ()), "none", "Make the normalized arrays alike: {rows}.", metavar="METHOD",
)  # fmt: skip
BETWEEN_BY = Option(
    "between_by", groups_kind("between_by"), WHOLE,
    "Groups of spots that are made alike apart, in the words of groupings.", metavar="GROUPING",
)  # fmt: skip
DEVICE = Option(
    "device", TEXT, "auto", "Where to compute: auto is the CPU; gpu never falls back.", choices=("auto", "cpu", "gpu"),
    metavar="auto|cpu|gpu",
)  # fmt: skip


class Recipe(NamedTuple):
    """What the chain is asked to do.

    Attributes
    ----------
    by, method, background, between, between_by
        Rows by name or as objects.
    correct
        Corrections of intensities by name or as objects, in the order in which they are carried out.
    flags, weights, device
        As on the command line.
    exclude_types, fit_types
        Types of spots that are in no fit, or alone in it.
    options
        Options of rows, as far as they have a value; each row takes its own.
    given
        Names of those that somebody gave; a preset's are not among them.
    """

    by: By = BY.default
    method: str | Method = METHOD.default
    background: str | Background = BACKGROUND.default
    between: str | Between = BETWEEN.default
    between_by: By = BETWEEN_BY.default
    flags: str = FLAGS.default
    weights: str = WEIGHTS.default
    device: str = DEVICE.default
    options: Mapping[str, Any] = {}
    given: frozenset[str] = frozenset()
    exclude_types: tuple[str, ...] = ()
    fit_types: tuple[str, ...] = ()
    correct: Corrections = CORRECT_OPTION.default

    def resolved(self) -> Recipe:
        """The same with rows in the place of their names, so that another process need not know them."""
        by = tuple(grouping_of(word) or word for word in words_of(self.by))
        method = METHOD.read(self.method) if self.method == "auto" else METHODS.find(self.method)
        background = self.background if self.background == "auto" else BACKGROUNDS.find(self.background)
        between = BETWEEN_ROWS.find(self.between)
        correct = tuple(CORRECTIONS.find(row) for row in self.correct)
        return self._replace(by=by, method=method, background=background, between=between, correct=correct)

    @property
    def typed(self) -> tuple[str, ...]:
        """The options that keep spots of some types out of the fits, where they were given."""
        pairs = ((EXCLUDE_TYPES, self.exclude_types), (FIT_TYPES, self.fit_types))
        return tuple(option.name for option, words in pairs if words)

    @property
    def takes_intensities(self) -> bool:
        """Whether the method between arrays makes levels of intensities itself."""
        return BETWEEN_ROWS.find(self.between).stage == INTENSITIES

    def chosen(self, channels: tuple[str, ...]) -> Method:
        """The method for these channels."""
        if self.takes_intensities:
            return METHODS["none"]
        return choose_method(self.method, channels, "by" in self.given)

    def left_alone(self, channels: tuple[str, ...]) -> bool:
        """Whether ``auto`` means to do nothing."""
        auto = isinstance(self.method, str) and self.method == "auto" and not self.takes_intensities
        return auto and self.chosen(channels).statistic is None

    def within(self, channels: tuple[str, ...]) -> tuple[Method, dict[str, Any]]:
        """The method for these channels, and all its options as they are effective."""
        row = self.chosen(channels)
        options = take_options(row, self._of(method_options(row)))
        if "clamp_weights" in options:
            # Weight 0 through limma's weighted path: that is what downweighting means.
            options["clamp_weights"] = options["clamp_weights"] or flag_rule(self.flags).policy == "downweight"
        return row, options

    def correction(self, measured: bool) -> tuple[Background, dict[str, Any]]:
        """The background method, where a background was measured or not, and all its options."""
        row = self._background(measured)
        return row, take(row.options, self._of(row.options), f"{option_word('background')} {row.name}")

    def corrections(self) -> list[tuple[Correction, dict[str, Any]]]:
        """The corrections of intensities in their order, each with all its options."""
        rows = [CORRECTIONS.find(row) for row in self.correct]
        words = [f"{option_word(CORRECT)} {row.name}" for row in rows]
        return [(row, take(row.options, self._of(row.options), word)) for row, word in zip(rows, words, strict=True)]

    def alike(self) -> tuple[Between, dict[str, Any]]:
        """The method between arrays, and all its options."""
        row = BETWEEN_ROWS.find(self.between)
        return row, take(row.options, self._of(row.options), f"{option_word('between')} {row.name}")

    def _background(self, measured: bool) -> Background:
        subtracted = self.takes_intensities and self.background == "auto" and measured
        return choose_background("subtract" if subtracted else self.background, measured)

    def grouping(self) -> dict[str, Any]:
        """All options of the groupings."""
        options = grouping_options(self.by)
        return effective(options, self._of(options))

    def background_step(self, measured: bool) -> Step:
        """The first step with every effective setting."""
        row, options = self.correction(measured)
        return Step("background_correct", {"method": row.name, **plain_options(row.options, options)})

    def correction_steps(self) -> tuple[Step, ...]:
        """A step for each correction of intensities with every effective setting."""
        return tuple(
            Step("correct_intensities", {"method": row.name, **plain_options(row.options, options)})
            for row, options in self.corrections()
        )

    def within_step(self, channels: tuple[str, ...], weights: str | None = None) -> Step:
        """The last step with every effective setting; ``weights`` stands for weights given as numbers."""
        row, options = self.within(channels)
        parameters = {
            "by": by_text(self.by),
            **plain_options(grouping_options(self.by), self.grouping()),
            "method": row.name,
            **plain_options(method_options(row), options),
            "flags": FLAGS.read(self.flags),
            "weights": weights or self.weights,
            "device": "gpu" if self.device == "gpu" else "cpu",
            **{
                option.name: option.plain(words)
                for option, words in ((EXCLUDE_TYPES, self.exclude_types), (FIT_TYPES, self.fit_types))
                if words
            },
        }
        return Step("normalize_within", parameters)

    def between_steps(self) -> tuple[Step, ...]:
        """The step between arrays with every effective setting, where there is one."""
        row, options = self.alike()
        if row.across is None:
            return ()
        step = settings_of(row, self.between_by, plain_options(row.options, options))
        return (Step("normalize_between", step),)

    def idle(self, channels: tuple[str, ...], measured: bool) -> list[str]:
        """Sentences about options that were given and that the rows chosen for this array do not take."""
        method, background = self.chosen(channels), self._background(measured)
        between = BETWEEN_ROWS.find(self.between).options
        taken = {
            option.name
            for option in (
                *method_options(method), *background.options, *grouping_options(self.by), *between,
                *options_of(self.correct),
            )
        }  # fmt: skip
        chosen = f"background {background.name} and method {method.name}, which were chosen for it"
        return [
            f"{recorded_option(name)} has no meaning for {chosen}"
            for name in self.options
            if name in self.given - taken
        ]

    def _of(self, options: tuple[Option, ...]) -> dict[str, Any]:
        taken = {option.name for option in options}
        return {name: value for name, value in self.options.items() if name in taken}


def plain_options(options: tuple[Option, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    """Effective options as JSON holds them, in the order of the row."""
    return {option.name: option.plain(values[option.name]) for option in options if option.name in values}


def check_options(
    recipe: Recipe, steps: tuple[str, ...] = ("background", CORRECT, "method", "between"), also: tuple[str, ...] = ()
) -> None:
    """Refuse options that no row takes which these steps of the chain may choose.

    ``also`` names what the caller takes beside them.

    Raises
    ------
    OptionError
        Naming the option and the row.
    """
    rows: dict[str, dict[str, tuple[Option, ...]]] = {}
    if "background" in steps:
        chosen = [recipe._background(measured) for measured in (True, False)]
        rows["background"] = {row.name: row.options for row in chosen}
    if CORRECT in steps:
        taken = options_of(recipe.correct)
        rows[CORRECT] = {", ".join(name_of(row) for row in recipe.correct) or NOTHING: taken}
        recipe.corrections()
    if "method" in steps:
        methods = [recipe.chosen(channels) for channels in (("R", "G"), ("E",))]
        rows["method"] = {row.name: method_options(row) for row in methods}
        rows["by"] = {by_text(recipe.by): grouping_options(recipe.by)}
        for row in methods:
            take_options(row, {o.name: recipe.options[o.name] for o in method_options(row) if o.name in recipe.options})
    if "between" in steps:
        between = BETWEEN_ROWS.find(recipe.between)
        method = recipe.method if isinstance(recipe.method, str) else recipe.method.name
        if recipe.takes_intensities and method not in ("auto", "none"):
            raise OptionError(
                f"{option_word('between')} {between.name} takes the place of a method within arrays", found=method,
                expected=f"no {option_word('method')}, or none",
            )  # fmt: skip
        if recipe.takes_intensities and "by" in recipe.given:
            raise OptionError(
                f"{option_word('between')} {between.name} takes the place of a method within arrays",
                found=f"{option_word('by')} {by_text(recipe.by)}", expected=f"no {option_word('by')}",
                hint=f"Its own groups are named by {option_word('between_by')}",
            )  # fmt: skip
        rows["between"] = {between.name: between.options}
        recipe.alike()
    known_here = {option.name for kind in rows.values() for options in kind.values() for option in options}
    for name in recipe.options:
        if name not in known_here:
            last = list(rows)[-1] if len(rows) == 1 else "method"
            word = next((kind for kind in rows if _owned_by(kind, name)), last)
            if word == CORRECT and name in CORRECTIONS.options():
                raise OptionError(
                    f"{option_word(name)} has no meaning for {option_word(CORRECT)} {' or '.join(rows[word])}",
                    hint=f"It belongs to {option_word(CORRECT)} {' or '.join(CORRECTIONS.takers(name))}",
                )
            known = dict.fromkeys([*(o.name for options in rows[word].values() for o in options), *also])
            raise no_meaning(name, f"{option_word(word)} {' or '.join(rows[word])}", known)


def _owned_by(kind: str, name: str) -> bool:
    """Whether some row of a kind, but not every method that fits something, takes an option."""
    if kind == "method":
        return any(
            name in {o.name for o in (*row.options, *covariate_options(row.covariates))} for row in METHODS.values()
        )
    return name in TABLES[kind].options()
