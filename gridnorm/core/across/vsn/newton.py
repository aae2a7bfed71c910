"""Newton's method, damped where the surface is not yet a bowl: parameters of segments that only one term joins."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gridnorm.core.across.vsn.likelihood import Floats

MOST_STEPS = 200
CLOSE = 1e-7  # what a last step would still gain of a logarithm of a likelihood
DAMPING = 1e-2  # of the first step
_LEAST, _MOST = 1e-12, 1e12  # damping
_TRUSTED = 0.75  # of what a step promised: it is damped less from there on
_DOUBTED = 0.25  # and more from there on


class Surface(NamedTuple):
    """A function to be made small, at one place.

    Its Hessian is block (segment, parameter, parameter) less ``joint`` · t tᵀ, where t is ``tie``; ``weight`` (segment,
    parameter) is positive and in the units of its diagonal.
    """

    value: float
    gradient: Floats
    blocks: Floats
    weight: Floats
    joint: float
    tie: Floats


class StalledError(Exception):
    """No lowest point was found; ``place`` (segment, parameter) is where the search ended."""

    def __init__(self, place: Floats) -> None:
        super().__init__("no convergence")
        self.place = place


def lowest(surface: Callable[[Floats], Surface], start: Floats) -> Floats:
    """The parameters (segment, parameter) with the least value, from ``start`` downhill.

    Raises
    ------
    StalledError
        The bottom was not reached in ``MOST_STEPS``.
    """
    place, here, damping = start, surface(start), DAMPING
    for _ in range(MOST_STEPS):
        if damping > _MOST:
            break
        step = _step(here, damping)
        if step is None:
            damping = max(10 * damping, DAMPING)
            continue
        close = -0.5 * float((here.gradient * step).sum()) < CLOSE
        there = surface(place + step)
        promised = _promised(here, step)
        # Of a last step only rounding could tell whether it went down.
        kept = 1.0 if close else (here.value - there.value) / promised
        if kept > 0:
            place, here = place + step, there
        if close and damping <= DAMPING:
            return place
        if kept > _TRUSTED:
            damping = max(0.1 * damping, _LEAST)
        elif not kept > _DOUBTED:
            damping = 10 * damping
    raise StalledError(place)


def _promised(here: Surface, step: Floats) -> float:
    """How much lower the place after a step would lie, were the surface the parabola that it is here."""
    bent = np.einsum("si,sij,sj->", step, here.blocks, step) - here.joint * (here.tie * step).sum() ** 2
    return float(-(here.gradient * step).sum() - 0.5 * bent)


def _step(here: Surface, damping: float) -> Floats | None:
    """The way to the bottom of the damped parabola; None where it has none."""
    blocks = here.blocks.copy()
    at = np.arange(blocks.shape[1])
    blocks[:, at, at] += damping * here.weight
    try:
        np.linalg.cholesky(blocks)
    except np.linalg.LinAlgError:
        return None
    own, tied = np.moveaxis(np.linalg.solve(blocks, np.stack([here.gradient, here.tie], axis=2)), 2, 0)
    left = 1.0 - here.joint * float((here.tie * tied).sum())
    if not left > 0:
        return None
    step: Floats = -(own + tied * (here.joint * float((here.tie * own).sum()) / left))
    return step if bool(np.isfinite(step).all()) else None
