"""Arrays for the lowess kernels, and how their curves are fitted and compared with those of the NumPy twin."""

from __future__ import annotations

import platform

import numpy as np
import pytest

from gridnorm.core.engines import numpy as twin
from gridnorm.core.engines.cuda.device import current_device
from gridnorm.core.engines.knots import Knots
from gridnorm.core.segments import Segments

TOLERANCE = 1e-12  # of the largest |y| of the batch entry: sums of more than 1024 items' windows have another order
OPTIONS = {"span": 0.3, "iterations": 4, "zero_weights": "clamp"}
WEIGHTS = ("none", "uniform", "zero or one", "constant", "zeros", "gamma")

x86 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="elsewhere NumPy fuses products and sums"
)


def segments_of(sizes, rng=None):
    """Segments of these sizes; with ``rng`` their items are scattered."""
    codes = np.repeat(np.arange(len(sizes)), sizes)
    return Segments.from_codes(codes if rng is None else rng.permutation(codes), range(len(sizes)))


def draw(rng, batch, items, weights="none"):
    """x with ties and clusters, y with outliers and NaN, weights or None; each (batch, item)."""
    x = np.empty((batch, items))
    for b in range(batch):
        kind = rng.integers(4)
        x[b] = rng.uniform(6, 15, items) if kind == 0 else rng.normal(10, 2, items)
        if kind == 2:
            x[b] = rng.choice([1.0, 2.0, 3.0, 9.0], items) + rng.normal(0, 0.1, items)
        if kind == 3 or rng.random() < 0.3:
            x[b] = np.round(x[b], rng.integers(0, 3))
    y = np.sin(x) + rng.normal(0, 0.3, x.shape)
    y[rng.random(x.shape) < 0.03] *= 30
    y[rng.random(x.shape) < 0.03] = np.nan
    x[rng.random(x.shape) < 0.02] = np.inf
    drawn = {
        "none": lambda: None,
        "uniform": lambda: rng.uniform(size=x.shape),
        "zero or one": lambda: (rng.random(x.shape) > 0.1) * 1.0,
        "constant": lambda: np.full(x.shape, 0.25),
        "zeros": lambda: rng.uniform(size=x.shape) * (rng.random(x.shape) > 0.3),
        "gamma": lambda: np.where(rng.random(x.shape) < 0.02, np.nan, rng.gamma(0.3, 1e3, x.shape)),
    }
    return x, y, drawn[weights]()


def fit(backend, x, y, w, segments, use=None, **options):
    """Counts and knots, moved to NumPy."""
    to, back = (lambda a: a, lambda a: a) if backend is twin else moves()
    given = [None if a is None else to(a) for a in (y[:, :, None], x[:, :, None], w, use)]
    n, knots = backend.lowess_fit(given[0], given[1], segments, given[2], given[3], **{**OPTIONS, **options})
    return back(n), Knots(back(knots.x), back(knots.y), back(knots.offsets))


def moves():
    xp = current_device().xp
    return xp.asarray, lambda a: a.get() if hasattr(a, "get") else a


def assert_same(found, expected, scale=None):
    """Same counts and knots; y to the bit, or within the tolerance times ``scale``."""
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1].offsets, expected[1].offsets)
    np.testing.assert_array_equal(found[1].x, expected[1].x)
    if scale is None:
        np.testing.assert_array_equal(found[1].y, expected[1].y)
    else:
        np.testing.assert_allclose(found[1].y, expected[1].y, rtol=0, atol=TOLERANCE * scale)


def entry(result, b, groups):
    """Counts and knots of one batch entry."""
    n, knots = result
    bounds = knots.offsets[b * groups : (b + 1) * groups + 1]
    own = slice(bounds[0], bounds[-1])
    return n[b], Knots(knots.x[own], knots.y[own], bounds - bounds[0])
