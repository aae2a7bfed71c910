"""Minimization of a function of a few numbers by Nelder and Mead (1965), with the rules of R's ``optim``.

Where it stops is part of limma's normexp estimate, so the rules are R's to the evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

MAX_EVALUATIONS = 500
_TOLERANCE = 1.490116119384766e-08  # sqrt of the double precision epsilon


def _simplex(start: list[float]) -> tuple[list[list[float]], float]:
    """The start and one vertex a coordinate, moved by a tenth of the largest; and the summed moves."""
    step = 0.1 * max(abs(v) for v in start) or 0.1
    points, size = [list(start)], 0.0
    for j, v in enumerate(start):
        p, h = list(start), step
        while p[j] == v:  # a step too small to be seen
            p[j] = v + h
            h *= 10
        size += abs(p[j] - v)
        points.append(p)
    return points, size


def nelder_mead(objective: Callable[[list[float]], float], start: list[float]) -> tuple[list[float], float, int]:
    """Minimize with the step, contraction and stop rules of R's ``optim(method="Nelder-Mead")``.

    They differ from the textbook's: convergence is judged on function values alone, and after a reflection that
    did not beat the best vertex the simplex is contracted as well.
    """
    n = len(start)

    def value(p: list[float]) -> float:
        f = objective(p)
        return f if math.isfinite(f) else 1e35

    points, size = _simplex(start)
    f = [value(p) for p in points]
    evaluations, low = n + 1, 0
    tolerance = _TOLERANCE * (abs(f[0]) + _TOLERANCE)
    while True:
        # strict comparisons from the current best vertex on: ties keep it
        high, first = low, low
        for j in range(n + 1):
            if j != first:
                low = j if f[j] < f[low] else low
                high = j if f[j] > f[high] else high
        if f[high] <= f[low] + tolerance or evaluations > MAX_EVALUATIONS:
            break
        worst, f_worst = points[high], f[high]
        centre = [sum(points[j][i] for j in range(n + 1) if j != high) / n for i in range(n)]
        reflected = [2 * c - w for c, w in zip(centre, worst, strict=True)]
        f_reflected = value(reflected)
        evaluations += 1
        if f_reflected < f[low]:
            expanded = [2 * b - c for b, c in zip(reflected, centre, strict=True)]
            f_expanded = value(expanded)
            evaluations += 1
            better = f_expanded < f_reflected
            points[high], f[high] = (expanded, f_expanded) if better else (reflected, f_reflected)
            continue
        if f_reflected < f_worst:
            points[high], f[high] = reflected, f_reflected
        contracted = [0.5 * p + 0.5 * c for p, c in zip(points[high], centre, strict=True)]
        f_contracted = value(contracted)
        evaluations += 1
        if f_contracted < f[high]:
            points[high], f[high] = contracted, f_contracted
        elif f_reflected >= f_worst:
            best = points[low]
            points = [[0.5 * (v - b) + b for v, b in zip(p, best, strict=True)] for p in points]
            points[low] = best
            shrunk = sum(abs(v - b) for p in points for v, b in zip(p, best, strict=True))
            if shrunk >= size:
                break
            size = shrunk
            f = [f[low] if j == low else value(p) for j, p in enumerate(points)]
            evaluations += n
    return points[low], f[low], evaluations
