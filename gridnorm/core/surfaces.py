"""What fits over several covariates hold: surfaces, and curves of groups beside something of the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.engines.knots import Knots
from gridnorm.core.payload import Curves, floats, plain, taken
from gridnorm.core.segments import Segments

Floats = NDArray[np.float64]

WINDOW = 36  # values in each local fit of a surface through few values
BENDS = 2.8  # variance of the shape of a surface × span, in σ²/n: measured for n of 36 to 1600 and spans of 0.2 to 1


def curves_at(x: Floats, fitted: Floats, segments: Segments) -> Curves:
    """Curves with a knot at every covariate that has a fitted value; both (batch, item)."""
    parts: list[tuple[Floats, Floats]] = []
    for b in range(x.shape[0]):
        for items in _members(segments):
            there = items[np.isfinite(fitted[b, items])]
            at, first = np.unique(x[b, there], return_index=True)
            parts.append((at, fitted[b, there[first]]))
    at, y = (_behind(column) for column in zip(*parts, strict=True))
    return Curves(Knots(at, y, _offsets([part.size for part, _ in parts])))


def surfaces_at(places: Floats, fitted: Floats, segments: Segments) -> Surfaces:
    """Surfaces known at the places (batch, item, k) that have a fitted value (batch, item)."""
    there = [(b, items[np.isfinite(fitted[b, items])]) for b in range(fitted.shape[0]) for items in _members(segments)]
    at, y = (np.concatenate([part[b, items] for b, items in there]) for part in (places, fitted))
    return Surfaces(at, y, _offsets([items.size for _, items in there]))


def _members(segments: Segments) -> list[NDArray[np.int64]]:
    return np.split(segments.order, segments.offsets[1:-1])


def _behind(parts: Sequence[Floats]) -> Floats:
    return np.concatenate([np.empty(0), *parts])


def _offsets(sizes: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Surfaces:
    """A surface of each group: its values at known places.

    Attributes
    ----------
    at
        float64 (total, k): places of all (batch × segment) surfaces one after the other, batch-major.
    y
        float64 (total,): the surface there.
    offsets
        int64 (surfaces + 1,): surface s owns the places ``offsets[s]:offsets[s + 1]``.
    """

    at: Any
    y: Any
    offsets: Any

    def _of(self, number: int) -> slice:
        return slice(int(self.offsets[number]), int(self.offsets[number + 1]))

    @classmethod
    def take(cls, parts: Sequence[Self], which: Any, index: Any) -> Self:
        pairs = zip(np.ravel(which).tolist(), np.ravel(index).tolist(), strict=True)
        chosen = [(parts[k], parts[k]._of(i)) for k, i in pairs]
        at = np.concatenate([np.empty((0, parts[0].at.shape[1])), *(part.at[own] for part, own in chosen)])
        return cls(at, _behind([p.y[own] for p, own in chosen]), _offsets([p.y[own].size for p, own in chosen]))

    def shift(self, move: Any) -> Self:
        return replace(self, y=self.y + np.repeat(np.ravel(move), np.diff(self.offsets)))

    def evaluate(self, covariate: Any, segments: Segments) -> Any:
        """The surface of each item's group at its place, or at the nearest place that is known."""
        out = np.full(covariate.shape[:2], np.nan)
        for b in range(covariate.shape[0]):
            for g, items in enumerate(_members(segments)):
                own = self._of(b * segments.n_segments + g)
                out[b, items] = _nearest(self.at[own], self.y[own], covariate[b, items])
        return out

    @staticmethod
    def few(arguments: dict[str, Any], n: int, limit: int) -> dict[str, Any]:
        """A wider span, which is the one that was asked for again at the limit."""
        span = arguments.get("span")
        if span is None:
            return arguments
        wider, left = (max(min(1.0, WINDOW / size) - span, 0.0) for size in (n, limit))
        return arguments if wider <= 0 else {**arguments, "span": span + wider - left * n / limit}

    @staticmethod
    def freedom(arguments: Mapping[str, Any]) -> float:
        return BENDS / min(float(arguments.get("span", 1.0)), 1.0)

    def toward(self, own: Self, level: Any, level_share: Any, shape_share: Any) -> Self:
        """Surfaces at the places of the groups' own, or of the whole where they have none."""
        at, y = [], []
        for s, (move, to_level, to_shape) in enumerate(
            zip(np.ravel(level), np.ravel(level_share), np.ravel(shape_share), strict=True)
        ):
            mine, whole = own._of(s), self._of(s)
            places = own.at[mine] if mine.stop > mine.start else self.at[whole]
            base = _nearest(self.at[whole], self.y[whole], places)
            bend = own.y[mine] - base - move if mine.stop > mine.start else np.full(len(places), np.nan)
            at.append(places)
            y.append(base + to_level * move + np.where(np.isfinite(bend), to_shape * bend, 0.0))
        return replace(self, at=np.concatenate(at), y=np.concatenate(y), offsets=_offsets([part.size for part in y]))

    def to_plain(self) -> dict[str, Any]:
        return {"at": plain(self.at), "y": plain(self.y), "offsets": self.offsets.tolist()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        return cls(floats(plain["at"]), floats(plain["y"]), np.array(plain["offsets"], np.int64))


def _nearest(at: Floats, y: Floats, places: Floats) -> Floats:
    """Values of the nearest known places; NaN where none is known, or a place is none."""
    if at.shape == places.shape and np.array_equal(at, places):
        return y
    out = np.full(len(places), np.nan)
    there = np.isfinite(places).all(axis=1)
    if len(at) and there.any():
        from scipy.spatial import cKDTree

        out[there] = y[cKDTree(at).query(places[there])[1]]
    return out


@dataclass(frozen=True, eq=False)
class Together:
    """Curves of the groups, beside fits of the whole of each batch entry.

    ``moved``, (batch, segment), is added to all of a group; ``chosen``, (batch, 1), is what the data chose of an
    option of the whole: NaN for nothing. Both may be None.
    """

    own: Curves
    rest: tuple[Any, ...]
    moved: Any = None
    chosen: Any = None

    kinds: ClassVar[tuple[Any, ...]]  # of ``rest``
    combined: ClassVar[Callable[..., Any]]  # (own, rest, covariate, single) at every item

    @property
    def knots(self) -> Knots:
        """Those of the groups' curves."""
        return self.own.knots  # type: ignore[no-any-return]

    @classmethod
    def take(cls, parts: Sequence[Self], which: Any, index: Any) -> Self:
        groups = [(p.own.knots.offsets.size - 1) // max(p._entries, 1) for p in parts]
        first = which[:, :1]
        entry = index[:, :1] // np.array(groups)[first]
        own = Curves.take([part.own for part in parts], which, index)
        rest = tuple(kind.take([part.rest[k] for part in parts], first, entry) for k, kind in enumerate(parts[0].kinds))
        some = any(part.chosen is not None for part in parts)
        chosen = taken([p.chosen for p in parts], first, entry) if some else None
        if all(part.moved is None for part in parts):
            return cls(own, rest, None, chosen)
        moves = [np.zeros(p._entries * g) if p.moved is None else p.moved for p, g in zip(parts, groups, strict=True)]
        shaped = [np.reshape(move, (-1, 1)) for move in moves]
        return cls(own, rest, taken(shaped, which, index), chosen)

    @property
    def _entries(self) -> int:
        rest = self.rest[0]
        return int((rest.knots if isinstance(rest, Curves) else rest).offsets.size) - 1

    def shift(self, move: Any) -> Self:
        return replace(self, moved=move if self.moved is None else self.moved + move)

    def evaluate(self, covariate: Any, segments: Segments) -> Any:
        single = Segments.single(segments.n_items)
        found = self.combined(self.own.evaluate(covariate, segments), self.rest, covariate, single)
        return found if self.moved is None else found + self.moved[:, segments.codes]

    def to_plain(self) -> dict[str, Any]:
        moved, chosen = (None if part is None else plain(part) for part in (self.moved, self.chosen))
        rest = [part.to_plain() for part in self.rest]
        return {"own": self.own.to_plain(), "rest": rest, "moved": moved, "chosen": chosen}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        rest = tuple(kind.from_plain(part) for kind, part in zip(cls.kinds, plain["rest"], strict=True))
        moved, chosen = (None if plain[name] is None else floats(plain[name]) for name in ("moved", "chosen"))
        return cls(Curves.from_plain(plain["own"]), rest, moved, chosen)


def _blended(own: Any, rest: tuple[Any, ...], covariate: Any, single: Segments) -> Any:
    whole, share = (part.evaluate(covariate, single) for part in rest)
    return share * whole + (1 - share) * own


def _added(own: Any, rest: tuple[Any, ...], covariate: Any, single: Segments) -> Any:
    return own + rest[0].evaluate(covariate[:, :, 1:3], single)


class Blend(Together):
    """Curves of the groups that go over to a curve of the whole: its share is a curve over the covariate too."""

    kinds: ClassVar[tuple[Any, ...]] = (Curves, Curves)
    combined = staticmethod(_blended)


class Joint(Together):
    """Curves of the groups over the first covariate, and one surface over the two that follow."""

    kinds: ClassVar[tuple[Any, ...]] = (Surfaces,)
    combined = staticmethod(_added)
