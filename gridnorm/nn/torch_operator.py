"""The operator ``gridnorm::group_norm`` of PyTorch: tensors as arrays, and derivatives of any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._library.autograd import make_autograd_impl
from torch.autograd import forward_ad

from gridnorm.errors import DeviceError, OptionError
from gridnorm.nn import functional, gradients
from gridnorm.nn.partition import PASSED
from gridnorm.nn.torch_composed import Settings, alias, composed, gradients_of, real

_SCHEMA = (
    "int? num_groups, int[]? groups, float eps, int channel_axis, int[] batch_axes, str affine, bool center, "
    "str? activation"
)


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


# The operators. Tensors come first, then the settings. CuPy's pool takes back on return what the kernels used in
# between, so a recorded graph would write to memory that is someone else's; before PyTorch has the tag it cannot know.

_TAGS = {"tags": torch.Tag.cudagraph_unsafe} if hasattr(torch.Tag, "cudagraph_unsafe") else {}


@torch.library.custom_op(
    "gridnorm::group_norm",
    mutates_args=(),
    **_TAGS,
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
        stats = (x.new_empty(mean.shape, dtype=torch.float64), x.new_empty(rstd.shape, dtype=real(x)))
        for tensor, array in zip(stats, (mean, rstd), strict=True):
            _array(tensor)[...] = array
        kept = x.new_empty(0)
        if total:
            kept = torch.empty_like(x)
            _array(kept)[...] = total[0]
    return y, *stats, kept


@group_norm.register_fake
def _(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    settings, residual = Settings(*rest[-len(Settings._fields) :]), rest[4]
    groups = (settings.num_groups or 0) if settings.groups is None else len({*settings.groups} - {PASSED})
    shape = [*(x.shape[axis] for axis in settings.batch_axes), groups]
    total = x.new_empty(0) if residual is None else torch.empty_like(x)
    stats = x.new_empty(shape, dtype=torch.float64), x.new_empty(shape, dtype=real(x))
    return torch.empty_like(x), *stats, total


@torch.library.custom_op(
    "gridnorm::group_norm_backward",
    mutates_args=(),
    **_TAGS,
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
        live: list[Any] = [alias(tensor) for tensor in ctx.saved_tensors[:-2]]
        seeds, tensors = live[:3], live[3:]
        results = composed(ctx.settings, *tensors, *ctx.saved_tensors[-2:])
        wanted = [None if dd is None else tensor for tensor, dd in zip(tensors, found, strict=True)]
        first = gradients_of(results, wanted, seeds, True)
        ddy, ddmean, ddrstd, *rest = gradients_of(first, live, found, further)
    return ddy, ddmean, ddrstd, None, None, *rest, None, None, *(None for _ in Settings._fields)


group_norm.register_autograd(_first, setup_context=_keep_for_first)
group_norm_backward.register_autograd(_second, setup_context=_keep_for_second)


# Forward mode, and gradients under torch.func: an operator with a backward function alone loses the tangents in silence
# and refuses the gradients. Both are composed of torch's operations.


def _forward_alike(*args: Any) -> tuple[Tensor, ...]:
    x, weight, bias, scale, shift, residual, mask, sample_weight, *rest = args
    total = x if residual is None else x + residual
    y, mean, rstd = composed(Settings(*rest), total, weight, bias, scale, shift, mask, sample_weight)
    return y, mean, rstd, x.new_empty(0) if residual is None else total


def _backward_alike(*args: Any) -> tuple[Tensor, ...]:
    seeds, tensors, counted = args[:3], args[5:10], args[10:12]
    further = torch.is_grad_enabled()
    with torch.enable_grad():
        live = [alias(tensor) for tensor in tensors]
        results = composed(Settings(*args[12:]), *live, *counted)
        found = gradients_of(results, live, seeds, further)
    return tuple(tensors[0].new_empty(0) if gradient is None else gradient for gradient in found)


def _watched(tensors: Sequence[Any]) -> bool:
    """Whether a tangent hangs on one of the tensors, or a transform of ``torch.func`` wants a gradient."""
    given = [tensor for tensor in tensors if isinstance(tensor, Tensor)]
    if any(forward_ad.unpack_dual(tensor, level=0).tangent is not None for tensor in given):
        return True
    return torch._C._are_functorch_transforms_active() and any(tensor.requires_grad for tensor in given)


def _with_tangents(operator: Any, alike: Any) -> None:
    """Give the operator a kernel that composes what the kernel of ``register_autograd`` does not carry."""
    usual = make_autograd_impl(operator._opoverload, operator)

    def kernel(keyset: Any, *args: Any) -> Any:
        if not _watched(args):
            return usual(keyset, *args)
        with torch.no_grad():
            usual(keyset, *args)  # which refuses what does not fit together
        return alike(*args)

    for device in ("CPU", "CUDA", "Meta"):
        _LIBRARY.impl(operator._name, kernel, f"Autograd{device}", with_keyset=True)


_LIBRARY = torch.library.Library("gridnorm", "FRAGMENT")
_with_tangents(group_norm, _forward_alike)
_with_tangents(group_norm_backward, _backward_alike)
