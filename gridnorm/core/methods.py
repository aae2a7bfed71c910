"""Methods of normalization within groups: rows that name a statistic, an application and a smallest group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gridnorm.core.apply import APPLICATIONS, apply, relative_scale
from gridnorm.core.engines import backend_for
from gridnorm.core.fit import Fit, as_covariates, as_items, as_view, composed, fit, inner_arguments, part_of
from gridnorm.core.option import Option, Table, no_meaning, take
from gridnorm.core.segments import Segments
from gridnorm.core.small import refuse_tiny, replace_small
from gridnorm.core.statistic import STATISTICS, Statistic
from gridnorm.errors import FitError, OptionError


@dataclass(frozen=True)
class Method:
    """One row of ``METHODS``.

    Attributes
    ----------
    name, summary, source
        What it is called, what it does, and the paper or peer function.
    statistic
        What is fitted: a row of ``STATISTICS`` or its name; None for nothing.
    application
        How it is removed: a row of ``APPLICATIONS``.
    minimum
        Smallest number of values of a group with a fit of its own.
    covariates
        What each item brings beside its value, by the caller's words; ``level`` is the item's mean level.
    marks
        Whether the last covariate is none of the statistic's, but says which items may enter the fit: not 0.
    columns
        Further columns that ``use`` reads.
    use
        Which items may enter the fit: called with the columns of the items and the options, returns bool (item,);
        None for all.
    relative, keeps_level
        Divide scales by their geometric mean; can add the level of all items back.
    fixed
        Options of the statistic that the method sets itself, and so does not offer.
    more_options
        Options of its own, which ``use`` reads.
    enough
        Number of values from which a group has its own fit alone where small groups are shrunk; ``minimum`` where
        the payload can go over to it by its level only.
    pools_itself
        Whether the statistic says itself what small groups get: no rule for them has a meaning, and ``minimum`` is
        that of a batch entry.
    """

    name: str
    statistic: str | Statistic | None
    application: str
    minimum: int
    summary: str
    covariates: tuple[str, ...] = ()
    marks: bool = False
    columns: tuple[str, ...] = ()
    use: Callable[[Mapping[str, Any], Mapping[str, Any]], Any] | None = None
    relative: bool = False
    keeps_level: bool = False
    fixed: Mapping[str, Any] = field(default_factory=dict)
    more_options: tuple[Option, ...] = ()
    source: str = ""
    enough: int = 200
    pools_itself: bool = False

    @property
    def fitted(self) -> Statistic:
        """The row of the statistic."""
        if self.statistic is None:
            raise OptionError(f"method {self.name} fits nothing")
        return STATISTICS.find(self.statistic)

    @property
    def options(self) -> tuple[Option, ...]:
        """The options of its statistic that it does not set itself, and its own."""
        offered = () if self.statistic is None else self.fitted.options
        return (*(option for option in offered if option.name not in self.fixed), *self.more_options)

    def limit(self, small_groups: str) -> int:
        """Number of values from which a group is not small under a rule."""
        goes_over = small_groups == "shrink" and hasattr(self.fitted.grouped.payload, "toward")
        return self.enough if goes_over else self.minimum

    @property
    def scales(self) -> bool:
        """Whether it divides groups itself."""
        return self.application in ("standardize", "scale")

    @property
    def remove(self) -> Callable[..., Any] | None:
        """What removes the fit."""
        return APPLICATIONS.get(self.application)


def _complaint(row: Method) -> str | None:
    """What is wrong between the parts of a row."""
    if row.statistic is None:
        return None
    statistic = row.fitted
    if len(row.covariates) != statistic.covariates + row.marks:
        marks = ", and one of marks" if row.marks else ""
        return f"{statistic.name} takes {statistic.covariates} covariates{marks}, the row names {len(row.covariates)}"
    unknown = [name for name in row.fixed if name not in {option.name for option in statistic.options}]
    return f"{statistic.name} has no option {unknown[0]} that could be fixed" if unknown else None


METHODS: Table[Method] = Table(
    "method",
    [
        Method("none", None, "centre", 0, "nothing is removed"),
        Method(
            "median", "median", "centre", 5, "subtract the group's median", keeps_level=True,
            source="limma's normalizeWithinArrays",
        ),
        Method("mean", "moments", "centre", 5, "subtract the group's mean", keeps_level=True, fixed={"ddof": 0}),
        Method(
            "mad", "mad", "standardize", 5, "subtract the median, divide by the MAD over the groups' geometric mean",
            relative=True, keeps_level=True, source="Yang et al., Nucleic Acids Res 30 (2002); marray's maNormScale",
        ),
        Method(
            "zscore", "moments", "standardize", 5,
            "subtract the mean, divide by the standard deviation (n − 1)", fixed={"ddof": 1},
        ),
        Method(
            "loess", "lowess", "subtract", 30, "subtract a robust lowess curve over the covariate",
            covariates=("level",), source="Yang et al., Nucleic Acids Res 30 (2002); limma's normalizeWithinArrays",
        ),
        Method(
            "composite", "composite", "subtract", 30,
            "as loess where the covariate is low, going over to one curve through the controls where it is high",
            covariates=("level", "control"), source="Yang et al., Nucleic Acids Res 30 (2002); limma's composite",
        ),
        Method(
            "control", "loess", "subtract", 30,
            "subtract a robust curve over the covariate, fitted to the controls alone",
            covariates=("level", "control"), marks=True, fixed={"degree": 1}, source="limma's control",
        ),
        Method(
            "loess2d", "surface", "subtract", 30, "subtract a robust surface over the place",
            covariates=("slide-row", "slide-column"), keeps_level=True, fixed={"degree": 1}, enough=300,
            source="Dudoit and Yang (2003); marray's twoD",
        ),
        Method(
            "joint", "joint", "subtract", 30,
            "subtract each group's curve over the covariate and one smooth surface over the place",
            covariates=("level", "slide-row", "slide-column"), source="Futschik and Crompton, Genome Biol 5 (2004)",
        ),
        Method(
            "spline", "spline", "subtract", 30,
            "subtract a robust spline over the covariate, each group's shrunken toward that of all",
            covariates=("level",), pools_itself=True, source="limma's normalizeRobustSpline",
        ),
        Method(
            "rlm", "rlm", "centre", 2, "subtract what groups differ by in items that match, by a robust linear model",
            covariates=("match",), pools_itself=True,
            source="Sboner et al., J Proteome Res 8 (2009); Venables and Ripley (2002), MASS's rlm",
        ),
    ],
    functions=("remove",),
    complaint=_complaint,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Normalized:
    """Values after ``normalize_within``, (batch, item), and the fit that was removed (None for ``none``)."""

    values: Any
    fit: Fit | None


def fit_method(
    values: Any,
    segments: Segments,
    method: str | Method,
    *,
    covariate: Any = None,
    weights: Any = None,
    use: Any = None,
    minimum: int | None = None,
    small_groups: str = "whole",
    position: Any = None,
    keep_level: bool = False,
    scale: str = "none",
    options: Mapping[str, Any],
) -> Fit:
    """What a method removes from every group of every batch entry.

    Parameters as in ``normalize_within``; ``options`` are all of the row's, with their effective values.
    """
    row = METHODS.find(method)
    statistic = row.fitted
    own = {option.name for option in statistic.options}
    backend = backend_for(values)
    view = as_view(values, segments, backend)[:, :, 0]
    chosen = {**row.fixed, **{name: value for name, value in options.items() if name in own}}
    entering = {
        "weights": as_items(weights, view.shape, "weights", backend),
        "use": as_items(use, view.shape, "use", backend, dtype=bool),
    }
    if row.covariates:
        entering = _with_covariates(row, entering, covariate, view, backend)
    elif covariate is not None:
        raise OptionError(f"{row.name} takes no covariate")
    rule = (small_groups, row.limit(small_groups) if minimum is None else minimum)
    if statistic.inner:
        inner = {**inner_arguments(statistic, entering), **part_of(statistic, chosen)}
        found = composed(
            statistic, lambda some: _groups(row, some, segments, rule, position, inner), view[:, :, None], segments,
            entering, {**chosen, "least": 0 if small_groups == "own" else min(rule[1], row.minimum)},
        )  # fmt: skip
    else:
        found = _groups(row, view, segments, rule, position, {**entering, **chosen})
    if row.relative:
        found = relative_scale(found)
    if scale != "none":
        left = apply_method(values, segments, row, found, covariate=covariate)
        given = {"weights": entering["weights"], "use": as_items(use, view.shape, "use", backend, dtype=bool)}
        spread = _groups(
            METHODS[scale], left, segments, (small_groups, METHODS[scale].limit(small_groups)), position, given
        )
        found = replace(found, divisor=relative_scale(spread).scale)
    if keep_level and (row.keeps_level or found.divisor is not None):
        found = _keeping(row, found, view, entering, chosen)
    return found


def _keeping(row: Method, found: Fit, view: Any, entering: dict[str, Any], chosen: dict[str, Any]) -> Fit:
    """The same with the level of all items, which is added back after all."""
    single = Segments.single(view.shape[1])
    level = fit(view, single, row.fitted, **entering, **chosen).location if row.keeps_level else None
    if level is None:
        level = fit(view, single, "median", weights=entering["weights"], use=entering["use"]).location
    if not row.keeps_level:  # its values have their level still, which is not to be divided
        xp = backend_for(view).xp
        found = replace(found, payload=found.payload.shift(xp.broadcast_to(level, found.n.shape)))
    return replace(found, level=level)


def _with_covariates(row: Method, entering: dict[str, Any], covariate: Any, view: Any, backend: Any) -> dict[str, Any]:
    """What enters the fit with its covariates; marks say what may enter at all."""
    if covariate is None:
        raise OptionError(f"{row.name} needs a covariate", hint="Give covariate=, one number per value")
    brought = as_covariates(covariate, view.shape, len(row.covariates), backend)
    if not row.marks:
        return {**entering, "covariate": brought}
    marked = brought[:, :, -1] > 0
    use = marked if entering["use"] is None else marked & entering["use"]
    return {**entering, "use": use, "covariate": brought[:, :, :-1]}


def _groups(
    row: Method, values: Any, segments: Segments, rule: tuple[str, int], position: Any, arguments: dict[str, Any]
) -> Fit:
    """The fit of every group, small ones as the rule has it."""
    statistic, (small_groups, limit) = row.fitted.grouped, rule
    found = fit(values, segments, statistic, **arguments)
    if bool((found.n.sum(axis=1) == 0).any()):
        raise FitError(
            "no usable value: every one is missing or left out of the fit",
            hint="Check flags, weights and the background method",
        )
    if row.pools_itself:
        refuse_tiny(found, row.minimum)
        return found
    if small_groups == "own" or not bool((found.n < limit).any()):
        return found
    return replace_small(
        found, values, segments, limit, small_groups, statistic=statistic, position=position, arguments=arguments,
        least=min(limit, row.minimum) if small_groups == "shrink" else None,
    )  # fmt: skip


def apply_method(values: Any, segments: Segments, method: str | Method, fit: Fit, *, covariate: Any = None) -> Any:
    """Values without what a method has fitted, (batch, item); groups are matched by label."""
    row = METHODS.find(method)
    backend = backend_for(values)
    view = as_view(values, segments, backend)[:, :, 0]
    if row.covariates and covariate is not None:
        covariate = as_covariates(covariate, view.shape, len(row.covariates), backend)
        covariate = covariate[:, :, :-1] if row.marks else covariate
    return apply(view, segments, fit, row.application, covariate=covariate)


def normalize_within(
    values: Any,
    segments: Segments,
    method: str | Method,
    *,
    covariate: Any = None,
    weights: Any = None,
    use: Any = None,
    minimum: int | None = None,
    small_groups: str | None = None,
    position: Any = None,
    keep_level: bool = False,
    scale: str = "none",
    **options: Any,
) -> Normalized:
    """Fit and remove one method within every group of every batch entry.

    Parameters
    ----------
    values
        (batch, item) numbers; NaN stays NaN.
    segments
        Groups of the items.
    method
        A row of ``METHODS``, or its name.
    covariate, weights, use
        As in ``fit``.
    minimum
        Smallest number of values of a group with a fit of its own; None takes the method's: with ``shrink`` the number
        from which a group has its own fit alone. 0 switches the rule off.
    small_groups, position
        As in ``replace_small``; None for ``whole``. Neither they nor ``minimum`` have a meaning for a method that pools
        groups itself.
    keep_level
        Add the location of all items back after centring, so that the values keep their level.
    scale
        ``mad``: divide what is left in each group by its MAD over the groups' geometric mean, which never centres.
    **options
        Those of the method's row: ``span``, ``iterations``, ``clamp_weights`` of ``loess``.

    Raises
    ------
    FitError
        No usable value at all, or too few for the method.
    OptionError
        Unknown method, an option or covariate that it does not take, or shapes that do not agree.

    Examples
    --------
    >>> import numpy as np
    >>> x, groups = np.array([[1.0, 3.0, 10.0, 20.0]]), Segments.from_labels(["a", "a", "b", "b"])
    >>> normalize_within(x, groups, "median", minimum=0).values
    array([[-1.,  1., -5.,  5.]])
    """
    row = METHODS.find(method)
    chosen = take(row.options, options, f"method {row.name}")
    if row.statistic is None:
        given = {"covariate": covariate, "weights": weights, "use": use, "minimum": minimum or None}
        strange = [name for name, value in given.items() if value is not None]
        if strange:
            raise no_meaning(strange[0], f"method {row.name}")
        return Normalized(as_view(values, segments, backend_for(values))[:, :, 0], None)
    if row.pools_itself and (minimum or small_groups is not None):
        raise no_meaning("minimum" if minimum else "small_groups", f"method {row.name}")
    found = fit_method(
        values, segments, row, covariate=covariate, weights=weights, use=use, minimum=minimum,
        small_groups=small_groups or "whole", position=position, keep_level=keep_level, scale=scale,
        options=chosen,
    )  # fmt: skip
    return Normalized(apply_method(values, segments, row, found, covariate=covariate), found)
