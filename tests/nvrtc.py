"""Compile kernels with NVRTC for cards that are not there: no GPU, no toolkit, two wheels (extra ``kernels``).

``python tests/nvrtc.py`` prints registers, shared memory and spills of every kernel and card generation.
NVRTC is called through ctypes with the options that CuPy passes; it runs ptxas itself for ``sm_XX`` targets.
"""

from __future__ import annotations

import ctypes
import re
import site
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda.device import OPTIONS

# Turing, A100, RTX 30, RTX 40, H100/H200, B200, RTX 50.
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
_OPTIONS = (*OPTIONS, "-ftz=true", "--device-as-default-execution-space", "--ptxas-options=-v")


@dataclass(frozen=True)
class Resources:
    """What ptxas says about one kernel: bytes, except registers."""

    registers: int = 0
    shared: int = 0
    stack: int = 0
    spills: int = 0


@dataclass(frozen=True)
class Compiled:
    """One variant for one architecture."""

    architecture: str
    ok: bool
    log: str
    kernels: dict[str, Resources]

    @property
    def complaints(self) -> list[str]:
        """Errors, warnings and spills, each as a line."""
        lines = [line.strip() for line in self.log.splitlines()]
        found = [line for line in lines if re.search(r"\b(error|warning)\b", line, re.I)]
        found += [f"{name}: {r.spills} bytes spilled" for name, r in self.kernels.items() if r.spills]
        return [f"{self.architecture}: {text}" for text in found or ([] if self.ok else ["not compiled"])]


def why_not() -> str | None:
    """Why nothing can be compiled here; None where it can."""
    try:
        _library()
    except (FileNotFoundError, OSError) as error:
        return f"NVRTC is not there ({error}): pip install 'gridnorm[kernels]'"
    return None


def compile_text(text: str, name: str, architecture: str) -> Compiled:
    """Compile one text for one architecture."""
    library, includes = _library()
    program = ctypes.c_void_p()
    _check(library, library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None))
    options = [f"-arch={architecture}", *_OPTIONS, *(f"-I{folder}" for folder in includes)]
    packed = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = library.nvrtcCompileProgram(program, len(options), packed)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, buffer)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    log = buffer.value.decode(errors="replace")
    return Compiled(architecture, not failed, log, _resources(log))


def compile_instance(inst: loading.Instance, architectures: Sequence[str] = ARCHITECTURES) -> list[Compiled]:
    """Compile one variant for all architectures, two at a time (NVRTC runs outside Python's lock)."""
    text = loading.source(inst)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda arch: compile_text(text, Path(inst.file).name, arch), architectures))


@cache
def _library() -> tuple[Any, tuple[str, ...]]:
    """libnvrtc of the CUDA 13 or CUDA 12 wheels, and the folders of the CUDA headers."""
    for library, headers in (
        ("cu13/lib/libnvrtc.so.13", "cu13/include"),
        ("cuda_nvrtc/lib/libnvrtc.so.12", "cuda_runtime/include"),
    ):
        for root in dict.fromkeys([sysconfig.get_paths()["purelib"], *site.getsitepackages()]):
            file, folder = Path(root, "nvidia", library), Path(root, "nvidia", headers)
            if file.is_file() and (folder / "cuda_fp16.h").is_file():
                # Some wheels do not say that the builtins lie beside the library; once loaded they are found by name.
                for builtins in sorted(file.parent.glob("libnvrtc-builtins.so*")):
                    ctypes.CDLL(str(builtins))
                return ctypes.CDLL(str(file)), (str(folder),)
    raise FileNotFoundError("no nvidia-cuda-nvrtc and nvidia-cuda-runtime wheels in site-packages")


def _check(library: Any, code: int) -> None:
    if code:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise RuntimeError(library.nvrtcGetErrorString(code).decode())


def _resources(log: str) -> dict[str, Resources]:
    found: dict[str, dict[str, int]] = {}
    name = ""
    for line in log.splitlines():
        if entry := re.search(r"(?:Compiling entry function|Function properties for) '?([\w$]+)'?", line):
            name = entry[1]
        elif sizes := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            found.setdefault(name, {}).update(stack=int(sizes[1]), spills=int(sizes[2]) + int(sizes[3]))
        elif used := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            found.setdefault(name, {}).update(registers=int(used[1]), shared=int(shared[1]) if shared else 0)
    return {key: Resources(**value) for key, value in found.items()}


def _table() -> Iterator[str]:
    for inst in loading.INSTANCES:
        for compiled in compile_instance(inst):
            yield from compiled.complaints
            for name, r in compiled.kernels.items():
                yield (
                    f"{compiled.architecture:7} {inst!s:56} {name:36} {r.registers:4} registers "
                    f"{r.shared:6} B shared {r.stack:5} B stack {r.spills:5} B spilled"
                )


if __name__ == "__main__":
    for row in _table():
        print(row, flush=True)
    sys.exit(0 if loading.INSTANCES else 1)
