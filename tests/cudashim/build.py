"""Compiles the runtime and one shared object per kernel variant, cached by everything that goes into it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from gridnorm.core.engines.cuda import loading
from gridnorm.errors import DeviceError

HERE = Path(__file__).resolve().parent
INCLUDE = HERE / "include"
CXX = os.environ.get("GN_CXX", "g++")
MODE = os.environ.get("GN_SHIM_MODE", "fast")
PLANT = os.environ.get("GN_SHIM_PLANT", "")

_BASE = [
    *("-std=c++17", "-g1", "-fPIC", "-pthread", "-fvisibility=hidden"),
    *("-ffp-contract=off", "-fno-strict-aliasing", "-fno-omit-frame-pointer"),
    *("-Wall", "-Wno-unknown-pragmas", "-Wno-unused-function", "-Wno-unused-variable"),
]
_BY_MODE = {
    "fast": ["-O2"],
    # Plain statics get red zones between them, thread-local ones do not.
    "asan": [
        "-O1",
        "-DCUDASHIM_STATIC_SHARED",
        "-fsanitize=address,undefined,float-cast-overflow",
        "-fsanitize-recover=all",
    ],
    "tsan": ["-O1", "-fsanitize=thread", "-Wno-tsan"],
}
_TAIL = """
}}  // namespace
#line 1 "added by cudashim/build.py"
#define GN_EXPORT extern "C" __attribute__((visibility("default")))
GN_EXPORT void cudashim_touch(void) {{ static thread_local volatile char c; c = (char)(c + 1); }}
GN_EXPORT const CudashimKernel* cudashim_table(int* cudashim_count) {{
  static const CudashimKernel cudashim_rows[] = {{{rows}}};
  *cudashim_count = {count};
  return cudashim_rows;
}}
"""


class BuildError(DeviceError):
    """A kernel file that g++ refuses, or warns about."""


def cache_folder() -> Path:
    folder = Path(os.environ.get("GN_SHIM_CACHE") or Path(tempfile.gettempdir()) / f"cudashim-{os.getuid()}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def runtime_library() -> ctypes.CDLL:
    """The block scheduler, never instrumented."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # workers that spin would starve the others on two cores
    text = (HERE / "runtime.cpp").read_text()
    flags = [flag for flag in _BASE if flag != "-fvisibility=hidden"] + ["-O2", "-fopenmp", "-ldl"]
    return ctypes.CDLL(str(_shared_object("runtime", text, flags)), mode=ctypes.RTLD_GLOBAL)


def kernel_library(inst: loading.Instance) -> ctypes.CDLL:
    """One variant of one kernel file, in the mode of this process."""
    return ctypes.CDLL(str(build(inst)))


def build(inst: loading.Instance) -> Path:
    """Compile one variant, unless it lies in the cache."""
    names = loading.kernel_names(inst)
    rows = ", ".join(f'{{"{n}", cudashim::Entry<&{n}>::signature(), &cudashim::Entry<&{n}>::invoke}}' for n in names)
    plant = f"#define {PLANT} 1\n" if PLANT else ""
    text = f'#include "cudashim.h"\n{plant}namespace {{\n{loading.source(inst)}\n' + _TAIL.format(
        rows=rows, count=len(names)
    )
    return _shared_object(f"{Path(inst.file).stem}-{MODE}", text, [*_BASE, *_BY_MODE[MODE], f"-I{INCLUDE}"])


def _shared_object(stem: str, text: str, flags: list[str]) -> Path:
    key = hashlib.sha256("\0".join([_headers(), text, *flags, _compiler()]).encode()).hexdigest()[:16]
    out = cache_folder() / f"{stem}-{key}.so"
    if not out.exists():
        cpp, part = out.with_suffix(f".{os.getpid()}.cpp"), out.with_suffix(f".{os.getpid()}.part")
        cpp.write_text(text)
        done = subprocess.run([CXX, "-shared", str(cpp), "-o", str(part), *flags], capture_output=True, text=True)
        if done.returncode or "warning:" in done.stderr:
            raise BuildError(f"{stem} does not compile cleanly for the CPU:\n{done.stderr}")
        cpp.unlink()
        part.replace(out)
    return out


@cache
def _headers() -> str:
    return "".join(path.read_text() for path in sorted(INCLUDE.iterdir()))


@cache
def _compiler() -> str:
    return subprocess.run([CXX, "--version"], capture_output=True, text=True, check=True).stdout.partition("\n")[0]
