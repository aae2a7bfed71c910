"""A lattice over two covariates, from whose vertices a smooth surface is interpolated by cubic splines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEPS = 4  # vertices within the radius of a window
FEWEST, MOST = 6, 80  # vertices of a side


class Lattice(NamedTuple):
    """Coordinates of the vertices along each covariate."""

    first: Floats
    second: Floats

    @property
    def vertices(self) -> Floats:
        """All of them, (vertex, 2)."""
        return np.stack(np.meshgrid(self.first, self.second, indexing="ij"), axis=2).reshape(-1, 2)

    def at(self, values: Floats, places: Floats) -> Floats:
        """Values of the vertices, interpolated; a vertex without one takes that of its nearest neighbours."""
        from scipy.interpolate import RectBivariateSpline

        table = filled(values.reshape(self.first.size, self.second.size))
        found: Floats = RectBivariateSpline(self.first, self.second, table).ev(places[:, 0], places[:, 1])
        return found


def lattice_of(at: Floats, places: Floats, share: float) -> Lattice | None:
    """The lattice for windows that hold ``share`` of the points; None where it would have more vertices than places.

    Parameters
    ----------
    at, places
        (point, 2) and (place, 2).
    """
    both = np.concatenate([at, places])
    low, high = both.min(axis=0), both.max(axis=0)
    if not (high > low).all() or at.shape[1] != 2:
        return None
    radius = np.sqrt(share * np.prod(high - low) / np.pi)
    sides = np.clip(np.ceil((high - low) * STEPS / radius).astype(int) + 1, FEWEST, MOST)
    if np.prod(sides) >= len(places):
        return None
    return Lattice(*(np.linspace(a, b, k) for a, b, k in zip(low, high, sides.tolist(), strict=True)))


def filled(table: Floats) -> Floats:
    """A table whose NaN are means of the neighbours that have a value, from the border inward."""
    out = table.copy()
    if not np.isfinite(out).any():
        return np.zeros(out.shape)
    while np.isnan(out).any():
        wide = np.pad(out, 1, constant_values=np.nan)
        around = np.stack([wide[1:-1, :-2], wide[1:-1, 2:], wide[:-2, 1:-1], wide[2:, 1:-1]])
        there = np.isfinite(around)
        counts = there.sum(axis=0)
        mean = np.where(there, around, 0.0).sum(axis=0) / np.maximum(counts, 1)
        out = np.where(np.isnan(out) & (counts > 0), mean, out)
    return out
