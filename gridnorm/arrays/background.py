"""Background correction of foreground intensities.

Each method treats each row (a channel of an array) by itself; affine compares the rows. Peer: limma's
``backgroundCorrect``; where limma silently returns uncorrected, infinite or mixed-up values, this raises, or notes what
it did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays import affine, kooperberg, negative_controls, normexp
from gridnorm.arrays.background_row import Background, Channel, Column, Done
from gridnorm.arrays.neighbours import neighbours_of
from gridnorm.arrays.normexp.doubts import doubts_of
from gridnorm.core.option import AUTO, NUMBER, TEXT, Option, Range, Table, take
from gridnorm.errors import FitError, OptionError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_LEAST = 1e-18  # limma's "positive" in minimum
_EDWARDS_ZERO, _EDWARDS_SHARE = 1e-16, 1.1  # limma's "not positive" in edwards, and by how much their share is widened
__all__ = ["BACKGROUNDS", "OFFSET", "Background", "Channel", "Corrected", "Done", "choose_background", "correct",
           "correct_rows"]  # fmt: skip

# The automatic offset, in spreads of the darkest spots: decision 0019 has the measurements.
OFFSET_SPREADS = 1.1


class Corrected(NamedTuple):
    """Corrected intensities.

    ``values`` is (row, spot) in the unit of the foreground. ``fits`` has one normexp fit a row, None for other
    methods; ``offsets`` is what was added to each row. ``notes`` are doubts about rows, ready to be shown after the
    name of a file. ``lines``: offset and gain that affine took out of each row.
    """

    values: FloatArray
    fits: tuple[normexp.NormexpFit, ...] | None
    notes: tuple[str, ...]
    offsets: tuple[float, ...] = ()
    lines: tuple[tuple[float, float], ...] = ()


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
    ratio: bool = True,
    columns: Sequence[Mapping[str, Column]] | None = None,
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
        (row, column) of each spot on the slide, for ``movingmin``; see `neighbours_of`. What follows these two,
        such as the block, is not used: neighbours cross the borders of blocks.
    names
        What to call the rows in messages, such as ``("R", "G")``.
    ratio
        Whether the logarithms of two rows are subtracted from each other afterwards; the automatic offset is 0 where
        they are not.
    columns
        By row, the spot columns that ``kooperberg`` (`kooperberg.COLUMNS`) and ``nec`` (``SpotType``) look at.
    **options
        Of the row: ``offset``, added to the result of every method (``"auto"`` with ``normexp``, else 0), and
        ``normexp_method``, ``"scaled"``, ``"saddle"`` or ``"mle"``.

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
    return correct_rows(foreground, background, row, chosen, position, names, ratio, columns)


def correct_rows(
    foreground: FloatArray,
    background: FloatArray | None,
    method: Background,
    chosen: Mapping[str, Any],
    position: Sequence[IntArray] | None = None,
    names: Sequence[str] | None = None,
    ratio: bool = True,
    columns: Sequence[Mapping[str, Column]] | None = None,
) -> Corrected:
    """``correct`` with all options of the method in force."""
    _check(foreground, background, method, position)
    seen = [{}] * foreground.shape[0] if columns is None else columns
    _check_columns(method, seen, chosen)
    if names is None:
        names = [f"row {i + 1}" for i in range(foreground.shape[0])]
    neighbours = neighbours_of(position[0], position[1]) if method.needs_position and position is not None else None
    values = np.empty(foreground.shape, dtype=np.float64)
    done: list[Done] = []
    notes: list[str] = []
    given = chosen.get("offset", 0.0)
    channels = [
        Channel(foreground[i], None if background is None else background[i], neighbours, chosen, ratio, seen[i])
        for i in range(foreground.shape[0])
    ]
    joint = method.function(channels) if method.together else None
    for i, name in zip(range(foreground.shape[0]), names, strict=True):
        try:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                found: Done = method.function(channels[i]) if joint is None else joint[i]
                values[i] = found.values
                if given != AUTO:
                    found = found._replace(offset=given)
                if found.offset:
                    values[i] += found.offset
        except FitError as error:
            raise FitError(
                f"{name}: {error.what}", found=error.found, expected=error.expected, hint=error.hint
            ) from None
        done.append(found)
        notes += [f"{name}: {note}" for note in found.notes]
        endless = np.isinf(values[i])
        if endless.any():
            values[i, endless] = np.nan
            notes.append(f"{name}: {int(endless.sum())} corrected intensities are infinite and were taken as missing")
    fits = tuple(one.fit for one in done if one.fit is not None)
    notes = [*dict.fromkeys(note for one in done for note in one.shared), *notes, *_told_once(names, done)]
    lines = tuple(one.line for one in done if one.line is not None)
    return Corrected(values, fits or None, tuple(notes), tuple(one.offset for one in done), lines)


def _told_once(names: Sequence[str], done: Sequence[Done]) -> list[str]:
    """Doubts of the channels of an array, each with the channels that raise it and their figures."""
    raised: dict[str, list[tuple[str, str]]] = {}
    for name, one in zip(names, done, strict=True):
        for doubt in one.doubts:
            raised.setdefault(doubt.text, []).append((name, doubt.figure))
    return [
        f"{', '.join(name for name, _ in by)}: {text}; found {'; '.join(figure for _, figure in by)}"
        for text, by in raised.items()
    ]


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


def _check_columns(known: Background, columns: Sequence[Mapping[str, Column]], chosen: Mapping[str, Any]) -> None:
    """Refuse what a method looks at in files and is not there, such as where a set is corrected that has been read."""
    places = kooperberg.PLACES if chosen.get("neighbours", "none") != "none" else ()
    lacking = [title for title in (*known.columns, *places) if any(title not in seen for seen in columns)]
    if lacking:
        raise OptionError(
            f"background method {known.name!r} looks at columns of each array's own file",
            found=f"no {', '.join(lacking)}", expected="GenePix files that have them, of scans that were not merged",
            hint=f'A set that has been read keeps none: use gn.normalize(paths, background="{known.name}")',
        )  # fmt: skip


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
    if share > 1:  # 1.1 * (10 / 11) is 1
        raise FitError(
            "edwards cannot be used: too few spots are brighter than their background",
            found=f"{low} of {known.size} values zero or less",
            expected="at most 10/11 of them",
            hint="Use normexp or half",
        )
    threshold = np.quantile(known, share)
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
    method, offset = row.options["normexp_method"], row.options["offset"]
    fit = normexp.fit(x, method)
    signal = normexp.signal(fit, x)
    # A multiple of the channel's own spread follows the scanner's gain, so that M does not. Levels of a single channel
    # are compared over their whole range, where an offset would bend them.
    automatic = OFFSET_SPREADS * fit.spread if row.ratio else 0.0
    notes = []
    if not fit.converged:
        notes.append(f"normexp: the fit was stopped after {fit.evaluations} evaluations and may not be the optimum")
    added = automatic if offset == AUTO else offset
    return Done(signal, fit, tuple(notes), doubts_of(fit, signal, added, offset == AUTO), automatic)


def _affine(rows: Sequence[Channel]) -> list[Done]:
    options, measured = rows[0].options, rows[0].background is not None
    foreground = np.stack([row.foreground for row in rows])
    found = affine.undone(foreground, options["constraint"], options["saturated"], measured)
    numbers = zip(found.values, found.offsets.tolist(), found.gains.tolist(), strict=True)
    return [Done(values, shared=found.notes, line=(offset, gain)) for values, offset, gain in numbers]


def _kooperberg(row: Channel) -> Done:
    assert row.background is not None
    found = kooperberg.signal(row.foreground, row.background, row.columns, row.options)
    return Done(found.values, notes=found.notes)


def _nec(row: Channel) -> Done:
    x = row.difference()
    fit, notes = negative_controls.model(x, row.columns, row.options)
    return Done(normexp.signal(fit, x), fit, notes)


OFFSET = Option(
    "offset", NUMBER, 0.0, "Added after background correction; auto: in proportion to the noise of each channel.",
    Range(0), metavar="X", auto=True, source="limma's backgroundCorrect",
)  # fmt: skip
NORMEXP_METHOD = Option(
    "normexp_method", TEXT, "scaled", "How the model of normexp is fitted: scaled follows the scanner's gain.",
    choices=normexp.METHODS, source="limma's normexp.fit",
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
            (OFFSET._replace(default=AUTO), NORMEXP_METHOD),
            source="Ritchie et al., Bioinformatics 23 (2007)",
        ),
        Background(
            "affine", _affine, "foreground without what each channel adds and multiplies; two channels or more",
            (OFFSET, affine.CONSTRAINT, affine.SATURATED), source="Bengtsson and Hössjer, BMC Bioinformatics 7 (2006)",
            together=True,
        ),
        Background(
            "kooperberg", _kooperberg, "mean signal given the spread of each spot's pixels; GenePix files",
            (OFFSET, kooperberg.NEIGHBOURS, kooperberg.QUADRATURE), True,
            source="Kooperberg et al., J Comput Biol 9 (2002)", columns=kooperberg.MEASURES,
        ),
        Background(
            "nec", _nec, "mean signal in the model of normexp, its background that of negative control spots",
            (OFFSET._replace(default=negative_controls.OFFSET), negative_controls.NEGATIVE_TYPE,
             negative_controls.ROBUST), source="Shi et al., Nucleic Acids Res 38 (2010)",
        ),
    ],
    functions=("function",),
)  # fmt: skip
