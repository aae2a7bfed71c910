"""The exact likelihood, and Newton steps on it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.normexp.normal import TAIL, log_normal_cdf, phi_over_cdf, tail_fraction
from gridnorm.arrays.normexp.values import total

FloatArray = NDArray[np.float64]


def exact(
    values: FloatArray, counts: FloatArray | None, par: FloatArray, derivatives: bool
) -> tuple[float, FloatArray, FloatArray]:
    """-2 log L with its gradient and Hessian in (mu, log sigma**2, log alpha); zeros unless asked for."""
    mu, s2, alpha = float(par[0]), math.exp(par[1]), math.exp(par[2])
    s = math.sqrt(s2)
    g, hess = np.zeros(3), np.zeros((3, 3))
    if s == 0 or alpha == 0:
        return math.inf, g, hess
    n = float(values.size if counts is None else counts.sum())
    e = values - mu
    t = (e - s2 / alpha) / s
    q = 0.5 * s2 / alpha**2
    e_sum = total(e, counts)
    f = -n * math.log(alpha) - e_sum / alpha + n * q + total(log_normal_cdf(t), counts)
    if not derivatives:
        return -2 * f, g, hess
    low = t < TAIL
    lam, gap = np.empty_like(t), np.empty_like(t)  # phi/Phi and t + phi/Phi
    lam[~low] = phi_over_cdf(t[~low])
    gap[~low] = t[~low] + lam[~low]
    gap[low] = tail_fraction(-t[low])
    lam[low] = gap[low] - t[low]
    slope = -lam * gap
    # first and second derivatives of t; m, v, w stand for mu, log sigma**2, log alpha
    tm, tv, tw = -1 / s, -0.5 * e / s - 0.5 * s / alpha, s / alpha
    tmv, tvv = 0.5 / s, 0.25 * e / s - 0.25 * s / alpha
    lam_sum, slope_sum, slope_v = total(lam, counts), total(slope, counts), total(slope * tv, counts)
    g[:] = (n / alpha + lam_sum * tm, n * q + total(lam * tv, counts), -n + e_sum / alpha - 2 * n * q + lam_sum * tw)
    hess[0] = (slope_sum * tm * tm, slope_v * tm + lam_sum * tmv, slope_sum * tm * tw - n / alpha)
    hess[1, 1] = n * q + total(slope * tv * tv, counts) + total(lam * tvv, counts)
    hess[1, 2] = -2 * n * q + slope_v * tw + lam_sum * 0.5 * tw
    hess[2, 2] = -e_sum / alpha + 4 * n * q + slope_sum * tw * tw - lam_sum * tw
    hess = np.triu(hess) + np.triu(hess, 1).T
    return -2 * f, -2 * g, -2 * hess


def newton(
    values: FloatArray, counts: FloatArray | None, start: list[float], steps: int = 100
) -> tuple[list[float], float, int]:
    """Minimize the exact -2 log L from the saddle estimate; never worse than it."""
    par = np.array([start[0], 2 * start[1], start[2]])
    f, g, hess = exact(values, counts, par, True)
    scale = np.array([math.exp(start[1]) + 1e-11 * math.exp(start[2]), 1.0, 1.0])
    damping, evaluations = 0.0, 1
    for _ in range(steps):
        scaled = hess * np.outer(scale, scale)
        if not np.isfinite(scaled).all():
            break
        lowest, _, highest = (float(v) for v in np.linalg.eigvalsh(scaled))
        ridge = max(damping, 0.0 if lowest > 1e-14 * highest else -1.1 * lowest + 1e-3)
        move = -scale * np.linalg.solve(scaled + ridge * np.eye(3), g * scale)
        try:
            f_new = exact(values, counts, par + move, False)[0]
        except OverflowError:
            f_new = math.inf
        evaluations += 1
        if not f_new <= f:
            damping = max(damping * 10, 1e-3 * max(1.0, abs(lowest)))
            if damping > 1e20:
                break
            continue
        done = f - f_new <= 1e-13 * abs(f) and float(np.abs(move / scale).max()) < 1e-7
        par = par + move
        if done:
            f = f_new
            break
        f, g, hess = exact(values, counts, par, True)
        evaluations += 1
        damping = 0.0 if damping < 1e-3 else damping / 10
    return [float(par[0]), 0.5 * float(par[1]), float(par[2])], f, evaluations
