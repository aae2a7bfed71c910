"""The normalization once more, of PyTorch's own differentiable operations: derivatives that no kernel has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gridnorm.nn.partition import partition
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
    codes = torch.tensor(part.segments.codes, device=x.device)

    def view(tensor: Tensor) -> Tensor:
        return tensor.permute(axes.order).reshape(axes.batch, axes.items, axes.width).double()

    def pooled(values: Tensor) -> Tensor:
        sums = values.new_zeros(axes.batch, part.segments.n_segments)
        return sums.index_add(1, codes, values.sum(2))

    def spread(stats: Tensor) -> Tensor:
        return stats[:, codes, None]

    def per_channel(numbers: Tensor) -> Tensor:
        numbers = numbers.double()
        if settings.affine == "group":
            numbers = torch.cat([numbers, numbers.new_zeros(1)])[codes]
        return numbers[None, :, None]

    values = view(x)
    counts = torch.ones_like(values) if mask is None else view(torch.broadcast_to(mask, x.shape))
    if sample_weight is not None:
        counts = counts * view(torch.broadcast_to(sample_weight, x.shape))
    share = counts / spread(pooled(counts))
    # A value that no statistic sees must not reach one as 0 · NaN either.
    v = torch.where((counts > 0) | values.isfinite(), values, 0.0)
    mean = pooled(share * v) if settings.center else torch.zeros_like(pooled(counts))
    left = v - spread(mean)
    squares = pooled(share * left**2) + settings.eps
    none = squares == 0
    rstd = torch.where(none, 0.0, torch.where(none, 1.0, squares).rsqrt())
    z = left * spread(rstd)
    z = z if weight is None else z * per_channel(weight)
    z = z if bias is None else z + per_channel(bias)
    z = z if scale is None else z * (1 + scale.double().reshape(axes.batch, -1, 1))
    z = z if shift is None else z + shift.double().reshape(axes.batch, -1, 1)
    if settings.activation is not None:
        z = getattr(torch.nn.functional, settings.activation)(z)
    if part.passed is not None:
        passed = torch.tensor(part.passed, device=x.device)
        z = z.index_copy(1, passed, values.index_select(1, passed))
    inverse = sorted(range(x.ndim), key=axes.order.__getitem__)
    y = z.reshape([x.shape[axis] for axis in axes.order]).permute(inverse).to(x.dtype)
    shape = (*axes.batch_shape, part.groups)
    mean, rstd = (stats[:, : part.groups].reshape(shape) for stats in (mean, rstd))
    return y, mean, rstd.to(real(x))


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
