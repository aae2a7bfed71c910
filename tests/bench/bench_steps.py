#!/usr/bin/env python3
"""The steps of the main job in running programs, against limma in an R process that stays: one file of 20 160 spots.

usage: bench_steps.py [REPEATS]

Each step runs three times in R, then three times here, in turn. Figures are ratios of CPU time of such pairs.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from make_gpr import make
from pairs import HERE, ran_on, ratio, shown

import gridnorm as gn

INNER = 3


def our_steps(file: Path, out: Path) -> dict[str, Callable[[], Any]]:
    """Python's functions as users call them, each on what the step before left."""
    raw = gn.read(file, preset="limma")
    ours = {"background": "kooperberg", "method": "none", "flags": "ignore"}
    subtracted = gn.background_correct(raw, "subtract", offset=0)
    options = {"by": "print-tip", "method": "loess", "min_group": 0}
    done = gn.normalize_within(subtracted, flags="ignore", **options)
    bare = gn.normalize_within(subtracted, "array", "none", flags="ignore")
    tips = bare.columns["Block"]
    return {
        "read": lambda: gn.read(file, preset="limma"),
        "normexp": lambda: gn.background_correct(raw, "normexp", offset=50, normexp_method="saddle"),
        "kooperberg": lambda: gn.normalize(file, **ours),
        "loess": lambda: gn.normalize_within(subtracted, flags="ignore", **options),
        "weighted": lambda: gn.normalize_within(subtracted, flags="downweight", clamp_weights=True, **options),
        # The fit alone, without the evidence of what it did, which limma does not give.
        "weighted alone": lambda: gn.normalize_groups(
            bare.M, tips, "loess", bare.A, np.where(bare.flagged, 0.0, 1.0), clamp_weights=True
        ),
        "spline": lambda: gn.normalize_within(subtracted, by="print-tip", method="spline", flags="ignore"),
        "twod": lambda: gn.normalize_within(
            subtracted, by="print-tip", method="loess2d", span=0.4, iterations=5, surface="direct", flags="ignore"
        ),
        "write": lambda: gn.write(done, out, force=True),
    }


def cpu_of(step: Callable[[], Any]) -> float:
    started = time.process_time()
    for _ in range(INNER):
        step()
    return (time.process_time() - started) / INNER


def measure(file: Path, folder: Path, repeats: int) -> dict[str, tuple[list[float], list[float]]]:
    """CPU seconds of limma and of gridnorm per step, in pairs; the first pair warms up and does not count."""
    steps = our_steps(file, folder / "ours.tsv")
    command = ["Rscript", "--vanilla", str(HERE / "limma_steps.R"), str(file), str(folder / "limma.tsv")]
    used: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in steps}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as r:
        assert r.stdin is not None and r.stdout is not None
        if r.stdout.readline() != "ready\n":
            raise SystemExit("R did not start")
        for k in range(repeats + 1):
            for name, step in steps.items():
                r.stdin.write(name.partition(" ")[0] + "\n")
                r.stdin.flush()
                limma, ours = float(r.stdout.readline().split()[0]), cpu_of(step)
                if k:
                    used[name][0].append(limma)
                    used[name][1].append(ours)
        r.stdin.close()
    return used


def main(repeats: int) -> None:
    warnings.simplefilter("ignore", gn.GridnormWarning)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = measure(make(folder, 1)[0], folder, repeats)
    print(", ".join(f"{name} {value}" for name, value in ran_on().items()))
    print("\n| step | CPU ms limma | CPU ms gridnorm | less CPU × |\n|---|---|---|---|")
    for name, (limma, ours) in pairs.items():
        middles = " | ".join(f"{1e3 * statistics.median(used):.1f}" for used in (limma, ours))
        print(f"| {name} | {middles} | {shown(ratio(limma, ours))} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
