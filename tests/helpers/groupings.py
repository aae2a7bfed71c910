"""Segments and views of every shape that the kernels of this folder are tried on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import cudashim
import numpy as np
import pytest
from numpy.typing import NDArray

from gridnorm.core.segments import Segments

# One element, a warp less one, a warp, one more, more than a thread holds; several segments, some of them empty.
SIZES = {
    "nothing": [0, 0],
    "one": [1],
    "about a warp": [31, 0, 32, 33, 1],
    "ragged": [257, 2, 700, 0, 513],
    "uniform": [96] * 4,
}
SHAPES = [
    (name, kind) for name in SIZES for kind in ("contiguous", "arbitrary") if (name, kind) != ("nothing", "arbitrary")
]


def segments_of(sizes: list[int], kind: str = "contiguous") -> Segments:
    """Segments of these sizes; their items side by side or shuffled."""
    codes = np.repeat(np.arange(len(sizes)), sizes)
    if kind == "arbitrary":
        np.random.default_rng(3).shuffle(codes)
    return Segments.from_codes(codes, range(len(sizes)))


def spoil(values: NDArray[Any]) -> NDArray[Any]:
    """The same values, a few of them NaN or infinite."""
    flat = values.reshape(-1)
    flat[3::17], flat[5::41], flat[6::43] = np.nan, np.inf, -np.inf
    return values


def layouts(values: NDArray[Any], small: bool = False) -> Iterator[tuple[str, NDArray[Any]]]:
    """The same (batch, item, width) numbers as they may lie in memory."""
    yield "C", values
    if small:
        return
    for name, axes in (("items inside", (0, 2, 1)), ("batch inside", (1, 2, 0)), ("reversed", (2, 1, 0))):
        yield name, np.ascontiguousarray(values.transpose(axes)).transpose(np.argsort(axes))
    wide = np.repeat(values, 2, axis=1)
    yield "every other item", wide[:, ::2]
    apart = np.empty((values.shape[0], values.shape[1], values.shape[2] + 1), values.dtype)
    apart[:, :, 1:] = values
    yield "one place off", apart[:, :, 1:]
    yield "backwards", np.ascontiguousarray(values[:, ::-1])[:, ::-1]


def once_a_mode(small: bool, dtype: str) -> None:
    """In a further run the widest and a narrow type will do: who waits for whom, and where reads end, is alike."""
    if small and dtype != "float64":
        pytest.skip("races are looked for in float64")
    again = cudashim.MODE == "asan" or os.environ.get("GN_SHIM_ORDER") == "random"
    if again and dtype not in ("float64", "float16"):
        pytest.skip("bounds, and results in another order of threads, are looked for in float64 and float16")


def host(array: Any) -> NDArray[Any]:
    """A NumPy array, wherever it was computed."""
    return np.asarray(array.get() if hasattr(array, "get") else array)


def bfloat16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Bits of the nearest bfloat16 (ties to even) of finite numbers."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (bits.astype(np.uint32) << 16).view(np.float32)
