"""The short table on stderr: what happened to every array, and where the result went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from gridnorm.core.fit import median_of
from gridnorm.workflow.one import ArrayResult

TITLES = ("array", "spots", "flagged", "missing", "groups", "fit", "group shift before", "after")
WIDEST_NAME = 32


def summary(results: Sequence[ArrayResult]) -> list[str]:
    """One aligned line per array under a line of titles."""
    rows = [TITLES, *(_row(result) for result in results)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(TITLES))]
    right = {1, 2, 3, 4}
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if k in right else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _row(result: ArrayResult) -> tuple[str, ...]:
    within = result.within
    name = result.name if len(result.name) <= WIDEST_NAME else "…" + result.name[-WIDEST_NAME + 1 :]
    return (
        name,
        str(result.n_spots),
        str(result.n_flagged),
        str(result.n_missing),
        str(result.segments.n_segments),
        _fit(result),
        _spread(within.before[0]),
        _spread(within.after[0]),
    )


def _fit(result: ArrayResult) -> str:
    method = str(result.used["method"])
    counts = Counter(result.within.sources())
    replaced = [f"{n} {source}" for source, n in counts.items() if source not in ("own", "none")]
    return f"{method} ({', '.join(replaced)})" if replaced else method


def _spread(shifts: np.ndarray) -> str:
    """Median ± standard deviation of the groups' medians."""
    known = shifts[np.isfinite(shifts)]
    if known.size == 0:
        return "none"
    # Rounded before zero is added: no minus before 0.000.
    middle = f"{round(median_of(known), 3) + 0.0:.3f}"
    return middle if known.size == 1 else f"{middle} ± {known.std(ddof=1):.3f}"
