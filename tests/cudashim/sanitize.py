"""Running under a sanitizer: a process with its runtime loaded, its reports per launch, and guarded arguments."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gridnorm.errors import DeviceError

MODE = os.environ.get("GN_SHIM_MODE", "fast")
_libc = ctypes.CDLL(None)
_libc.malloc.restype = ctypes.c_void_p


class KernelError(DeviceError):
    """The kernel broke a rule that the emulated machine checks: barrier, mask, limit, argument."""


class SanitizerError(KernelError):
    """AddressSanitizer, UndefinedBehaviorSanitizer or ThreadSanitizer reported something during a launch."""


def run_under(mode: str, command: Sequence[str]) -> int:
    """Run a command with the runtime of ``mode`` loaded before everything else."""
    compiler = os.environ.get("GN_CXX", "g++")
    env = dict(os.environ, GN_SHIM_MODE=mode, PYTHONMALLOC="malloc", OPENBLAS_NUM_THREADS="1")
    libraries = {"asan": ["libasan.so", "libubsan.so"], "tsan": ["libtsan.so"]}.get(mode, [])
    if libraries:
        asked = (
            subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True) for name in libraries
        )
        env["LD_PRELOAD"] = " ".join(os.path.realpath(answer.stdout.strip()) for answer in asked)
        env["ASAN_OPTIONS"] = "detect_leaks=0:halt_on_error=0:detect_stack_use_after_return=0"
        env["UBSAN_OPTIONS"] = "print_stacktrace=0:halt_on_error=0"
        once = int("GN_SHIM_PLANT" in env)  # a planted mistake need not be told for every pair of threads
        env["TSAN_OPTIONS"] = (
            "halt_on_error=0:report_thread_leaks=0:report_signal_unsafe=0:exitcode=0:history_size=2:"
            f"suppress_equal_stacks={once}:suppress_equal_addresses={once}"
        )
    command = list(command)
    # libtsan of GCC 12 aborts where the kernel randomizes addresses by more than 28 bits.
    if mode == "tsan" and subprocess.run(["setarch", "-R", "true"], capture_output=True).returncode == 0:
        command = ["setarch", "-R", *command]
    return subprocess.run(command, env=env).returncode


@contextmanager
def captured() -> Iterator[list[str]]:
    """Collect what the sanitizers print during one launch.

    They write to file descriptor 2; their log_path does not work with libubsan beside libasan.
    """
    log: list[str] = []
    if MODE == "fast":
        yield log
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield log
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines = file.read().decode(errors="replace").splitlines()
            text = "\n".join(line for line in lines if "fully support makecontext" not in line)
            if text:
                log.append(text)


_GUARD = 4096  # poisoned bytes before and behind an array


@contextmanager
def guarded(args: Sequence[Any], signature: Sequence[str]) -> Iterator[list[Any]]:
    """Under AddressSanitizer, copies of the arrays between poisoned bytes.

    The poisoned bytes are part of the copy's own memory: an overrun is reported and then happens, and must not reach
    what the allocator keeps between blocks. A strided view is copied with all the bytes between its first and last
    element; arguments that cover the same bytes share one copy. What the kernel may write is copied back.
    """
    if MODE != "asan":
        yield list(args)
        return
    blocks: dict[tuple[int, int], int] = {}
    given = []
    try:
        for value in args:
            if not isinstance(value, np.ndarray) or value.ndim == 0:
                given.append(value)
                continue
            low, high = _bounds(value)
            if (low, high) not in blocks:
                blocks[low, high] = _copy(low, high - low)
            start = blocks[low, high] + _GUARD
            buffer = (ctypes.c_char * (high - low)).from_address(start)
            given.append(np.ndarray(value.shape, value.dtype, buffer, value.ctypes.data - low, value.strides))
        yield given
        for value, code in zip(args, signature, strict=True):
            if code[0] == "p" and isinstance(value, np.ndarray):
                low, high = _bounds(value)
                ctypes.memmove(low, blocks[low, high] + _GUARD, high - low)
    finally:
        for (low, high), block in blocks.items():
            _libc.__asan_unpoison_memory_region(ctypes.c_void_p(block), ctypes.c_size_t(high - low + 2 * _GUARD))
            _libc.free(ctypes.c_void_p(block))


def _bounds(array: Any) -> tuple[int, int]:
    low, high = np.lib.array_utils.byte_bounds(array)
    return (low, high) if array.size else (array.ctypes.data, array.ctypes.data)


def _copy(low: int, size: int) -> int:
    block: int = _libc.malloc(ctypes.c_size_t(size + 2 * _GUARD))
    ctypes.memmove(block + _GUARD, low, size)
    for start in (block, block + _GUARD + size):
        _libc.__asan_poison_memory_region(ctypes.c_void_p(start), ctypes.c_size_t(_GUARD))
    return block
