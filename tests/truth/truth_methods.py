"""What methods are for: a blob on the slide, changes that go one way, groups of unequal noise, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from judged import Judged
from recovery import SIZE, false_discoveries, judged_spots, mean_square, moderated, normalized

import gridnorm as gn

SEEDS = range(1, 7)
BLOB: dict[str, Any] = {"blob": 1.5}
UP: dict[str, Any] = {"changed": 0.3, "up": 1.0, "controls": 0.05}
ALIKE: dict[str, Any] = {"tip_scale_sd": 0.0}


def beside_default(arrays: int, options: dict[str, Any], **method: Any) -> float:
    """Error of M of a method beside that of the defaults."""
    squares = np.zeros((len(SEEDS), 2))
    for k, seed in enumerate(SEEDS):
        made = gn.simulate(arrays, seed=seed, **SIZE, **options)
        results = normalized(made.arrays, **method), normalized(made.arrays)
        where = judged_spots(made) & np.isfinite(results).all(axis=0)
        squares[k] = [mean_square(made, m, where) for m in results]
    error = np.sqrt(squares.mean(axis=0))
    return float(error[0] / error[1])


def false(options: dict[str, Any], **method: Any) -> float:
    """False discoveries of a method over four replicate arrays."""
    found = []
    for seed in SEEDS:
        made = gn.simulate(4, seed=seed, **SIZE, **options)
        _, p, changed = moderated(made, normalized(made.arrays, **method))
        found.append(false_discoveries(p, changed))
    return float(np.mean(found))


def rows() -> Iterator[Judged]:
    """What methods gain where they are meant to, and what they cost elsewhere."""
    error, named = "error of M, beside that of the defaults", "false among those named at 5 %"
    yield Judged("methods", "joint, a blob on every slide", error, beside_default(2, BLOB, method="joint"), "<=", 0.95)
    yield Judged("methods", "joint, no blob", error, beside_default(2, {}, method="joint"), "<=", 1.01)
    yield Judged("methods", "control, 30 % up only", named, false(UP, method="control"), "<=", 0.05)
    yield Judged("methods", "control, 30 % up only", error, beside_default(4, UP, method="control"), "<=", 1.08)
    yield Judged("methods", "scale mad, print-tips alike", error, beside_default(2, ALIKE, scale="mad"), "<=", 1.02)


if __name__ == "__main__":
    for row in rows():
        print(row.holds, row)
