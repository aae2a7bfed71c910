"""The CUDA kernels: where their source lies, how it is put together, and how one is launched.

Who computes is an *engine*: CUDA through CuPy, or, in the tests, the same files executed on the CPU. An engine
brings its array namespace (``xp``), compiled functions and a memory budget; nothing above it knows which it is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gridnorm.core._cuda import cuda_engine, cuda_status, explain
from gridnorm.core._signatures import ALSO, Parameter, read_signatures
from gridnorm.errors import DeviceError

__all__ = [
    "INSTANCES",
    "TYPES",
    "Engine",
    "Instance",
    "Parameter",
    "Strided",
    "compile_all",
    "cuda_status",
    "engine",
    "in_batches",
    "instance",
    "kernel_folder",
    "kernel_names",
    "launch",
    "parameters",
    "source",
    "strided",
    "use_engine",
    "variant",
]


@dataclass(frozen=True)
class Instance:
    """One compiled variant of one kernel file: its macros, sorted by name."""

    file: str
    defines: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        macros = ", ".join(f"{name}={value}" for name, value in self.defines)
        return f"{Path(self.file).name} ({macros})" if macros else Path(self.file).name


def instance(file: str, **defines: str) -> Instance:
    """Name a variant: ``instance("segment_moments.cu", REAL="double")``."""
    return Instance(file, tuple(sorted(defines.items())))


# dtype of the values: its C name, and the C name of what is computed in
TYPES: dict[str, tuple[str, str]] = {
    "float64": ("double", "double"),
    "float32": ("float", "float"),
    "float16": ("__half", "float"),
    "bfloat16": ("__nv_bfloat16", "float"),
}


def variant(file: str, dtype: str, out: str | None = None) -> Instance:
    """Variant of a file for values of ``dtype`` (and results of ``out``)."""
    inside, real = TYPES[dtype]
    defines = {"IN": inside, "REAL": real}
    if out is not None:
        defines["OUT"] = TYPES[out][0]
    if inside.startswith("__"):
        defines["GN_HALF"] = "1"
    return instance(file, **defines)


# Every variant that gridnorm can launch; the compile checks and `gridnorm doctor` go through this list.
INSTANCES: tuple[Instance, ...] = (
    *(variant(file, dtype) for file in ("segment_moments.cu", "segment_median.cu") for dtype in TYPES),
    *(
        variant(file, dtype)
        for file in ("segment_standardize.cu", "segment_standardize_backward.cu")
        for dtype in TYPES
    ),
    *(variant("segment_apply.cu", dtype, dtype) for dtype in TYPES),
    *(variant("segment_apply.cu", dtype, "float32") for dtype in ("float16", "bfloat16")),
    *(instance("lowess.cu", WEIGHTED=weighted, SHARED_MEMORY=shared) for weighted in "01" for shared in "01"),
    instance("curves.cu"),
)


# ---------------------------------------------------------------------------------------------- source


def kernel_folder() -> Path:
    """Folder of the ``.cu`` files: ``gridnorm/_cu`` in a wheel, ``kernels`` in a checkout or editable install."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_cu", package.parent / "kernels"):
        if folder.is_dir():
            return folder
    raise DeviceError(
        "the kernel files are missing from this installation",
        expected="gridnorm/_cu or kernels/ beside the package",
        hint="Install gridnorm again",
    )


@cache
def source(inst: Instance) -> str:
    """Text to compile: the macros, then the file with its own includes put in place.

    CuPy's cache key holds this text and nothing it would include from a folder, so an edited ``.cuh`` can never
    meet a stale binary. ``#line`` keeps the file names and lines of messages.
    """
    preamble = "".join(f"#define {name} {value}\n" for name, value in inst.defines)
    return preamble + _expand(kernel_folder() / inst.file, set())


def _expand(path: Path, seen: set[Path]) -> str:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise DeviceError("a kernel file cannot be read", file=path.name, found=str(error.strerror)) from None
    seen.add(path)
    lines = [f'#line 1 "{path.name}"']
    for number, line in enumerate(text.splitlines(), start=1):
        wanted = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if wanted:
            inner = path.parent / wanted[1]
            if not inner.exists():  # a test's kernel may lie outside the folder of the helpers it includes
                inner = kernel_folder() / wanted[1]
            lines.append("" if inner in seen else f'{_expand(inner, seen)}\n#line {number + 1} "{path.name}"')
        else:
            lines.append("" if re.match(r"\s*#\s*pragma\s+once", line) else line)
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------- signatures


@cache
def kernel_names(inst: Instance) -> tuple[str, ...]:
    """Names of the kernels that a variant defines."""
    return tuple(_kernels(inst))


@cache
def parameters(inst: Instance, name: str) -> tuple[Parameter, ...]:
    """Parameters of a kernel, read from its source: CuPy checks no argument, so this module does."""
    kernels = _kernels(inst)
    if name not in kernels:
        raise DeviceError(f"no kernel {name} in {inst}", expected=", ".join(kernels) or 'extern "C" __global__ void …')
    return kernels[name]


@cache
def _kernels(inst: Instance) -> dict[str, tuple[Parameter, ...]]:
    return read_signatures(source(inst), inst.defines)


# ---------------------------------------------------------------------------------------------- engines


class Engine(Protocol):
    """Who compiles and runs the kernels. ``xp`` is the namespace of the arrays it takes."""

    name: str
    xp: Any

    def function(self, inst: Instance, name: str) -> Callable[..., None]:
        """A compiled kernel: ``f(grid, block, args, shared_mem=0)``, on the current device and stream."""
        ...

    def special(self) -> Any:
        """Namespace of special functions for arrays of ``xp``: ``ndtr``."""
        ...

    def free_bytes(self) -> int:
        """Bytes that temporaries and one batch may take now."""
        ...


_chosen: ContextVar[Engine | None] = ContextVar("gridnorm_engine", default=None)


def engine() -> Engine:
    """The engine in use: CUDA, unless ``use_engine`` has set another.

    Raises
    ------
    DeviceError
        If CUDA cannot be used, with the reason.
    """
    return _chosen.get() or cuda_engine()


@contextmanager
def use_engine(other: Engine) -> Iterator[Engine]:
    """Let ``other`` compute within the block (tests: the kernels on the CPU)."""
    token = _chosen.set(other)
    try:
        yield other
    finally:
        _chosen.reset(token)


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
        size = max(1, min(count, engine().free_bytes() // bytes_each))
    while start < count:
        stop = min(count, start + size)
        try:
            work(start, stop)
        except MemoryError:  # CuPy's OutOfMemoryError is one
            if stop - start == 1:
                raise DeviceError(
                    "the device has too little memory for a single batch entry",
                    found=f"{engine().free_bytes() / 2**20:.0f} MiB free",
                    expected=f"about {bytes_each / 2**20:.0f} MiB",
                    hint="Free memory on the device, or compute on the CPU (--device cpu)",
                ) from None
            size = (stop - start) // 2
            continue
        start = stop


# ---------------------------------------------------------------------------------------------- launch


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
        Arrays of ``engine().xp`` (contiguous, or marked with ``strided``), ``None`` for a null pointer, and NumPy
        scalars of the exact type: a Python number would arrive as eight bytes whatever the kernel takes.
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
    used = engine()
    plain = _checked(inst, name, args, used.xp)
    with _named(inst, name):
        used.function(inst, name)(tuple(grid), tuple(block), plain, shared_mem=shared)


def compile_all() -> Iterator[tuple[Instance, float, str]]:
    """Compile every variant for the current device: the variant, seconds, and what is wrong with it ("" if nothing)."""
    for inst in INSTANCES:
        started = time.perf_counter()
        trouble = ""
        try:
            for name in kernel_names(inst):
                with _named(inst, name):
                    engine().function(inst, name)
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
    """The argument as the engine takes it, or a DeviceError that names it."""
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
                f"{where}: not an array of this engine",
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
