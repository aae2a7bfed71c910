"""Group normalization as its formula says, in float64 and one group at a time: what gridnorm is compared with.

Also what it is compared on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

Array = np.ndarray

ACTIVATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda z: z,
    "silu": lambda z: z * expit(z),
    "relu": lambda z: np.maximum(z, 0.0),
    "gelu": lambda z: z * ndtr(z),
}


def split(channels: int, number: int) -> Array:
    """Labels of ``number`` equal groups that follow one another."""
    return np.repeat(np.arange(number), channels // number)


def formula(
    x: Any,
    labels: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *,
    channel_axis: int = 1,
    batch_axes: tuple[int, ...] = (0,),
    affine: str = "channel",
    center: bool = True,
    weights: Any = None,
    activation: str | None = None,
    scale: Any = None,
    shift: Any = None,
) -> tuple[Array, Array, Array]:
    """y, mean and rstd. ``labels``: 0…G − 1, or −1 for channels that pass; ``weights`` like x: mask times weight."""
    x = np.asarray(x).astype(np.float64)
    rest = [a for a in range(x.ndim) if a not in {b % x.ndim for b in batch_axes} | {channel_axis % x.ndim}]
    order = [*(b % x.ndim for b in batch_axes), channel_axis % x.ndim, *rest]
    moved = x.transpose(order)
    w = np.broadcast_to(1.0 if weights is None else np.asarray(weights).astype(np.float64), x.shape).transpose(order)
    batch, channels = moved.shape[: len(batch_axes)], moved.shape[len(batch_axes)]
    labels = np.asarray(labels)
    groups = int(labels.max(initial=-1)) + 1
    y, mean, rstd = moved.copy(), np.full((*batch, groups), np.nan), np.full((*batch, groups), np.nan)
    gamma, beta = np.ones(channels), np.zeros(channels)
    for full, given in ((gamma, weight), (beta, bias)):
        if given is not None:
            held = labels >= 0
            full[held] = np.asarray(given, np.float64)[labels[held] if affine == "group" else held]
    more = 1 + (0.0 if scale is None else np.broadcast_to(np.asarray(scale, np.float64), (*batch, channels)))
    extra = 0.0 if shift is None else np.asarray(shift, np.float64)
    more, extra = (np.broadcast_to(p, (*batch, channels)) for p in (more, extra))
    for n in np.ndindex(*batch):
        for g in range(groups):
            members = np.flatnonzero(labels == g)
            v, u = moved[n][members], w[n][members]
            use = u > 0
            if not use.any():
                y[(*n, members)] = np.nan
                continue
            m = np.average(v[use], weights=u[use]) if center else 0.0
            variance = np.average((v[use] - m) ** 2, weights=u[use])
            r = 1 / np.sqrt(variance + eps) if variance + eps > 0 else 0.0
            mean[(*n, g)], rstd[(*n, g)] = m, r
            tail = (-1, *(1,) * len(rest))
            z = (v - m) * r * gamma[members].reshape(tail) + beta[members].reshape(tail)
            z = z * more[n][members].reshape(tail) + extra[n][members].reshape(tail)
            y[(*n, members)] = ACTIVATIONS[activation](z)
    back = np.argsort(order)
    return y.transpose(back), mean, rstd


def differences(f: Callable[..., float], arrays: list[Array], step: float = 1e-5) -> list[Array]:
    """Gradient of f(*arrays) by central differences."""
    results = []
    for at, array in enumerate(arrays):
        gradient = np.zeros_like(array)
        for index in np.ndindex(*array.shape):
            values = []
            for sign in (1, -1):
                moved = array.copy()
                moved[index] += sign * step
                values.append(f(*arrays[:at], moved, *arrays[at + 1 :]))
            gradient[index] = (values[0] - values[1]) / (2 * step)
        results.append(gradient)
    return results


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": lambda x: x.copy(),
    "F": np.asfortranarray,
    "last": lambda x: np.ascontiguousarray(np.moveaxis(x, 1, -1)).transpose(0, x.ndim - 1, *range(1, x.ndim - 1)),
    "reversed": lambda x: x[::-1, ::-1, ..., ::-1].copy()[::-1, ::-1, ..., ::-1],
    "every second": lambda x: np.repeat(np.repeat(x, 2, axis=0), 2, axis=-1)[::2, ..., ::2],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
}


def normal(shape: tuple[int, ...], dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * 1.5 + 0.7).astype(dtype)


def far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b).max(initial=0.0))
