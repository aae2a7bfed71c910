"""The arguments that forward and backward share, checked and brought to the core's view."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from numbers import Real
from operator import index
from types import ModuleType
from typing import Any

from gridnorm.core.activation import ACTIVATIONS
from gridnorm.core.backend import backend_for
from gridnorm.errors import GridnormWarning, OptionError
from gridnorm.nn.partition import Partition, partition
from gridnorm.nn.views import Axes, as_view, axes_of

_FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclass(eq=False)
class Arguments:
    """One call, in the core's terms. Arrays belong to ``backend``.

    Attributes
    ----------
    real
        dtype that is computed in: float32, or float64 for float64.
    values
        (batch, channel, width) view of x.
    """

    x: Any
    backend: ModuleType
    axes: Axes
    partition: Partition
    weight: Any = None
    bias: Any = None
    affine: str = "channel"
    scale: Any = None
    shift: Any = None
    mask: Any = None
    sample_weight: Any = None
    activation: str | None = None

    def __post_init__(self) -> None:
        self.xp = self.backend.xp
        self.real = self.xp.float64 if self.x.dtype.itemsize == 8 else self.xp.float32
        self.values = as_view(self.x, self.axes)

    def gain(self) -> Any:
        """γ, or γ·(1 + scale), (batch or 1, channel)."""
        gain = self.per_channel("weight", self.weight)
        if self.scale is None:
            return gain
        more = 1 + self.per_sample_numbers("scale", self.scale)
        return self._over_channels(more if gain is None else gain * more)

    def offset(self) -> Any:
        """β, or β·(1 + scale) + shift, (batch or 1, channel)."""
        offset = self.per_channel("bias", self.bias)
        if self.scale is not None and offset is not None:
            offset = offset * (1 + self.per_sample_numbers("scale", self.scale))
        if self.shift is None:
            return offset
        shift = self.per_sample_numbers("shift", self.shift)
        return self._over_channels(shift if offset is None else offset + shift)

    def weights(self) -> Any:
        """Mask and sample weights as one array (batch, channel, width), or None."""
        parts = []
        if self.mask is not None:
            mask = self.xp.asarray(self.mask)
            if mask.dtype.kind != "b":
                raise OptionError(
                    "mask must be boolean", found=f"dtype {mask.dtype}", hint="Weights are given as sample_weight="
                )
            parts.append(self._like_x("mask", mask.astype(self.real)))
        if self.sample_weight is not None:
            given = self._numbers("sample_weight", self.sample_weight)
            wrong = (given < 0) | (given == inf)
            if bool(wrong.any()):
                found = str(float(given[wrong][0]))
                raise OptionError("sample_weight must be neither negative nor infinite", found=found)
            parts.append(self._like_x("sample_weight", given))
        if not parts:
            return None
        return as_view(parts[0] if len(parts) == 1 else parts[0] * parts[1], self.axes)

    def per_sample(self, stats: Any) -> Any:
        """Statistics (batch, segment) in the shape that users see: batch axes, then groups."""
        return stats[:, : self.partition.groups].reshape(*self.axes.batch_shape, self.partition.groups)

    def per_segment(self, name: str, stats: Any) -> Any:
        """What users give in that shape, as the core's (batch, segment); 0 for channels that pass."""
        given = self.xp.asarray(stats)
        wanted = (*self.axes.batch_shape, self.partition.groups)
        if given.shape != wanted:
            raise OptionError(f"{name} does not fit x and its groups", found=str(given.shape), expected=str(wanted))
        flat = given.reshape(self.axes.batch, self.partition.groups)
        if self.partition.passed is None:
            return flat
        return self.xp.concatenate([flat, self.xp.zeros((self.axes.batch, 1), flat.dtype)], axis=1)

    def per_channel(self, name: str, given: Any) -> Any:
        """A parameter of the affine map as (1, channel)."""
        if given is None:
            return None
        array = self.xp.asarray(given)
        groups, channels = self.partition.groups, self.axes.channels
        wanted = channels if self.affine == "channel" else groups
        if array.shape != (wanted,):
            other = "channel" if self.affine == "group" else "group"
            count = channels if other == "channel" else groups
            raise OptionError(
                f"{name} does not fit",
                found=f"shape {array.shape}",
                expected=f"({wanted},), one per {self.affine}",
                hint=f'affine="{other}" takes ({count},), one per {other}',
            )
        array = self._numbers(name, array)
        if self.affine == "group":
            array = self.xp.concatenate([array, self.xp.zeros(1, self.real)])[self.codes]
        return array[None]

    @property
    def codes(self) -> Any:
        """Group of every channel, an array of the backend."""
        return self.xp.asarray(self.partition.segments.codes)

    def per_sample_numbers(self, name: str, given: Any) -> Any:
        """Scale or shift of every sample, (batch, channel) or (batch, 1)."""
        array = self.xp.asarray(given)
        wanted = [(*self.axes.batch_shape, last) for last in (self.axes.channels, 1)]
        if array.shape not in wanted:
            raise OptionError(
                f"{name} does not fit", found=f"shape {array.shape}", expected=f"{wanted[0]} or {wanted[1]}"
            )
        return self._numbers(name, array).reshape(self.axes.batch, array.shape[-1])

    def _numbers(self, name: str, given: Any) -> Any:
        array = self.xp.asarray(given)
        if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
            raise OptionError(f"{name} must hold real numbers", found=f"dtype {array.dtype}")
        return array.astype(self.real, copy=False)

    def _over_channels(self, numbers: Any) -> Any:
        if numbers.shape[1] == self.axes.channels:
            return numbers
        return self.xp.broadcast_to(numbers, (numbers.shape[0], self.axes.channels))

    def _like_x(self, name: str, array: Any) -> Any:
        try:
            return self.xp.broadcast_to(array, self.x.shape)
        except ValueError:
            raise OptionError(
                f"{name} does not fit x",
                found=f"shape {array.shape}",
                expected=f"one that broadcasts to {self.x.shape}",
            ) from None


def gather(
    x: Any,
    num_groups: int | None,
    groups: Any,
    *,
    channel_axis: int,
    batch_axes: Sequence[int],
    affine: str,
    activation: str | None,
    **rest: Any,
) -> Arguments:
    """Check what a call gives and put it together."""
    backend = backend_of(x, *(value for value in rest.values() if value is not None))
    x = floating(x, backend)
    channel_axis, batch_axes = whole_axes(channel_axis, batch_axes)
    if x.ndim < 1 + len(batch_axes):
        raise OptionError(
            "x has too few axes",
            found=f"shape {x.shape}",
            expected=f"batch axes {batch_axes} and one of channels",
        )
    if affine not in ("channel", "group"):
        raise OptionError("affine cannot have this value", found=repr(affine), expected='"channel" or "group"')
    check_activation(activation)
    axes = axes_of(x.shape, channel_axis, batch_axes)
    return Arguments(
        x, backend, axes, partition(axes.channels, num_groups, groups), affine=affine, activation=activation, **rest
    )


def backend_of(*values: Any) -> ModuleType:
    """Backend of arrays; tensors have functions of their own."""
    try:
        return backend_for(*values)
    except OptionError:
        if any(type(value).__module__ == "torch" for value in values):
            hint = "gridnorm.nn.torch.group_norm and GroupNorm take tensors"
            raise OptionError("torch tensors are not arrays", hint=hint) from None
        raise


def floating(x: Any, backend: ModuleType) -> Any:
    """``x`` as an array, if it holds floating-point numbers."""
    array = backend.xp.asarray(x)
    # The name of a dtype takes longer to find than all else here.
    if array.dtype.char not in "efd" and array.dtype.name not in _FLOATS:
        raise OptionError(
            "x must hold floating-point numbers",
            found=f"dtype {array.dtype}",
            expected=", ".join(_FLOATS),
            hint="Use astype",
        )
    return array


def check_activation(activation: str | None) -> None:
    if activation is not None and activation not in ACTIVATIONS:
        raise OptionError("unknown activation", found=repr(activation), expected=", ".join(ACTIVATIONS))


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


def check_eps(eps: float) -> float:
    if not isinstance(eps, Real) or not 0 <= eps < inf:
        raise OptionError("eps cannot have this value", found=repr(eps), expected="a number of 0 or more")
    return float(eps)


def warn_of_single_values(part: Partition, width: int) -> None:
    """A group of one value leaves nothing but β; the rule looks at one sample, so that batches behave alike."""
    single = int((part.segments.sizes[: part.groups] * width == 1).sum())
    if single:
        some = "every group holds" if single == part.groups else f"{single} of {part.groups} groups hold"
        warnings.warn(
            f"{some} one value per sample: normalized it is 0 whatever it was, and the result is the bias",
            GridnormWarning,
            stacklevel=_level_of_caller(),
        )


def _level_of_caller() -> int:
    """``stacklevel`` of whoever called gridnorm, for a warning that the calling function issues."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "gridnorm":
        frame, level = frame.f_back, level + 1
    return level
