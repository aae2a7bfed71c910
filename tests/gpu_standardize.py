"""The fused ``standardize`` and its gradients on a borrowed GPU: part of ``gpu_acceptance.py``."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from gridnorm.core.engines import numpy as numpy_engine
from gridnorm.core.engines.cuda.device import current_device
from gridnorm.core.segments import Segments

# (batch, items, width), segments, dtype, whether items lie inside: convolutions, a decoder, tokens, instances, ragged.
SHAPES = [
    ((32, 64, 112 * 112), 32, "float32", False),
    ((32, 256, 56 * 56), 32, "bfloat16", False),
    ((32, 256, 56 * 56), 32, "bfloat16", True),
    ((2, 320, 64 * 64), 32, "float16", True),
    ((1, 128, 512 * 512), 32, "bfloat16", False),
    ((1, 128, 1024 * 1024), 32, "bfloat16", False),
    ((2, 32, 128**3), 8, "float32", False),
    ((32, 512, 49), 32, "float16", False),
    ((16384, 4096, 1), 1, "bfloat16", False),
    ((8, 64, 65536), 64, "float32", False),
    ((32, 256, 28 * 28), -64, "float32", False),
    ((1000, 20000, 1), -48, "float32", False),
]


def check_standardize(report: Any, shape: tuple[int, int, int], groups: int, dtypes: tuple[str, ...]) -> None:
    """Result, statistics and gradients against NumPy in float64; one block a segment and many give the same bits."""
    from gridnorm.core.engines import cuda as cuda_engine

    to, rng = current_device().xp.asarray, np.random.default_rng(9)
    codes = rng.permutation(np.arange(shape[1]) % groups)
    segments = Segments.from_codes(codes, range(groups))
    for dtype in dtypes:
        real = np.float64 if dtype == "float64" else np.float32
        x, grad = ((rng.standard_normal(shape) + level).astype(dtype) for level in (20, 0))
        options = {"gain": rng.uniform(0.5, 2, shape[:2]).astype(real), "activation": "silu"}
        placed = {name: to(a) if isinstance(a, np.ndarray) else a for name, a in options.items()}
        wide = {name: a.astype(np.float64) if isinstance(a, np.ndarray) else a for name, a in options.items()}
        exact = numpy_engine.standardize(x.astype(np.float64), segments, eps=1e-5, **wide)
        name = f"{dtype} {shape} in {groups}"
        found = cuda_engine.standardize(to(x), segments, eps=1e-5, **placed)
        loss = {"float64": 1e-11, "float32": 1e-5, "float16": 4e-3}[dtype]
        for what, a, b in zip(("y", "mean", "rstd"), found, exact, strict=True):
            report.check(f"fused standardize: {what} {name}", a, b, loss)
        back = partial(
            cuda_engine.standardize_backward, to(grad), to(x), segments, *found[1:], reduce_batch=True, **placed
        )
        wanted = numpy_engine.standardize_backward(
            grad.astype(np.float64), x.astype(np.float64), segments, *exact[1:], reduce_batch=True, **wide
        )
        got = back()
        for what, a, b in zip(("dx", "dgain", "doffset"), got, wanted, strict=True):
            report.check(f"fused standardize: {what} {name}", a, b, loss, float(np.abs(b).max()))
        check_paths(report, name, partial(cuda_engine.standardize, to(x), segments, eps=1e-5, **placed), found)
        check_paths(report, name + ", gradients", back, got)


def check_paths(report: Any, name: str, call: Any, before: Any) -> None:
    """The same bits where many blocks share a segment."""
    modules = [import_module(f"gridnorm.core.engines.cuda.{file}") for file in ("standardize", "standardize_backward")]
    kept = [module.BLOCK_BYTES for module in modules]
    try:
        for module in modules:
            module.BLOCK_BYTES = 0
        for i, (one, other) in enumerate(zip(before, call(), strict=True)):
            report.check(f"one block or many, result {i} {name}", one, np.asarray(_host(other), np.float64), 0)
    finally:
        for module, most in zip(modules, kept, strict=True):
            module.BLOCK_BYTES = most


def measure_standardize(report: Any, clock: Any, shapes: Any = SHAPES) -> None:
    """Forward and backward, as shares of the traffic that they need at least: one read and one write of each."""
    from gridnorm.core.engines import cuda as cuda_engine

    xp = current_device().xp
    for shape, groups, dtype, inside in shapes:
        held = {"bfloat16": "uint16"}.get(dtype, dtype)
        told = {"dtype": dtype} if held != dtype else {}
        lies = (shape[0], shape[2], shape[1]) if inside else shape
        # Bits of bfloat16 between 1 and 2, or numbers.
        x = xp.full(lies, 0x3F80, held) if told else xp.zeros(lies, held)
        x += (xp.arange(x.size, dtype="uint32") * 2654435761 >> 25).astype(held).reshape(lies)
        x = x.transpose(0, 2, 1) if inside else x
        rng = np.random.default_rng(1)
        even = Segments.uniform(shape[1], groups) if groups > 0 else None
        segments = even or Segments.from_codes(rng.permutation(np.arange(shape[1]) % -groups), range(-groups))
        gain, out = xp.ones((1, shape[1]), "float64" if dtype == "float64" else "float32"), xp.empty_like(x)
        name = f"{dtype} {shape} in {segments.n_segments}{' items inside' if inside else ''}"
        for activation in (None, "silu"):
            options = {"gain": gain, "offset": gain, "activation": activation, **told}
            run = partial(cuda_engine.standardize, x, segments, eps=1e-5, out=out, **options)
            clock.row(report, f"fused standardize {activation or ''} {name}", run, 2 * x.nbytes)
            _, mean, rstd = run()
            back = partial(
                cuda_engine.standardize_backward, x, x, segments, mean, rstd, reduce_batch=True, out=out, **options
            )
            # Values and gradient are one tensor here, yet both are read.
            clock.row(report, f"its gradients {activation or ''} {name}", back, 3 * x.nbytes)


def _host(array: Any) -> Any:
    return array.get() if hasattr(array, "get") else array
