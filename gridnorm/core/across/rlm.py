"""What batch entries, and groups of items, differ by in items that match: a robust linear model of all entries at once.

Value = effect of the entry + effect of the group + effect of the item's code (``robust.effects``); the effects of
entries and of groups, which sum to zero, are taken off. After Sboner et al., J Proteome Res 8 (2009).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from gridnorm.core.across.entries import Given
from gridnorm.core.payload import floats, plain
from gridnorm.core.robust.effects import (
    ACCURACY,
    ROUNDS,
    Design,
    cannot_compare,
    matched,
    robust_effects,
    separate,
)
from gridnorm.core.robust.given import Bools, Floats, Ints, on_host
from gridnorm.core.robust.huber import huber
from gridnorm.core.segments import Segments, distinct, label_text
from gridnorm.errors import FitError, option_word
from gridnorm.plain import few


@dataclass(frozen=True, eq=False)
class Matched:
    """What further entries are compared with.

    Attributes
    ----------
    level
        float64 (item,): what an item is expected to be in an entry without an effect; NaN where nothing matched.
    groups
        float64 (segment,): effects of the groups.
    """

    level: Any
    groups: Any

    def to_plain(self) -> dict[str, Any]:
        return {"level": plain(self.level), "groups": plain(self.groups)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        return cls(floats(plain["level"]), floats(plain["groups"]))

    def check(self, sizes: Sequence[int], options: Mapping[str, Any]) -> str | None:
        """What is wrong with it for groups of these sizes; None: nothing."""
        if self.level.shape != (sum(sizes),) or self.groups.shape != (len(sizes),):
            return f"levels and effects of shapes {self.level.shape} and {self.groups.shape}"
        return "effects that are missing" if np.isnan(self.groups).any() else None


def together(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> tuple[Any, Matched]:
    """All entries at once: values without the effects of their entry and group, and what further ones go by.

    Raises
    ------
    FitError
        Entries or groups that share nothing with the others, or whose effects cannot be told apart.
    """
    seen, match = on_host(given.observed(values)), on_host(given.covariate)
    good = seen & np.isfinite(match)
    entry, item = np.nonzero(good)
    code = distinct(match[item])[1]
    factors, sizes = [entry], [seen.shape[0]]
    if segments.n_segments > 1:
        factors, sizes = [entry, segments.codes[item]], [seen.shape[0], segments.n_segments]
    place = entry if len(sizes) == 1 else entry * sizes[1] + factors[1]
    kept = np.flatnonzero(matched(code, place))
    kept = kept[np.argsort(code[kept], kind="stable")]
    entry, item = entry[kept], item[kept]
    design = Design.of(distinct(code[kept])[1], [factor[kept] for factor in factors], sizes)
    _refuse(design, seen, segments, given)
    weights = None if given.weights is None else on_host(given.weights)[entry, item]
    numbers = on_host(values)[entry, item]
    effects, left = robust_effects(numbers, design, weights)
    of_entries, of_groups = effects[: sizes[0]], effects[sizes[0] :]
    if not of_groups.size:
        of_groups = np.zeros(segments.n_segments)
    level = np.full(segments.n_items, np.nan)
    level[item] = numbers - left - design.at(effects)
    _take_off(values, of_entries, of_groups, segments, given)
    return values, Matched(level, of_groups)


def toward(values: Any, segments: Segments, target: Matched, given: Given, options: dict[str, Any]) -> Any:
    """Each entry by itself, by what its items differ by from those of the target.

    Raises
    ------
    FitError
        An entry without a usable item that the target has.
    """
    away = on_host(values) - on_host(target.level) - on_host(target.groups)[segments.codes]
    good = on_host(given.observed(values)) & np.isfinite(away)
    effects = np.zeros(len(away))
    for b in range(len(away)):
        mine = away[b][good[b]]
        if mine.size < 2:
            raise FitError(
                f"{given.names[b]} has too few items to be compared with the target", found=str(mine.size),
                expected="2 or more", hint="Leave it out; check flags and weights",
            )  # fmt: skip
        root = np.ones(mine.size) if given.weights is None else np.sqrt(on_host(given.weights)[b][good[b]])
        found = huber(root[:, None], root * mine, np.array([0, mine.size]), accuracy=ACCURACY, rounds=ROUNDS)
        effects[b] = found.coefficients[0, 0]
    _take_off(values, effects, on_host(target.groups), segments, given)
    return values


def _take_off(values: Any, entries: Floats, groups: Floats, segments: Segments, given: Given) -> None:
    xp = given.backend.xp
    by_group = xp.asarray(groups[segments.codes])
    for b in range(values.shape[0]):  # one after the other: they may lie in a file
        values[b] -= by_group + float(entries[b])


def _refuse(design: Design, seen: Bools, segments: Segments, given: Given) -> None:
    """Refuse entries and groups that the model cannot compare."""
    apart = separate(design)
    if apart is None:
        raise FitError(
            "what groups differ by cannot be told from what those differ by that hold them",
            found=few(label_text(label) for label in segments.labels),
            expected="groups that occur in several entries, and match there",
            hint=f"Name other groups with {option_word('between_by')}",
        )  # fmt: skip
    start = int(design.starts[1])
    count = np.bincount(np.concatenate(design.levels), minlength=int(design.starts[-1]))
    lonely = np.union1d(apart[0], np.flatnonzero(seen.any(axis=1) & (count[:start] == 0))).astype(np.int64)
    if lonely.size:
        raise cannot_compare(few(given.names[b] for b in lonely.tolist()), "entries")
    if len(apart) > 1:
        there = segments.count(np.asarray(seen.any(axis=0), np.bool_)) > 0
        outside: Ints = np.union1d(apart[1], np.flatnonzero(there & (count[start:] == 0))).astype(np.int64)
        if outside.size:
            raise cannot_compare(few(label_text(segments.labels[g]) for g in outside.tolist()), "groups")
