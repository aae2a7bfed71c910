"""The short table on stderr: what happened to every array, and where the result went."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from gridnorm.plain import WHOLE, few
from gridnorm.workflow.sidecar import Summary

TITLES = ("array", "spots", "flagged", "missing", "groups", "fit", "group shift before", "after", "real difference")
WIDEST_NAME = 32
_NARROW = "–→…"  # of ours
MOST_ROWS = 40  # lines of a table, without -v
_FROM = {"array": "as the array"}  # what groups without a fit of their own got: "1 array" reads like a count
SHOWN_LEAST = 0.005  # what is not 0.00 in two decimals


def summary(arrays: Sequence[Summary], *, all_rows: bool = False) -> list[str]:
    """One aligned line per array under a line of titles; of very many the first ones, and how many more."""
    return table(TITLES, [_row(one) for one in arrays], {1, 2, 3, 4}, "array", all_rows=all_rows)


def table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int], word: str, *, all_rows: bool
) -> list[str]:
    """Aligned lines under a line of titles, the columns ``right`` set to the right; ``word`` is what a row is."""
    shown = rows if all_rows or len(rows) <= MOST_ROWS else rows[: MOST_ROWS - 1]
    whole = [titles, *shown]
    widths = [max(width(row[k]) for row in whole) for k in range(len(titles))]
    lines = []
    for row in whole:
        gaps = [" " * (wide - width(cell)) for cell, wide in zip(row, widths, strict=True)]
        cells = [gap + cell if k in right else cell + gap for k, (cell, gap) in enumerate(zip(row, gaps, strict=True))]
        lines.append("  ".join(cells).rstrip())
    more = len(rows) - len(shown)
    return [*lines, f"and {more} more {word}s; -v shows all"] if more else lines


def width(text: str) -> int:
    """Columns that a text takes on a terminal: two for a wide sign, none for one that is set upon another.

    Examples
    --------
    >>> width("slide 1"), width("芯片1")
    (7, 5)
    """
    if all(sign < "\u0300" or sign in _NARROW for sign in text):
        return len(text)
    from unicodedata import category, east_asian_width

    marks = sum(category(sign) in ("Mn", "Me", "Cf") for sign in text)
    return len(text) - marks + sum(east_asian_width(sign) in "WF" for sign in text)


def short_name(name: str) -> str:
    """A name that leaves room for the rest of the line."""
    if width(name) <= WIDEST_NAME:
        return name
    while width(name) >= WIDEST_NAME:
        name = name[1:]
    return "…" + name


def _row(one: Summary) -> tuple[str, ...]:
    replaced = ", ".join(f"{n} {_FROM.get(source, source)}" for source, n in one.replaced)
    return (
        short_name(one.name),
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
        named = few((one.name for one in chance), widest=WHOLE)
        text = f"{named}: groups differ no more than chance would have it (at most by {most:.2f})"
        # What is left of a difference that was there before is not of the fit's making.
        made = [one.real_after[0] for one in chance if one.method != "none" and one.real_after[0] > one.real_before[0]]
        added = max(made, default=0.0)
        most_of = "up to " if len(chance) > 1 else ""
        more = f"; the fit itself makes them differ by {most_of}{added:.2f}" if added >= SHOWN_LEAST else ""
        lines.append(text + more)
    if unknown:
        named = few((one.name for one in unknown), widest=WHOLE)
        lines.append(f"{named}: real difference not measured, it takes two groups of four usable spots")
    return lines


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
