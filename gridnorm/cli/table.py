"""The short table on stderr: what happened to every array, and where the result went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gridnorm.arrays.within import spread_of

TITLES = ("array", "spots", "flagged", "missing", "groups", "fit", "group shift before", "after")
WIDEST_NAME = 32


def summary(arrays: Sequence[Mapping[str, Any]]) -> list[str]:
    """One aligned line per array (its entry in the sidecar) under a line of titles."""
    rows = [TITLES, *(_row(entry) for entry in arrays)]
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


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    name, groups = entry["name"], entry["groups"]
    return (
        name if len(name) <= WIDEST_NAME else "…" + name[-WIDEST_NAME + 1 :],
        str(entry["spots"]),
        str(entry["flagged"]),
        str(entry["missing"]),
        str(len(groups)),
        _fit(entry),
        _spread([group["shift_before"] for group in groups]),
        _spread([group["shift_after"] for group in groups]),
    )


def _fit(entry: Mapping[str, Any]) -> str:
    method = str(entry["parameters"]["method"])
    counts = Counter(group["fit"] for group in entry["groups"])
    replaced = [f"{n} {source}" for source, n in counts.items() if source not in ("own", "none")]
    return f"{method} ({', '.join(replaced)})" if replaced else method


def _spread(shifts: Sequence[float | None]) -> str:
    """Median ± standard deviation of the groups' medians."""
    middle, spread = spread_of(np.array([np.nan if shift is None else shift for shift in shifts]))
    if np.isnan(middle):
        return "none"
    # Rounded before zero is added: no minus before 0.000.
    text = f"{round(middle, 3) + 0.0:.3f}"
    return text if np.isnan(spread) else f"{text} ± {spread:.3f}"
