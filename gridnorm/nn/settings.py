"""Settings of a norm that are no arrays, checked: functions and layers, on arrays and on tensors, refuse the same."""

from __future__ import annotations

from math import inf
from numbers import Real
from operator import index
from typing import Any

import numpy as np

from gridnorm.core.engines.activation import ACTIVATIONS
from gridnorm.errors import OptionError


def check_eps(eps: float) -> float:
    if not isinstance(eps, Real) or not 0 <= eps < inf:
        raise OptionError("eps cannot have this value", found=repr(eps), expected="a number of 0 or more")
    return float(eps)


def check_activation(activation: Any) -> str | None:
    if activation is not None and not (isinstance(activation, str) and activation in ACTIVATIONS):
        raise OptionError("unknown activation", found=repr(activation), expected=", ".join(ACTIVATIONS))
    return activation


def check_affine(affine: Any) -> str:
    """What weight and bias hold a number for, in a function."""
    if affine not in ("channel", "group"):
        raise OptionError("affine cannot have this value", found=repr(affine), expected='"channel" or "group"')
    return str(affine)


def check_affine_of_layer(affine: Any) -> bool | str:
    """The same of a layer, which may have neither."""
    if affine not in (True, False, "channel", "group"):
        expected = 'True, False, "channel", "group"'
        raise OptionError("affine cannot have this value", found=repr(affine), expected=expected)
    return affine if isinstance(affine, str) else bool(affine)


def check_number_of_channels(channels: Any) -> int:
    try:
        number = -1 if isinstance(channels, bool) else index(channels)
    except TypeError:
        number = -1
    if number < 0:
        raise OptionError("num_channels must be a whole number", found=repr(channels))
    return number


def check_dtype_of_parameters(dtype: Any) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(dtype)
    if found.kind != "f" and found.name != "bfloat16":
        what = "parameters must be floating-point numbers"
        raise OptionError(what, found=f"dtype {found}", expected="such as float32")
    return found


def whole_axes(channel_axis: Any, batch_axes: Any) -> tuple[int, tuple[int, ...]]:
    """Both as plain numbers."""
    try:
        return index(channel_axis), tuple(index(axis) for axis in batch_axes)
    except TypeError:
        raise OptionError(
            "axes must be whole numbers",
            found=f"channel_axis {channel_axis!r}, batch_axes {batch_axes!r}",
            expected="a number, and a sequence of numbers such as (0,)",
        ) from None
