"""Activations that may follow a standardization: the function, its slope and its curvature, for any array library."""

from __future__ import annotations

from typing import Any

from gridnorm.core.engines.verbs import Namespace

ACTIVATIONS = ("silu", "relu", "gelu")
_DENSITY = 0.3989422804014327  # 1/√(2π)


def activate(name: str, z: Any, namespace: Namespace) -> Any:
    """f(z), written to z. GELU is the exact one, z·Φ(z)."""
    xp = namespace.xp
    if name == "relu":
        return xp.maximum(z, 0, out=z)
    z *= _sigmoid(z, xp) if name == "silu" else _normal(z, namespace)
    return z


def slope(name: str, z: Any, namespace: Namespace) -> Any:
    """f′(z); 0 for ``relu`` at 0."""
    xp = namespace.xp
    if name == "relu":
        return (z > 0).astype(z.dtype)
    if name == "silu":
        s = _sigmoid(z, xp)
        return s * (1 + z * (1 - s))
    return _normal(z, namespace) + z * _bell(z, xp)


def curvature(name: str, z: Any, namespace: Namespace) -> Any:
    """f″(z)."""
    xp = namespace.xp
    if name == "relu":
        return xp.zeros_like(z)
    if name == "silu":
        s = _sigmoid(z, xp)
        return s * (1 - s) * (2 + z * (1 - 2 * s))
    bell = _bell(z, xp)
    return 2 * bell - z * (z * bell)  # z² may run over


def _sigmoid(z: Any, xp: Any) -> Any:
    # Of −|z|, so that exp cannot run over.
    e = xp.exp(-xp.abs(z))
    return xp.where(z >= 0, 1 / (1 + e), e / (1 + e)).astype(z.dtype, copy=False)


def _normal(z: Any, namespace: Namespace) -> Any:
    """Distribution function of the normal distribution."""
    return namespace.special().ndtr(z).astype(z.dtype, copy=False)


def _bell(z: Any, xp: Any) -> Any:
    return (_DENSITY * xp.exp(-0.5 * z * z)).astype(z.dtype, copy=False)
