#!/usr/bin/env python3
"""What the defaults are worth, measured: every promise about numbers beside its limit.

usage: trust_table.py [--write | --check] [TOPIC...]

Runs ``rows`` of every ``truth_<topic>.py`` beside this file, two topics at a time, and prints one line a figure; ends
with 1 where one does not hold. ``--write`` puts the table into docs/explanation/trust.md, ``--check`` tells where the
page says something else. Real arrays come from GRIDNORM_SHARED.
"""

from __future__ import annotations

import importlib
import sys
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from judged import Judged

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "explanation" / "trust.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = "| topic | setting | figure | measured | promised |\n|---|---|---|---|---|"
CLOSE = 0.03  # relative; processors differ in the last digits, and so may a count near its limit


def topics() -> list[str]:
    """Names of all topics, in the order of their files."""
    return sorted(path.stem.removeprefix("truth_") for path in HERE.glob("truth_*.py"))


def measured(topic: str) -> tuple[list[Judged], float]:
    """Figures of one topic, and how long they took in seconds."""
    warnings.simplefilter("ignore")
    begun = time.perf_counter()
    return list(importlib.import_module(f"truth_{topic}").rows()), time.perf_counter() - begun


def number(value: float) -> str:
    """Three digits that count.

    Examples
    --------
    >>> number(0.98765), number(1.2e-9), number(4.0)
    ('0.988', '1.2e-09', '4')
    """
    return f"{value:.3g}"


def line(row: Judged) -> str:
    """One row of the table of the page."""
    sign = {"<=": "≤", ">=": "≥"}[row.sense]
    return f"| {row.topic} | {row.setting} | {row.figure} | {number(row.value)} | {sign} {number(row.limit)} |"


def table(rows: Iterable[Judged]) -> str:
    """The table of the page."""
    return "\n".join([HEAD, *map(line, rows)])


def differences(page: str, rows: list[Judged]) -> list[str]:
    """Where the table of a page is not what was measured, as sentences."""
    if BEGIN not in page or END not in page:
        return [f"{PAGE.name} has no table between {BEGIN} and {END}"]
    listed = page.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    said = {}
    for text in listed:
        cells = [cell.strip() for cell in text.strip("|").split("|")]
        said[tuple(cells[:3])] = (cells[3], cells[4])
    out = []
    for row in rows:
        key = (row.topic, row.setting, row.figure)
        if key not in said:
            out.append(f"not in {PAGE.name}: {' · '.join(key)}")
            continue
        value, promised = said.pop(key)
        if promised != line(row).strip("|").split("|")[4].strip():
            out.append(f"{' · '.join(key)}: {PAGE.name} promises {promised}")
        # Of figures at the precision of the machine the limit alone counts.
        if abs(float(value) - row.value) > CLOSE * max(abs(row.value), abs(row.limit)):
            out.append(f"{' · '.join(key)}: measured {number(row.value)}, {PAGE.name} says {value}")
    return out + [f"only in {PAGE.name}: {' · '.join(key)}" for key in said]


def main(arguments: list[str]) -> int:
    """Measure, print, write or compare."""
    write, check = "--write" in arguments, "--check" in arguments
    named = [word for word in arguments if not word.startswith("--")]
    if write and named:
        print("--write writes the whole table: leave the topics out")
        return 2
    chosen = named or topics()
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(chosen, pool.map(measured, chosen), strict=True))
    rows = [row for listed, _ in found.values() for row in listed]
    for row in rows:
        print("holds " if row.holds else "FAILS ", line(row).strip("| "))
    for topic, (listed, seconds) in found.items():
        print(f"{topic}: {len(listed)} figures in {seconds:.0f} s")
    wrong = [row for row in rows if not row.holds]
    if write:
        page = PAGE.read_text(encoding="utf-8")
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}", encoding="utf-8")
    said = differences(PAGE.read_text(encoding="utf-8"), rows) if check else []
    print(*said, sep="\n")
    print(f"{len(rows) - len(wrong)} of {len(rows)} figures hold")
    return 1 if wrong or said or not rows else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
