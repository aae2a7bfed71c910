"""The normalization once more, of PyTorch's own differentiable operations: derivatives that no kernel has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gridnorm.core.segments import IntArray
from gridnorm.nn.partition import Partition, partition
from gridnorm.nn.views import axes_of


class Settings(NamedTuple):
    """What is not a tensor, in the operators' order."""

    num_groups: int | None
    groups: Sequence[int] | None
    eps: float
    channel_axis: int
    batch_axes: Sequence[int]
    affine: str
    center: bool
    activation: str | None

    def keywords(self) -> dict[str, Any]:
        """For the functions of ``gridnorm.nn``; ``eps`` is for the forward function only."""
        return {**self._asdict(), "batch_axes": tuple(self.batch_axes)}


def real(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def composed(
    settings: Settings,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    mask: Tensor | None,
    sample_weight: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """y, mean and rstd once more, of torch's differentiable operations in float64."""
    axes = axes_of(tuple(x.shape), settings.channel_axis, tuple(settings.batch_axes))
    part = partition(axes.items, settings.num_groups if settings.groups is None else None, settings.groups)
    group = _Groups(part, axes.batch)

    def view(tensor: Tensor) -> Tensor:
        return group.together(tensor.permute(axes.order).reshape(axes.batch, axes.items, axes.width).double())

    def per_channel(numbers: Tensor) -> Tensor:
        numbers = numbers.double()[None]
        if settings.affine == "group":
            return group.spread(numbers)
        return group.together(numbers[:, :, None])[:, : group.held]

    def per_sample(numbers: Tensor) -> Tensor:
        table = numbers.double().expand(*axes.batch_shape, axes.items)
        return group.together(table.reshape(axes.batch, axes.items, 1))[:, : group.held]

    def finished(z: Tensor) -> Tensor:
        z = z if weight is None else z * per_channel(weight)
        z = z if bias is None else z + per_channel(bias)
        z = z if scale is None else z * (1 + per_sample(scale))
        z = z if shift is None else z + per_sample(shift)
        return z if settings.activation is None else getattr(torch.nn.functional, settings.activation)(z)

    everything = view(x)
    values, passed = everything[:, : group.held], everything[:, group.held :]
    counts = None if mask is None else view(torch.broadcast_to(mask, x.shape))[:, : group.held]
    if sample_weight is not None:
        more = view(torch.broadcast_to(sample_weight, x.shape))[:, : group.held]
        more = torch.where(more.isnan(), 0.0, more)  # NaN: there is none
        counts = more if counts is None else counts * more
    if counts is None:
        left, mean, rstd = _statistics(group, values, None, settings)
        z = finished(left * group.spread(rstd))
    else:
        # A value that no statistic sees must not reach one as 0 · NaN either.
        seen = (counts > 0) | values.isfinite()
        left, mean, rstd = _statistics(group, torch.where(seen, values, 0.0), counts, settings)
        unseen = (values - group.spread(mean)) * group.spread(rstd)
        z = torch.where(seen, finished(left * group.spread(rstd)), finished(unseen).detach())
    z = group.apart(torch.cat([z, passed], 1))
    inverse = sorted(range(x.ndim), key=axes.order.__getitem__)
    y = z.reshape([x.shape[axis] for axis in axes.order]).permute(inverse).to(x.dtype)
    shape = (*axes.batch_shape, part.groups)
    return y, mean.reshape(shape), rstd.reshape(shape).to(real(x))


def _statistics(group: _Groups, v: Tensor, counts: Tensor | None, settings: Settings) -> tuple[Tensor, Tensor, Tensor]:
    """What is left of v without its mean, and mean and rstd, (batch, group)."""
    total = v.new_tensor(group.sizes) * v.shape[2] if counts is None else group.sums(counts)

    def average(values: Tensor) -> Tensor:
        return group.sums(values if counts is None else counts * values) / total

    left, mean = v, torch.zeros_like(group.sums(v))
    if settings.center:
        mean = average(v)
        mean = mean + average(v - group.spread(mean))  # so that equal values leave exactly nothing
        left = v - group.spread(mean)
    squares = average(left**2) + settings.eps
    none = squares == 0
    rstd = torch.where(none, 0.0, torch.where(none, 1.0, squares).rsqrt())
    # As the kernels have it: a group with an infinite value is NaN as a whole, also where no mean is taken.
    known = squares.isfinite()
    return left, torch.where(known, mean, torch.nan), torch.where(known, rstd, torch.nan)


class _Groups:
    """Sums over groups and back, cut and joined: of an index, compilers get the derivatives of derivatives wrong.

    ``held`` channels are in groups; those that pass come last.
    """

    def __init__(self, part: Partition, batch: int) -> None:
        self.batch, self.order = batch, part.segments.order
        self.back = np.argsort(self.order)
        self.sizes: list[int] = part.segments.sizes[: part.groups].tolist()
        self.held = sum(self.sizes)

    def together(self, tensor: Tensor) -> Tensor:
        """(batch, channel, …) with the channels of every group side by side."""
        return _reordered(tensor, self.order)

    def apart(self, tensor: Tensor) -> Tensor:
        """As they were."""
        return _reordered(tensor, self.back)

    def sums(self, values: Tensor) -> Tensor:
        """(batch, group)."""
        totals = values.sum(2)
        if len({*self.sizes}) > 1:
            return torch.stack([part.sum(1) for part in totals.split(self.sizes, 1)], 1)
        return totals.reshape(self.batch, len(self.sizes), self.sizes[0]).sum(2) if self.sizes else totals

    def spread(self, stats: Tensor) -> Tensor:
        """What groups have, (batch or 1, group), for every channel that is held."""
        if len({*self.sizes}) > 1:
            parts = zip(stats.split(1, 1), self.sizes, strict=True)
            return torch.cat([one.expand(-1, size) for one, size in parts], 1)[:, :, None]
        size = self.sizes[0] if self.sizes else 1
        return stats[:, :, None].expand(-1, -1, size).reshape(stats.shape[0], self.held, 1)


def _reordered(tensor: Tensor, order: IntArray) -> Tensor:
    """The channels in that order."""
    starts = np.flatnonzero(np.diff(order, prepend=-2) != 1)  # of what stays together
    if starts.size <= 1:
        return tensor
    place = np.argsort(order[starts])
    lengths = np.diff(starts, append=order.size)
    pieces = tensor.split(lengths[place].tolist(), 1)
    return torch.cat([pieces[k] for k in np.argsort(place).tolist()], 1)


def gradients_of(outputs: Sequence[Any], inputs: Sequence[Any], seeds: Sequence[Any], further: bool) -> list[Any]:
    """``torch.autograd.grad``, where any of the tensors may be absent; one entry an input."""
    pairs = [
        (output, seed)
        for output, seed in zip(outputs, seeds, strict=True)
        if output is not None and seed is not None and output.requires_grad
    ]
    given = [tensor for tensor in inputs if tensor is not None]
    if not pairs or not given:
        return [None] * len(inputs)
    outputs, seeds = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(outputs, given, seeds, create_graph=further, allow_unused=True))
    return [None if tensor is None else next(found) for tensor in inputs]


def alias(tensor: Tensor | None) -> Tensor | None:
    """The tensor as a variable of its own: a weight computed from x must not count as x. Tangents stay."""
    if tensor is None:
        return None
    own = tensor.view_as(tensor)
    return own if own.requires_grad else own.requires_grad_()
