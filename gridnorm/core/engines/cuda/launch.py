"""Launching a kernel: arguments checked against its source, work cut to the memory, errors that name the kernel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda.device import current_device, explain
from gridnorm.core.engines.cuda.loading import Instance, kernel_names, parameters
from gridnorm.core.engines.cuda.signatures import ALSO, Parameter
from gridnorm.errors import DeviceError, option_value


@dataclass(frozen=True, eq=False)
class Strided:
    """An array whose strides the kernel is told; any other argument must be contiguous."""

    array: Any


def strided(array: Any) -> Strided:
    """Mark an argument as a strided view: the kernel gets its first element's address and knows the strides."""
    return Strided(array)


def launch(
    inst: Instance, name: str, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared: int = 0
) -> None:
    """Check the arguments against the kernel's signature and launch it on the current stream.

    Parameters
    ----------
    inst, name
        Variant and kernel.
    grid, block
        Up to three numbers each. A grid that holds a 0 launches nothing.
    args
        Arrays of the device (contiguous, or marked with ``strided``), ``None`` for a null pointer, and NumPy scalars
        of the exact type: a Python number would arrive as eight bytes whatever the kernel takes.
    shared
        Dynamic shared memory, bytes.

    Raises
    ------
    DeviceError
        For an argument that does not fit, named; for a kernel that does not compile or start, with the first
        line of the compiler and what to do.
    """
    if 0 in grid:
        return
    used = current_device()
    plain = _checked(inst, name, args, used.xp)
    with _named(inst, name):
        used.function(inst, name)(tuple(grid), tuple(block), plain, shared_mem=shared)


def compile_all() -> Iterator[tuple[Instance, float, str]]:
    """Compile every variant for the current device: the variant, seconds, and what is wrong with it ("" if nothing)."""
    for inst in loading.INSTANCES:
        started = time.perf_counter()
        trouble = ""
        try:
            for name in kernel_names(inst):
                with _named(inst, name):
                    current_device().function(inst, name)
        except (DeviceError, MemoryError) as error:
            trouble = str(error)
        yield inst, time.perf_counter() - started, trouble


@contextmanager
def _named(inst: Instance, name: str) -> Iterator[None]:
    """Turn whatever a compiler or driver raises into a DeviceError that names the kernel; memory has its own rule."""
    try:
        yield
    except (DeviceError, MemoryError):
        raise
    except Exception as error:
        what, hint = explain(error)
        raise DeviceError(f"kernel {name} of {inst} could not be run", found=what, hint=hint) from error


def _checked(inst: Instance, name: str, args: Sequence[Any], xp: Any) -> tuple[Any, ...]:
    wanted = parameters(inst, name)
    if len(args) != len(wanted):
        raise DeviceError(f"kernel {name}: wrong number of arguments", found=str(len(args)), expected=str(len(wanted)))
    return tuple(_check(f"kernel {name}, argument {p.name}", p, a, xp) for p, a in zip(wanted, args, strict=True))


def _check(where: str, wanted: Parameter, given: Any, xp: Any) -> Any:
    """The argument as the device takes it, or a DeviceError that names it."""
    if not wanted.pointer:
        if not isinstance(given, np.generic):
            expected = f"np.{wanted.dtype}" if wanted.dtype else "a NumPy scalar"
            raise DeviceError(f"{where}: not a NumPy scalar", found=type(given).__name__, expected=expected)
        array = given
    else:
        if given is None:
            return None
        array = given.array if isinstance(given, Strided) else given
        if not isinstance(array, xp.ndarray):
            kind = type(array)
            raise DeviceError(
                f"{where}: not an array of this device",
                found=f"{kind.__module__}.{kind.__name__}",
                expected=f"{xp.__name__}.ndarray",
            )
        if not isinstance(given, Strided) and not array.flags.c_contiguous:
            raise DeviceError(
                f"{where}: not contiguous",
                found=f"shape {array.shape}, strides {array.strides}",
                expected="C order, or strided(...) where the kernel takes strides",
            )
    if wanted.dtype and array.dtype.name not in (wanted.dtype, *ALSO.get(wanted.dtype, ())):
        raise DeviceError(f"{where}: wrong dtype", found=array.dtype.name, expected=wanted.dtype)
    return array


def in_batches(count: int, bytes_each: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(start, stop)`` over ``range(count)`` in batches that fit into the free memory.

    A batch for which memory runs out is done again in halves; results of one batch entry never depend on the
    others, so neither does any result on where the cuts fall.

    Raises
    ------
    DeviceError
        If a single entry does not fit.
    """
    start, size = 0, max(1, count)
    if count > 1 and bytes_each:  # asking the driver what is free can cost more than the work
        size = max(1, min(count, current_device().free_bytes() // bytes_each))
    while start < count:
        stop = min(count, start + size)
        try:
            work(start, stop)
        except MemoryError:  # CuPy's OutOfMemoryError is one
            if stop - start == 1:
                raise DeviceError(
                    "the device has too little memory for a single batch entry",
                    found=f"{current_device().free_bytes() / 2**20:.0f} MiB free",
                    expected=f"about {bytes_each / 2**20:.0f} MiB",
                    hint=f"Free memory on the device, or compute on the CPU ({option_value('device', 'cpu')})",
                ) from None
            size = (stop - start) // 2
            continue
        start = stop
