"""A method that the package does not know: a plane over A and the slide's columns, fitted to control spots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridnorm.core.methods import Method
from gridnorm.core.option import NUMBER, TEXT, Option, Range
from gridnorm.core.payload import floats, plain, taken
from gridnorm.core.statistic import Statistic


@dataclass(frozen=True, eq=False)
class Planes:
    """Coefficients of each group, float64 (batch, segment, 1 + k)."""

    coefficients: Any

    @classmethod
    def take(cls, parts: Any, which: Any, index: Any) -> Planes:
        return cls(taken([part.coefficients for part in parts], which, index))

    def shift(self, move: Any) -> Planes:
        moved = self.coefficients.copy()
        moved[:, :, 0] += move
        return Planes(moved)

    def evaluate(self, covariate: Any, segments: Any) -> Any:
        mine = self.coefficients[:, segments.codes]
        return mine[:, :, 0] + (mine[:, :, 1:] * covariate).sum(axis=2)

    def to_plain(self) -> dict[str, Any]:
        return {"coefficients": plain(self.coefficients)}

    @classmethod
    def from_plain(cls, given: Mapping[str, Any]) -> Planes:
        return cls(floats(given["coefficients"]))


def fit_planes(backend: Any, view: Any, segments: Any, given: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    batch, k = view.shape[0], given["covariate"].shape[2]
    n = np.zeros((batch, segments.n_segments), np.int64)
    found = np.full((batch, segments.n_segments, 1 + k), np.nan)
    for b in range(batch):
        x = np.column_stack([np.ones(segments.n_items), given["covariate"][b]])
        good = np.isfinite(view[b, :, 0]) & np.isfinite(x).all(axis=1)
        good &= True if given["use"] is None else given["use"][b]
        for g in range(segments.n_segments):
            mine = good & (segments.codes == g)
            n[b, g] = mine.sum()
            if n[b, g] > k:
                penalty = options["ridge"] * np.diag([0.0] + [1.0] * k)
                found[b, g] = np.linalg.solve(x[mine].T @ x[mine] + penalty, x[mine].T @ view[b, mine, 0])
    return n, Planes(found)


RIDGE = Option("ridge", NUMBER, 0.0, "Penalty on the slopes of planes.", Range(0))
SPIKES = Option("spikes", TEXT, "P", "What the IDs of control spots begin with.")


def spiked(columns: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    return np.char.startswith(columns["ID"], options["spikes"].encode())


PLANE = Method(
    name="plane",
    statistic=Statistic("plane", fit_planes, Planes, (RIDGE,), covariates=2, summary="a plane"),
    application="subtract",
    minimum=6,
    summary="subtract a plane over A and the slide's columns, fitted to control spots",
    covariates=("level", "slide-column"),
    use=spiked,
    more_options=(SPIKES,),
    source="made up",
)
