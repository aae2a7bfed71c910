"""The arguments that forward and backward share, checked and brought to the core's view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np

from gridnorm.core.engines import Backend, backend_for
from gridnorm.core.weights import check_weights
from gridnorm.errors import OptionError, warn
from gridnorm.nn.partition import Partition, partition
from gridnorm.nn.plain import plain, real_numbers
from gridnorm.nn.settings import check_activation, check_affine, whole_axes
from gridnorm.nn.views import Axes, as_view, axes_of, last_axes

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_OF_X = (
    *("num_groups", "groups", "channel_axis", "batch_axes", "affine"),
    *("scale", "shift", "mask", "sample_weight", "activation"),
)


class _Usual(int):
    """A number that nobody gave: it gives way to ``groups``."""


USUAL_GROUPS = _Usual(32)


@dataclass(eq=False)
class Arguments:
    """One call of any norm, in the core's terms. Arrays belong to ``backend``.

    Attributes
    ----------
    along
        What γ and β hold a number for: every ``"item"``, every ``"segment"`` of them, or every ``"batch"`` entry.
        Tables that users see begin with the batch, in the last case with the items.
    each
        What users call that.
    grouped
        Whether statistics that users see have an axis of groups.
    real
        dtype that is computed in: float32, or float64 for float64.
    values
        (batch, item, width) view of x.
    """

    x: Any
    backend: Backend
    axes: Axes
    partition: Partition
    along: str = "item"
    each: str = "channel"
    grouped: bool = True
    weight: Any = None
    bias: Any = None
    scale: Any = None
    shift: Any = None
    mask: Any = None
    sample_weight: Any = None
    activation: str | None = None

    def __post_init__(self) -> None:
        check_activation(self.activation)
        self.xp = self.backend.xp
        self.real = self.xp.float64 if self.x.dtype.itemsize == 8 else self.xp.float32
        self.values = as_view(self.x, self.axes)

    @property
    def tables(self) -> list[Any]:
        """The arrays given beside x."""
        given = (self.weight, self.bias, self.scale, self.shift, self.mask, self.sample_weight)
        return [one for one in given if isinstance(one, self.xp.ndarray)]

    @property
    def modulated(self) -> bool:
        """Whether samples of one batch are scaled or shifted differently."""
        return self.scale is not None or self.shift is not None

    def gain(self) -> Any:
        """γ, or γ·(1 + scale), (batch or 1, item)."""
        gain = self.parameter("weight", self.weight)
        if self.scale is not None:
            more = 1 + self.modulation("scale", self.scale)
            gain = more if gain is None else gain * more
        return self._over_items(gain)

    def offset(self) -> Any:
        """β, or β·(1 + scale) + shift, (batch or 1, item)."""
        offset = self.parameter("bias", self.bias)
        if self.scale is not None and offset is not None:
            offset = offset * (1 + self.modulation("scale", self.scale))
        if self.shift is not None:
            shift = self.modulation("shift", self.shift)
            offset = shift if offset is None else offset + shift
        return self._over_items(offset)

    def weights(self) -> Any:
        """Mask and sample weights as one array (batch, item, width), or None."""
        parts = []
        if self.mask is not None:
            mask = plain("mask", self.mask, self.xp)
            if mask.dtype.kind != "b":
                raise OptionError(
                    "mask must be boolean", found=f"dtype {mask.dtype}", hint="Weights are given as sample_weight="
                )
            parts.append(self._like_x("mask", mask.astype(self.real)))
        if self.sample_weight is not None:
            given = self._numbers("sample_weight", plain("sample_weight", self.sample_weight, self.xp))
            check_weights(given, "sample_weight")
            parts.append(self._like_x("sample_weight", given))
        if not parts:
            return None
        return as_view(parts[0] if len(parts) == 1 else parts[0] * parts[1], self.axes)

    @property
    def stats_shape(self) -> tuple[int, ...]:
        """Of mean and rstd as users see them."""
        groups = (self.partition.groups,) if self.grouped else ()
        return (*groups, *self.axes.batch_shape) if self.along == "batch" else (*self.axes.batch_shape, *groups)

    def per_sample(self, stats: Any) -> Any:
        """Statistics (batch, segment) in that shape."""
        stats = stats[:, : self.partition.groups]
        return (stats.T if self.along == "batch" else stats).reshape(self.stats_shape)

    def per_segment(self, name: str, stats: Any) -> Any:
        """What users give in that shape, as the core's (batch, segment); 0 for items that pass."""
        given = plain(name, stats, self.xp)
        if given.shape != self.stats_shape:
            what = f"{name} does not fit x" + (" and its groups" if self.grouped else "")
            raise OptionError(what, found=str(given.shape), expected=str(self.stats_shape))
        batch, groups = self.axes.batch, self.partition.groups
        flat = given.reshape(groups, batch).T if self.along == "batch" else given.reshape(batch, groups)
        if self.partition.passed is None:
            return flat
        return self.xp.concatenate([flat, self.xp.zeros((batch, 1), flat.dtype)], axis=1)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Of γ and β."""
        if self.along == "segment":
            return (self.partition.groups,)
        return self.axes.batch_shape if self.along == "batch" else self.axes.item_shape

    def parameter(self, name: str, given: Any) -> Any:
        """γ or β as (1, item), or (batch, 1)."""
        if given is None:
            return None
        array = plain(name, given, self.xp)
        if array.shape != self.parameter_shape:
            found, expected = f"shape {array.shape}", f"{self.parameter_shape}, one per {self.each}"
            raise OptionError(f"{name} does not fit", found=found, expected=expected, hint=self._other_affine())
        array = self._numbers(name, array)
        if self.along == "batch":
            return array.reshape(-1, 1)
        if self.along == "segment":
            array = self.xp.concatenate([array, self.xp.zeros(1, self.real)])[self.codes]
        return array.reshape(1, -1)

    def _other_affine(self) -> str | None:
        """What would take numbers of another count, where there is a choice."""
        if self.along == "segment":
            return f'affine="channel" takes {self.axes.item_shape}, one per channel'
        if self.along == "item" and self.grouped:
            return f'affine="group" takes ({self.partition.groups},), one per group'
        return None

    @property
    def codes(self) -> Any:
        """Group of every item, an array of the backend."""
        return self.xp.asarray(self.partition.segments.codes)

    @property
    def table_shape(self) -> tuple[int, ...]:
        """Of a number for every item of every batch entry, as users see it."""
        batch, items = self.axes.batch_shape, self.axes.item_shape
        return (*items, *batch) if self.along == "batch" else (*batch, *items)

    def modulation(self, name: str, given: Any) -> Any:
        """Scale or shift of every sample, (batch, item)."""
        array, full = plain(name, given, self.xp), self.table_shape
        if array.ndim != len(full) or any(n not in (1, wanted) for n, wanted in zip(array.shape, full, strict=True)):
            narrow = (*full[: len(full) - (n := len(self.parameter_shape))], *(1,) * n)
            raise OptionError(f"{name} does not fit", found=f"shape {array.shape}", expected=f"{full} or {narrow}")
        array = self._numbers(name, array)
        if array.shape != full:
            array = self.xp.broadcast_to(array, full)
        if self.along == "batch":
            return array.reshape(self.axes.items, self.axes.batch).T
        return array.reshape(self.axes.batch, self.axes.items)

    def from_table(self, table: Any) -> Any:
        """Numbers (batch, item) as users see them."""
        return (table.T if self.along == "batch" else table).reshape(self.table_shape)

    def _numbers(self, name: str, array: Any) -> Any:
        return real_numbers(name, array).astype(self.real, copy=False)

    def _over_items(self, numbers: Any) -> Any:
        if numbers is None or numbers.shape[1] == self.axes.items:
            return numbers
        return self.xp.broadcast_to(numbers, (numbers.shape[0], self.axes.items))

    def _like_x(self, name: str, array: Any) -> Any:
        try:
            return self.xp.broadcast_to(array, self.x.shape)
        except ValueError:
            raise OptionError(
                f"{name} does not fit x",
                found=f"shape {array.shape}",
                expected=f"one that broadcasts to {self.x.shape}",
            ) from None


def of_channels(
    x: Any,
    num_groups: int | None,
    groups: Any,
    *,
    channel_axis: int = 1,
    batch_axes: Sequence[int] = (0,),
    affine: str = "channel",
    **rest: Any,
) -> Arguments:
    """Groups of channels, every sample by itself; γ and β per channel or group."""
    refuse_both(num_groups, groups)
    x, backend = floating(x, *rest.values())
    channel_axis, batch_axes = whole_axes(channel_axis, batch_axes)
    if x.ndim < 1 + len(batch_axes):
        expected = f"batch axes {batch_axes} and one of channels"
        raise OptionError("x has too few axes", found=f"shape {x.shape}", expected=expected)
    affine = check_affine(affine)
    axes = axes_of(x.shape, channel_axis, batch_axes)
    along = "item" if affine == "channel" else "segment"
    return Arguments(x, backend, axes, partition(axes.items, num_groups, groups), along, affine, **rest)


def refuse_both(num_groups: int | None, groups: Any) -> None:
    if groups is not None and num_groups is not None and not isinstance(num_groups, _Usual):
        raise OptionError("num_groups and groups exclude each other", found=f"num_groups {num_groups} and groups")


def of_shape(x: Any, normalized_shape: int | Sequence[int], **rest: Any) -> Arguments:
    """The last axes, which have that shape, as one group of every entry of the others; γ and β of that shape."""
    for name in ("num_groups", "groups", "channel_axis", "batch_axes", "affine"):
        if name in rest:
            raise OptionError(f"{name} does not go with normalized_shape", hint="Give one of the two")
    x, backend = floating(x, *rest.values())
    try:
        many = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        inner = tuple(index(n) for n in many)
    except TypeError:
        wanted = "a whole number or a sequence of them"
        raise OptionError("no such normalized_shape", found=repr(normalized_shape), expected=wanted) from None
    if not inner or x.shape[max(0, x.ndim - len(inner)) :] != inner:
        raise OptionError(
            "the last axes of x do not have the normalized shape",
            found=f"x {x.shape}",
            expected=f"(…, {', '.join(map(str, inner))})" if inner else "a shape of one axis or more",
        )
    axes = last_axes(x.shape, len(inner))
    each = "value of the normalized shape"
    return Arguments(x, backend, axes, partition(axes.items, 1, None), each=each, grouped=False, **rest)


def of_shape_or_channels(x: Any, normalized_shape: int | Sequence[int] | None, **rest: Any) -> Arguments:
    """One or the other; the channels are one group unless the rest says otherwise."""
    if normalized_shape is not None:
        return of_shape(x, normalized_shape, **rest)
    groups = rest.pop("groups", None)
    return of_channels(x, rest.pop("num_groups", 1 if groups is None else None), groups, **rest)


def split_options(function: str, options: dict[str, Any], further: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Keywords of a function that are for ``Arguments``, and those that it hands on."""
    for name in options:
        if name not in _OF_X and name not in further:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
    ours = {name: value for name, value in options.items() if name in _OF_X}
    return ours, {name: value for name, value in options.items() if name not in _OF_X}


def no_groups(options: Mapping[str, Any], name: str) -> None:
    """Refuse groups where a norm has groups of its own."""
    for key in ("num_groups", "groups"):
        if key in options:
            raise OptionError(f"{name} has groups of its own", found=f"{key}=", hint="group_norm takes groups")


def channels_of(x: Any, options: Mapping[str, Any]) -> int:
    """How many channels x has along ``channel_axis``."""
    axis, _ = whole_axes(options.get("channel_axis", 1), ())
    x, _ = floating(x)
    if not -x.ndim <= axis < x.ndim:
        raise OptionError("x has no axis of channels", found=f"shape {x.shape}", expected=f"an axis {axis}")
    return int(x.shape[axis])


def check_channels(x: Any, axis: int, expected: int) -> None:
    """Refuse x with other channels than a layer was made for."""
    shape = x.shape if hasattr(x, "shape") else np.shape(x)
    if -len(shape) <= axis < len(shape) and shape[axis] != expected:
        found = f"{shape[axis]} along axis {axis}"
        raise OptionError("x has other channels than the layer", found=found, expected=str(expected))


def told_groups(groups: Any, num_groups: int | None, stats: Any, name: str = "mean") -> int | None:
    """``num_groups`` of a backward call, where None stands for as many as the statistics have."""
    if groups is not None or num_groups is not None:
        return num_groups
    shape = stats.shape if hasattr(stats, "shape") else np.shape(stats)
    if not shape:
        raise OptionError(f"{name} is not what return_stats gave", found=repr(stats), expected="(batch…, groups)")
    return int(shape[-1])


def backend_of(*values: Any) -> Backend:
    """Backend of arrays; tensors have functions of their own."""
    try:
        return backend_for(*values)
    except OptionError:
        if any(type(value).__module__ == "torch" for value in values):
            hint = "gridnorm.nn.torch.group_norm and GroupNorm take tensors"
            raise OptionError("torch tensors are not arrays", hint=hint) from None
        raise


def floating(x: Any, *others: Any) -> tuple[Any, Backend]:
    """``x`` as an array, if it holds floating-point numbers, and the backend of all that is given."""
    backend = backend_of(x, *(value for value in others if value is not None))
    array = plain("x", x, backend.xp)
    # The name of a dtype takes longer to find than all else here.
    if array.dtype.char not in "efd" and array.dtype.name not in _FLOATS:
        raise OptionError(
            "x must hold floating-point numbers",
            found=f"dtype {array.dtype}",
            expected=", ".join(_FLOATS),
            hint="Use astype",
        )
    return array, backend


def warn_of_single_values(given: Arguments) -> None:
    """A group of one value leaves nothing but β; the rule looks at one sample, so that batches behave alike."""
    if given.axes.width != 1:
        return
    part = given.partition
    single = int((part.segments.sizes[: part.groups] == 1).sum())
    if single:
        some = "every group holds" if single == part.groups else f"{single} of {part.groups} groups hold"
        warn([f"{some} one value per sample: normalized it is 0 whatever it was, and the result is the bias"])
