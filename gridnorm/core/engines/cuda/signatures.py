"""What the kernels take, read from their source: CuPy checks no argument, so ``launch`` does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_C_TYPES = {
    "double": "float64",
    "float": "float32",
    "__half": "float16",
    "half": "float16",
    "__nv_bfloat16": "bfloat16",
    "bool": "bool",
    "signed char": "int8",
    "char": "int8",
    "unsigned char": "uint8",
    "short": "int16",
    "unsigned short": "uint16",
    "int": "int32",
    "unsigned": "uint32",
    "unsigned int": "uint32",
    "long long": "int64",
    "unsigned long long": "uint64",
}
# One byte a mask, and bfloat16 as its bits where no library names the type.
ALSO = {"uint8": ("bool",), "bfloat16": ("uint16",)}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel; ``dtype`` is a NumPy name, or "" for a type that this module does not know."""

    name: str
    dtype: str
    pointer: bool
    constant: bool


def read_signatures(source: str, defines: Iterable[tuple[str, str]]) -> dict[str, tuple[Parameter, ...]]:
    """Parameters of every ``__global__`` function of a source text, by its name; macros and typedefs are followed."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.S)
    names = {**dict(re.findall(r"^\s*#\s*define\s+(\w+)[ \t]+(\w[\w ]*?)\s*$", text, flags=re.M)), **dict(defines)}
    names |= dict(re.findall(r"\busing\s+(\w+)\s*=\s*([\w ]+?)\s*;", text))
    names |= {new: old for old, new in re.findall(r"\btypedef\s+([\w ]+?)\s+(\w+)\s*;", text)}
    names |= {name: _record(body) for name, body in re.findall(r"\bstruct\s+(\w+)\s*\{([\w\s,;]*)\}\s*;", text)}
    bounds = r"(?:__launch_bounds__\s*\([^)]*\)\s*)?"
    found = re.findall(rf"__global__\s+{bounds}void\s+{bounds}(\w+)\s*\(([^)]*)\)\s*\{{", text)
    return {name: tuple(_parameter(p, names) for p in inside.split(",") if p.strip()) for name, inside in found}


def _record(body: str) -> str:
    """NumPy's name for a struct of plain numbers: ``void`` and its bits."""
    size = 0
    for line in re.findall(r"([^;]+);", body):
        first, *more = line.split(",")
        words = first.split()
        size += np.dtype(_C_TYPES.get(" ".join(words[:-1]), "V0")).itemsize * (1 + len(more))
    return np.dtype(f"V{size}").name


def _parameter(text: str, names: dict[str, str]) -> Parameter:
    words = re.findall(r"\w+", text)
    kind = " ".join(word for word in words[:-1] if word not in ("const", "volatile", "__restrict__"))
    for _ in range(8):  # a macro may name a macro; a cycle ends
        kind = names.get(kind, kind)
    dtype = _C_TYPES.get(kind, kind if re.fullmatch(r"void[1-9]\d*", kind) else "")
    return Parameter(words[-1], dtype, "*" in text, "const" in words)
