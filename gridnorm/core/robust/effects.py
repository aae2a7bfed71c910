"""What groups differ by in items that match: a robust linear model of values on factors and on what makes items alike.

Huber's M-estimate (``huber``) of value = effect of each factor's level + effect of the item's code. The codes, which
may be as many as the items, are eliminated: what is solved in each round is as large as the factors have levels, from
counts of pairs of levels and codes. The effects of each factor sum to zero (Sboner et al., J Proteome Res 8 (2009)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gridnorm.core.payload import Locations
from gridnorm.core.robust.given import Bools, Floats, Ints, entries
from gridnorm.core.robust.huber import NORMAL, moved, weights_of
from gridnorm.core.segments import Segments, distinct, label_text
from gridnorm.errors import FitError, option_word
from gridnorm.plain import few

ACCURACY, ROUNDS = 1e-12, 500  # when the residuals move no further
SETTLED = 1e-6  # after all rounds residuals that still move by more have found no place
EXACT = 1e-14  # of the values: what is left of them when the model explains more than half without error
MOST_LEVELS = 4096  # of all factors: the table of their pairs has 128 MB
SINGULAR = 1e-10  # of the largest: eigenvalues of effects that nothing tells
AT_ONCE = 1 << 20  # numbers in a table of levels and codes


class Design(NamedTuple):
    """Items of a model, those of one code after the other.

    Attributes
    ----------
    codes
        int64 (item,): 0, 0, 1, …: what makes items alike.
    levels
        Of each factor int64 (item,): levels, numbered through all factors.
    starts
        int64 (factor + 1,): number of each factor's first level, and how many there are.
    cuts
        int64: codes at which a table of levels and codes ends, so that none is large.
    """

    codes: Ints
    levels: tuple[Ints, ...]
    starts: Ints
    cuts: Ints

    @classmethod
    def of(cls, codes: Ints, factors: Sequence[Ints], sizes: Sequence[int]) -> Design:
        """A design; the items must come in the order of their codes, which are numbered from 0."""
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        count = int(codes[-1]) + 1 if codes.size else 0
        step = max(1, AT_ONCE // max(int(starts[-1]), 1))
        cuts = np.append(np.arange(0, count, step), count)
        levels = tuple(factor + start for factor, start in zip(factors, starts.tolist(), strict=False))
        return cls(codes, levels, starts, cuts)

    @property
    def there(self) -> Bools:
        """Which levels have items."""
        total = int(self.starts[-1])
        return np.asarray(np.bincount(np.concatenate(self.levels), minlength=total) > 0)

    def of_levels(self, numbers: Floats) -> Floats:
        """Sum of numbers of the items by level."""
        total = int(self.starts[-1])
        return sum((_sums(level, numbers, total) for level in self.levels), np.zeros(total))

    def of_codes(self, numbers: Floats) -> Floats:
        """Sum of numbers of the items by code."""
        return _sums(self.codes, numbers, int(self.cuts[-1]))

    def at(self, effects: Floats) -> Floats:
        """Sum of the effects of each item's levels."""
        return sum((effects[level] for level in self.levels), np.zeros(self.codes.size))

    def matrix(self, weights: Floats, right: Floats) -> tuple[Floats, Floats]:
        """Normal equations of the levels after the codes are eliminated: the matrix and its right side."""
        total = int(self.starts[-1])
        square = np.zeros((total, total))
        for a, one in enumerate(self.levels):
            for two in self.levels[a:]:
                square += _sums(one * total + two, weights, total * total).reshape(total, total)
        square = np.triu(square) + np.triu(square, 1).T
        side, size, by_code = self.of_levels(right), self.of_codes(weights), self.of_codes(right)
        bounds = np.searchsorted(self.codes, self.cuts)
        for low, high, first, end in zip(self.cuts[:-1], self.cuts[1:], bounds[:-1], bounds[1:], strict=True):
            place, wide = self.codes[first:end] - low, int(high - low)
            table = np.zeros((total, wide))
            for level in self.levels:
                pairs = level[first:end] * wide + place
                table += _sums(pairs, weights[first:end], total * wide).reshape(total, wide)
            shared = table / size[low:high]
            square -= shared @ table.T
            side -= shared @ by_code[low:high]
        return square, side


def _sums(codes: Ints, numbers: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(codes, numbers, count), np.float64)


class Effects(NamedTuple):
    """What was fitted: the effect of every level, numbered through all factors, and residuals of the items."""

    levels: Floats
    residuals: Floats


def robust_effects(values: Floats, design: Design, weights: Floats | None = None) -> Effects:
    """The model of ``values`` (item,), by Huber's M-estimate with the scale of each round.

    Parameters
    ----------
    values
        float64 (item,), finite.
    design
        Levels and codes of the items; all levels of a factor that has items must hang together (``separate``).
    weights
        float64 (item,) above 0: inverse variances.

    Raises
    ------
    FitError
        The fit does not settle.

    Examples
    --------
    >>> design = Design.of(np.array([0, 0, 1, 1, 2, 2]), [np.array([0, 1, 0, 1, 0, 1])], [2])
    >>> robust_effects(np.array([1.0, 3.0, 5.0, 7.0, 2.0, 4.0]), design).levels.tolist()
    [-1.0, 1.0]
    """
    prior = np.ones(values.size) if weights is None else weights
    root = np.sqrt(prior)
    effects, left = _step(values, design, prior)
    least, change = EXACT * float(np.abs(root * values).max(initial=0.0)), 0.0
    for _ in range(ROUNDS):
        scaled = root * left
        scale = float(np.median(np.abs(scaled))) / NORMAL
        if scale <= least:
            return Effects(effects, left)
        step, new = _step(left, design, prior * weights_of(scaled, np.asarray(scale)))
        effects += step
        change = float(moved(scaled, root * new))
        left = new
        if change <= ACCURACY:
            return Effects(effects, left)
    if change > SETTLED:
        raise FitError(
            f"the robust linear model does not settle in {ROUNDS} rounds",
            found=f"residuals that still move by {change:.1g} of their size", expected=f"{SETTLED:g} or less",
            hint="Choose another method, such as median",
        )  # fmt: skip
    return Effects(effects, left)


def _step(left: Floats, design: Design, weights: Floats) -> tuple[Floats, Floats]:
    """Effects of the levels in what is left, by weighted least squares, and what is left without them."""
    pull = weights * left
    square, side = design.matrix(weights, pull)
    size, there = float(np.trace(square)) or 1.0, design.there
    for start, end in zip(design.starts[:-1], design.starts[1:], strict=True):
        part = square[start:end, start:end]
        part[np.diag_indices(end - start)] += np.where(there[start:end], 0.0, size)
        part += size / (end - start)  # effects of a factor sum to zero
    effects: Floats = np.asarray(np.linalg.solve(square, side), np.float64)
    effects[~there] = 0.0
    for start, end in zip(design.starts[:-1], design.starts[1:], strict=True):  # of what rounding leaves of the sums
        some = np.flatnonzero(there[start:end]) + start
        effects[some] -= effects[some].mean() if some.size else 0.0
    rest: Floats = left - design.at(effects)
    of_codes: Floats = design.of_codes(weights * rest) / design.of_codes(weights)
    return effects, rest - of_codes[design.codes]


def separate(design: Design) -> list[Ints] | None:
    """Of each factor the levels with items that do not hang together with most others by their codes.

    None where they all do, and effects of several factors can yet not be told apart.
    """
    square, _ = design.matrix(np.ones(design.codes.size), np.zeros(design.codes.size))
    out = []
    for start, end in zip(design.starts[:-1].tolist(), design.starts[1:].tolist(), strict=True):
        part = square[start:end, start:end]
        out.append(_outside(part < 0, np.flatnonzero(design.there[start:end])))
    if len(out) == 1 or any(found.size for found in out):
        return out
    some = np.flatnonzero(design.there)
    sizes = np.linalg.eigvalsh(square[np.ix_(some, some)])
    free = int(np.count_nonzero(sizes <= SINGULAR * sizes[-1])) if sizes[-1] > 0 else sizes.size
    return out if free <= len(out) else None


def _outside(joined: Bools, some: Ints) -> Ints:
    """Levels that are not in the largest of the sets that hang together; of equal ones the first counts."""
    largest, rest = some[:0], np.isin(np.arange(len(joined)), some)
    while rest.any():
        reached = np.zeros(len(joined), np.bool_)
        new = np.flatnonzero(rest)[:1]
        while new.size:
            reached[new] = True
            new = np.flatnonzero(joined[new].any(axis=0) & ~reached)
        found = np.flatnonzero(reached)
        largest = found if found.size > largest.size else largest
        rest &= ~reached
    return np.setdiff1d(some, largest)


def matched(codes: Ints, place: Ints) -> Bools:
    """Items whose code occurs in two places or more: the others tell nothing of what places differ by."""
    if not codes.size:
        return np.zeros(0, np.bool_)
    wide = int(place.max()) + 1
    pairs, _ = distinct(codes * wide + place)
    places = np.bincount(pairs // wide, minlength=int(codes.max()) + 1)
    return np.asarray(places[codes] > 1)


def fit_effects(
    backend: Any, view: Any, segments: Segments, given: dict[str, Any], options: dict[str, Any]
) -> tuple[Any, ...]:
    """Effects of the groups, which sum to zero: the number of values, the payload, where fits come from.

    Items without a covariate, and those whose covariate occurs in one group only, are in no fit. A group without any
    usable value has the effect 0.

    Raises
    ------
    FitError
        There are not two groups with values, or some share no covariate with the others.
    """
    batch, groups = view.shape[0], segments.n_segments
    n, source = np.zeros((batch, groups), np.int64), np.zeros((batch, groups), np.int8)
    found = np.full((batch, groups), np.nan)
    for b, entry in enumerate(entries(backend, view, given)):
        there = segments.count(entry.good) > 0
        if not there.any():
            continue
        _refuse_many(groups)
        if np.count_nonzero(there) < 2:
            raise FitError(
                "rlm compares groups, and there is one", found=f"group {_named(segments, np.flatnonzero(there))}",
                expected="usable values in two or more", hint=f"Name groups with {option_word('by')}",
            )  # fmt: skip
        items = np.flatnonzero(entry.good & np.isfinite(entry.covariate))
        _, codes = distinct(entry.covariate[items])
        items = items[matched(codes, segments.codes[items])]
        items = items[np.argsort(entry.covariate[items], kind="stable")]
        _, codes = distinct(entry.covariate[items])
        design = Design.of(codes, [segments.codes[items]], [groups])
        n[b] = np.bincount(segments.codes[items], minlength=groups)
        _refuse_apart(design, there & (n[b] == 0), segments)
        weights = None if entry.weights is None else entry.weights[items]
        found[b] = robust_effects(entry.values[items], design, weights).levels
        source[b] = np.where(n[b] > 0, 0, 1)
    xp = backend.xp
    return xp.asarray(n), Locations(xp.asarray(found)), xp.asarray(source), None


def _refuse_many(levels: int) -> None:
    if levels > MOST_LEVELS:
        raise FitError("rlm compares too many groups", found=str(levels), expected=f"{MOST_LEVELS} at most")


def _refuse_apart(design: Design, empty: Bools, segments: Segments) -> None:
    """Refuse groups that cannot be compared with the others."""
    apart = separate(design)
    outside = np.union1d(np.flatnonzero(empty), apart[0] if apart else [])
    if outside.size:
        raise cannot_compare(_named(segments, outside.astype(np.int64)), "groups")


def cannot_compare(names: str, what: str) -> FitError:
    """That some groups, or other levels, share nothing by which they could be compared."""
    return FitError(
        f"{what} that share nothing with the others cannot be compared with them", found=names,
        expected=f"{what} that hang together by what {option_word('match')} names",
        hint=f"Leave them out, or say with {option_word('match')} and {option_word('control_type')} what is alike",
    )  # fmt: skip


def _named(segments: Segments, which: Ints) -> str:
    return few(label_text(segments.labels[g]) for g in which.tolist())
