"""cudashim: the .cu files of gridnorm, compiled with the host's C++ compiler and executed on the CPU. Test-only.

``CpuDevice`` is a ``Device`` of ``gridnorm.core.engines.cuda.device`` whose arrays are NumPy's: the launch code of the
package runs unchanged. One fiber per CUDA thread; every barrier, shuffle and vote is checked as it happens. The environment
chooses how:

``GN_SHIM_MODE``   ``fast`` (default), ``asan`` (bounds, alignment, integer overflow), ``tsan`` (races). The last two
                   need a process started by ``python -m cudashim asan -- pytest …``.
``GN_SHIM_ORDER``  ``forward``, ``reverse`` or ``random``: in which order the threads of a block run.
``GN_SHIM_SEED``   seed of the random order.
``GN_SHIM_PLANT``  a macro to define in every kernel: a planted mistake.
``GN_SHIM_CACHE``  folder of the compiled files; ``GN_CXX`` the compiler (g++).

Two rules for a kernel: dynamic shared memory only through ``GN_DYNAMIC_SHARED(T, name)``, and no inline PTX.
Linux only. Not offered: textures, tensor cores, asynchronous copies, clusters, waiting for another block.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from cudashim.build import CXX, MODE, BuildError, kernel_library, runtime_library
from cudashim.sanitize import KernelError, SanitizerError, captured, guarded
from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda.device import Card

__all__ = ["MODE", "BuildError", "CpuDevice", "KernelError", "SanitizerError", "why_not"]

_ORDERS = {"forward": 0, "reverse": 1, "random": 2}
_STACK = {"fast": 65536, "asan": 262144, "tsan": 262144}
_STATIC_LIMIT, _DYNAMIC_LIMIT = 48 * 1024, 227 * 1024


def why_not() -> str | None:
    """Why kernels cannot be executed on this machine; None where they can."""
    if os.name != "posix" or not os.path.isdir("/proc/self"):
        return "kernels are executed on the CPU on Linux only"
    return None if shutil.which(CXX) else f"there is no C++ compiler {CXX}"


class CpuDevice:
    """Executes kernels on the CPU, for arrays of NumPy."""

    name = "cpu-kernels"
    xp = np

    def __init__(self, budget: int = 1 << 30) -> None:
        self.budget = budget

    def special(self) -> Any:
        return import_module("scipy.special")

    def free_bytes(self) -> int:
        return self.budget

    def card(self) -> Card:
        return Card("CPU", "", 0, _DYNAMIC_LIMIT)

    def place(self) -> None:
        return None

    def function(self, inst: loading.Instance, name: str) -> Callable[..., None]:
        return _kernels(inst)[name]


class _Row(ctypes.Structure):
    """``CudashimKernel`` in cudashim.h."""

    _fields_ = [("name", ctypes.c_char_p), ("signature", ctypes.c_char_p), ("invoke", ctypes.c_void_p)]


class _Options(ctypes.Structure):
    """``Options`` in runtime.cpp."""

    _fields_ = [(name, ctypes.c_uint) for name in ("order", "seed", "poison", "stack")] + [("touch", ctypes.c_void_p)]


@cache
def _kernels(inst: loading.Instance) -> dict[str, CpuKernel]:
    runtime_library()
    library = kernel_library(inst)
    library.cudashim_table.restype = ctypes.POINTER(_Row)
    count = ctypes.c_int()
    rows = library.cudashim_table(ctypes.byref(count))
    touch = ctypes.cast(library.cudashim_touch, ctypes.c_void_p)
    return {rows[i].name.decode(): CpuKernel(rows[i], touch) for i in range(count.value)}


class CpuKernel:
    """One kernel: ``f(grid, block, args, shared_mem=0)``."""

    def __init__(self, row: _Row, touch: ctypes.c_void_p) -> None:
        self._row, self._touch = row, touch
        self.name = row.name.decode()
        self.signature = [code for code in row.signature.decode().split(",") if code]

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], shared_mem: int = 0
    ) -> None:
        grid, block = (*grid, 1, 1)[:3], (*block, 1, 1)[:3]
        self._check_launch(grid, block, shared_mem)
        for index, (value, code) in enumerate(self._pairs(args)):
            self._check_argument(index, value, code)
        error = ctypes.create_string_buffer(2048)
        options = _Options(
            order=_ORDERS[os.environ.get("GN_SHIM_ORDER", "forward")],
            seed=int(os.environ.get("GN_SHIM_SEED", "0")),
            poison=MODE != "asan",
            stack=_STACK[MODE],
            touch=self._touch,
        )
        with guarded(args, self.signature) as given:
            cells = [self._cell(value, code) for value, code in zip(given, self.signature, strict=True)]
            pointers = (ctypes.c_void_p * max(1, len(cells)))(*(ctypes.addressof(cell) for cell in cells))
            with captured() as log:
                failed = runtime_library().cudashim_launch(
                    ctypes.byref(self._row),
                    (ctypes.c_uint * 3)(*grid),
                    (ctypes.c_uint * 3)(*block),
                    ctypes.c_size_t(shared_mem),
                    pointers,
                    ctypes.byref(options),
                    error,
                    ctypes.c_size_t(len(error)),
                )
        if failed:
            raise KernelError(f"{self.name}: {error.value.decode()}")
        if log:
            # What lies around an argument and behind dynamic shared memory is poisoned: see sanitize.guarded.
            text = log[0].replace("use-after-poison", "use-after-poison, which here is a heap-buffer-overflow")
            raise SanitizerError(f"{self.name}:\n{text}")

    def _check_launch(self, grid: tuple[int, ...], block: tuple[int, ...], shared: int) -> None:
        threads = block[0] * block[1] * block[2]
        if min(*grid, *block) < 1 or threads > 1024 or block[2] > 64 or grid[0] >= 2**31 or max(grid[1:]) > 65535:
            raise KernelError(f"{self.name}: a launch of {grid} blocks of {block} is outside the limits of CUDA")
        if shared > _DYNAMIC_LIMIT:
            raise KernelError(f"{self.name}: {shared} bytes of dynamic shared memory, more than any card has")

    def _pairs(self, args: tuple[Any, ...]) -> list[tuple[Any, str]]:
        if len(args) != len(self.signature):
            raise KernelError(f"{self.name}: {len(args)} arguments, the kernel takes {len(self.signature)}")
        return list(zip(args, self.signature, strict=True))

    def _check_argument(self, index: int, value: Any, code: str) -> None:
        """Compare with the C++ signature: ``p`` pointer, ``c`` pointer to const, then the kind and its bytes."""
        where = f"{self.name}: argument {index}"
        pointer, wanted = code[0] in "pc", code.lstrip("pc")
        if value is None and pointer:
            return
        if pointer != (isinstance(value, np.ndarray) and value.ndim > 0):
            raise KernelError(f"{where} is {type(value).__name__}, the kernel takes {code}")
        if code[0] == "p" and not value.flags.writeable:
            raise KernelError(f"{where} is read-only, but the kernel may write it")
        given = f"{value.dtype.kind}{value.dtype.itemsize}"
        alike = {"w2": ("u2", "V2", "f2") if value.dtype.name == "bfloat16" else ("u2",), "u1": ("u1", "b1")}
        if given not in alike.get(wanted, (wanted,)) and not wanted.startswith("V"):
            raise KernelError(f"{where} is {value.dtype}, the kernel takes {code}")

    def _cell(self, value: Any, code: str) -> Any:
        """The memory that holds one argument's value."""
        if code[0] in "pc":
            return ctypes.c_void_p(None if value is None else value.ctypes.data)
        return (ctypes.c_char * value.itemsize).from_buffer_copy(value.tobytes())
