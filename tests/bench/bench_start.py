#!/usr/bin/env python3
"""What starting the program costs: ``gridnorm --help`` against ``python -c pass``, in turn.

usage: bench_start.py [REPEATS]
"""

from __future__ import annotations

import statistics
import sys

from pairs import gridnorm_command, ran_on, run

LIMIT = 0.1  # s over the bare interpreter


def measure(repeats: int) -> dict[str, tuple[float, float, float]]:
    """Median, smallest, largest of the paired differences, in seconds, of wall and CPU time."""
    help_page, bare = [*gridnorm_command(), "--help"], [sys.executable, "-c", "pass"]
    run(help_page)
    pairs = [(run(bare), run(help_page)) for _ in range(repeats)]
    out = {}
    for name in ("wall", "cpu"):
        over = [getattr(ours, name) - getattr(python, name) for python, ours in pairs]
        out[name] = (statistics.median(over), min(over), max(over))
    return out


if __name__ == "__main__":
    found = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    print(", ".join(f"{name} {value}" for name, value in ran_on(with_r=False).items()))
    for name, (middle, low, high) in found.items():
        print(f"gridnorm --help over python -c pass, {name}: {middle:.3f} s ({low:.3f} – {high:.3f})")
    print(f"goal: wall ≤ {LIMIT} s: {'met' if found['wall'][0] <= LIMIT else 'MISSED'}")
