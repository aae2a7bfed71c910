#!/usr/bin/env python3
"""The table of docs/explanation/vsn.md: what vsn's trimming is worth, with and without changed spots."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
from vsn_truth import misled, truth

from gridnorm.core.across.entries import Given
from gridnorm.core.across.vsn import together
from gridnorm.core.engines import backend_for
from gridnorm.core.segments import Segments

SEEDS = range(8)
FITS = [(1.0, "all"), (0.9, "all"), (0.7, "all"), (0.5, "all"), (0.9, "bright"), (0.5, "bright")]


def error(entries: int, changed: float, keep: float, trim: str) -> float:
    """Mean over the seeds."""
    found = []
    for seed in SEEDS:
        y, true = truth(seed, 4000, entries, changed)
        about = Given(backend_for(y), [str(k) for k in range(entries)])
        options = {"vsn_keep": keep, "vsn_trim": trim, "vsn_rounds": 7}
        found.append(misled(y, true, together(y.copy(), Segments.single(4000), about, options)[0]))
    return float(np.mean(found))


if __name__ == "__main__":
    for entries in (2, 8):
        for changed in (0.0, 0.02, 0.05, 0.1, 0.3):
            row = [f"{error(entries, changed, *fit):.3f}".lstrip("0") for fit in FITS]
            print(f"| {entries} | {changed:.0%} | {' | '.join(row)} |".replace("%", " %"))
