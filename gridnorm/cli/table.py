"""The short table on stderr: what happened to every array, and where the result went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gridnorm.workflow.sidecar import Summary

TITLES = ("array", "spots", "flagged", "missing", "groups", "fit", "group shift before", "after")
WIDEST_NAME = 32


def summary(arrays: Sequence[Summary]) -> list[str]:
    """One aligned line per array under a line of titles."""
    rows = [TITLES, *(_row(one) for one in arrays)]
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


def _row(one: Summary) -> tuple[str, ...]:
    replaced = ", ".join(f"{n} {source}" for source, n in one.replaced)
    return (
        one.name if len(one.name) <= WIDEST_NAME else "…" + one.name[-WIDEST_NAME + 1 :],
        str(one.spots),
        str(one.flagged),
        str(one.missing),
        str(one.groups),
        f"{one.method} ({replaced})" if replaced else one.method,
        _shift(*one.before),
        _shift(*one.after),
    )


def _shift(middle: float, spread: float) -> str:
    """Median ± standard deviation of the groups' medians."""
    if np.isnan(middle):
        return "none"
    # Rounded before zero is added: no minus before 0.000.
    text = f"{round(middle, 3) + 0.0:.3f}"
    return text if np.isnan(spread) else f"{text} ± {spread:.3f}"
