"""Background correction of foreground intensities, and the logarithms taken of the result.

Each method treats each row (a channel of an array) by itself. Peer: limma's ``backgroundCorrect``; where limma
silently returns uncorrected, infinite or mixed-up values, this raises, or notes what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays import normexp
from gridnorm.arrays.nelder_mead import MAX_EVALUATIONS
from gridnorm.core.option import NUMBER, TEXT, Option, Range, Table, take
from gridnorm.errors import FitError, OptionError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_LEAST = 1e-18  # limma's "positive" in minimum
_EDWARDS_ZERO, _EDWARDS_SHARE = 1e-16, 1.1  # limma's "not positive" in edwards, and by how much their share is widened


class Corrected(NamedTuple):
    """Corrected intensities.

    ``values`` is (row, spot) in the unit of the foreground. ``fits`` has one normexp fit a row, None for other
    methods. ``notes`` are doubts about single rows, ready to be shown after the name of a file.
    """

    values: FloatArray
    fits: tuple[normexp.NormexpFit, ...] | None
    notes: tuple[str, ...]


class Channel(NamedTuple):
    """One channel of an array as a background method sees it: float64 (spot,), and the method's options."""

    foreground: FloatArray
    background: FloatArray | None
    neighbours: Neighbours | None
    options: Mapping[str, Any]

    def difference(self) -> FloatArray:
        """Foreground minus background, as far as there is one."""
        return self.foreground if self.background is None else self.foreground - self.background


class Done(NamedTuple):
    """What a background method gives back: corrected intensities, the model if it has one, and doubts."""

    values: FloatArray
    fit: normexp.NormexpFit | None = None
    notes: tuple[str, ...] = ()


class Background(NamedTuple):
    """One row of ``BACKGROUNDS``: what it does to a channel, and what it has to be given."""

    name: str
    function: Callable[[Channel], Done]
    summary: str
    options: tuple[Option, ...] = ()
    needs_background: bool = False
    needs_position: bool = False
    source: str = ""


def choose_background(given: str | Background, measured: bool) -> Background:
    """The row that was asked for; ``auto`` is normexp where a background was measured, else none."""
    if isinstance(given, str) and given == "auto":
        return BACKGROUNDS["normexp" if measured else "none"]
    return BACKGROUNDS.find(given, also=("auto",))


def correct(
    foreground: FloatArray,
    background: FloatArray | None,
    method: str | Background,
    *,
    position: Sequence[IntArray] | None = None,
    names: Sequence[str] | None = None,
    **options: Any,
) -> Corrected:
    """Correct foreground intensities for their local background.

    Parameters
    ----------
    foreground, background
        (row, spot) intensities, a row being one channel of one array. NaN is missing and stays missing.
    method
        A row of `BACKGROUNDS` or its name. ``none`` and ``normexp`` do without a background, the others do not.
    position
        (row, column) of each spot on the slide, for ``movingmin``; see `_neighbours`. What follows these two,
        such as the block, is not used: neighbours cross the borders of blocks.
    names
        What to call the rows in messages, such as ``("R", "G")``.
    **options
        Of the row: ``offset``, added to the result of every method (50 with ``normexp``, else 0), and
        ``normexp_method``, ``"saddle"`` or ``"mle"``.

    Raises
    ------
    OptionError
        An unknown method, an option that it does not take, a background or position that it needs and is not given,
        or shapes that differ.
    FitError
        The values of a row do not allow this method.

    Examples
    --------
    >>> import numpy as np
    >>> correct(np.array([[5.0, 3.0]]), np.array([[1.0, 4.0]]), "half").values
    array([[4. , 0.5]])
    """
    row = BACKGROUNDS.find(method)
    chosen = take(row.options, options, f"background method {row.name}")
    return correct_rows(foreground, background, row, chosen, position, names)


def correct_rows(
    foreground: FloatArray,
    background: FloatArray | None,
    method: Background,
    chosen: Mapping[str, Any],
    position: Sequence[IntArray] | None = None,
    names: Sequence[str] | None = None,
) -> Corrected:
    """``correct`` with all options of the method in force."""
    _check(foreground, background, method, position)
    if names is None:
        names = [f"row {i + 1}" for i in range(foreground.shape[0])]
    neighbours = _neighbours(position[0], position[1]) if method.needs_position and position is not None else None
    values = np.empty(foreground.shape, dtype=np.float64)
    fits: list[normexp.NormexpFit] = []
    notes: list[str] = []
    for i, name in zip(range(foreground.shape[0]), names, strict=True):
        channel = Channel(foreground[i], None if background is None else background[i], neighbours, chosen)
        try:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                done = method.function(channel)
        except FitError as error:
            raise FitError(
                f"{name}: {error.what}", found=error.found, expected=error.expected, hint=error.hint
            ) from None
        values[i] = done.values
        notes += [f"{name}: {note}" for note in done.notes]
        if done.fit is not None:
            fits.append(done.fit)
    if chosen.get("offset"):
        values += chosen["offset"]
    return Corrected(values, tuple(fits) if fits else None, tuple(notes))


def _check(
    foreground: FloatArray, background: FloatArray | None, known: Background, position: Sequence[IntArray] | None
) -> None:
    if known.needs_background and background is None:
        raise OptionError(
            f"background method {known.name!r} needs background intensities, and none were measured",
            hint="Use none, or normexp, which then works on the foreground alone",
        )
    if background is not None and background.shape != foreground.shape:
        raise OptionError(
            "foreground and background differ in shape", found=str(background.shape), expected=str(foreground.shape)
        )
    if known.needs_position:
        if position is None:
            raise OptionError(
                f"background method {known.name!r} needs the positions of the spots on the slide",
                hint="Give a layout, or use subtract or normexp",
            )
        if any(np.shape(p) != foreground.shape[1:] for p in position[:2]):
            raise OptionError(
                "there is not one position a spot",
                found=", ".join(str(np.shape(p)) for p in position[:2]),
                expected=str(foreground.shape[1:]),
            )


# ---- methods -----------------------------------------------------------------------------------------------------


def _none(row: Channel) -> Done:
    return Done(row.foreground)


def _subtract(row: Channel) -> Done:
    return Done(row.difference())


def _half(row: Channel) -> Done:
    return Done(np.maximum(row.difference(), 0.5))


def _minimum(row: Channel) -> Done:
    d = row.difference()
    low = d < _LEAST
    if not low.any():
        return Done(d)
    positive = d[d >= _LEAST]
    if positive.size == 0:
        raise FitError(
            "minimum cannot be used: no spot is brighter than its background",
            found=f"{int(low.sum())} values, all of them zero or less",
            expected="at least one positive value, half of which replaces the others",
            hint="Use normexp or half",
        )
    return Done(np.where(low, positive.min() / 2, d))


def _edwards(row: Channel) -> Done:
    """Linear above a threshold, log-linear below (Edwards, Bioinformatics 19, 2003)."""
    d = row.difference()
    known = d[~np.isnan(d)]
    if known.size == 0:
        return Done(d)
    low = int((known < _EDWARDS_ZERO).sum())
    share = _EDWARDS_SHARE * (low / known.size)
    if share > 1 + 1e-13:  # 1.1 * 10/11 may round up
        raise FitError(
            "edwards cannot be used: too few spots are brighter than their background",
            found=f"{low} of {known.size} values zero or less",
            expected="at most 10/11 of them",
            hint="Use normexp or half",
        )
    threshold = np.quantile(known, min(share, 1.0))
    assert row.background is not None
    below = threshold * np.exp(1 - (row.background + threshold) / row.foreground)
    return Done(np.where(d >= threshold, d, below))


def _movingmin(row: Channel) -> Done:
    assert row.background is not None and row.neighbours is not None
    lowest = row.neighbours.minimum(row.background)
    lost = int((np.isnan(lowest) & ~np.isnan(row.foreground)).sum())
    note = f"movingmin: {lost} spots have no background in their neighbourhood and are missing"
    return Done(row.foreground - lowest, None, (note,) if lost else ())


def _normexp(row: Channel) -> Done:
    x = row.difference()
    fit = normexp.fit(x, row.options["normexp_method"])
    notes = []
    if fit.evaluations > MAX_EVALUATIONS and row.options["normexp_method"] == "saddle":
        notes.append(f"normexp: the fit was stopped after {fit.evaluations} evaluations and may not be the optimum")
    return Done(normexp.signal(fit, x), fit, tuple(notes))


OFFSET = Option(
    "offset", NUMBER, 0.0, "Added after background correction.", Range(0), metavar="X", auto=True,
    source="limma's backgroundCorrect",
)  # fmt: skip
NORMEXP_METHOD = Option(
    "normexp_method", TEXT, "saddle", "How the model of normexp is fitted.", choices=("saddle", "mle"),
    source="limma's normexp.fit",
)  # fmt: skip
LIMMA = "limma's backgroundCorrect"

BACKGROUNDS: Table[Background] = Table(
    "background method",
    [
        Background("none", _none, "foreground as it is", (OFFSET,), source=LIMMA),
        Background("subtract", _subtract, "foreground minus background", (OFFSET,), True, source=LIMMA),
        Background("half", _half, "the difference, but at least 0.5", (OFFSET,), True, source=LIMMA),
        Background(
            "minimum", _minimum, "the difference; where not positive, half of the smallest positive one of the channel",
            (OFFSET,), True, source=LIMMA,
        ),
        Background(
            "movingmin", _movingmin, "foreground minus the lowest background of the 3 x 3 spots around",
            (OFFSET,), True, True, source=LIMMA,
        ),
        Background(
            "edwards", _edwards, "the difference, log-linear below a threshold near its zero", (OFFSET,), True,
            source="Edwards, Bioinformatics 19 (2003)",
        ),
        Background(
            "normexp", _normexp, "mean signal in a normal + exponential model of the difference",
            (OFFSET._replace(default=50.0), NORMEXP_METHOD),
            source="Ritchie et al., Bioinformatics 23 (2007)",
        ),
    ],
    functions=("function",),
)  # fmt: skip


# ---- neighbours on the slide -------------------------------------------------------------------------------------


class Neighbours(NamedTuple):
    """Spots grouped by position, and the up to nine positions in reach of each.

    ``order`` sorts spots by position, ``starts`` are the positions' first places in it, ``place`` is the position
    of each spot, ``reach`` is (9, position) with the number of positions standing for "no spot there".
    """

    order: IntArray
    starts: IntArray
    place: IntArray
    reach: IntArray

    def minimum(self, values: FloatArray) -> FloatArray:
        """For each spot the smallest value in reach; missing ones are passed over, NaN if all are missing."""
        if values.size == 0:
            return values
        v = np.where(np.isnan(values), np.inf, values)
        at_position = np.append(np.minimum.reduceat(v[self.order], self.starts), np.inf)
        lowest = at_position[self.reach].min(axis=0)
        lowest[np.isinf(lowest)] = np.nan
        return np.asarray(lowest[self.place])


def _neighbours(slide_row: IntArray, slide_column: IntArray) -> Neighbours:
    """The 3 x 3 neighbourhoods on the physical grid of the whole slide.

    Blocks do not matter: the last column of one is next to the first column of the next one, if their positions
    say so (limma's matrix + printer route does the same). Positions without a spot are passed over, several spots
    of one position all count, and the numbers need not be dense, so blocks may differ in size.
    """
    row, column = _squeezed(slide_row), _squeezed(slide_column)
    width = int(column.max(initial=0)) + 3  # one empty column either side: no neighbour across the line's end
    key = row * width + column + 1
    positions, place = np.unique(key, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(positions.size))
    reach = np.full((9, positions.size), positions.size, dtype=np.int64)
    steps = [dr * width + dc for dr in (-1, 0, 1) for dc in (-1, 0, 1)]
    for i, step in enumerate(steps):
        at = np.searchsorted(positions, positions + step)
        found = at < positions.size
        found[found] = positions[at[found]] == positions[found] + step
        reach[i, found] = at[found]
    return Neighbours(order, starts, place, reach)


def _squeezed(coordinate: IntArray) -> IntArray:
    """The same adjacency with gaps closed to one empty line, so that stray positions cost nothing."""
    lines, at = np.unique(np.asarray(coordinate, dtype=np.int64), return_inverse=True)
    return np.asarray(np.concatenate([[0], np.cumsum(np.minimum(np.diff(lines), 2))])[at], dtype=np.int64)


# ---- logarithms --------------------------------------------------------------------------------------------------


def to_log_ratio(red: FloatArray, green: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """``M = log2 R - log2 G`` and ``A = (log2 R + log2 G) / 2``, and how many intensities were not positive.

    Intensities of zero or less have no logarithm: M and A of their spot are NaN. Each is counted once, so a spot
    with both channels dark counts twice; intensities that were missing already do not count. Any shape.

    Examples
    --------
    >>> import numpy as np
    >>> to_log_ratio(np.array([8.0, -1.0]), np.array([2.0, 4.0]))
    (array([ 2., nan]), array([ 2., nan]), 1)
    """
    log_red, dark_red = to_log(red)
    log_green, dark_green = to_log(green)
    return log_red - log_green, (log_red + log_green) / 2, dark_red + dark_green


def to_log(intensity: FloatArray) -> tuple[FloatArray, int]:
    """``log2`` of corrected intensities, NaN where they are zero or less, and how many were; any shape."""
    dark = intensity <= 0
    return np.log2(np.where(dark, np.nan, intensity)), int(dark.sum())


def to_levels(channels: tuple[str, ...], intensity: FloatArray) -> tuple[FloatArray, FloatArray | None, int]:
    """What is normalized, (row, spot): M with A as covariate for R and G, else log2 of each channel.

    The third entry counts the intensities that were not positive.
    """
    if channels == ("R", "G"):
        m, a, n_bad = to_log_ratio(intensity[0], intensity[1])
        return m[None, :], a[None, :], n_bad
    values, n_bad = to_log(intensity)
    return values, None, n_bad
