"""The step between arrays, on a whole ArraySet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.between.rows import BETWEEN, WHOLE, Between, Made
from gridnorm.arrays.between.target import TYPE_OPTIONS, BetweenTarget, digest_of, no_target, settings_of, steps_before
from gridnorm.arrays.covariates import COVARIATES
from gridnorm.arrays.given import as_arrays, with_labels
from gridnorm.arrays.grouping import By, Spots, by_text, group_spots, grouping_options
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.matrices import BACKGROUND, LEVELS, REPLICATES
from gridnorm.arrays.raw import Column, FloatArray
from gridnorm.arrays.spot_types import check_words, count_types
from gridnorm.arrays.used import in_fits, types_for
from gridnorm.core.across import ACROSS, Target, normalize_across
from gridnorm.core.option import effective, take
from gridnorm.core.option.signature import default_words, shows
from gridnorm.errors import OptionError, option_word
from gridnorm.provenance import History


def _check_stage(arrays: ArraySet, row: Between) -> None:
    """Refuse arrays that a method does not take.

    Raises
    ------
    OptionError
    """
    if row.stage != arrays.stage:
        logs = row.stage == LEVELS
        raise OptionError(
            "these arrays are not normalized yet"
            if logs
            else f"{row.name} takes intensities, and these are logarithms",
            found=str(arrays.history),
            expected="M and A, or log2 intensities" if logs else "arrays after background_correct",
            hint="Call normalize, or background_correct and normalize_within, first" if logs else None,
        )
    if any(m.role == REPLICATES for m in arrays.matrices.values()):
        raise OptionError(
            "these rows are made of replicate spots already", found=str(arrays.history), expected="each spot a row",
            hint="Make the arrays alike first, then average_replicates",
        )  # fmt: skip
    backgrounds = [m.name for m in arrays.matrices.values() if m.role == BACKGROUND]
    if backgrounds:
        raise OptionError(
            f"{row.name} takes intensities without their background", found=", ".join(backgrounds),
            hint="Call background_correct first",
        )  # fmt: skip


class Pool(NamedTuple):
    """Vectors that are made alike together: (array, kind) each, and what the pool is called in a target."""

    name: str
    members: tuple[tuple[int, int], ...]

    def of(self, block: NDArray[Any]) -> NDArray[Any]:
        """Its rows, (vector, spot), of a block (array, kind, spot): a view where they follow one another."""
        arrays, kinds, spots = block.shape
        first = self.members[0][1]
        if self.members == tuple((array, first) for array in range(arrays)):
            return block[:, first]
        if self.members == tuple((array, kind) for array in range(arrays) for kind in range(kinds)):
            return block.reshape(-1, spots)
        return np.stack([block[array, kind] for array, kind in self.members])


class Heads(Protocol):
    """What is asked of a set beside its numbers; a stream of arrays has it too."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def channels(self) -> tuple[str, ...]: ...
    @property
    def columns(self) -> Mapping[str, Column]: ...
    @property
    def layout(self) -> Layout | None: ...
    @property
    def targets(self) -> Mapping[str, Sequence[str]]: ...
    @property
    def history(self) -> History: ...


_OPTIONS = [(row.name, row.options) for row in BETWEEN.values()]


@shows([option for _, owned in _OPTIONS for option in owned], default_words(_OPTIONS))
def normalize_between(
    arrays: ArraySet,
    method: str | Between = "scale",
    *,
    by: Any = WHOLE,
    target: BetweenTarget | None = None,
    exclude_types: str | Sequence[str] | None = None,
    fit_types: str | Sequence[str] | None = None,
    **options: Any,
) -> ArraySet:
    """Make normalized arrays alike.

    Parameters
    ----------
    arrays
        Arrays after ``normalize`` or ``normalize_within``; for ``vsn`` after ``background_correct``.
    method
        ``none``, ``scale``, ``quantile``, ``aquantile``, ``gquantile``, ``rquantile``, ``tquantile``, ``cyclic-loess``,
        ``vsn``, ``rlm`` (one channel), or a row of your own.
    by
        Groups of spots that are treated apart, or that ``rlm`` compares, as for ``normalize_within``, or one label a
        spot; ``array``: all spots at once.
    target
        What former arrays were brought to (``result.between``): these are brought to the same, one by one.
    exclude_types, fit_types
        Spot types that teach nothing, and those that alone teach; None: those of ``normalize_within``, as the arrays
        remember them.
    **options
        Of the method.

    Returns
    -------
    ArraySet
        With new M and A, or log2 intensities; ``between`` holds the target where the method has one. Spots of weight 0
        teach nothing and are treated like any other; those that were not found teach, as in every fit.

    Raises
    ------
    OptionError
        Unknown method or option; fewer than two arrays and no target; arrays that are not normalized; a method for two
        channels on other arrays; a spot type that no spot has; a target of another method, grouping, channels or
        spot types.
    LayoutError
        A target of other spots.
    FitError
        An array without a usable value in a group, or with a median of 0 under ``scale``; the message names it.

    Notes
    -----
    Peer: limma's ``normalizeBetweenArrays`` and ``normalizeCyclicLoess``. Where limma gives back its input
    (``cyclicloess`` of two channels), M and A are made of the channels that were made alike.

    Examples
    --------
    >>> import gridnorm as gn
    >>> made = gn.simulate(3, blocks=(2, 2), spots=(15, 15), bad=0, not_found=0, seed=1)
    >>> alike = gn.normalize_between(gn.normalize(made.arrays), "quantile")
    >>> bool(np.allclose(np.sort(alike.A - alike.M / 2, axis=0)[:, 0], np.sort(alike.A + alike.M / 2, axis=0)[:, 1]))
    True
    """
    arrays, by = with_labels(as_arrays(arrays), by)
    if target is not None and not isinstance(target, BetweenTarget):
        raise no_target(target)
    row = BETWEEN.find(method)
    if "between_by" in options:
        raise OptionError("the groups of normalize_between are named by", found="between_by", expected="by")
    chosen = take(row.options, options, f"{option_word('between')} {row.name}")
    if target is not None:
        chosen = {**target.options, **{name: chosen[name] for name in options}}
    if row.across is None:
        return arrays
    _check_stage(arrays, row)
    types = types_for(arrays, exclude_types, fit_types)
    check_words(count_types(arrays.columns), *types, arrays.names[0])
    names = tuple(m.name for m in arrays.matrices.values())
    block = Block(row, arrays.channels, names, len(arrays), arrays.n_spots, types=types)
    for index in range(len(arrays)):
        block.put(index, arrays)
    kept = block.make_alike(arrays, by, chosen, target)
    notes = (*arrays.warnings, *block.notes)
    weights = None if arrays.spot_weights is None else arrays.spot_weights.copy()
    done = replace(
        arrays, values=block.levels(arrays.values), between=kept, warnings=notes, stage=LEVELS, spot_weights=weights
    )
    return with_step(done, row, by, chosen, target)


class Block:
    """The vectors of many arrays that are made alike, float64 (array, kind, spot), in memory or in a file.

    Parameters
    ----------
    row
        The method.
    channels, levels
        Of the arrays: the names of their channels, and of their matrices.
    arrays, spots
        How many.
    memory
        Makes an array of a shape and dtype: ``numpy.zeros``, or one that lies in a file.
    types
        Spot types that teach nothing, and those that alone teach.
    """

    def __init__(
        self, row: Between, channels: tuple[str, ...], levels: tuple[str, ...], arrays: int, spots: int,
        memory: Callable[..., NDArray[Any]] = np.zeros, types: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
    ) -> None:  # fmt: skip
        self.row, self.names = row, levels
        self.made = row.made(channels, levels)
        self._memory, self._types = memory, types
        shape = (arrays, len(self.made.kinds), spots)
        self.vectors, self.use = memory(shape, np.float64), memory(shape, np.bool_)
        self.weights: NDArray[Any] | None = None  # where they are more than yes and no
        self.notes: list[str] = []

    def put(self, index: int, arrays: ArraySet, of: int | None = None) -> None:
        """Take up an array: number ``index`` here, number ``of`` (the same, if None) in the set."""
        of = index if of is None else of
        levels = {name: arrays.values[name][of] for name in self.names}
        for kind, vector in enumerate(self.made.take(levels)):
            self.vectors[index, kind] = vector
        given = None if arrays.spot_weights is None else np.nan_to_num(arrays.spot_weights[of])
        self.use[index] = in_fits(arrays, of, *self._types)
        if given is not None:
            given = np.where(self.use[index] & (given == 0), 1.0, given)  # not found, and good all the same
        if self.weights is None and given is not None and bool(((given != 0) & (given != 1)).any()):
            self.weights = self._memory(self.use.shape, np.float64)
            for before in range(index):
                self.weights[before] = self.use[before]
        if self.weights is not None:
            self.weights[index] = 1.0 if given is None else given

    def only(self, arrays: int) -> None:
        """Forget the room of arrays that have not come."""
        self.vectors, self.use = self.vectors[:arrays], self.use[:arrays]
        self.weights = None if self.weights is None else self.weights[:arrays]

    def make_alike(
        self, arrays: Heads, by: By, options: dict[str, Any], target: BetweenTarget | None
    ) -> BetweenTarget | None:
        """Make the vectors alike; what they were brought to, None where the method has no target."""
        if target is None and len(arrays.names) < 2:
            raise OptionError(
                f"{option_word('between')} {self.row.name} needs two arrays or more",
                found=", ".join(arrays.names) or "none",
                hint=f"To bring one array to what others were brought to, name their {option_word('target')}",
            )
        spots, across = self.vectors.shape[2], ACROSS[str(self.row.across)]
        segments = group_spots(by, arrays.columns, arrays.layout, spots, options=effective(grouping_options(by), {}))
        words, digest = by_text(by), digest_of(arrays.columns, spots)
        steps = steps_before(arrays.history)
        if target is not None:
            target.check(self.row, words, options, arrays.channels, spots, digest, self._types, steps)
            self.notes += target.doubts(steps)
        if self.weights is not None and not across.weighs:
            self.notes.append(f"{self.row.name}: a weight counts as yes or no, and all above 0 are alike")
        own = {option.name: options[option.name] for option in across.options}
        match = None
        if across.covariate is not None and target is None:
            spots_of = Spots(arrays.columns, arrays.layout, spots, arrays.names[0])
            match = COVARIATES[across.covariate].of(spots_of, options)
        parts: dict[str, Target] = {}
        for pool in pools(self.row, self.made, arrays, options):
            given = None if target is None else _part(target, pool.name)
            if given is None and len(pool.members) < 2:
                self.notes.append(f"{self.row.name}: {pool.name!r} is in one channel only, which stays as it is")
                continue
            names = [arrays.names[array] for array, _ in pool.members]
            done = normalize_across(
                pool.of(self.vectors), segments, across, names=names, in_place=True, target=given, covariate=match,
                weights=None if self.weights is None else pool.of(self.weights), use=pool.of(self.use), **own,
            )  # fmt: skip
            if not np.may_share_memory(done.values, self.vectors):
                for (array, kind), vector in zip(pool.members, done.values, strict=True):
                    self.vectors[array, kind] = vector
            if done.target is not None:
                parts[pool.name] = done.target
        if not parts:
            return None
        types = dict(zip(TYPE_OPTIONS, self._types, strict=True))
        return BetweenTarget(self.row.name, words, options, arrays.channels, spots, digest, parts, types, steps)

    def levels_of(self, index: int, before: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The new levels of an array, each (spot,), from those before."""
        return self.made.give(before, tuple(self.vectors[index]))

    def levels(self, before: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The new levels of all arrays, each (array, spot): they take the place of the vectors."""
        order: list[str] = []
        places: dict[str, FloatArray] = {}
        for index in range(self.vectors.shape[0]):
            mine = {name: before[name][index] for name in self.names}
            new = self.levels_of(index, mine)
            if not order:
                order = list(new)
                changed = [name for name in order if new[name] is not mine.get(name)]
                places = {name: self.vectors[:, kind] for kind, name in enumerate(changed)}
            for name, place in places.items():
                place[index] = new[name]
        # What stays is copied: a result that somebody writes to must not change what it was made of.
        return {name: places[name] if name in places else before[name].copy() for name in order}


def _part(target: BetweenTarget, name: str) -> Target:
    found = target.parts.get(name)
    if found is None:
        raise OptionError(f"the target has nothing for {name}", found=", ".join(target.parts), expected=name)
    return found


def pools(row: Between, made: Made, arrays: Heads, options: Mapping[str, Any]) -> list[Pool]:
    """Which vectors are made alike together; where their order matters, in limma's: green of all arrays, then red.

    Raises
    ------
    OptionError
        ``tquantile`` without the samples of the channels.
    """
    kinds, count = range(len(made.kinds)), range(len(arrays.names))
    if row.pooled == "apart":
        return [Pool(made.kinds[kind], tuple((array, kind) for array in count)) for kind in kinds]
    if row.pooled == "together":
        members = [(array, kind) for array in count for kind in kinds]
        ordered = options.get("cyclic_method") == "pairs"
        members = sorted(members, key=lambda member: member[1]) if ordered else members
        return [Pool("+".join(made.kinds), tuple(members))]
    found: dict[str, list[tuple[int, int]]] = {}
    for kind, dye in ((0, "Cy3"), (1, "Cy5")):
        title = next((title for title in arrays.targets if title.casefold() == dye.casefold()), None)
        if title is None:
            raise OptionError(
                f"{row.name} needs the samples of both channels", found=", ".join(arrays.targets) or "no targets table",
                expected="columns Cy3 and Cy5 of a targets table",
            )  # fmt: skip
        for array, sample in enumerate(arrays.targets[title]):
            if str(sample).strip() in ("", "NA"):
                raise OptionError(
                    f"{row.name} needs the samples of both channels", file=arrays.names[array],
                    found=f"{title} {str(sample).strip()!r}", expected="the sample that the channel was labelled with",
                )  # fmt: skip
            found.setdefault(str(sample).strip(), []).append((array, kind))
    return [Pool(sample, tuple(members)) for sample, members in found.items()]


def with_step(
    arrays: ArraySet, row: Between, by: By, options: Mapping[str, Any], target: BetweenTarget | None
) -> ArraySet:
    """The set with the step in its history and in the record of every array."""
    step = settings_of(row, by, options, target)
    records = tuple(
        record._replace(history=record.history.then("normalize_between", **step)) for record in arrays.records
    )
    return replace(arrays, history=arrays.history.then("normalize_between", **step), records=records)
