"""Remove a location and a scale per segment from every value: ``segment_apply.cu``."""

from __future__ import annotations

from typing import Any

import numpy as np

from gridnorm.core.engines.cuda.device import current_device
from gridnorm.core.engines.cuda.launch import launch, strided
from gridnorm.core.engines.cuda.loading import variant
from gridnorm.core.engines.cuda.plan import blocks, check_view, dtype_of, in_elements, placed, strides
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError

THREADS, TILE = 128, 2  # as in segment_apply.cu


def remove(
    values: Any,
    segments: Segments,
    location: Any,
    scale: Any,
    *,
    out: Any = None,
    dtype: str | None = None,
    result: str | None = None,
) -> Any:
    """(v − location) / scale of each item's segment: centre, scale and standardize in one pass over the values.

    Parameters
    ----------
    values
        (batch, item, width) of float16, bfloat16, float32 or float64, any strides.
    location, scale
        float64 (batch, segment), or None. A scale of 0 or NaN divides by one; a location of NaN gives NaN.
    out
        Where the result goes: an array of its shape (any strides; ``values`` itself will do), or None for a new one.
    dtype
        ``"bfloat16"`` for uint16 values that hold its bits.
    result
        dtype of the result: that of the values, or ``"float32"`` for half values.

    Returns
    -------
    array
        ``out``, or a new contiguous array. For float64 it is what NumPy gives, bit for bit.
    """
    xp = current_device().xp
    check_view(values, segments, {}, xp)
    kind = dtype_of(values, dtype)
    to = result or kind
    if to != kind and (to, kind) not in (("float32", "float16"), ("float32", "bfloat16")):
        raise OptionError("no kernel writes that type", found=f"{kind} to {to}", expected=f"{kind}, or float32 of half")
    batch, items, width = values.shape
    groups = segments.n_segments
    tables = {"location": location, "scale": scale}
    for name, array in tables.items():
        if array is not None and array.shape != (batch, groups):
            raise OptionError(f"{name} does not fit", found=str(array.shape), expected=f"({batch}, {groups})")
    if out is None:
        out = xp.empty(values.shape, values.dtype if to == kind else to)
    elif out.shape != values.shape:
        raise OptionError("out does not fit the values", found=str(out.shape), expected=str(values.shape))
    elif in_elements(out, xp) is not out:
        out[...] = remove(values, segments, location, scale, dtype=dtype, result=result)
        return out
    if not values.size:
        return out
    inst = variant("segment_apply.cu", kind, to)
    values = in_elements(values, xp)
    location, scale = (None if a is None else xp.ascontiguousarray(a, xp.float64) for a in (location, scale))
    table = xp.empty((batch, groups, 3), xp.float64 if kind == "float64" else xp.float32)
    rows = np.int64(batch * groups)
    launch(inst, "segment_apply_table", blocks(int(rows), THREADS), (THREADS,), [location, scale, rows, table])
    tiles = -(-items * width // (THREADS * TILE * (16 // values.itemsize)))
    steps = strides(values)
    launch(
        inst,
        "segment_apply",
        blocks(batch * tiles, 1),
        (THREADS,),
        [
            *(strided(values), *steps, strided(out), *strides(out)),
            *(placed(segments).codes, table, np.int64(groups), np.int64(items), np.int64(width)),
            *(np.int32(width == 1 or abs(steps[1]) < abs(steps[2])), np.int64(tiles)),
        ],
    )
    return out
