#!/usr/bin/env python3
"""The main job against limma, as whole processes: read → background → print-tip loess → table of M and A.

usage: bench_main_job.py [--files 1,4,20] [--repeats 7] [--background subtract,normexp] [--quick]

Both programs run in turn on the same files, limma first, so that each pair of runs sees the same machine. Figures are
ratios of such pairs: median (smallest – largest). Before any timing counts, both tables are compared: as written (6
decimals), and once with ``--precision full``. Results go to results/main_job.md and .json; --quick (fewer and smaller
runs, to see that all works) writes nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from make_gpr import make
from pairs import HERE, Used, gridnorm_command, ran_on, ratio, run, shown

SHORT, FULL = 1e-6, {"subtract": 1e-10, "normexp": 1e-6}  # largest difference of M and A to limma allowed
GOALS = {"subtract": {1: 1.8, 20: 3.0}, "normexp": {1: 2.5, 4: 2.5, 20: 2.5}}  # limma's CPU time over ours
PEAK = 0.85  # our peak memory over limma's
TITLES = (
    "files", "background", "CPU s limma", "CPU s gridnorm", "less CPU ×", "less wall ×", "MiB limma", "MiB gridnorm",
    "memory ÷ limma", "max difference, 6 decimals / full", "goal",
)  # fmt: skip


def limma_command(out: Path, background: str, files: list[Path]) -> list[str]:
    return ["Rscript", "--vanilla", str(HERE / "limma_job.R"), str(out), background, *map(str, files)]


def our_command(out: Path, background: str, files: list[Path], *more: str) -> list[str]:
    chosen = ["--background", "normexp", "--offset", "50"] if background == "normexp" else []
    options = ["--preset", "limma", *chosen, "--force", "-o", str(out), *more]
    return [*gridnorm_command(), "normalize", *map(str, files), *options]


def read_table(path: Path, missing: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Titles after the five spot columns, Block Row Column, and the numbers."""
    with path.open(encoding="utf-8") as handle:
        titles = handle.readline().rstrip("\r\n").split("\t")
        rows = [line.rstrip("\r\n").split("\t") for line in handle]
    assert titles[:5] == ["Block", "Row", "Column", "ID", "Name"], titles[:5]
    place = np.array([row[:3] for row in rows], np.int64)
    values = np.array([[math.nan if cell == missing else float(cell) for cell in row[5:]] for row in rows])
    return titles[5:], place, values


def largest_difference(limma: Path, ours: Path) -> float:
    """Of M and A; infinite where a spot has a value in only one of the tables."""
    titles, place, theirs = read_table(limma, "NA")
    names, same, values = read_table(ours, "")
    assert np.array_equal(place, same), "the tables do not list the same spots"
    n = len(titles) // 2
    assert names == [f"{kind}.{Path(title).name.removesuffix('.gpr')}" for title in titles[:n] for kind in "MA"], names
    values = np.hstack([values[:, 0::2], values[:, 1::2]])
    if not np.array_equal(np.isnan(theirs), np.isnan(values)):
        return math.inf
    return float(np.nanmax(np.abs(theirs - values)))


def check_parity(folder: Path, background: str, files: list[Path]) -> dict[str, float]:
    """Run both once, which also warms up the file cache and Python's compiled modules, and compare the tables."""
    limma, ours, full = folder / "limma.tsv", folder / "ours.tsv", folder / "full.tsv"
    run(limma_command(limma, background, files))
    run(our_command(ours, background, files))
    run(our_command(full, background, files, "--precision", "full"))
    found = {"6 decimals": largest_difference(limma, ours), "full": largest_difference(limma, full)}
    if not (found["6 decimals"] <= SHORT and found["full"] <= FULL[background]):
        raise SystemExit(f"the tables differ: {found}")
    return found


def measure(folder: Path, background: str, files: list[Path], repeats: int) -> dict[str, Any]:
    """Pairs of runs of one size."""
    parity = check_parity(folder, background, files)
    limma: list[Used] = []
    ours: list[Used] = []
    for _ in range(repeats):
        limma.append(run(limma_command(folder / "limma.tsv", background, files)))
        ours.append(run(our_command(folder / "ours.tsv", background, files)))
    out: dict[str, Any] = {"files": len(files), "background": background, "repeats": repeats}
    out["largest difference"] = parity
    out["limma"], out["gridnorm"] = [asdict(used) for used in limma], [asdict(used) for used in ours]
    for name in ("cpu", "wall"):
        out[f"{name} ratio"] = ratio([getattr(used, name) for used in limma], [getattr(used, name) for used in ours])
    out["peak ratio"] = ratio([used.peak for used in ours], [used.peak for used in limma])
    return out


def goal_of(row: dict[str, Any]) -> str:
    goal = GOALS[row["background"]].get(row["files"])
    words = [] if goal is None else [f"≥ {goal:g} {'met' if row['cpu ratio']['median'] >= goal else 'MISSED'}"]
    return ", ".join([*words, f"peak ≤ {PEAK:g} {'met' if row['peak ratio']['median'] <= PEAK else 'MISSED'}"])


def middle(runs: list[dict[str, float]], name: str) -> float:
    return float(np.median([used[name] for used in runs]))


def markdown(rows: list[dict[str, Any]], about: dict[str, str], spots: int) -> str:
    lines = [
        "# The main job against limma",
        "",
        f"Read → background → print-tip loess → table of M and A, as whole processes in turn; {spots} spots × 48 tips",
        "× 56 columns a file. CPU is user + system time of the process, children included. Ratios are of pairs of",
        "runs: median (smallest – largest).",
        "",
        ", ".join(f"{name} {value}" for name, value in about.items()),
        "",
        "| " + " | ".join(TITLES) + " |",
        "|---" * len(TITLES) + "|",
    ]
    for row in rows:
        difference = row["largest difference"]
        cells = [str(row["files"]), row["background"]]
        cells += [f"{middle(row[who], 'cpu'):.3f}" for who in ("limma", "gridnorm")]
        cells += [shown(row["cpu ratio"]), shown(row["wall ratio"])]
        cells += [f"{middle(row[who], 'peak'):.0f}" for who in ("limma", "gridnorm")]
        cells += [shown(row["peak ratio"]), f"{difference['6 decimals']:.1e} / {difference['full']:.1e}", goal_of(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", default="1,4,20", help="numbers of files")
    parser.add_argument("--repeats", type=int, default=7, help="pairs of runs")
    parser.add_argument("--background", default="subtract,normexp")
    parser.add_argument("--quick", action="store_true", help="1 and 2 files, 3 pairs; writes nothing")
    given = parser.parse_args(args)
    sizes = [1, 2] if given.quick else [int(size) for size in given.files.split(",")]
    repeats = 3 if given.quick else given.repeats
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make(folder / "gpr", max(sizes))
        for background in given.background.split(","):
            for size in sizes:
                row = measure(folder, background, files[:size], repeats)
                rows.append(row)
                figures = f"CPU × {shown(row['cpu ratio'])}, memory ÷ {shown(row['peak ratio'])}"
                print(f"{size} files, {background}: {figures}", flush=True)
    about = ran_on()
    text = markdown(rows, about, 20160)
    print("\n" + text)
    if not given.quick:
        results = HERE / "results"
        results.mkdir(exist_ok=True)
        (results / "main_job.md").write_text(text, encoding="utf-8")
        record = json.dumps({"ran on": about, "rows": rows}, indent=1)
        (results / "main_job.json").write_text(record + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
