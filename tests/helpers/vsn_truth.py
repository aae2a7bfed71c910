"""Values of known arsinh curves, for tests of vsn and the table of its page."""

from __future__ import annotations

import numpy as np

from gridnorm.core.across.entries import Given
from gridnorm.core.across.vsn import Curves, transform
from gridnorm.core.engines import backend_for
from gridnorm.core.segments import Segments


def truth(seed: int, n: int = 1500, entries: int = 4, changed: float = 0.0) -> tuple[np.ndarray, Curves]:
    """Values (entry, item) from dim to bright, with an error of 0.2 under their curves, and those curves.

    A share of the items is changed in the second half of the entries, all upwards by 0.7 (1 on the scale of log2).
    """
    rng = np.random.default_rng(seed)
    level = np.arcsinh(0.05 * np.exp(rng.normal(3, 1.5, n)))
    factor, offset = np.log(0.05) + rng.normal(0, 0.3, entries), rng.normal(0.5, 0.3, entries)
    h = level + rng.normal(0, 0.2, (entries, n))
    h[entries // 2 :, rng.permutation(n) < changed * n] += 0.7
    y = (np.sinh(h) - offset[:, None]) * np.exp(-factor)[:, None]
    return y, Curves(offset[:, None], factor[:, None])


def under(y: np.ndarray, curves: Curves) -> np.ndarray:
    """The values under curves of one group, on the scale of log2."""
    about = Given(backend_for(y), [str(k) for k in range(len(y))])
    shift = 1 + curves.factor.mean(axis=0) / np.log(2)
    done: np.ndarray = transform(y.copy(), Segments.single(y.shape[1]), curves, shift, about)
    return done


def misled(y: np.ndarray, true: Curves, done: np.ndarray) -> float:
    """Root mean square of what differences between the halves of the entries are off by, beyond their own noise."""
    half = len(y) // 2
    apart = done - under(y, true)
    return float(np.sqrt(np.mean((apart[half:].mean(axis=0) - apart[:half].mean(axis=0)) ** 2)))
