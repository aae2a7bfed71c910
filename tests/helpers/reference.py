"""``standardize`` and its gradients in float64, written from the formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.segments import Segments

Floats = NDArray[np.float64]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def activated(z: Floats, activation: str | None) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        if activation == "silu":
            return z / (1 + np.exp(-z))
        if activation == "relu":
            return np.where(z < 0, 0, z)
        return 0.5 * z * (1 + _erf(z / np.sqrt(2))) if activation == "gelu" else z


def slope(z: Floats, activation: str | None) -> Floats:
    if activation == "silu":
        part = 1 / (1 + np.exp(-np.maximum(z, -700)))
        return part * (1 + z * (1 - part))
    if activation == "relu":
        return (z > 0).astype(np.float64)
    if activation == "gelu":
        return 0.5 * (1 + _erf(z / np.sqrt(2))) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    return np.ones_like(z)


def statistics(
    v: Floats, segments: Segments, eps: float, center: bool = True, weights: Any = None
) -> tuple[Floats, Floats]:
    """mean and rstd, (batch, segment)."""
    mean, rstd = (np.full((v.shape[0], segments.n_segments), np.nan) for _ in range(2))
    for b, g in np.ndindex(mean.shape):
        items = segments.codes == g
        x = v[b, items].ravel()
        w = np.ones(x.size) if weights is None else weights[b, items].astype(np.float64).ravel()
        x, w = x[w > 0], w[w > 0]
        if not x.size:
            continue
        with np.errstate(invalid="ignore", over="ignore"):
            p = w / w.sum()
            mean[b, g] = (p * (x - x[0])).sum() + x[0] if center else 0.0
            variance = (p * (x - mean[b, g]) ** 2).sum() + eps
            rstd[b, g] = 0.0 if variance == 0 else 1 / np.sqrt(variance)
    return mean, rstd


def normal(v: Floats, segments: Segments, mean: Floats, rstd: Floats) -> Floats:
    """(v - mean) * rstd of each item's segment."""
    codes = segments.codes
    with np.errstate(invalid="ignore"):
        return (v - mean[:, codes, None]) * rstd[:, codes, None]


def forward(
    v: Floats,
    segments: Segments,
    *,
    eps: float,
    center: bool = True,
    weights: Any = None,
    gain: Any = None,
    offset: Any = None,
    activation: str | None = None,
) -> tuple[Floats, Floats, Floats]:
    mean, rstd = statistics(v, segments, eps, center, weights)
    z = normal(v, segments, mean, rstd)
    z = z * (1.0 if gain is None else gain[:, :, None]) + (0.0 if offset is None else offset[:, :, None])
    return activated(z, activation), mean, rstd


def backward(
    grad: Floats,
    v: Floats,
    segments: Segments,
    mean: Floats,
    rstd: Floats,
    *,
    center: bool = True,
    weights: Any = None,
    gain: Any = None,
    offset: Any = None,
    activation: str | None = None,
    add_mean: Any = None,
    add_rstd: Any = None,
    reduce_batch: bool = False,
) -> tuple[Floats, Floats, Floats]:
    xh = normal(v, segments, mean, rstd)
    wide = np.ones(v.shape[:2]) if gain is None else gain
    z = xh * wide[:, :, None] + (0.0 if offset is None else offset[:, :, None])
    g = grad * slope(z, activation)
    h = g * wide[:, :, None]
    dx = np.zeros_like(v)
    for b, s in np.ndindex(mean.shape):
        items = segments.codes == s
        if not items.any():
            continue
        w = (
            np.ones((items.sum(), v.shape[2]))
            if weights is None
            else np.where(weights[b, items] > 0, weights[b, items], 0)
        )
        p, r = w / w.sum(), rstd[b, s]
        first, second = h[b, items].sum(), (h[b, items] * xh[b, items]).sum()
        if add_mean is not None and r != 0:
            first -= add_mean[b, s] / r
        if add_rstd is not None:
            second += r * add_rstd[b, s]
        dx[b, items] = r * (h[b, items] - (p * first if center else 0.0) - p * xh[b, items] * second)
    dgain, doffset = (g * xh).sum(axis=2), g.sum(axis=2)
    if reduce_batch:
        dgain, doffset = dgain.sum(axis=0, keepdims=True), doffset.sum(axis=0, keepdims=True)
    return dx, dgain, doffset
