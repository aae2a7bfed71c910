"""The operator ``gridnorm::group_norm`` of PyTorch: tensors as arrays, and derivatives of any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gridnorm.errors import DeviceError, OptionError
from gridnorm.nn import functional, gradients
from gridnorm.nn.partition import PASSED, partition
from gridnorm.nn.views import axes_of

_SCHEMA = (
    "int? num_groups, int[]? groups, float eps, int channel_axis, int[] batch_axes, str affine, bool center, "
    "str? activation"
)


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


# Memory: one array per tensor, nothing is copied.


def _array(tensor: Tensor | None) -> Any:
    """The tensor's memory as a NumPy or CuPy array."""
    if tensor is None:
        return None
    tensor, kind = tensor.detach(), None
    if tensor.dtype == torch.bfloat16:
        # Neither NumPy nor older CuPy know the type; its bits cross as whole numbers.
        tensor, kind = tensor.view(torch.uint16), _bfloat16()
    if tensor.device.type == "cpu":
        array = tensor.numpy()
    else:
        import cupy

        array = cupy.from_dlpack(tensor)
    return array if kind is None else array.view(kind)


def _bfloat16() -> Any:
    try:
        from ml_dtypes import bfloat16
    except ModuleNotFoundError:
        raise OptionError(
            "bfloat16 needs ml_dtypes, which is not installed", hint='Install it with: pip install "gridnorm[nn]"'
        ) from None
    return bfloat16


@contextmanager
def _at_home(x: Tensor) -> Iterator[None]:
    """Within the block kernels run on the tensor's device, in torch's current stream."""
    if x.device.type == "cpu":
        yield
        return
    from gridnorm.core.engines.cuda.device import cuda_status

    usable, reason = cuda_status()
    if not usable:
        raise DeviceError("CUDA tensors cannot be computed on", found=reason)
    import cupy

    stream = torch.cuda.current_stream(x.device).cuda_stream
    with cupy.cuda.Device(x.device.index), cupy.cuda.ExternalStream(stream, x.device.index):
        yield


def _kept(like: Tensor | None, x: Tensor, array: Any) -> Tensor:
    """An array as a tensor like the given one; torch allocates. An operator cannot return None: an empty one."""
    if like is None:
        return x.new_empty(0)
    out = torch.empty(like.shape, dtype=like.dtype, device=x.device)
    _array(out)[...] = array
    return out


# The operators. Tensors come first, then the settings.


@torch.library.custom_op(
    "gridnorm::group_norm",
    mutates_args=(),
    schema="(Tensor x, Tensor? weight, Tensor? bias, Tensor? scale, Tensor? shift, Tensor? residual, Tensor? mask, "
    f"Tensor? sample_weight, {_SCHEMA}) -> (Tensor, Tensor, Tensor, Tensor)",
)
def group_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    residual: Tensor | None,
    mask: Tensor | None,
    sample_weight: Tensor | None,
    *settings: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y, mean, rstd and the sum of x and residual."""
    with _at_home(x):
        y = torch.empty_like(x)
        arrays = {
            "x": x,
            "weight": weight,
            "bias": bias,
            "scale": scale,
            "shift": shift,
            "residual": residual,
            "mask": mask,
            "sample_weight": sample_weight,
            "out": y,
        }
        _, mean, rstd, *total = functional.group_norm(
            **{name: _array(tensor) for name, tensor in arrays.items()},
            **Settings(*settings).keywords(),
            return_stats=True,
            return_residual=residual is not None,
        )
        stats = (x.new_empty(mean.shape, dtype=torch.float64), x.new_empty(rstd.shape, dtype=_real(x)))
        for tensor, array in zip(stats, (mean, rstd), strict=True):
            _array(tensor)[...] = array
        kept = x.new_empty(0)
        if total:
            kept = torch.empty_like(x)
            _array(kept)[...] = total[0]
    return y, *stats, kept


def _real(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


@group_norm.register_fake
def _(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    settings, residual = Settings(*rest[-len(Settings._fields) :]), rest[4]
    groups = (settings.num_groups or 0) if settings.groups is None else len({*settings.groups} - {PASSED})
    shape = [*(x.shape[axis] for axis in settings.batch_axes), groups]
    total = x.new_empty(0) if residual is None else torch.empty_like(x)
    stats = x.new_empty(shape, dtype=torch.float64), x.new_empty(shape, dtype=_real(x))
    return torch.empty_like(x), *stats, total


@torch.library.custom_op(
    "gridnorm::group_norm_backward",
    mutates_args=(),
    schema="(Tensor dy, Tensor? dmean, Tensor? drstd, Tensor mean, Tensor rstd, Tensor x, Tensor? weight, "
    f"Tensor? bias, Tensor? scale, Tensor? shift, Tensor? mask, Tensor? sample_weight, {_SCHEMA}) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def group_norm_backward(
    dy: Tensor,
    dmean: Tensor | None,
    drstd: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    mask: Tensor | None,
    sample_weight: Tensor | None,
    *settings: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients with respect to x, weight, bias, scale and shift."""
    keywords = Settings(*settings).keywords()
    del keywords["eps"]
    with _at_home(x):
        dx = torch.empty_like(x)
        arrays = {
            "dy": dy,
            "x": x,
            "mean": mean,
            "rstd": rstd,
            "weight": weight,
            "bias": bias,
            "scale": scale,
            "shift": shift,
            "mask": mask,
            "sample_weight": sample_weight,
            "dmean": dmean,
            "drstd": drstd,
            "out": dx,
        }
        _, dweight, dbias, *modulation = gradients.group_norm_backward(
            **{name: _array(tensor) for name, tensor in arrays.items()}, **keywords
        )
        dscale = modulation.pop(0) if scale is not None else None
        dshift = modulation.pop(0) if shift is not None else None
        given = ((weight, dweight), (bias, dbias), (scale, dscale), (shift, dshift))
        dweight, dbias, dscale, dshift = (_kept(like, x, array) for like, array in given)
    return dx, dweight, dbias, dscale, dshift


@group_norm_backward.register_fake
def _(dy: Tensor, dmean: Any, drstd: Any, mean: Any, rstd: Any, x: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    likes = (x.new_empty(0) if t is None else x.new_empty(t.shape, dtype=t.dtype) for t in rest[:4])
    return torch.empty_like(x), *likes


# Derivatives. The first is an operator; all others are composed of torch's own operations.


def _keep_for_first(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, bias, scale, shift, residual, mask, sample_weight, *ctx.settings = inputs
    _, mean, rstd, total = output
    ctx.set_materialize_grads(False)
    ctx.added = residual is not None
    ctx.save_for_backward(mean, rstd, total if ctx.added else x, weight, bias, scale, shift, mask, sample_weight)


def _first(ctx: Any, dy: Any, dmean: Any, drstd: Any, dtotal: Any) -> tuple[Any, ...]:
    dx: Any = None
    others: list[Any] = [None] * 4
    if not (dy is None and dmean is None and drstd is None):
        mean, rstd, x, *rest = ctx.saved_tensors
        dy = torch.zeros_like(x) if dy is None else dy
        found = group_norm_backward(dy, dmean, drstd, mean, rstd, x, *rest, *ctx.settings)
        dx, *others = (g if given is not None else None for g, given in zip(found, (x, *rest), strict=False))
    if ctx.added and dtotal is not None:
        dx = dtotal if dx is None else dx + dtotal
    return dx, *others, dx if ctx.added else None, None, None, *(None for _ in Settings._fields)


def _keep_for_second(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    dy, dmean, drstd, _, _, *tensors = inputs[: -len(Settings._fields)]
    ctx.settings = Settings(*inputs[-len(Settings._fields) :])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(dy, dmean, drstd, *tensors)


def _second(ctx: Any, *found: Any) -> tuple[Any, ...]:
    further = torch.is_grad_enabled()
    with torch.enable_grad():
        live: list[Any] = [_alias(tensor, further) for tensor in ctx.saved_tensors[:-2]]
        seeds, tensors = live[:3], live[3:]
        results = composed(ctx.settings, *tensors, *ctx.saved_tensors[-2:])
        wanted = [None if dd is None else tensor for tensor, dd in zip(tensors, found, strict=True)]
        first = _gradients(results, wanted, seeds, True)
        ddy, ddmean, ddrstd, *rest = _gradients(first, live, found, further)
    return ddy, ddmean, ddrstd, None, None, *rest, None, None, *(None for _ in Settings._fields)


def _gradients(outputs: Sequence[Any], inputs: Sequence[Any], seeds: Sequence[Any], further: bool) -> list[Any]:
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


def _alias(tensor: Tensor | None, further: bool) -> Tensor | None:
    """The tensor as a variable of its own: a weight computed from x must not count as x."""
    if tensor is None:
        return None
    return tensor.view_as(tensor) if further and tensor.requires_grad else tensor.detach().requires_grad_()


group_norm.register_autograd(_first, setup_context=_keep_for_first)
group_norm_backward.register_autograd(_second, setup_context=_keep_for_second)


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
        counts = counts * view(torch.broadcast_to(sample_weight.detach(), x.shape))
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
    return y, mean, rstd.to(_real(x))
