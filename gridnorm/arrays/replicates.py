"""Spots that were printed more than once: one row for each ID, with how many spots it has and how they agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.given import as_arrays, kind_of
from gridnorm.arrays.grouping import find_column
from gridnorm.arrays.matrices import LEVEL, LEVELS, REPLICATES, declared, replicates_of
from gridnorm.arrays.raw import Column, FloatArray
from gridnorm.arrays.spot_types import TYPE, check_types, count_types, same_type
from gridnorm.arrays.used import used
from gridnorm.core.fit import fit, median_of
from gridnorm.core.option import NUMBER, WORDS, Kind, Option, Range, Table, take
from gridnorm.core.option.signature import shows
from gridnorm.core.segments import Segments, distinct
from gridnorm.errors import OptionError

Mask = NDArray[np.bool_]
PLACES = ("Block", "Row", "Column", "X", "Y")  # of one ID those of its first spot
WIDE = 0.2  # coefficient of variation from which replicates are counted as apart: protGear's cut-off

LIMIT = Option(
    "replicates_cv", NUMBER, WIDE,
    "Coefficient of variation above which spots that disagree are left out.",
    Range(0), metavar="CV", source="protGear",
)  # fmt: skip
BY_COLUMN = "ID"
APART = Option("apart", WORDS, (), "Spot types whose spots are not averaged.", metavar="TYPE,…")


class Replicates(NamedTuple):
    """One row of ``REPLICATES``.

    ``statistic`` of the core makes one value of the spots of an ID; None leaves rows as they are. ``choose`` says which
    of the spots that count enter it: called with values (array, spot), segments, the spots that count (array, spot) and
    the options.
    """

    name: str
    statistic: str | None
    summary: str
    choose: Callable[[FloatArray, Segments, Mask, Mapping[str, Any]], Mask] | None = None
    options: tuple[Option, ...] = ()
    source: str = ""


@shows([LIMIT])
def average_replicates(
    arrays: ArraySet,
    method: str | Replicates = "mean",
    by: str = BY_COLUMN,
    *,
    apart: str | Sequence[str] = (),
    **options: Any,
) -> ArraySet:
    """One row for each ID, from all of its spots.

    Spots count that have a value and a weight ``W`` above 0, so that flagged ones do not; but those that were not found
    do, as in every fit: they are dim, and without them the mean would be too high. Where no spot of an ID
    counts, its row is made of those with a value, and has ``W`` 0. Spots without an ID stay as they are.

    Parameters
    ----------
    arrays
        Normalized arrays.
    method
        ``mean``, ``median``, ``best2of3`` (the mean of the two thirds that agree best, where all together have a
        coefficient of variation above ``replicates_cv``: of three spots the two nearest each other, of two both), or a
        row of your own; ``keep`` changes nothing.
    by
        The spot column whose equal cells are replicates, exact title first, then ignoring case.
    apart
        Spot types (column ``SpotType``) whose spots stay as they are; case does not count.
    **options

    Returns
    -------
    ArraySet
        Rows in the order in which IDs first appear. ``M`` and ``A`` (or ``E``) are those of the same spots, ``W`` is
        the mean of their weights. Further matrices: ``N``, the spots in a value; ``SD``, the standard deviation (n − 1)
        of all that count, in log2; ``CV`` of one channel, the same of intensities over their mean. A row has the
        place (Block, Row, Column, X, Y) of the first spot; of other columns what all spots share, else an empty cell,
        with a warning that counts them.

    Raises
    ------
    OptionError
        Raw arrays, arrays that have been averaged, no such column, an unknown method, or an option it does not take.

    Notes
    -----
    Peers: limma's ``avereps`` (``mean``, where nothing has weight 0; it averages spots without an ID too), protGear
    (``best2of3``).

    Examples
    --------
    >>> import gridnorm as gn
    >>> from dataclasses import replace
    >>> one = gn.normalize(gn.simulate(1, blocks=(2, 2), spots=(10, 10), seed=1).arrays)
    >>> twice = replace(one, columns={"ID": one.columns["ID"][:200].repeat(2)})
    >>> done = gn.average_replicates(twice)
    >>> twice.n_spots, done.n_spots, float(done.values["N"].max())
    (400, 200, 2.0)
    """
    arrays = as_arrays(arrays)
    row = REPLICATES_TABLE.find(method)
    given = take(row.options, options, f"replicates {row.name}")
    if row.statistic is None:
        return arrays
    if arrays.stage != LEVELS:
        raise OptionError(
            "replicates are averaged when arrays are normalized", found="raw intensities", hint="Normalize first"
        )
    if any(m.role == REPLICATES for m in arrays.matrices.values()):
        raise OptionError("the replicates of these arrays have been averaged already", found=str(arrays.history))
    if not isinstance(by, str):
        raise OptionError("by names the column of what spots share", found=kind_of(by), expected="a title such as ID")
    try:
        title = find_column(by, arrays.columns, "", "by")
    except OptionError as error:  # here no grouping will do
        raise OptionError(error.what, found=error.found, expected="a spot column", hint=error.hint) from None
    kept_apart = APART.read(apart)
    segments, first = _groups(arrays.columns, title, kept_apart)
    values, counted = _averaged(arrays, row, segments, given)
    columns, notes = _shared(arrays, segments, first, title)
    done = _in_rows(arrays, segments, first, values, counted, columns)
    step = {
        "replicates": row.name,
        "replicates_by": title,
        **({"apart": list(kept_apart)} if kept_apart else {}),
        **given,
    }
    return _recorded(done, arrays, step, notes)


def _groups(columns: Mapping[str, Column], title: str, apart: Sequence[str]) -> tuple[Segments, NDArray[np.int64]]:
    """Spots of one ID as a segment, in the order of their first spots, and these."""
    labels = columns[title]
    own = labels == b"" if labels.dtype.kind == "S" else np.isnan(labels) if labels.dtype.kind == "f" else None
    alone: Mask = np.zeros(labels.shape, bool) if own is None else np.array(own)
    if apart:
        if TYPE not in columns:
            raise OptionError(f"there are no spot types to keep apart: no column {TYPE}", found=", ".join(columns))
        known = count_types(columns)
        check_types(APART, apart, known)
        alone |= np.isin(columns[TYPE], [name.encode() for word in apart for name in same_type(word, known)])
    codes = distinct(labels)[1]
    codes[alone] = codes.max(initial=0) + 1 + np.arange(np.count_nonzero(alone))
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return Segments.from_codes(rank[inverse], range(order.size)), first[order]


def _averaged(
    arrays: ArraySet, row: Replicates, segments: Segments, options: Mapping[str, Any]
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Matrices with a value a segment, and the weights (array, segment); 0 where no spot counted."""
    assert row.statistic is not None
    out: dict[str, FloatArray] = {}
    matrices = arrays.matrices
    weights = arrays.spot_weights
    wanted = np.stack([used(arrays, k) for k in range(len(arrays))])
    reported = np.zeros((len(arrays), segments.n_segments))
    for name, matrix in matrices.items():
        if matrix.role != LEVEL:
            continue
        values = arrays.values[name]
        known = np.isfinite(values)
        count = _counting(known & wanted, known, segments)
        spread = fit(values, segments, "moments", use=count, ddof=1)
        cv = _variation(values, segments, count)
        use = count if row.choose is None else row.choose(values, segments, count, options)
        found = fit(values, segments, row.statistic, use=use)
        out[name] = found.location
        if "A" in arrays.values and name == "M":
            out["A"] = fit(arrays.values["A"], segments, row.statistic, use=use).location
        extra = {m.prefix: m.name for m in replicates_of(matrix, arrays.channels)}
        out[extra["N"]] = found.n.astype(np.float64)
        out[extra["SD"]] = np.where(spread.n > 1, spread.scale, np.nan)
        if "CV" in extra:
            out[extra["CV"]] = cv
        reported = np.fmax(reported, _weight(weights, segments, use, values.shape))
    order = [name for name in declared(arrays.channels, LEVELS) if name in out]
    return {name: out[name] for name in order}, reported


def _counting(good: Mask, known: Mask, segments: Segments) -> Mask:
    """The good spots; of segments without any all that are known."""
    count = good.copy()
    for k, row in enumerate(good):
        count[k] |= known[k] & (segments.count(row) == 0)[segments.codes]
    return count


def _weight(weights: FloatArray | None, segments: Segments, use: Mask, shape: tuple[int, ...]) -> FloatArray:
    """Mean weight of the spots in a value; where there is none, of all."""
    if weights is None:
        return np.ones((shape[0], segments.n_segments))
    mine, every = (fit(weights, segments, "moments", use=which).location for which in (use, None))
    return np.asarray(np.nan_to_num(np.where(np.isnan(mine), every, mine)))


def _variation(values: FloatArray, segments: Segments, use: Mask) -> FloatArray:
    """Coefficient of variation (n − 1) of 2^values; NaN of fewer than two."""
    # Relative to the segment's own level, so that no power of two runs over.
    level = fit(values, segments, "median", use=use).location
    with np.errstate(over="ignore", invalid="ignore"):
        plain = np.exp2(values - level[:, segments.codes])
    found = fit(plain, segments, "moments", use=use, ddof=1)
    assert found.scale is not None
    return np.where(found.n > 1, found.scale / found.location, np.nan)


def _nearest(values: FloatArray, segments: Segments, use: Mask, options: Mapping[str, Any]) -> Mask:
    """Of each segment that varies too much, the two thirds (rounded up) whose values lie closest together."""
    cv = _variation(values, segments, use)
    out = use.copy()
    for k, row in enumerate(values):
        here = np.flatnonzero(use[k] & (cv[k] > options["replicates_cv"])[segments.codes])
        if not here.size:
            continue
        here = here[np.lexsort([row[here], segments.codes[here]])]
        code = segments.codes[here]
        start = np.flatnonzero(np.r_[True, code[1:] != code[:-1]])
        size = np.diff(np.r_[start, here.size])
        kept = -(-2 * size // 3)
        which = np.repeat(np.arange(start.size), size)
        last = np.arange(here.size) + kept[which] - 1
        inside = last < (start + size)[which]
        width = np.where(inside, row[here[np.minimum(last, here.size - 1)]] - row[here], np.inf)
        best = np.lexsort([width, which])[start]  # the lowest of those that are equally wide
        at = np.arange(here.size)
        taken = (at >= best[which]) & (at < (best + kept)[which])
        out[k, here[~taken]] = False
    return out


def _shared(
    arrays: ArraySet, segments: Segments, first: NDArray[np.int64], title: str
) -> tuple[dict[str, Column], list[str]]:
    """Spot columns of the rows, and a sentence about cells that are empty since spots of one ID differ."""
    out: dict[str, Column] = {}
    told = []
    for name, column in arrays.columns.items():
        mine = column[first]
        if name not in PLACES and name != title:
            codes = distinct(column)[1]
            differs = np.flatnonzero(segments.count(codes != codes[first][segments.codes]))
            if differs.size:
                mine = mine.astype(np.float64) if mine.dtype.kind in "iub" else mine.copy()
                mine[differs] = b"" if mine.dtype.kind == "S" else np.nan
                if name in arrays.shown:
                    told.append(f"{name} of {differs.size}")
        out[name] = mine
    if not told:
        return out, []
    return out, [f"replicates: spots of one {title} differ in {', '.join(told)} rows; those cells are empty"]


def _in_rows(
    arrays: ArraySet,
    segments: Segments,
    first: NDArray[np.int64],
    values: dict[str, FloatArray],
    weights: FloatArray,
    columns: dict[str, Column],
) -> ArraySet:
    """The set with a row a segment."""
    flags, absent = arrays.flag_codes, arrays.absent
    if absent is not None:
        absent = np.stack([segments.count(~row) == 0 for row in absent])
        weights = np.where(absent, np.nan, weights)
    if flags is not None:
        # A row is flagged as its first spot is, where all its spots are flagged.
        flags = np.stack([np.where(segments.count(row == 0) == 0, row[first], 0) for row in flags])
    here = np.ones(weights.shape, bool) if absent is None else ~absent
    levels = [m.name for m in arrays.matrices.values() if m.role == LEVEL]
    fits = []
    for k, one in enumerate(arrays.fits):
        start = fit(one.start, segments, "moments").location if one.start.size else one.start
        mine = np.stack([values[name][k] for name in levels]) if one.values.size else one.values
        fits.append(replace(one, values=mine, start=start))
    return replace(
        arrays, values=values, columns=columns, flag_codes=flags, absent=absent, fits=tuple(fits),
        spot_weights=weights if bool((weights[here] != 1).any()) else None,
    )  # fmt: skip


def _recorded(done: ArraySet, before: ArraySet, step: dict[str, Any], notes: list[str]) -> ArraySet:
    """With the step in every history, and what became of the rows of each array in its record."""
    records = []
    for k in range(len(before)):
        known = before.record(k)
        told = _agreement(done, k, before.n_spots)
        records.append(known._replace(history=known.history.then("average_replicates", **step), replicates=told))
    return replace(
        done, history=before.history.then("average_replicates", **step), records=tuple(records),
        warnings=(*before.warnings, *notes),
    )  # fmt: skip


def _agreement(done: ArraySet, k: int, spots: int) -> dict[str, Any]:
    """How many rows became how many, and how well replicates agree: median SD and CV, rows that are far apart."""
    out: dict[str, Any] = {"spots": spots, "rows": done.n_spots}
    for name, m in done.matrices.items():
        if m.role != REPLICATES or m.prefix == "N":
            continue
        known = done.values[name][k][np.isfinite(done.values[name][k])]
        out[f"median_{name}"] = float(f"{median_of(known):.9g}") if known.size else None
        if m.prefix == "CV":
            out[f"above_{WIDE:g}_{name}"] = int(np.count_nonzero(known > WIDE))
    return out


def _row(given: Any) -> Any:
    """The name of a row, or a row itself."""
    if given is None:
        raise ValueError
    return REPLICATES_TABLE.find(given).name if isinstance(given, str) else REPLICATES_TABLE.check(given)


REPLICATE_SPOTS = Option(
    "replicates",
    Kind("a way with replicates", _row, {"type": "string"}, lambda row: row if isinstance(row, str) else row.name),
    "keep", "What spots of one ID become: {rows}.", metavar="METHOD",
)  # fmt: skip
REPLICATES_TABLE: Table[Replicates] = Table(
    "replicates method",
    [
        Replicates("keep", None, "every spot a row of its own"),
        Replicates("mean", "moments", "the mean of the spots of an ID", source="limma's avereps"),
        Replicates("median", "median", "their median"),
        Replicates(
            "best2of3", "moments", "the mean of the two thirds that agree best, where they disagree", _nearest,
            (LIMIT,), "protGear",
        ),
    ],
)  # fmt: skip
