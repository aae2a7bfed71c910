#!/usr/bin/env python3
"""Group normalization on the CPU: gridnorm's NumPy path against torch, one thread each, in turn in one process.

usage: bench_nn.py [--pairs N] [--write]
Shapes are float32 (batch, channels, height, width) with the number of groups; parity is checked before any timing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
from pairs import ran_on, ratio, shown

SHAPES = (((32, 64, 56, 56), 32), ((2, 256, 28, 28), 32), ((1, 320, 64, 64), 32), ((8, 32, 16, 16), 8))
GOALS = {"forward": 4.5, "backward": 3.0}  # gridnorm / torch, geometric mean over the shapes
TOLERANCE = 1e-5  # of y and dx; of dγ and dβ, sums over the batch, relative to the largest


def calls(shape: tuple[int, ...], groups: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Forward and backward of gridnorm and of torch on the same numbers, once checked to agree."""
    import torch

    from gridnorm import nn

    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    x, dy = (rng.normal(1, 2, shape).astype(np.float32) for _ in range(2))
    weight, bias = (rng.normal(size=shape[1]).astype(np.float32) for _ in range(2))
    theirs = [torch.from_numpy(a) for a in (x, dy, weight, bias)]
    size = (shape[0], shape[1], shape[2] * shape[3], groups)
    y, mean, rstd = nn.group_norm(x, groups, weight, bias, return_stats=True)
    ty, tmean, trstd = torch.native_group_norm(theirs[0], theirs[2], theirs[3], *size, 1e-5)

    def ours_back() -> Any:
        return nn.group_norm_backward(dy, x, mean, rstd, weight)

    def theirs_back() -> Any:
        return torch.ops.aten.native_group_norm_backward(
            theirs[1], theirs[0], tmean, trstd, theirs[2], *size, [True] * 3
        )

    for ours, other in zip((y, *ours_back()), (ty, *theirs_back()), strict=True):
        error = np.abs(ours - other.numpy()).max() / max(1.0, np.abs(ours).max())
        if error > TOLERANCE:
            raise SystemExit(f"no parity at {shape}: {error:.1e}")
    return {
        "forward": (
            lambda: nn.group_norm(x, groups, weight, bias, return_stats=True),
            lambda: torch.native_group_norm(theirs[0], theirs[2], theirs[3], *size, 1e-5),
        ),
        "backward": (ours_back, theirs_back),
    }


def paired(ours: Callable[[], Any], theirs: Callable[[], Any], pairs: int) -> dict[str, float]:
    """Ratios of times of short runs in turn."""
    repeats = max(1, int(0.02 / _seconds(ours, 3)))
    for call in (ours, theirs):
        _seconds(call, repeats)
    times = [(_seconds(ours, repeats), _seconds(theirs, repeats)) for _ in range(pairs)]
    found = ratio([a for a, _ in times], [b for _, b in times])
    return {**found, "ours_ms": 1e3 * min(a for a, _ in times), "torch_ms": 1e3 * min(b for _, b in times)}


def _seconds(call: Callable[[], Any], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats


def main(pairs: int) -> dict[str, Any]:
    """All shapes and directions: paired ratios, and their geometric means."""
    import torch

    out: dict[str, Any] = {"ran_on": {**ran_on(with_r=False), "torch": torch.__version__}, "shapes": []}
    for shape, groups in SHAPES:
        found = {name: paired(*both, pairs) for name, both in calls(shape, groups).items()}
        out["shapes"].append({"shape": shape, "groups": groups, **found})
        print(f"{shape} G={groups}: " + ", ".join(f"{name} {shown(f)}" for name, f in found.items()), flush=True)
    for name, goal in GOALS.items():
        mean = statistics.geometric_mean(one[name]["median"] for one in out["shapes"])
        out[name] = {"geometric_mean": mean, "goal": goal}
        print(f"{name}: {mean:.2f} × torch's time, goal ≤ {goal}: {'met' if mean <= goal else 'MISSED'}")
    return out


def markdown(found: dict[str, Any]) -> str:
    """The table that the page on performance shows."""
    lines = ["| shape, groups | forward | backward |", "|---|---|---|"]
    for one in found["shapes"]:
        shape = " × ".join(map(str, one["shape"]))
        lines.append(f"| {shape}, {one['groups']} | {shown(one['forward'])} | {shown(one['backward'])} |")
    means = (f"**{found[name]['geometric_mean']:.2f}**" for name in GOALS)
    lines.append(f"| geometric mean | {' | '.join(means)} |")
    ran = ", ".join(f"{name} {value}" for name, value in found["ran_on"].items())
    return "\n".join(
        [*lines, "", f"Time of gridnorm's NumPy path ÷ time of torch, median (range) of pairs. {ran}.", ""]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=21)
    parser.add_argument("--write", action="store_true", help="write results/nn.json and nn.md")
    options = parser.parse_args()
    result = main(options.pairs)
    if options.write:
        folder = Path(__file__).resolve().parent / "results"
        (folder / "nn.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (folder / "nn.md").write_text(markdown(result), encoding="utf-8")
