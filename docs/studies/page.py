"""How pages of studies show what was measured: intervals over seeds, lists of claims, tables, figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from studies.lab import Claim, Run


def interval(values: Sequence[float] | np.ndarray[Any, Any], level: float = 0.95) -> tuple[float, float, float]:
    """Mean over seeds with its Student interval."""
    from scipy.special import stdtrit

    found = np.asarray(values, float)
    half = stdtrit(found.size - 1, (1 + level) / 2) * found.std(ddof=1) / math.sqrt(found.size)
    return float(found.mean()), float(found.mean() - half), float(found.mean() + half)


def span(values: Sequence[float] | np.ndarray[Any, Any], digits: int = 2) -> str:
    """``mean (low–high)`` over seeds, the 95 % interval of Student."""
    mean, low, high = (round(number, digits) + 0.0 for number in interval(values))  # no −0
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def extent(values: Sequence[float] | np.ndarray[Any, Any], digits: int = 1) -> str:
    """Lowest to highest, where errors near 0 or one bad seed make an interval about the mean absurd."""
    found = np.asarray(values, float)
    return f"{found.min():.{digits}f} to {found.max():.{digits}f}"


def column(runs: Sequence[Run], *keys: str) -> np.ndarray[Any, Any]:
    """What lies at ``keys`` of every run, seeds along the first axis."""
    found: list[Any] = list(runs)
    for key in keys:
        found = [value[key] for value in found]
    return np.asarray(found, float)


def show(claims: Sequence[Claim]) -> Any:
    """The claims as a list, for a page."""
    from IPython.display import Markdown

    lines = [f"- {'✓' if claim.holds else '✗ **fails**'} {claim.text}: **{claim.figure}**" for claim in claims]
    return Markdown("\n".join(lines))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Any:
    """A Markdown table, for a page."""
    from IPython.display import Markdown

    lines = [head, ["---"] * len(head), *rows]
    return Markdown("\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines))


COLOURS = {
    "BN": "#d55e00",
    "GN": "#0072b2",
    "LN": "#009e73",
    "IN": "#cc79a7",
    "none": "#767676",
}  # Okabe and Ito's, apart for the colour-blind; one norm has one colour on every page


def axes(columns: int = 1, *, width: float = 7.0, height: float = 3.2, **options: Any) -> tuple[Any, Any]:
    """A figure and its axes in the style of all pages; readable on a telephone, so no more than two columns."""
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25}
        | {"font.size": 11, "legend.frameon": False, "figure.dpi": 110, "savefig.dpi": 150}
    )
    return plt.subplots(1, columns, figsize=(width, height), layout="constrained", **options)


def over_seeds(axis: Any, x: Sequence[float], values: np.ndarray[Any, Any], label: str, **options: Any) -> None:
    """A line through the means over seeds (first axis of ``values``), every seed as a dot."""
    options = {"color": COLOURS.get(label), "marker": "o", **options}
    (line,) = axis.plot(x, values.mean(0), label=label, **options)
    for row in values:
        axis.plot(x, row, ".", color=line.get_color(), alpha=0.5, markersize=4)
