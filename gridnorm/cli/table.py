"""The short table on stderr: what happened to every array, and where the result went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gridnorm.workflow.sidecar import Summary

TITLES = ("array", "spots", "flagged", "missing", "groups", "fit", "group shift before", "after", "real difference")
WIDEST_NAME = 32
_FROM = {"array": "as the array"}  # what groups without a fit of their own got: "1 array" reads like a count
SHOWN_NAMES = 3  # in a sentence
SHOWN_LEAST = 0.005  # what is not 0.00 in two decimals


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
    replaced = ", ".join(f"{n} {_FROM.get(source, source)}" for source, n in one.replaced)
    return (
        one.name if len(one.name) <= WIDEST_NAME else "…" + one.name[-WIDEST_NAME + 1 :],
        str(one.spots),
        str(one.flagged),
        str(one.missing),
        str(one.groups),
        f"{one.method} ({replaced})" if replaced else one.method,
        _shift(*one.before),
        _shift(*one.after),
        _real(one),
    )


def verdicts(arrays: Sequence[Summary]) -> list[str]:
    """Sentences about arrays whose groups mean nothing, and about those where that could not be measured."""
    several = [one for one in arrays if one.groups > 1]
    unknown = [one for one in several if np.isnan(one.real_before[0])]
    chance = [one for one in several if one.real_before[1] == 0]
    lines = []
    if chance:
        most = max(one.real_before[2] for one in chance)
        text = f"{_named(chance)}: groups differ no more than chance would have it (at most by {most:.2f})"
        # What is left of a difference that was there before is not of the fit's making.
        made = [one.real_after[0] for one in chance if one.method != "none" and one.real_after[0] > one.real_before[0]]
        added = max(made, default=0.0)
        most_of = "up to " if len(chance) > 1 else ""
        more = f"; the fit itself makes them differ by {most_of}{added:.2f}" if added >= SHOWN_LEAST else ""
        lines.append(text + more)
    if unknown:
        lines.append(f"{_named(unknown)}: real difference not measured, it takes two groups of four usable spots")
    return lines


def _named(arrays: Sequence[Summary]) -> str:
    names = ", ".join(one.name for one in arrays[:SHOWN_NAMES])
    more = len(arrays) - SHOWN_NAMES
    return f"{names} and {more} more" if more > 0 else names


def _real(one: Summary) -> str:
    """What the groups are apart beyond chance, before and after, with 95 % bounds."""
    if np.isnan(one.real_before[0]):
        return "–"
    before = _bounded(*one.real_before)
    if one.method == "none":
        return before
    return f"{before} → {'–' if np.isnan(one.real_after[0]) else _bounded(*one.real_after)}"


def _bounded(sd: float, low: float, high: float) -> str:
    return f"{sd:.2f} ({low:.2f}–{high:.2f})" if low > 0 else f"{sd:.2f} (0–{high:.2f})"


def _shift(middle: float, spread: float) -> str:
    """Median ± standard deviation of the groups' medians."""
    if np.isnan(middle):
        return "none"
    # Rounded before zero is added: no minus before 0.000.
    text = f"{round(middle, 3) + 0.0:.3f}"
    return text if np.isnan(spread) else f"{text} ± {spread:.3f}"
