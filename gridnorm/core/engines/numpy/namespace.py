"""Whose arrays this engine takes."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import numpy as xp

__all__ = ["special", "xp"]


def special() -> ModuleType:
    """The library's special functions, loaded when first asked for."""
    return import_module("scipy.special")
