"""Number, mean and standard deviation of every segment, and what they rest on: rows around their mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gridnorm.core._numpy.observed import Floats, Mask, observed
from gridnorm.core._numpy.rows import Array, dots, loops_of, places, quiet, take, to_segments
from gridnorm.core.segments import IntArray, Segments


class Around(NamedTuple):
    """Rows around their mean ``shift + rest``: a rounded number and what rounding left, so that no digit is lost.

    Attributes
    ----------
    left
        ``x − shift``, the shape and dtype of the rows.
    shift
        (row,), dtype of the rows.
    rest, variance
        float64 (row,); the variance divides by the number (or weight) of the values.
    """

    left: Array
    shift: Array
    rest: Floats
    variance: Floats


_HARDLY = {kind: float((16 * np.finfo(kind).eps) ** 2) for kind in "fd"}


def real(dtype: Any) -> type[np.float32] | type[np.float64]:
    """What values of that dtype are computed in: float32 for half and single precision, else float64."""
    return np.float32 if dtype.itemsize <= 4 and dtype.kind in "fV" else np.float64


def around(x: Array, w: Array | None = None, *, center: bool = True, into: Array | None = None) -> Around:
    """Mean and variance of rows in two passes: the mean, then differences from it. Called within ``quiet()``.

    Parameters
    ----------
    x
        float32 or float64 (row, element), contiguous along the row.
    w
        Weights of that shape and dtype, none negative, or None. An element of weight 0 must be finite.
    center
        False: the mean is 0, the variance the mean square.
    into
        Where ``left`` goes; not ``x`` itself.
    """
    loops_of(x.shape[1])
    total = x.shape[1] if w is None else dots(w).astype(np.float64)
    if center:
        shift = (dots(x, w) / total).astype(x.dtype, copy=False)
        left = np.subtract(x, shift[:, None], out=into)
    else:
        shift, left = np.zeros(x.shape[0], x.dtype), x.copy()
    weighted = left if w is None else left * w
    rest = np.divide(dots(weighted), total, dtype=np.float64) if center else np.zeros(x.shape[0])
    variance = np.divide(dots(weighted, left), total, dtype=np.float64) - rest * rest
    found = Around(left, shift, rest, variance)
    # Where hardly more than rounding is left the mean may have been rounded away from equal values, and where
    # squares ran over there is no variance: those rows are done again with care.
    sure = (variance > np.square(shift, dtype=np.float64) * _HARDLY[x.dtype.char]) & (variance < np.inf)
    if not sure.all():
        rows = np.flatnonzero(~sure)
        _with_care(found, rows, x[rows], None if w is None else w[rows], center)
    return found


def _with_care(found: Around, rows: IntArray, x: Array, w: Array | None, center: bool) -> None:
    """The same of some rows, from their first element on and in float64: exact for equal values, and no overflow."""
    weight = np.ones(x.shape) if w is None else w.astype(np.float64)
    use = weight > 0
    total = weight.sum(axis=1)
    largest = np.where(use, np.abs(x), 0).max(axis=1)
    exponent = np.frexp(largest)[1].astype(np.int64)
    scale = np.ldexp(1.0, np.where(exponent > 500, -exponent, 0))  # squares of float64 run over, too
    exact = x * scale[:, None]
    mean = np.zeros(rows.size)
    if center:
        first = exact[np.arange(rows.size), use.argmax(axis=1)]
        mean = first + (weight * (exact - first[:, None])).sum(axis=1) / total
    shift = (mean / scale).astype(x.dtype)
    left = exact - (shift * scale)[:, None]
    rest = (weight * left).sum(axis=1) / total if center else np.zeros(rows.size)
    variance = (weight * left * left).sum(axis=1) / total - rest * rest
    broken = ~np.isfinite(largest) | ~use.any(axis=1)
    shift[broken] = np.nan  # one NaN or infinite value, or no weight at all: there is no mean
    found.shift[rows] = shift
    found.left[rows] = x - shift[:, None]
    found.rest[rows] = rest / scale
    found.variance[rows] = np.where(broken, np.nan, np.maximum(variance, 0.0) / scale / scale)


def moments(
    values: Array, segments: Segments, weights: Array | None, use: Mask | None, ddof: int = 0
) -> tuple[IntArray, Floats, Floats]:
    """Count, mean and standard deviation, each (batch, segment), in two passes; NaN and infinite values are left out.

    ``ddof`` is subtracted from the number of values (unweighted) as in ``numpy.std``. With weights the
    divisor is Σw·(n − ddof)/n: weights that all equal one give the unweighted result. Segments without a
    value have NaN; with n ≤ ddof the deviation is NaN.
    """
    shape = (values.shape[0], segments.n_segments)
    n, mean, variance = np.zeros(shape, np.int64), np.full(shape, np.nan), np.full(shape, np.nan)
    mask = observed(values, use, weights)
    complete = bool(mask.all())
    kind = real(values.dtype)
    spread = None if weights is None else np.broadcast_to(weights[:, :, None], values.shape)
    with quiet():
        for place in places(values.shape, segments):
            x = take(values, place).astype(kind, copy=False)
            if complete and weights is None:
                found, count = around(x), np.full(x.shape[0], x.shape[1])
            else:
                seen = take(mask, place)
                w = seen.astype(kind) if spread is None else np.where(seen, take(spread, place), 0.0).astype(kind)
                found, count = around(np.where(seen, x, kind(0)), w), np.count_nonzero(seen, axis=1)
            to_segments(n, place, count)
            to_segments(mean, place, found.shift + found.rest)
            to_segments(variance, place, found.variance)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.where(n > ddof, np.sqrt(np.maximum(variance, 0.0) * n / (n - ddof)), np.nan)
    return n, mean, np.where(n > 0, deviation, np.nan)


def sums(values: Array, segments: Segments) -> Floats:
    """Sum of every segment, float64 (batch, segment); 0 where a segment is empty, NaN where a value is."""
    out = np.zeros((values.shape[0], segments.n_segments))
    for place in places(values.shape, segments):
        to_segments(out, place, dots(np.ascontiguousarray(take(values, place))))
    return out
