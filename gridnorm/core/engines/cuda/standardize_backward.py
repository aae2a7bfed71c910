"""Gradients of ``standardize``: ``segment_standardize_backward.cu``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gridnorm.core.engines.cuda.call import Call, per_segment, prepare, real_of, view
from gridnorm.core.engines.cuda.device import current_device
from gridnorm.core.engines.cuda.launch import in_batches, launch
from gridnorm.core.engines.cuda.loading import variant
from gridnorm.core.engines.cuda.moments import LANES, THREADS, chunk_length, sums
from gridnorm.core.engines.cuda.plan import Placed, blocks, placed
from gridnorm.core.engines.cuda.standardize import LONG, room_for
from gridnorm.core.segments import Segments

PACKS, SLICE = 2, 32  # packs of a thread of backward_apply; batch entries that one thread adds up
BLOCK_BYTES = 1 << 30  # a smaller number makes the kernels share the work on larger segments among blocks
_FILE = "segment_standardize_backward.cu"


def standardize_backward(
    grad: Any,
    values: Any,
    segments: Segments,
    mean: Any,
    rstd: Any,
    *,
    center: bool = True,
    weights: Any = None,
    gain: Any = None,
    offset: Any = None,
    activation: str | None = None,
    add_mean: Any = None,
    add_rstd: Any = None,
    reduce_batch: bool = False,
    constant: bool = False,
    out: Any = None,
    dtype: str | None = None,
) -> tuple[Any, Any, Any]:
    """Gradients with respect to the values, gain and offset, through the statistics.

    Parameters
    ----------
    grad, values
        Gradient of the result, and what was standardized: with a residual, the sum. (batch, item, width) of one
        type, any strides.
    mean, rstd
        As ``standardize`` returned them. The other arguments are those it had.
    add_mean, add_rstd
        Gradients of mean and rstd, (batch, segment), or None.
    reduce_batch
        Add the gradients of gain and offset up over the batch, in an order that follows from its length alone.
    constant
        Mean and rstd were given (``standardize_with``): they do not depend on the values.
    out
        Where dx goes: any strides, ``grad`` or ``values`` itself will do. None: a new array that lies as the values do.
    dtype
        ``"bfloat16"`` for uint16 arrays that hold its bits.

    Returns
    -------
    dx, dgain, doffset
        dx of the values' type; dgain and doffset float64 for float64, else float32, (batch, item) or (1, item).
    """
    call = prepare(
        values,
        segments,
        second=grad,
        second_name="grad",
        out=out,
        weights=weights,
        gain=gain,
        offset=offset,
        center=center,
        activation=activation,
        dtype=dtype,
    )
    given = _given(call, segments, values.shape[0], (mean, rstd, add_mean, add_rstd), constant)
    pair = _gradients(call, segments, values, given, reduce_batch)
    return call.out, *pair


def _given(call: Call, segments: Segments, batch: int, statistics: tuple[Any, Any, Any, Any], constant: bool) -> _Given:
    """The numbers of each segment, checked; its weight is infinite where the statistics do not depend on the values."""
    xp = current_device().xp
    real = real_of(call.kind, xp)
    mean, rstd, *more = statistics
    extras = [
        None if a is None else per_segment(name, a, segments, batch, xp.float64)
        for name, a in zip(("add_mean", "add_rstd"), more, strict=True)
    ]
    weight = None if call.weights is None else sums(xp.where(call.weights > 0, call.weights, real(0)), segments)
    if constant:  # what is divided by it vanishes
        weight = xp.full((batch, segments.n_segments), xp.inf)
    return _Given(
        per_segment("mean", mean, segments, batch, xp.float64),
        per_segment("rstd", rstd, segments, batch, real),
        extras[0],
        extras[1],
        weight,
    )


def _gradients(call: Call, segments: Segments, values: Any, given: _Given, reduce_batch: bool) -> tuple[Any, Any]:
    """Dx into the call's output; the gradients of gain and offset come back."""
    xp = current_device().xp
    batch, items, width = values.shape
    real = real_of(call.kind, xp)
    if not values.size:
        rows = 1 if reduce_batch else batch
        return xp.zeros((rows, items), real), xp.zeros((rows, items), real)
    where = placed(segments)
    few = 2 * LONG * chunk_length(call.kind) * values.itemsize
    room = room_for(batch * segments.n_segments, BLOCK_BYTES, few)
    plan: _Plan = where.plan(("backward", width, call.kind, room), lambda: _plan(where, width, call.kind, room))
    each = SLICE if reduce_batch and plan.tokens else 1
    pair = (xp.empty((-(-batch // each), items), real), xp.empty((-(-batch // each), items), real))
    if plan.tokens:
        _tokens(plan, where, call, given, each, pair)
    else:
        scratch = 0 if plan.whole else 16 * items * (plan.pieces + 1) + 8 * real(0).itemsize * segments.n_segments

        def run(start: int, stop: int) -> None:
            part = slice(start, stop)
            (_whole if plan.whole else _shared)(
                plan, where, call.part(start, stop), given.part(start, stop), (pair[0][part], pair[1][part])
            )

        in_batches(batch, scratch, run)
    return _reduced(call.kind, pair, summed=each > 1) if reduce_batch else pair


@dataclass(frozen=True, eq=False)
class _Given:
    """Numbers (batch, segment); the last three may be None."""

    mean: Any
    rstd: Any
    add_mean: Any
    add_rstd: Any
    weight: Any

    def part(self, start: int, stop: int) -> _Given:
        arrays = (self.mean, self.rstd, self.add_mean, self.add_rstd, self.weight)
        return _Given(*(None if a is None else a[start:stop] for a in arrays))

    @property
    def all(self) -> list[Any]:
        return [self.mean, self.rstd, *self.extras]

    @property
    def extras(self) -> list[Any]:
        return [self.add_mean, self.add_rstd, self.weight]


@dataclass(frozen=True, eq=False)
class _Plan:
    """Segments by class; arrays of the device. Exactly one of tokens, whole and folds is used."""

    pieces: int  # of an item, and lanes of one
    lanes: int
    tokens: list[tuple[int, int, Any]]  # threads per segment, most items, segments
    whole: list[tuple[int, int, Any]]  # most elements and items of a segment, segments: one block each
    folds: list[tuple[int, Any]]  # threads per segment, segments


def _plan(where: Placed, width: int, kind: str, room: int) -> _Plan:
    sizes, chunk = where.segments.sizes, chunk_length(kind)
    itemsize, pack = _itemsize(kind), 16 // _itemsize(kind)
    lanes = min(32, 1 << max(0, -(-width // pack) - 1).bit_length())
    pieces = -(-width // (chunk // 4))
    folds, below = [], 0
    for most, threads in (*LANES, (int(sizes.max()), THREADS)):
        chosen = np.flatnonzero((sizes > below) & (sizes <= most))
        if chosen.size:
            folds.append((threads, chosen))
        below = most
    listed = [(threads, where.listed(chosen)) for threads, chosen in folds]
    if width == 1:
        tokens = [(threads, _whole_packs(int(sizes[c].max()), pack), where.listed(c)) for threads, c in folds]
        if all(token_bytes(threads, most, itemsize) <= room for threads, most, _ in tokens):
            return _Plan(pieces, lanes, tokens, [], [])
        return _Plan(pieces, lanes, [], [], listed)
    if any(block_bytes(_whole_packs(int(n) * width, pack), int(n), pieces, itemsize) > room for n in (sizes.max(),)):
        return _Plan(pieces, lanes, [], [], listed)
    whole, below = [], 0
    while below < sizes.max():  # classes of shared memory within a factor of two
        most = max(1, 2 * below, chunk // (4 * width))
        chosen = np.flatnonzero((sizes > below) & (sizes <= most))
        if chosen.size:
            items = int(sizes[chosen].max())
            whole.append((_whole_packs(items * width, pack), items, where.listed(chosen)))
        below = most
    return _Plan(pieces, lanes, [], whole, [])


def _itemsize(kind: str) -> int:
    return {"float64": 8, "float32": 4}.get(kind, 2)


def _whole_packs(elements: int, pack: int) -> int:
    return -(-elements // pack) * pack


def token_bytes(threads: int, most: int, itemsize: int) -> int:
    """Shared memory of ``segment_backward_tokens``."""
    return THREADS // threads * most * 2 * (itemsize + max(itemsize, 4))


def block_bytes(most: int, items: int, pieces: int, itemsize: int) -> int:
    """Shared memory of ``segment_backward_block``."""
    return 2 * most * itemsize + 16 * items * (pieces + (pieces > 1))


def _taken(call: Call) -> list[Any]:
    return [view(call.values), view(call.second), view(call.weights), view(call.gain), view(call.offset)]


def _tokens(plan: _Plan, where: Placed, call: Call, given: _Given, each: int, pair: tuple[Any, Any]) -> None:
    slices = -(-call.values.shape[0] // each)
    for threads, most, chosen in plan.tokens:
        listed = int(chosen.size)
        args = [
            *(*_taken(call), where.order, where.offsets, *given.all, chosen, np.int64(listed), np.int32(most)),
            *(np.int32(each), np.int32(threads), call.numbers(), view(call.out), *pair),
        ]
        launch(
            variant(_FILE, call.kind),
            "segment_backward_tokens",
            blocks(slices * listed, THREADS // threads),
            (THREADS,),
            args,
            shared=token_bytes(threads, most, call.values.itemsize),
        )


def _whole(plan: _Plan, where: Placed, call: Call, given: _Given, pair: tuple[Any, Any]) -> None:
    batch = call.values.shape[0]
    for most, items, chosen in plan.whole:
        listed = int(chosen.size)
        args = [
            *(*_taken(call), where.order, where.offsets, *given.all, chosen, np.int64(listed), np.int32(most)),
            *(np.int32(plan.pieces), np.int32(plan.lanes), call.numbers(), view(call.out), *pair),
        ]
        launch(
            variant(_FILE, call.kind),
            "segment_backward_block",
            blocks(batch * listed, 1),
            (THREADS if most <= chunk_length(call.kind) else 2 * THREADS,),
            args,
            shared=block_bytes(most, items, plan.pieces, call.values.itemsize),
        )


def _shared(plan: _Plan, where: Placed, call: Call, given: _Given, pair: tuple[Any, Any]) -> None:
    """Segments that many blocks share: sums of items, their fold, then dx."""
    xp, inst, numbers = current_device().xp, variant(_FILE, call.kind), call.numbers()
    batch, items, width = call.values.shape
    rows = batch * items
    found = xp.empty((rows, plan.pieces, 2))
    args = [view(call.values), view(call.second), view(call.gain), view(call.offset), where.codes]
    args += [given.mean, given.rstd, np.int32(plan.pieces), np.int32(plan.lanes)]
    if call.items_inside and width > 1:
        tiles = -(-items // 32)
        grid = blocks(batch * plan.pieces * tiles, 1)
        launch(inst, "segment_backward_columns", grid, (THREADS,), [*args, np.int64(tiles), numbers, found])
    else:
        grid = blocks(rows * plan.pieces, THREADS // plan.lanes)
        shared = 2 * chunk_length(call.kind) * call.values.itemsize
        launch(inst, "segment_backward_rows", grid, (THREADS,), [*args, numbers, found], shared=shared)
    if plan.pieces > 1:
        joined = xp.empty((rows, 1, 2))
        args = [found, np.int32(plan.pieces), np.int64(rows), joined]
        launch(inst, "segment_backward_items", blocks(rows, THREADS // 32), (THREADS,), args)
        found = joined
    table = xp.empty((batch, where.segments.n_segments, 2), real_of(call.kind, xp))
    for threads, chosen in plan.folds:
        listed = int(chosen.size)
        args = [
            *(found, view(call.gain), where.order, where.offsets, given.rstd, *given.extras, chosen, np.int64(listed)),
            *(np.int32(threads), numbers, table, *pair),
        ]
        grid = blocks(batch * listed, THREADS // threads)
        launch(inst, "segment_backward_fold", grid, (THREADS,), args)
    tiles = -(-items * width // (THREADS * PACKS * (16 // call.values.itemsize)))
    args = [*_taken(call), where.codes, given.mean, given.rstd, table, np.int64(tiles), numbers, view(call.out)]
    launch(inst, "segment_backward_apply", blocks(batch * tiles, 1), (THREADS,), args)


def _reduced(kind: str, pair: tuple[Any, Any], *, summed: bool) -> tuple[Any, Any]:
    """Both arrays (row, item) added up over their rows, SLICE at a time; ``summed`` rows are sums already."""
    xp, inst = current_device().xp, variant(_FILE, kind)
    while pair[0].shape[0] > 1 or not summed:
        rows, items = pair[0].shape
        slices, tiles = -(-rows // SLICE), -(-items // THREADS)
        into = (xp.empty((slices, items), pair[0].dtype), xp.empty((slices, items), pair[0].dtype))
        args = [*pair, np.int64(rows), np.int64(items), np.int32(SLICE), np.int32(summed), np.int64(tiles), *into]
        launch(inst, "segment_backward_reduce", blocks(slices * tiles, 1), (THREADS,), args)
        pair, summed = into, True
    return pair
