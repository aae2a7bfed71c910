"""Number, mean and standard deviation of every segment, and what they rest on: rows around their mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gridnorm.core.engines.numpy.observed import Floats, Mask, observed
from gridnorm.core.engines.numpy.rows import Array, dots, loops_of, places, quiet, take, to_segments
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


# (mean / deviation)² from which a float64 sum of squares of such values has lost too many digits.
_FAR = {"f": 1e6, "d": 1.0}
_HARDLY = float((16 * np.finfo(np.float64).eps) ** 2)


def real(dtype: Any) -> type[np.float32] | type[np.float64]:
    """What values of that dtype are computed in: float32 for half and single precision, else float64."""
    return np.float32 if dtype.itemsize <= 4 and dtype.kind in "fV" else np.float64


def around(x: Array, w: Array | None = None, *, center: bool = True, into: Array | None = None) -> Around:
    """Mean and variance of rows, from float64 sums; called within ``quiet()``.

    Where the mean lies within a deviation of 0 nothing is shifted: that costs no digit and leaves every value as it is.
    Where it lies so far off that the sum of squares has lost digits, a second pass sums differences from it.

    Parameters
    ----------
    x
        float32 or float64 (row, element), contiguous along the row.
    w
        Weights of that shape and dtype, none negative, or None. An element of weight 0 must be finite.
    center
        False: the mean is 0, the variance the mean square.
    into
        Where ``left`` may go; not ``x`` itself. Without a shift ``left`` is ``x``.
    """
    loops_of(x.shape[1])
    total = x.shape[1] if w is None else dots(w.astype(np.float64, copy=False))
    rest, square = _sums(x, w, total)
    left, shift = x, np.zeros(x.shape[0], x.dtype)
    if center:
        variance = square - rest * rest
        mean = rest
        shift = np.where(mean * mean <= variance, 0.0, mean).astype(x.dtype)
        if shift.any():
            left, rest = np.subtract(x, shift[:, None], out=into), mean - shift
            far = ~(mean * mean <= _FAR[x.dtype.char] * variance)
            if far.any():
                again = _sums(left[far], None if w is None else w[far], total if w is None else total[far])
                rest[far], variance[far] = again[0], again[1] - again[0] * again[0]
    else:
        rest, variance = np.zeros(x.shape[0]), square
    # Equal float64 values may be rounded away from their mean, and squares of huge ones run over: done with care.
    sure = variance < np.inf
    if x.dtype == np.float64:
        sure &= variance > np.square(shift) * _HARDLY
    if sure.all():
        return Around(left, shift, rest, variance)
    found = Around(x.copy() if left is x else left, shift, rest, variance)
    rows = np.flatnonzero(~sure)
    _with_care(found, rows, x[rows], None if w is None else w[rows], center)
    return found


def _sums(x: Array, w: Array | None, total: Any) -> tuple[Floats, Floats]:
    """Mean and mean square of rows, in float64."""
    exact = x.astype(np.float64, copy=False)
    weighted = exact if w is None else exact * w
    return dots(weighted) / total, dots(weighted, exact) / total


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
