#!/usr/bin/env python3
"""How far gridnorm's numbers are from limma's and marray's on real arrays, method by method.

usage: parity_page.py [--write | --check]

Computes every method on every set of arrays for which GRIDNORM_SHARED has the peer's results, and prints one line a
method: the largest difference over all arrays, and the limit that it is held to. Ends with 1 where one does not hold.
``--write`` puts the table into docs/reference/parity.md, ``--check`` tells where the page says something else.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT / "tests" / "parity")]

import test_limma_between as limma_between
from limma_sets import SETS, LimmaSet, difference, files, golden
from marray_swirl import GIVEN as MARRAY
from marray_swirl import read_golden, swirl

import gridnorm as gn
from gridnorm.arrays.between import normalize_between

PAGE = ROOT / "docs" / "reference" / "parity.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = "| peer | its method | here | arrays | largest difference | held to |\n|---|---|---|---|---|---|"
EXACT, AFTER_NORMEXP, MLE = 1e-10, 1e-6, 2e-4
WITHIN: dict[str, dict[str, str]] = {
    "none": {"by": "array", "method": "none"},
    "median": {"by": "array", "method": "median"},
    "loess": {"by": "array", "method": "loess"},
    "printtiploess": {"by": "print-tip", "method": "loess"},
    "composite": {"by": "print-tip", "method": "composite"},
    "control": {"by": "array", "method": "control"},
    "robustspline": {"by": "print-tip", "method": "spline"},
}
BACKGROUNDS = ("none", "subtract", "half", "minimum", "edwards", "normexp", "normexp_mle")


class Line(NamedTuple):
    """One method of a peer: what it is here, on how many arrays, how far apart, and the limit."""

    peer: str
    theirs: str
    ours: str
    arrays: int
    apart: float
    limit: float

    @property
    def holds(self) -> bool:
        """NaN never holds."""
        return self.apart <= self.limit

    def cells(self) -> list[str]:
        """As in the table."""
        return [self.peer, self.theirs, self.ours, str(self.arrays), f"{self.apart:.1g}", f"{self.limit:.1g}"]


def keywords(options: dict[str, object]) -> str:
    """Options as they are written in Python."""
    return "`" + ", ".join(f"{name}={value!r}".replace("'", '"') for name, value in options.items()) + "`"


def _read(shared: Path, one: LimmaSet) -> tuple[gn.ArraySet, np.ndarray]:
    """Arrays as limma reads them, and the row of limma's tables for each spot."""
    keep = "area" if one.area_weights else ""
    arrays = gn.read(files(shared, one), preset="limma", keep=keep, **one.options)
    raw = golden(shared, one, "raw")
    place = lambda b, r, c: (b * 1000 + r) * 1000 + c  # noqa: E731
    theirs = place(raw["block"], raw["row"], raw["column"])
    ours = place(*(arrays.columns[name] for name in ("Block", "Row", "Column")))
    order = np.argsort(theirs, kind="stable")[np.argsort(np.argsort(ours, kind="stable"), kind="stable")]
    listed = shared / "data" / "golden" / "limma" / one.name / "controlspots.txt"
    if listed.exists():
        marked = np.zeros(theirs.size, bool)
        marked[np.loadtxt(listed, dtype=int) - 1] = True
        types = np.where(marked[order], b"control", b"gene")
        arrays = replace(arrays, columns={**arrays.columns, "SpotType": types})
    return arrays, order


def _within(shared: Path, one: LimmaSet) -> Iterator[tuple[str, dict[str, object], list[float], float]]:
    arrays, order = _read(shared, one)
    table, raw = golden(shared, one, "within"), golden(shared, one, "raw")
    names = [f"a{j + one.first}" for j in range(len(arrays))]
    for theirs, options in WITHIN.items():
        for weighted in ("", ".weighted"):
            if f"{names[0]}.{theirs}{weighted}.M" not in table:
                continue
            given: dict[str, object] = {"preset": "limma", **options}
            if weighted:
                given["weights"] = np.stack([raw[f"{name}.weight"][order] for name in names], axis=1)
            done = gn.normalize(arrays, **given)
            apart = [difference(done.M[:, j], table[f"{n}.{theirs}{weighted}.M"][order]) for j, n in enumerate(names)]
            said = {"preset": "limma", **options, **({"weights": ...} if weighted else {})}
            yield f"`normalizeWithinArrays`, {theirs}{', weights' if weighted else ''}", said, apart, EXACT
    last = "printtiploess" if one.print_tips else "loess"
    by = "print-tip" if one.print_tips else "array"
    options_after: dict[str, object] = {"preset": "limma", "background": "normexp", "offset": 50}
    done = gn.normalize(arrays, by=by, **options_after)
    apart = [difference(done.M[:, j], table[f"{n}.normexp_{last}.M"][order]) for j, n in enumerate(names)]
    yield "normexp, offset 50, then loess", options_after, apart, AFTER_NORMEXP


def _backgrounds(shared: Path, one: LimmaSet) -> Iterator[tuple[str, dict[str, object], list[float], float]]:
    arrays, order = _read(shared, one)
    table = golden(shared, one, "bc")
    for method in BACKGROUNDS:
        name, _, kind = method.partition("_")
        options: dict[str, object] = {"background": name}
        limit = EXACT
        if name == "normexp":
            options |= {"normexp_method": kind or "saddle", "offset": 50}
            limit = MLE if kind else AFTER_NORMEXP
        done = gn.normalize(arrays, preset="limma", method="none", **options)
        apart = [
            difference(getattr(done, key)[:, j], table[f"a{j + one.first}.{method}.{key}"][order])
            for j in range(len(arrays))
            for key in "MA"
        ]
        what = f"`backgroundCorrect`, {name}" + (f", {kind or 'saddle'}" if name == "normexp" else "")
        yield what, options, [max(pair) for pair in zip(apart[::2], apart[1::2], strict=True)], limit


def _between(shared: Path, one: LimmaSet) -> Iterator[tuple[str, dict[str, object], list[float], float]]:
    within, table = golden(shared, one, "within"), golden(shared, one, "between")
    for background in limma_between.START:
        given = limma_between.start(one, within, background)
        for method, (theirs, matrices) in limma_between.METHODS.items():
            found = normalize_between(given, method)
            apart = [
                max(difference(found.values[m][k], table[f"a{k + 1}.{background}.{theirs}.{m}"]) for m in matrices)
                for k in range(len(one.files))
            ]
            yield f"`normalizeBetweenArrays`, {theirs}", {"between": method}, apart, EXACT


def _marray(shared: Path) -> Iterator[tuple[str, dict[str, object], list[float], float]]:
    arrays, table = swirl(shared), read_golden(shared)
    for theirs, (options, limit) in MARRAY.items():
        done = gn.normalize(arrays, preset="marray", **options)
        pairs = [(done.M[:, j], table[f"a{j + 1}.{theirs}"]) for j in range(4)]
        if theirs == "loess":  # marray fits 2000 spots drawn at random
            apart = [float(np.sqrt(np.nanmean((ours - known) ** 2))) for ours, known in pairs]
        else:
            apart = [difference(ours, known) for ours, known in pairs]
        what = theirs.replace("_after_printTipLoess", "")
        what = f"`maNormScale`, {what}" if what != theirs else f"`maNorm`, {what}"
        root = " (root mean square: its fit draws spots at random)" if theirs == "loess" else ""
        yield what + root, {"preset": "marray", **options}, apart, limit


def lines(shared: Path) -> list[Line]:
    """Every method, over all sets that have it."""
    found: dict[tuple[str, str, str, float], list[float]] = {}
    two = [one for one in SETS.values() if one.channels == 2]
    jobs = [("limma", _backgrounds, two), ("limma", _within, two)]
    jobs.append(("limma", _between, [SETS[label] for label in limma_between.WITH]))
    for peer, measure, sets in jobs:
        for one in sets:
            for theirs, options, apart, limit in measure(shared, one):
                found.setdefault((peer, theirs, _shown(options), limit), []).extend(apart)
    for theirs, options, apart, limit in _marray(shared):
        found.setdefault(("marray", theirs, _shown(options), limit), []).extend(apart)
    return [
        Line(peer, theirs, ours, len(apart), float(np.max(apart)), limit)
        for (peer, theirs, ours, limit), apart in found.items()
    ]


def _shown(options: dict[str, object]) -> str:
    return keywords(options).replace("Ellipsis", "…")


def table(found: list[Line]) -> str:
    """The table of the page."""
    return "\n".join([HEAD, *("| " + " | ".join(line.cells()) + " |" for line in found)])


def without_rounding(page: str) -> str:
    """The page without the figures of differences that are rounding, which is another on every kind of processor.

    Examples
    --------
    >>> without_rounding("| 4 | 3e-14 | 1e-10 |"), without_rounding("| 4 | 0.01 | 0.02 |")
    ('| 4 | rounding | 1e-10 |', '| 4 | 0.01 | 0.02 |')
    """
    return re.sub(r"\| (0|\de-(09|[1-9]\d)) \| (\S+) \|$", r"| rounding | \3 |", page, flags=re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Measure, print, write or compare."""
    shared = Path(os.environ.get("GRIDNORM_SHARED", ROOT.parent / "shared"))
    if not (shared / "data" / "golden").is_dir():
        print(f"no results of the peers at {shared}: name the folder with GRIDNORM_SHARED")
        return 2
    warnings.simplefilter("ignore")
    found = lines(shared)
    for line in found:
        print("holds " if line.holds else "FAILS ", *line.cells(), sep=" | ")
    wrong = [line for line in found if not line.holds]
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    made = f"{before}{BEGIN}\n{table(found)}\n{END}{after}"
    if "--write" in arguments:
        PAGE.write_text(made, encoding="utf-8")
    differs = "--check" in arguments and without_rounding(made) != without_rounding(page)
    if differs:
        print(f"{PAGE.name} has another table: parity_page.py --write")
    print(f"{len(found) - len(wrong)} of {len(found)} methods hold")
    return 1 if wrong or differs or not found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
