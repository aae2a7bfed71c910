"""Lowess curves of many (batch, segment) pairs on the device: ``lowess.cu``, one block a curve.

What a launch needs follows from the segments' sizes: those of up to 1024 items are fitted in shared memory, in classes
so that a small segment does not reserve the memory of a large one; larger ones work in global memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda.device import current_device
from gridnorm.core.engines.cuda.launch import launch, strided
from gridnorm.core.engines.cuda.loading import Instance
from gridnorm.core.engines.cuda.plan import Placed, blocks, strides
from gridnorm.errors import OptionError

SHARED = 1024  # most items of a segment that is fitted in shared memory
SORT_TILE = 2048  # as in lowess_block.cuh
# Most items of a class, and the threads of its blocks: about one for each point at which a curve is evaluated.
CLASSES = ((64, 32), (128, 64), (256, 64), (512, 128), (SHARED, 128))
LARGE_THREADS = 512
_LONGEST = 1 << 29  # twice the power of two above a segment's size must not overflow an int32: the sort counts so far


@dataclass(frozen=True, eq=False)
class _Class:
    """Segments of one launch. ``scratch``: bytes per batch row in global memory, 0 where shared memory serves."""

    threads: int
    capacity: int
    shared: int
    segments: Any
    starts: Any = None
    scratch: int = 0


@dataclass(frozen=True)
class Settings:
    """Of the curves; ``npts``: approximate number of evaluated points on the weighted path."""

    span: float
    iterations: int
    exclude: bool
    npts: int = 200

    def __post_init__(self) -> None:
        if not (self.span > 0 and np.isfinite(self.span)):
            raise OptionError("span cannot have this value", found=str(self.span), expected="a positive number")
        if self.iterations < 1:
            raise OptionError("iterations cannot have this value", found=str(self.iterations), expected="at least 1")


@dataclass(frozen=True, eq=False)
class Found:
    """What the kernel leaves: knots at the places of the items, and counts; all of the device.

    Attributes
    ----------
    n, count
        int64 (batch, segment): items in the fit, knots.
    x, y
        float64 (batch, item): knots of segment g from ``offsets[g]`` on.
    """

    n: Any
    count: Any
    x: Any
    y: Any


def instance(weighted: bool, shared_memory: bool) -> Instance:
    """The variant of the kernel."""
    return loading.instance("lowess.cu", WEIGHTED=str(int(weighted)), SHARED_MEMORY=str(int(shared_memory)))


def row_bytes(where: Placed, weighted: bool) -> int:
    """Device memory that one batch row takes while it is fitted."""
    return where.segments.n_items * (52 if weighted else 40) + sum(c.scratch for c in _classes(where, weighted))


def curves(where: Placed, y: Any, x: Any, weights: Any, use: Any, settings: Settings) -> Found:
    """Fit all segments of all batch rows.

    Parameters
    ----------
    where
        The segments.
    y, x
        float64 (batch, item), any strides.
    weights, use
        float64 and bool (batch, item), or None.
    settings
        Of the curves.
    """
    xp = current_device().xp
    batch, items = y.shape
    groups = where.segments.n_segments
    counts = (xp.zeros((batch, groups), xp.int64), xp.zeros((batch, groups), xp.int64))
    knots = (xp.empty((batch, items)), xp.empty((batch, items)))
    scratch = [xp.empty((batch, items), xp.int32) for _ in range(2)] + [None, None]
    if weights is not None:
        scratch[2:] = [xp.empty((batch, items), xp.int32), xp.empty((batch, items))]
    view = [*_strided(y), *_strided(x), *_strided(weights), *_strided(use), where.order, where.offsets]
    numbers = [np.int64(items), np.int64(groups), np.float64(settings.span), np.int32(settings.iterations)]
    numbers += [np.int32(settings.npts), np.int32(settings.exclude and weights is not None)]
    for chosen in _classes(where, weights is not None):
        size = int(chosen.segments.size)
        work = xp.empty(batch * chosen.scratch // 8) if chosen.scratch else None
        launch(
            instance(weights is not None, not chosen.scratch),
            "lowess_curves",
            blocks(batch * size, 1),
            (chosen.threads,),
            [
                *(*view, chosen.segments, np.int32(size), np.int32(chosen.capacity), *numbers),
                *(work, chosen.starts, np.int64(chosen.scratch // 8), *counts, *knots, *scratch),
            ],
            shared=chosen.shared,
        )
    return Found(*counts, *knots)


def _strided(array: Any) -> tuple[Any, ...]:
    if array is None:
        return None, np.int64(0), np.int64(0)
    return strided(array), *strides(array)


def _classes(where: Placed, weighted: bool) -> list[_Class]:
    made: list[_Class] = where.plan(("lowess", weighted), lambda: _make_classes(where, weighted))
    return made


def _make_classes(where: Placed, weighted: bool) -> list[_Class]:
    sizes = where.segments.sizes
    if int(sizes.max(initial=0)) > _LONGEST:
        raise OptionError(
            "a segment has too many items for the kernel", found=str(sizes.max()), expected="2^29 at most"
        )
    made, below = [], 0
    for capacity, threads in CLASSES:
        chosen = np.flatnonzero((sizes > below) & (sizes <= capacity))
        if chosen.size:
            largest = int(sizes[chosen].max())
            shared = int(_doubles(np.array([largest]), weighted)[0]) * 8
            made.append(_Class(threads, largest, shared, where.listed(chosen)))
        below = capacity
    large = np.flatnonzero(sizes > SHARED)
    if large.size:
        large = large[np.argsort(-sizes[large], kind="stable")]  # the longest work first
        each = _doubles(sizes[large], weighted)
        starts = where.xp.asarray(np.cumsum(each) - each)
        total = int(each.sum()) * 8
        made.append(_Class(LARGE_THREADS, 0, SORT_TILE * 12, where.listed(large), starts, total))
    return made


def _doubles(sizes: Any, weighted: bool) -> Any:
    """Work space of segments in units of 8 bytes: keys and indexes for a power of two, the values for their size."""
    padded = 1 << np.ceil(np.log2(sizes)).astype(np.int64)
    return padded + (padded + 1) // 2 + sizes * (4 if weighted else 3)
