"""How much of the variance of values lies between groups, raw and adjusted, and the F test of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from gridnorm.core.engines import backend_for
from gridnorm.core.fit import fit
from gridnorm.core.segments import Segments
from gridnorm.core.spread.given import flat


class FTest(NamedTuple):
    """One-way analysis of variance; each part float64 (batch,).

    Attributes
    ----------
    F
        Mean square between groups over mean square within; infinite where groups have no spread within.
    df1, df2
        Degrees of freedom: groups with values − 1, and values − groups with values.
    p
        Probability of an F at least as large where all values are independent draws from one normal distribution.
    """

    F: Any
    df1: Any
    df2: Any
    p: Any


class Shares(NamedTuple):
    """Shares of the variance of values that lie between groups; each part float64 (batch,).

    Attributes
    ----------
    explained
        η², as ``share_explained`` has it.
    adjusted
        Adjusted η² (ε²): 1 − MS(within groups)/MS(around the overall mean), about 0, and below it as often as above,
        where values are dealt to the groups at random. NaN without spread, and where every value has its own group.
    chance
        Expectation of η² where groups mean nothing: (k − 1)/(n − 1) for n values in k groups that have any; NaN for
        fewer than two values.
    """

    explained: Any
    adjusted: Any
    chance: Any


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
        Boolean mask of the items that count, (item,) or (batch, item).

    Examples
    --------
    >>> import numpy as np
    >>> share_explained(np.array([1.0, 1.0, 3.0, 3.0]), Segments.from_labels([0, 0, 1, 1]))
    array([1.])
    """
    within, _, _ = _within(values, segments, use)
    return 1.0 - within


def variance_shares(values: Any, segments: Segments, *, use: Any = None) -> Shares:
    """``share_explained`` beside what chance explains, and what is left beyond chance.

    Parameters as in ``share_explained``.

    Examples
    --------
    >>> import numpy as np
    >>> found = variance_shares(np.array([1.0, 2.0, 3.0, 4.0]), Segments.from_labels([0, 0, 1, 1]))
    >>> float(found.explained[0]), float(found.adjusted[0]), round(float(found.chance[0]), 4)
    (0.8, 0.7, 0.3333)
    """
    xp = backend_for(values).xp
    within, n, groups = _within(values, segments, use)
    left = n - groups
    adjusted = xp.where(left > 0, 1.0 - within * (n - 1.0) / xp.where(left > 0, left, 1.0), xp.nan)
    chance = xp.where(n > 1, (groups - 1.0) / xp.where(n > 1, n - 1.0, 1.0), xp.nan)
    return Shares(1.0 - within, adjusted, chance)


def f_test(values: Any, segments: Segments, *, use: Any = None) -> FTest:
    """Test whether the groups differ in their means: one-way analysis of variance of every batch entry.

    It takes the items for independent and equally spread, as ``permutation_test`` does, and fails where that does: what
    is said there of neighbours, trends and groups of unequal spread holds here.

    Parameters
    ----------
    values
        (item,) or (batch, item); NaN is left out.
    segments
        The grouping; groups without a value do not count.
    use
        Boolean mask of the items that count, (item,) or (batch, item).

    Returns
    -------
    FTest
        ``F`` and ``p`` are NaN for one group, for groups of one value each, and for values without spread.

    Notes
    -----
    ``p`` comes from SciPy on the host; on a device the (batch,) numbers of F make that trip.

    Examples
    --------
    >>> import numpy as np
    >>> found = f_test(np.array([1.0, 2.0, 3.0, 4.0]), Segments.from_labels([0, 0, 1, 1]))
    >>> round(float(found.F[0]), 6), float(found.df1[0]), float(found.df2[0]), round(float(found.p[0]), 4)
    (8.0, 1.0, 2.0, 0.1056)
    """
    from scipy.special import fdtrc

    xp = backend_for(values).xp
    within, n, groups = _within(values, segments, use)
    df1, df2 = xp.maximum(groups - 1.0, 0.0), n - groups
    testable = (df1 > 0) & (df2 > 0) & xp.isfinite(within)
    spread = testable & (within > 0)
    noise = xp.where(spread, within, 1.0) / xp.where(testable, df2, 1.0)
    ratio = (1.0 - within) / xp.where(testable, df1, 1.0) / noise
    F = xp.where(spread, ratio, xp.where(testable, xp.inf, xp.nan))
    p = xp.asarray(fdtrc(df1.tolist(), df2.tolist(), F.tolist()), dtype=xp.float64)
    return FTest(F, df1, df2, p)


def _within(values: Any, segments: Segments, use: Any) -> tuple[Any, Any, Any]:
    """Share of the sum of squares that lies within groups (NaN without spread), values, and groups that have any."""
    backend = backend_for(values)
    xp = backend.xp
    view = flat(values, segments, backend)
    whole = fit(view, Segments.single(segments.n_items), "moments", use=use).scale[:, 0]
    grouped = fit(view, segments, "moments", use=use)
    n = grouped.n.sum(axis=1)
    has = whole > 0
    # Deviations are divided before they are squared: large and small units keep their digits.
    relative = xp.where(grouped.n > 0, grouped.scale, 0.0) / xp.where(has, whole, 1.0)[:, None]
    within = (grouped.n * relative * relative).sum(axis=1) / xp.maximum(n, 1)
    # Groups of equal means have a share of 0, which rounding must not make negative.
    within = xp.where(has, xp.minimum(within, 1.0), xp.nan)
    return within, n.astype(xp.float64), (grouped.n > 0).sum(axis=1).astype(xp.float64)
