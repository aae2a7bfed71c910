"""Local regression of many segments at once: which rule of ``limma::loessFit`` each segment follows."""

from __future__ import annotations

import numpy as np

from gridnorm.core.engines.knots import Knots
from gridnorm.core.engines.numpy import lowess_plain as plain
from gridnorm.core.engines.numpy.lowess_windows import Bools, Floats, Ints, assemble
from gridnorm.errors import OptionError

__all__ = ["Knots", "lowess"]

_MIN_WEIGHT, _MAX_WEIGHT = 1e-5, 1e5


def lowess(
    x: Floats,
    y: Floats,
    offsets: Ints,
    weights: Floats | None = None,
    *,
    span: float = 0.3,
    iterations: int = 4,
    npts: int = 200,
) -> Knots:
    """Fit a robust local line to every segment, by the rules of ``limma::loessFit``.

    A segment of n items with ``span < 1 / n`` keeps y itself (equal x: the mean of their y). Weights that are all
    equal count as none; without weights this is Cleveland's lowess with ``delta`` = 1 % of the segment's range of x.
    With weights and ``n < 4 + 1 / span`` the curve is one weighted straight line, else the weighted lowess of limma.

    Parameters
    ----------
    x, y
        Finite values, shape (items,), x ascending within each segment. They are only read.
    offsets
        Segment g is ``offsets[g]:offsets[g + 1]``, shape (segments + 1,); segments may be empty.
    weights
        Prior weights, shape (items,). NaN counts as 0; values are clamped to [1e-5, 1e5].
    span
        Share of a segment's items (of its weight, with weights) in one window, > 0.
    iterations
        Number of fits, the first one included, >= 1.
    npts
        Approximate number of evaluated points per segment on the weighted path, >= 2.

    Returns
    -------
    Knots
        The evaluated points. The fitted value of an item is the linear interpolation between knots. On the weighted
        path y of a knot is NaN where robustness left a window without weight, as in limma.

    Raises
    ------
    OptionError
        If span, iterations or npts is out of range.

    Notes
    -----
    Cleveland (1979), J. Am. Stat. Assoc. 74, 829; R's ``stats::lowess``, ``limma::loessFit``,
    ``limma::weightedLowess``.

    One thing of limma is no function of x: where a fit is NaN, items of equal x at the last finite knot before it are
    NaN too, except the first of them. Here they all have the knot's value.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(40.0)
    >>> knots = lowess(x, 2 * x + 1, np.array([0, 40]))
    >>> bool(np.allclose(knots.y, 2 * knots.x + 1))
    True
    """
    if not (span > 0 and np.isfinite(span)):
        raise OptionError("span cannot have this value", found=str(span), expected="a positive number")
    if iterations < 1:
        raise OptionError("iterations cannot have this value", found=str(iterations), expected="at least 1")
    if npts < 2:
        raise OptionError("npts cannot have this value", found=str(npts), expected="at least 2")
    offsets = np.asarray(offsets, np.int64)
    sizes = np.diff(offsets)
    as_points = (sizes > 0) & (span < 1 / np.maximum(sizes, 1))
    by_curve = (sizes > 0) & ~as_points
    parts = [plain.points(x, y, offsets, as_points)]
    if weights is not None:
        from gridnorm.core.engines.numpy import lowess_weighted as weighted  # not needed without weights

        clamped = np.clip(np.where(np.isnan(weights), 0.0, weights), _MIN_WEIGHT, _MAX_WEIGHT)
        unequal = by_curve & _unequal(clamped, offsets)
        by_line = unequal & (sizes < 4 + 1 / span)
        parts.append(weighted.lines(x, y, clamped, offsets, by_line))
        parts.append(weighted.curves(x, y, clamped, offsets, unequal & ~by_line, span, iterations, npts))
        by_curve &= ~unequal
    parts.append(plain.curves(x, y, offsets, by_curve, span, iterations))
    return assemble(parts, sizes.size)


def _unequal(weights: Floats, offsets: Ints) -> Bools:
    """Whether the weights of each segment differ."""
    filled = np.flatnonzero(np.diff(offsets))
    result = np.zeros(offsets.size - 1, bool)
    if filled.size:
        starts = offsets[filled]
        highest = np.maximum.reduceat(weights[: offsets[-1]], starts)
        result[filled] = highest - np.minimum.reduceat(weights[: offsets[-1]], starts) >= 1e-15
    return result
