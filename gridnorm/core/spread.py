"""How much of the spread of values a grouping explains."""

from __future__ import annotations

from typing import Any

from gridnorm.core.apply import apply
from gridnorm.core.backend import backend_for
from gridnorm.core.fit import fit
from gridnorm.core.segments import Segments


def share_explained(values: Any, segments: Segments, *, use: Any = None) -> Any:
    """Share of the variance of values that lies between groups, float64 (batch,).

    η² = 1 − SS(within groups) / SS(around the overall mean): 0 where the groups have equal means, 1 where all spread
    lies between them; NaN without spread. Groups of k random labels give about (k − 1)/(n − 1).

    Parameters
    ----------
    values
        (item,) or (batch, item); NaN is left out.
    segments
        The grouping.
    use
        Boolean mask of the items that count.

    Examples
    --------
    >>> import numpy as np
    >>> share_explained(np.array([1.0, 1.0, 3.0, 3.0]), Segments.from_labels([0, 0, 1, 1]))
    array([1.])
    """
    xp = backend_for(values).xp
    squares = []
    for grouping in (segments, Segments.single(segments.n_items)):
        left = apply(values, grouping, fit(values, grouping, "moments", use=use), "centre")
        left = xp.atleast_2d(left)
        keep = xp.isfinite(left) if use is None else xp.isfinite(left) & use
        squares.append((xp.where(keep, left, 0.0) ** 2).sum(axis=1))
    within, total = squares
    return xp.where(total > 0, 1.0 - within / xp.where(total > 0, total, 1.0), xp.nan)
