"""The CUDA kernels: their variants, where their source lies, how it is put together, and what they take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gridnorm.core.engines.cuda.signatures import Parameter, read_signatures
from gridnorm.errors import DeviceError


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
    package = Path(__file__).resolve().parents[3]
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
