"""One variance at every level: an arsinh of each batch entry, whose offset and factor make items agree best.

h(y) = arsinh(exp(f) · y + a) is linear where values are small and a logarithm where they are large, as suits an error
that is the sum of a constant and of a share of the value. Offset a and log factor f of each entry and segment are
those of the greatest likelihood (Huber et al., Bioinformatics 18 (2002) S96), robustly: without the items that fit in
least (Huber et al., Stat Appl Genet Mol Biol 2 (2003) 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.across.entries import Given, listed
from gridnorm.core.across.vsn.likelihood import Bools, Floats, Rows, terms
from gridnorm.core.across.vsn.newton import StalledError
from gridnorm.core.across.vsn.rounds import Fitted, Trim, trimmed
from gridnorm.core.option import NUMBER, TEXT, WHOLE, Option, Range
from gridnorm.core.payload import floats, plain
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError

LEAST_ITEMS = 42  # of a segment, with a value in the entry and in another one
SAME = 1e-20  # mean square of the residuals, in units of the entries' spread: they agree but for rounding
BENT = 1.1  # the greatest slope of a curve over its least, from which on it is no line
QUANTILES = (0.1, 0.5, 0.9)  # of an entry: its zero, and the ends of its unit
VSN_KEEP = Option(
    "vsn_keep", NUMBER, 0.9, "Share of the spots that vsn keeps in its fit; 1: all, which changed spots can mislead.",
    Range(0.5, 1), metavar="SHARE", source="Huber et al., Stat Appl Genet Mol Biol 2 (2003) 1",
)  # fmt: skip
VSN_ROUNDS = Option(
    "vsn_rounds", WHOLE, 7, "Fits of vsn, each to the spots that the last one suits best.", Range(1, 100), metavar="N",
    source="Huber et al., Stat Appl Genet Mol Biol 2 (2003) 1",
)  # fmt: skip
VSN_TRIM = Option(
    "vsn_trim", TEXT, "all",
    "Which spots vsn may leave out: of all levels, or bright (the package vsn keeps every spot of the dimmest fifth).",
    choices=("all", "bright"), metavar="WHICH",
)  # fmt: skip
OPTIONS = (VSN_KEEP, VSN_TRIM, VSN_ROUNDS)


class Curves(NamedTuple):
    """What was fitted: offset a and log factor f, float64 (batch, segment), NaN where a segment has no items."""

    offset: Floats
    factor: Floats


class Part(NamedTuple):
    """A segment: its number, those of its items that the fit sees, and their values."""

    number: int
    items: NDArray[np.int64]
    rows: Rows


@dataclass(frozen=True, eq=False)
class Stabilized:
    """What further entries are brought to.

    Attributes
    ----------
    level
        float64 (item,): mean of the transformed values, NaN where none was used.
    variance
        Of the values about their levels, in the same unit.
    shift
        float64 (segment,): what is taken off values on the scale of log2, so that they are near log2 of the intensity.
    """

    level: Any
    variance: float
    shift: Any

    def to_plain(self) -> dict[str, Any]:
        return {"level": plain(self.level), "variance": self.variance, "shift": plain(self.shift)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        return cls(floats(plain["level"]), float(floats([plain["variance"]])[0]), floats(plain["shift"]))

    def check(self, sizes: Sequence[int], options: Mapping[str, Any]) -> str | None:
        """What is wrong with it as the levels of groups of these sizes; None: nothing."""
        if self.level.shape != (sum(sizes),) or self.shift.shape != (len(sizes),):
            found = f"levels of shape {self.level.shape} and shifts of shape {self.shift.shape}"
            return f"{found}, expected ({sum(sizes)},) and ({len(sizes)},)"
        if not self.variance > 0:
            return f"a variance of {self.variance:g}"
        return "shifts that are missing" if np.isnan(self.shift[np.asarray(sizes) > 0]).any() else None


def together(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> tuple[Any, Stabilized]:
    """All entries on the scale of log2, and what further entries are brought to. Writes to ``values``.

    Examples
    --------
    An entry that was read at three times the gain, with 50 added, comes out as the other does.

    >>> from gridnorm.core.engines import backend_for
    >>> rng = np.random.default_rng(0)
    >>> y = np.exp(rng.normal(7, 1, 500)) * np.exp(rng.normal(0, 0.1, (2, 500))) + rng.normal(0, 20, (2, 500))
    >>> y[1] = 3 * y[1] + 50
    >>> options = {option.name: option.default for option in OPTIONS}
    >>> done, target = together(y, Segments.single(500), Given(backend_for(y), ["a", "b"]), options)
    >>> bool(abs(done[0].mean() - done[1].mean()) < 0.02), round(target.variance, 3)
    (True, 0.006)
    """
    curves, target = learn(values, segments, given, options)
    return transform(values, segments, curves, target.shift, given), target


def learn(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> tuple[Curves, Stabilized]:
    """The curves of all entries, and what further entries are brought to.

    An item counts where two entries or more have it. Weights are not used.

    Raises
    ------
    FitError
        Too few items or equal values in a segment of an entry, entries that agree exactly, errors that do not grow with
        the level, no convergence.
    """
    seen = _home(given.observed(values))
    parts = _parts(values, seen & (seen.sum(axis=0) > 1), segments, given)
    entries = seen.shape[0]
    start = np.tile(np.repeat([1.0, 0.0], entries), (len(parts), 1))
    if sum(terms(part.rows, own).square for part, own in zip(parts, start, strict=True)) < SAME * seen.size:
        raise FitError(
            f"{given.names[0]} and the others agree exactly, but for zero and scale, so there is no error to stabilize",
            hint="Leave copies out, or choose another method",
        )
    found = _fitted(parts, start, segments, given, options)
    _check_bent(parts, found, segments, given)
    curves = _curves(parts, found.parameters, segments)
    total, count = np.zeros((2, seen.shape[1]))
    for entry in range(entries):
        h = _arsinh(_home(values[entry]), entry, curves, segments.codes, np)
        total += np.where(seen[entry], h, 0.0)
        count += seen[entry]
    level = np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
    # Levels that are means of all entries take their share of the variance; of a further entry they know nothing.
    variance = found.variance * entries / (entries - 1)
    with np.errstate(invalid="ignore"):
        return curves, Stabilized(level, variance, 1.0 + curves.factor.mean(axis=0) / math.log(2.0))


def toward(values: Any, segments: Segments, target: Stabilized, given: Given, options: dict[str, Any]) -> Any:
    """Each entry by itself: the arsinh with which its items agree best with the target's levels. Writes to ``values``.

    Raises
    ------
    FitError
        Too few items or equal values in a segment of an entry, no convergence.
    """
    level, shift = (np.asarray(_home(part)) for part in (target.level, target.shift))
    curves = Curves(*np.zeros((2, values.shape[0], segments.n_segments)))
    seen = given.observed(values)
    for entry in range(values.shape[0]):
        one = slice(entry, entry + 1)
        only = given._replace(names=given.names[one])
        parts = _parts(values[one], _home(seen[one]) & np.isfinite(level), segments, only, level)
        start = np.stack([_quantiles_meet(part.rows) for part in parts])
        found = _fitted(parts, start, segments, only, options, target.variance)
        for place, part in zip(curves, _curves(parts, found.parameters, segments), strict=True):
            place[one] = part
    return transform(values, segments, curves, shift, given)


def transform(values: Any, segments: Segments, curves: Curves, shift: Any, given: Given) -> Any:
    """Values under the curves, on the scale of log2 less ``shift`` of each segment. Writes to ``values``."""
    xp = given.backend.xp
    codes = xp.asarray(segments.codes)
    less = xp.asarray(shift)[codes]
    for entry in range(values.shape[0]):
        values[entry] = _arsinh(values[entry], entry, curves, codes, xp) / math.log(2.0) - less
    return values


def _arsinh(row: Any, entry: int, curves: Curves, codes: Any, xp: Any) -> Any:
    """The values of one entry under its curves."""
    factor, offset = xp.asarray(np.exp(curves.factor[entry])), xp.asarray(curves.offset[entry])
    return xp.arcsinh(factor[codes] * row + offset[codes])


def _parts(values: Any, seen: Bools, segments: Segments, given: Given, level: Floats | None = None) -> list[Part]:
    """Every segment that has items, ready for the fit.

    Raises
    ------
    FitError
        Too few items in a segment of an entry, or all of one value.
    """
    few, equal = np.zeros((2, seen.shape[0], segments.n_segments), bool)
    parts = []
    for number in np.flatnonzero(segments.sizes):
        items = segments.order[segments.offsets[number] : segments.offsets[number + 1]]
        items = items[seen[:, items].any(axis=0)]
        there = seen[:, items]
        u = np.zeros(there.shape)
        zero, unit = np.zeros(there.shape[0]), np.ones(there.shape[0])
        for entry in range(there.shape[0]):
            few[entry, number] = there[entry].sum() < LEAST_ITEMS
            if few[entry, number]:
                continue
            u[entry] = _home(values[entry])[items]
            zero[entry], unit[entry] = _zero_and_unit(u[entry, there[entry]])
            equal[entry, number] = unit[entry] == 0
        u -= zero[:, None]
        u /= np.where(unit > 0, unit, 1.0)[:, None]
        u[~there] = 0.0
        parts.append(
            Part(
                int(number), items,
                Rows(u, None if there.all() else there, zero, unit, None if level is None else level[items]),
            )
        )  # fmt: skip
    if not parts:
        raise FitError("there is nothing to fit", found="no items", expected=f"{LEAST_ITEMS} or more")
    if few.any():
        other = "another one" if level is None else "the target"
        raise FitError(
            f"too few values for vsn in {listed(few, segments, given)}",
            expected=f"{LEAST_ITEMS} or more in each group that {other} has too",
            hint="Take a grouping of larger groups, or leave it out",
        )
    if equal.any():
        raise FitError(
            f"all values are equal in {listed(equal, segments, given)}, so there is no curve",
            hint="Leave it out; check the background method",
        )
    return parts


def _zero_and_unit(values: Floats) -> tuple[float, float]:
    """What stands for 0 and 1: a low quantile, and the distance from there to one above; 0 where all are equal."""
    low, middle, high = np.quantile(values, QUANTILES)
    unit = middle - low or high - low or values.max() - values.min()
    return float(low), float(unit)


def _quantiles_meet(rows: Rows) -> Floats:
    """Parameters under which two quantiles of the values of an entry become those of the levels."""
    there = slice(None) if rows.there is None else rows.there[0]
    assert rows.level is not None
    (low, middle), (zero, one) = (np.quantile(part, QUANTILES[:2]) for part in (rows.level[there], rows.u[0, there]))
    grow = (np.sinh(middle) - np.sinh(low)) / (one - zero) if one > zero and middle > low else 1.0
    return np.array([np.sinh(low) / grow - zero, np.log(grow)])


def _fitted(
    parts: list[Part], start: Floats, segments: Segments, given: Given, options: dict[str, Any],
    variance: float | None = None,
) -> Fitted:  # fmt: skip
    """The trimmed fit.

    Raises
    ------
    FitError
        It does not converge; the message names where.
    """
    try:
        with np.errstate(all="ignore"):  # steps that lead too far are taken back
            trim = Trim(options["vsn_keep"], whole=1 if options["vsn_trim"] == "bright" else 0)
            return trimmed([part.rows for part in parts], start, trim, options["vsn_rounds"], variance)
    except StalledError as error:
        which = np.zeros((len(given.names), segments.n_segments), bool)
        steepest = [part.rows.slopes(own)[1] for part, own in zip(parts, error.place, strict=True)]
        number, entry = np.unravel_index(np.argmax(steepest), np.shape(steepest))
        which[entry, parts[int(number)].number] = True
        raise FitError(
            f"vsn found no best curve for {listed(which, segments, given)}",
            hint="Many equal values or copies do this: look at them, leave them out or choose another method",
        ) from None


def _check_bent(parts: list[Part], found: Fitted, segments: Segments, given: Given) -> None:
    """Refuse curves that are lines: they are as good at any scale, so that values would have an arbitrary unit.

    Raises
    ------
    FitError
        Naming where.
    """
    straight = np.zeros((len(given.names), segments.n_segments), bool)
    for part, own, kept in zip(parts, found.parameters, found.kept, strict=True):
        least, most = part.rows.of(kept).slopes(own)
        straight[:, part.number] = most < BENT * least
    if straight.any():
        raise FitError(
            f"errors do not grow with the values in {listed(straight, segments, given)}: vsn has nothing to stabilize",
            hint="These may be blanks or a background; leave it out, or choose another method",
        )


def _curves(parts: list[Part], parameters: Floats, segments: Segments) -> Curves:
    """Offset and log factor on the scale of the values."""
    entries = parameters.shape[1] // 2
    offset, factor = np.full((2, entries, segments.n_segments), np.nan)
    for part, own in zip(parts, parameters, strict=True):
        rows = part.rows
        offset[:, part.number] = np.exp(own[entries:]) * (own[:entries] - rows.start / rows.unit)
        factor[:, part.number] = own[entries:] - np.log(rows.unit)
    return Curves(offset, factor)


def _home(array: Any) -> Any:
    """An array in the host's memory."""
    return array.get() if hasattr(array, "get") else array
