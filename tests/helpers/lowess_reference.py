"""Scalar lowess, one item at a time: the oracle of test_lowess.py. x is sorted and everything is finite."""

from __future__ import annotations

import math

import numpy as np


def loess_fit(x, y, w=None, span=0.3, iterations=4):
    """Fitted values by the rules of limma's loessFit."""
    n = len(x)
    if span < 1 / n:
        return y.copy()
    if w is not None:
        w = np.clip(np.where(np.isnan(w), 0.0, w), 1e-5, 1e5)
        if w.max() - w.min() < 1e-15:
            w = None
    if w is None:
        return lowess(x, y, span, iterations - 1)
    if n < 4 + 1 / span:
        xm, ym = (w * x).sum() / w.sum(), (w * y).sum() / w.sum()
        variance = (w * (x - xm) ** 2).sum()
        slope = 0.0 if x[0] == x[-1] else (w * (x - xm) * (y - ym)).sum() / variance
        return ym + slope * (x - xm)
    return weighted_lowess(x, y, w, span, iterations)


def lowess(x, y, span, robust_passes):
    """Cleveland's lowess with delta = 1 % of the range of x."""
    n = len(x)
    if n < 2:
        return y.copy()
    extent = x[-1] - x[0]
    width = max(2, min(n, int(span * n + 1e-7)))
    fit, robust = np.zeros(n), np.ones(n)
    for step in range(robust_passes + 1):
        left, last, i = 0, -1, 0
        while last < n - 1:
            while left + width < n and x[i] - x[left] > x[left + width] - x[i]:
                left += 1
            fit[i] = _cleveland(x, y, robust, i, left, left + width, extent)
            if last >= 0:
                share = (x[last + 1 : i] - x[last]) / (x[i] - x[last])
                fit[last + 1 : i] = share * fit[i] + (1 - share) * fit[last]
            last, j = i, i + 1
            while j < n and x[j] <= x[i] + 0.01 * extent:
                if x[j] == x[last]:
                    fit[j], last = fit[last], j
                j += 1
            i = max(last + 1, j - 1)
        residual = np.abs(y - fit)
        ordered = np.sort(residual)
        scale = 3 * (ordered[n // 2] + ordered[n - n // 2 - 1]) if n % 2 == 0 else 6 * ordered[n // 2]
        if step == robust_passes or scale < 1e-7 * residual.sum() / n:
            break
        with np.errstate(all="ignore"):
            robust = np.where(residual <= 0.999 * scale, (1 - (residual / scale) ** 2) ** 2, 0.0)
        robust[residual <= 0.001 * scale] = 1.0
    return fit


def _cleveland(x, y, robust, i, left, end, extent):
    reach = max(x[i] - x[left], x[end - 1] - x[i])
    while end < len(x) and (abs(x[end] - x[i]) <= 0.999 * reach or x[end] <= x[i]):
        end += 1
    xs, ys = x[left:end], y[left:end]
    d = np.abs(xs - x[i])
    with np.errstate(all="ignore"):
        w = np.where(d <= 0.001 * reach, 1.0, (1 - (d / reach) ** 3) ** 3)
    w = np.where(d <= 0.999 * reach, w, 0.0) * robust[left:end]
    if w.sum() <= 0:
        return y[i]
    w = w / w.sum()
    xm = (w * xs).sum()
    variance = (w * (xs - xm) ** 2).sum()
    if reach > 0 and math.sqrt(variance) > 0.001 * extent:
        w = w * ((x[i] - xm) / variance * (xs - xm) + 1.0)
    return (w * ys).sum()


def weighted_lowess(x, y, w, span, iterations, npts=200):
    """limma's weightedLowess: every sum from left to right, cubes by C's pow."""
    n, total = len(x), _sum(w)
    delta = 0.0
    if npts < n:
        sums = np.cumsum(np.sort(np.diff(x)).astype(np.longdouble)).astype(float)
        delta = min(sums[n - 2 - k] / (npts - k) for k in range(npts))
    seeds = [0]
    for p in range(1, n - 1):
        if x[p] - x[seeds[-1]] > delta:
            seeds.append(p)
    seeds.append(n - 1)
    windows = []
    for c in seeds:
        left, right, reach = _window(x, w, c, span * total)
        own = slice(left, right + 1)
        tricube = 1.0 if reach < 1e-7 else _cube(1.0 - _cube(np.abs(x[c] - x[own]) / reach))
        windows.append((c, own, reach, tricube * w[own]))
    fit, robust = np.zeros(n), np.ones(n)
    with np.errstate(all="ignore"):
        for _ in range(iterations):
            for k, (c, own, reach, base) in enumerate(windows):
                fit[c] = _line(x[own], y[own], base * robust[own], x[c], reach)
                before = windows[k - 1][0] if k else c
                gap, inner = x[c] - x[before], slice(before + 1, c)
                if gap > 1e-7 * (x[-1] - x[0]) / n:
                    slope = (fit[c] - fit[before]) / gap
                    fit[inner] = slope * x[inner] + (fit[c] - slope * x[c])
                else:
                    fit[inner] = 0.5 * (fit[c] + fit[before])
            residual = np.abs(y - fit)
            scale = _robust_scale(residual, w, total / 2)
            if scale <= 1e-7 * (_sum(residual) / n):
                break
            robust = np.where(residual < scale, (1.0 - (residual / scale) ** 2) ** 2, 0.0)
    return fit


def _sum(values):
    return np.cumsum(values)[-1]


def _cube(values):
    return np.array([math.pow(v, 3.0) for v in values.tolist()])


def _window(x, w, c, target):
    n = len(x)
    left = right = c
    held, reach = w[c], 0.0
    while held < target and (left > 0 or right < n - 1):
        if left > 0 and (right == n - 1 or x[c] - x[left - 1] < x[right + 1] - x[c]):
            left -= 1
            held, reach = held + w[left], max(reach, x[c] - x[left])
        else:
            right += 1
            held, reach = held + w[right], max(reach, x[right] - x[c])
    while left > 0 and x[left - 1] == x[left]:
        left -= 1
    while right < n - 1 and x[right + 1] == x[right]:
        right += 1
    return left, right, reach


def _line(x, y, w, at, reach):
    total = _sum(w)
    xm, ym = _sum(w * x) / total, _sum(w * y) / total
    dx = x - xm
    variance = _sum(w * (dx * dx))
    if reach < 1e-7 or variance < 1e-7:
        return ym
    slope = _sum(w * (dx * (y - ym))) / variance
    return slope * at + (ym - slope * xm)


def _robust_scale(residual, w, half):
    order = np.argsort(residual, kind="stable")
    held = np.cumsum(w[order])
    p = min(int(np.searchsorted(held, half)), len(order) - 1)
    if held[p] == half and p + 1 < len(order):
        return 3.0 * (residual[order[p]] + residual[order[p + 1]])
    return 6.0 * residual[order[p]]
