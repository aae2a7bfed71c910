"""The public names as editors and type checkers read them: functions with the options that rows give them.

``python -m gridnorm.workflow.schema`` writes the file anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent.parent / "__init__.pyi"
_HEAD = '''"""Made by `python -m gridnorm.workflow.schema` from the package; not to be edited."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from gridnorm import nn as nn
from gridnorm._version import __version__ as __version__
'''
# What annotations name beside the public classes.
_NAMED = {
    "Background": "gridnorm.arrays.background",
    "Between": "gridnorm.arrays.between",
    "Correction": "gridnorm.arrays.corrections",
    "FloatArray": "gridnorm.arrays.raw",
    "Method": "gridnorm.core.methods",
    "Paths": "gridnorm.workflow.given",
    "Replicates": "gridnorm.arrays.replicates",
    "Simulated": "gridnorm.arrays.simulate",
}


def published() -> str:
    """The text of the file, with today's options."""
    homes = import_module("gridnorm")._HOME  # by name: nothing in the package stands above it
    found = {name: getattr(import_module(home), name) for name, home in homes.items()}
    classes = {name: homes[name] for name, value in found.items() if inspect.isclass(value)}
    named = sorted((home, name) for name, home in (classes | _NAMED).items())
    lines = [f"from {home} import {name}{f' as {name}' if name in classes else ''}" for home, name in named]
    lines += ["", *(_function(value) for name, value in sorted(found.items()) if name not in classes)]
    return _HEAD + "\n".join(lines) + "\n"


def _function(function: Callable[..., Any]) -> str:
    """A function with one parameter a line."""
    signature = inspect.signature(function)
    lines, kind = [], None
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and kind is not one.KEYWORD_ONLY:
            lines.append("    *,\n")
        kind = one.kind
        annotation = "Any" if one.annotation is one.empty else one.annotation
        lines.append(f"    {one.name}: {annotation}{'' if one.default is one.empty else ' = ...'},\n")
    return f"def {function.__name__}(\n{''.join(lines)}) -> {signature.return_annotation}: ..."


def write() -> None:
    """Write the published file."""
    FILE.write_text(published(), encoding="utf-8")
