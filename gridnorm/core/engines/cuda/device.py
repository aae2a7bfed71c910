"""Who compiles and runs the kernels: CUDA through CuPy, or in the tests the CPU; whether CUDA can be used, and why not.

What depends on a card is asked of the device and known nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol

import numpy as np

from gridnorm.core.engines.cuda.loading import Instance, source
from gridnorm.errors import DeviceError, option_value

INSTALL = 'pip install "gridnorm[gpu-cuda13]" (gpu-cuda12 for older drivers)'
# No multiplication is fused into an addition unless a kernel says fma(): the arithmetic that is executed on the CPU in
# every run of the checks is then the arithmetic of the card.
OPTIONS = ("-std=c++17", "--fmad=false")
_PROBE = 'extern "C" __global__ void gridnorm_probe(int* y) { y[0] = 7; }'
_NO_DRIVER, _NO_DEVICE = 35, 100  # cudaErrorInsufficientDriver, cudaErrorNoDevice
_NULL = np.int64(0)  # a null pointer; None is one for CuPy 14.2, not for 13.3 (cupy issue 9046)
_SHARED = 48 * 1024  # bytes of a block, static and dynamic, that need not be asked for


class Card(NamedTuple):
    """What is known of one card.

    Attributes
    ----------
    name, compute_capability
        As NVIDIA calls it, and its generation, ``9.0``.
    memory
        Bytes, used and free.
    shared_memory
        Most bytes of shared memory that a block can ask for.
    """

    name: str
    compute_capability: str
    memory: int
    shared_memory: int


class Device(Protocol):
    """Who compiles and runs the kernels. ``xp`` is the namespace of the arrays it takes."""

    name: str
    xp: Any

    def function(self, inst: Instance, name: str) -> Callable[..., None]:
        """A compiled kernel: ``f(grid, block, args, shared_mem=0)``, on the current card and stream."""
        ...

    def special(self) -> Any:
        """Namespace of special functions for arrays of ``xp``: ``ndtr``."""
        ...

    def free_bytes(self) -> int:
        """Bytes that temporaries and one batch may take now."""
        ...

    def card(self) -> Card:
        """The current card."""
        ...

    def place(self) -> Hashable:
        """Where arrays are put now, and in which order with what runs: card and stream."""
        ...


_chosen: ContextVar[Device | None] = ContextVar("gridnorm_device", default=None)


def current_device() -> Device:
    """The device in use: CUDA, unless ``use_device`` has set another.

    Raises
    ------
    DeviceError
        If CUDA cannot be used, with the reason.
    """
    return _chosen.get() or cuda_device()


@contextmanager
def use_device(other: Device) -> Iterator[Device]:
    """Let ``other`` compute within the block (tests: the kernels on the CPU)."""
    token = _chosen.set(other)
    try:
        yield other
    finally:
        _chosen.reset(token)


@cache
def cuda_status() -> tuple[bool, str]:
    """Whether kernels can be run on a CUDA device, and the device or the reason why not. Asked once; never raises.

    Imports CuPy, counts devices, then compiles and runs one line: a visible device does not mean that kernels
    compile. It creates a CUDA context, so call it on the first use of the GPU, not at import.
    """
    try:
        import cupy
    except ImportError as error:
        if error.name == "cupy":
            return False, f"CuPy is not installed: {INSTALL}"
        return False, f"CuPy is installed but cannot be imported ({first_line(error)}): {INSTALL}"
    except Exception as error:  # noqa: BLE001 - a broken CuPy may raise anything
        return False, f"CuPy is installed but cannot be imported ({first_line(error)}): {INSTALL}"
    try:
        if cupy.cuda.runtime.getDeviceCount() < 1:
            return False, "no CUDA device is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES"
        y = cupy.zeros(1, dtype=cupy.int32)
        cupy.RawModule(code=_PROBE).get_function("gridnorm_probe")((1,), (1,), (y,))
        if int(y[0]) != 7:
            return False, "a test kernel ran but gave a wrong result: the device or its driver is faulty"
        card = CudaDevice().card()
        return True, f"{card.name}, compute capability {card.compute_capability}, CuPy {cupy.__version__}"
    except Exception as error:  # noqa: BLE001 - the reason is what is asked for
        what, hint = explain(error)
        return False, f"{what}: {hint}"


@cache
def cuda_device() -> CudaDevice:
    """CUDA; DeviceError with the reason where it cannot be used."""
    usable, reason = cuda_status()
    if not usable:
        raise DeviceError(
            "the GPU cannot be used", found=reason, hint=f"To compute on the CPU: {option_value('device', 'auto')}"
        )
    return CudaDevice()


class CudaDevice:
    """Kernels compiled by CuPy for the current card, run on the current stream, kept per card."""

    name = "cuda"

    def __init__(self) -> None:
        import cupy

        self.xp: Any = cupy
        self._functions: dict[tuple[int, Instance, str], Callable[..., None]] = {}
        self._modules: dict[tuple[int, Instance], Any] = {}
        self._cards: dict[int, Card] = {}

    def function(self, inst: Instance, name: str) -> Callable[..., None]:
        """The compiled kernel of the current card."""
        device = self.xp.cuda.runtime.getDevice()
        found = self._functions.get((device, inst, name))
        if found is None:
            found = self._functions[device, inst, name] = self._compiled(device, inst, name)
        return found

    def special(self) -> Any:
        """CuPy's special functions, loaded when first asked for."""
        return import_module("cupyx.scipy.special")

    def free_bytes(self) -> int:
        """Four fifths of what the card has free, counting what CuPy's pool holds unused."""
        pool = self.xp.get_default_memory_pool()
        free, _ = self.xp.cuda.runtime.memGetInfo()
        room = free + pool.free_bytes()
        if pool.get_limit():
            room = min(room, pool.get_limit() - pool.used_bytes())
        return max(0, int(room * 0.8))

    def card(self) -> Card:
        """The current card; asked once for each."""
        number = self.xp.cuda.runtime.getDevice()
        if number not in self._cards:
            properties = self.xp.cuda.runtime.getDeviceProperties(number)
            device = self.xp.cuda.Device(number)
            self._cards[number] = Card(
                properties["name"].decode(),
                f"{device.compute_capability[:-1]}.{device.compute_capability[-1]}",
                int(properties["totalGlobalMem"]),
                int(device.attributes["MaxSharedMemoryPerBlockOptin"]),
            )
        return self._cards[number]

    def place(self) -> Hashable:
        """Number of the card, and address of the stream."""
        return self.xp.cuda.runtime.getDevice(), self.xp.cuda.get_current_stream().ptr

    def _compiled(self, device: int, inst: Instance, name: str) -> Callable[..., None]:
        cupy = self.xp
        module = self._modules.get((device, inst))
        if module is None:
            module = self._modules[device, inst] = cupy.RawModule(code=source(inst), options=OPTIONS)
        kernel = module.get_function(name)
        static = kernel.shared_size_bytes
        most = self.card().shared_memory - static

        def run(grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], shared_mem: int = 0) -> None:
            for given in args:
                if isinstance(given, cupy.ndarray) and given.data.device_id != device:
                    raise DeviceError(
                        f"kernel {name}: an array lies on another device",
                        found=f"device {given.data.device_id}",
                        expected=f"device {device}, the current one",
                    )
            if shared_mem > most:
                raise DeviceError(
                    f"kernel {name}: too much shared memory for this card",
                    found=f"{shared_mem} bytes",
                    expected=f"at most {most}",
                )
            if static + shared_mem > _SHARED and kernel.max_dynamic_shared_size_bytes < shared_mem:
                kernel.max_dynamic_shared_size_bytes = shared_mem
            kernel(grid, block, tuple(_NULL if given is None else given for given in args), shared_mem=shared_mem)

        return run


def explain(error: BaseException) -> tuple[str, str]:
    """What went wrong on the way to a running kernel, and what to do about it."""
    kind, status = type(error).__name__, getattr(error, "status", None)
    line = first_line(error)
    if isinstance(error, MemoryError):
        return (
            f"out of device memory ({line})",
            f"Free memory on the device, or compute on the CPU ({option_value('device', 'cpu')})",
        )
    if status == _NO_DRIVER:
        return f"no NVIDIA driver that CuPy can use ({line})", f"install or update the driver, or {INSTALL}"
    if status == _NO_DEVICE:
        return f"a driver, but no visible device ({line})", "see nvidia-smi and CUDA_VISIBLE_DEVICES"
    if kind == "DynamicLibNotFoundError" or re.search(r"nvrtc.*(not|no) |cuda headers|\.so\b", str(error), re.I):
        return f"the compiler NVRTC or its headers cannot be found ({line})", INSTALL
    if isinstance(error, OSError):
        folder = getattr(error, "filename", None) or "the kernel cache"
        return f"CuPy cannot write its kernel cache ({line})", (
            f"make {folder} writable, or set CUPY_CACHE_DIR to a folder that is, or CUPY_CACHE_IN_MEMORY=1"
        )
    if kind == "CompileException":
        return (
            f"compiler: {line}",
            "this card or NVRTC may be too old or too new; `gridnorm doctor` compiles every kernel",
        )
    return f"{kind}: {line}", "see nvidia-smi, and `gridnorm doctor`"


def first_line(error: BaseException) -> str:
    """First line of a message that says something; of a compiler log the first error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[0] if lines else type(error).__name__)
