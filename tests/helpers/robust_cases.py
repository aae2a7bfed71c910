"""Tables of ``make_robust.R``: effects by MASS's rlm, and limma's robust splines."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def table(path: Path) -> dict[str, np.ndarray]:
    """Columns by title; numbers where they are."""
    titles, *rows = (line.split("\t") for line in path.read_text().splitlines())
    columns = zip(*rows, strict=True)
    return {
        title: np.array(cells) if title == "case" else np.array([np.nan if c == "NA" else float(c) for c in cells])
        for title, cells in zip(titles, columns, strict=True)
    }
