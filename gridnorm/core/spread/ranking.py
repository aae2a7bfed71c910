"""Whether a grouping explains more than given alternatives of its kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError


class Rank(NamedTuple):
    """Where a grouping stands among alternatives.

    Attributes
    ----------
    share
        Adjusted share of the variance that it explains; NaN without spread.
    alternatives
        How many there are.
    p
        (alternatives that explain as much + 1)/(alternatives + 1); NaN without any, and without spread.
    """

    share: float
    alternatives: int
    p: float


def rank_among(values: Any, segments: Segments, alternatives: Iterable[Any], *, use: Any = None) -> Rank:
    """Rank a grouping by the adjusted share of the variance that it explains.

    Where items are not exchangeable, permutations name a structure that chance does not make. Alternatives of the
    same shape elsewhere keep whatever dependence there is between items, if values are about as they would be there.

    Parameters
    ----------
    values
        (item,); NaN is left out.
    segments
        The grouping.
    alternatives
        Integer codes (item,) of one alternative after the other; items with a negative code take no part in it.
    use
        Boolean mask of the items that count, (item,).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=60) + 2 * np.repeat([0, 1, 2], 20)
    >>> shifted = [(np.arange(60) + step) % 60 // 20 for step in range(1, 20)]
    >>> rank_among(x, Segments.from_labels(np.repeat([0, 1, 2], 20)), shifted).p
    0.05
    """
    flat = np.asarray(values, np.float64)
    if flat.ndim != 1 or flat.size != segments.n_items:
        raise OptionError("values to rank a grouping by must be one row", found=f"shape {flat.shape}")
    keep = np.isfinite(flat) if use is None else np.isfinite(flat) & np.asarray(use, np.bool_)
    kept = _centred(flat[keep])
    found = _adjusted(kept, segments.codes[keep])
    count = reached = 0
    for codes in alternatives:
        count += 1
        # Sums in another order differ by rounding.
        reached += bool(_adjusted(kept, np.asarray(codes)[keep]) >= found - 1e-12)
    p = (reached + 1) / (count + 1) if count and np.isfinite(found) else float("nan")
    return Rank(found, count, p)


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values around their mean; of equal ones, whose mean is rounded, zeros."""
    if not values.size or values.min() == values.max():
        return np.zeros(values.size)
    centred: NDArray[np.float64] = values - values.mean()
    return centred


def _adjusted(values: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    """Adjusted share of the variance of centred values, as `variance_shares` has it, for hundreds of groupings."""
    if codes.size and codes.min() < 0:
        values, codes = _centred(values[codes >= 0]), codes[codes >= 0]
    n = np.bincount(codes)
    k = np.count_nonzero(n)
    total = float(values @ values)
    if values.size <= k or total <= 0:
        return float("nan")
    sums = np.bincount(codes, values)
    within = total - float((sums[n > 0] ** 2 / n[n > 0]).sum())
    return float(1.0 - within / (values.size - k) / (total / (values.size - 1)))
