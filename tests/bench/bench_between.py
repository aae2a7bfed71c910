#!/usr/bin/env python3
"""Methods between arrays in a running program, against limma in an R process that stays; parity is checked each time.

usage: bench_between.py [--quick] [REPEATS]

100 arrays of 44 640 spots with ties (``quantile``), 8 of them (``cyclic-loess``, fast), 4 (pairs). Figures are ratios of
CPU time of pairs. The peak of memory is that of the call, beside the matrix it was given.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pairs import HERE, ran_on, ratio, shown

from gridnorm.core.across import normalize_across
from gridnorm.core.segments import Segments

Matrix = NDArray[np.float64]
TOLERANCE = {"quantile": 1e-11, "fast": 1e-10, "pairs": 1e-10}


def matrix(arrays: int, spots: int) -> Matrix:
    """Log intensities of arrays (array, spot) that differ in level and slope; two decimals make ties."""
    rng = np.random.default_rng(1)
    level = rng.normal(10, 2, spots)
    bent = rng.uniform(0.8, 1.2, (arrays, 1)) * level + rng.normal(0, 0.5, (arrays, 1))
    return np.asarray(np.round(bent + rng.normal(0, 0.3, (arrays, spots)), 2))


def our_steps(x: Matrix) -> dict[str, Callable[[], Matrix]]:
    whole = Segments.single(x.shape[1])

    def alike(rows: int, method: str, **options: str) -> Callable[[], Matrix]:
        return lambda: np.asarray(normalize_across(x[:rows], whole, method, **options).values)

    return {
        "quantile": alike(x.shape[0], "quantile"),
        "fast": alike(8, "cyclic", cyclic_method="fast"),
        "pairs": alike(4, "cyclic", cyclic_method="pairs"),
    }


def measure(x: Matrix, repeats: int) -> dict[str, tuple[list[float], list[float], float]]:
    """CPU seconds of limma and of gridnorm per step, in pairs, and the largest difference of what came out."""
    steps = our_steps(x)
    used: dict[str, tuple[list[float], list[float], float]] = {name: ([], [], 0.0) for name in steps}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.bin"
        x.tofile(file)
        command = [
            "Rscript",
            "--vanilla",
            str(HERE / "limma_between.R"),
            str(file),
            str(x.shape[1]),
            str(len(x)),
            folder,
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as r:
            assert r.stdin is not None and r.stdout is not None
            if r.stdout.readline() != "ready\n":
                raise SystemExit("R did not start")
            for _ in range(repeats):
                for name, step in steps.items():
                    r.stdin.write(name + "\n")
                    r.stdin.flush()
                    limma = float(r.stdout.readline())
                    started = time.process_time()
                    ours = step()
                    spent = time.process_time() - started
                    theirs = np.fromfile(Path(folder) / f"{name}.bin").reshape(ours.shape)
                    apart = float(np.abs(ours - theirs).max())
                    if apart > TOLERANCE[name]:
                        raise SystemExit(f"{name}: {apart:g} apart from limma")
                    limmas, mine, worst = used[name]
                    used[name] = ([*limmas, limma], [*mine, spent], max(worst, apart))
            r.stdin.close()
    return used


def peaks(x: Matrix) -> dict[str, float]:
    """Memory that a call takes at its peak beside what it was given, in matrices of its input."""
    found = {}
    for name, step in our_steps(x).items():
        tracemalloc.start()
        ours = step()
        found[name] = tracemalloc.get_traced_memory()[1] / ours.nbytes
        tracemalloc.stop()
    return found


def main(words: list[str]) -> None:
    quick = "--quick" in words
    numbers = [int(word) for word in words if not word.startswith("--")]
    x = matrix(8, 2_000) if quick else matrix(100, 44_640)
    used, memory = measure(x, numbers[0] if numbers else 1 if quick else 5), peaks(x)
    print(", ".join(f"{name} {value}" for name, value in ran_on().items()))
    print(
        "\n| step | CPU s limma | CPU s gridnorm | less CPU × | apart | memory, × the matrix |\n|---|---|---|---|---|---|"
    )
    for name, (limma, ours, apart) in used.items():
        middles = " | ".join(f"{statistics.median(seconds):.2f}" for seconds in (limma, ours))
        print(f"| {name} | {middles} | {shown(ratio(limma, ours))} | {apart:.0e} | {1 + memory[name]:.1f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
