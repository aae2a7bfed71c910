"""Group normalization of PyTorch tensors: ``group_norm`` and the module ``GroupNorm``, with derivatives of any order.

Both run the kernels of ``gridnorm.nn`` on the tensors' own memory, as the operator ``gridnorm::group_norm``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

try:
    import torch
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError('gridnorm.nn.torch needs PyTorch; install it with: pip install "gridnorm[torch]"') from error
import numpy as np
from torch import Tensor

from gridnorm.errors import OptionError
from gridnorm.nn import torch_operator
from gridnorm.nn.arguments import USUAL_GROUPS, check_channels, refuse_both
from gridnorm.nn.partition import PASSED, partition
from gridnorm.nn.settings import (
    check_activation,
    check_affine,
    check_affine_of_layer,
    check_eps,
    check_number_of_channels,
    whole_axes,
)
from gridnorm.nn.torch_plain import refuse_more_than

__all__ = ["GroupNorm", "group_norm"]

_FREE = ("channel_axis", "batch_axes", "center", "activation")  # settings that a module of torch has not
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def group_norm(
    x: Tensor,
    num_groups: int | None = USUAL_GROUPS,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    groups: Any = None,
    channel_axis: int = 1,
    batch_axes: Sequence[int] = (0,),
    affine: str = "channel",
    center: bool = True,
    mask: Tensor | None = None,
    sample_weight: Tensor | None = None,
    activation: str | None = None,
    residual: Tensor | None = None,
    return_residual: bool = False,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    return_stats: bool = False,
) -> Any:
    """``gridnorm.nn.group_norm`` of tensors, with autograd.

    Parameters
    ----------
    x
        float16, bfloat16, float32 or float64 tensor on the CPU or a CUDA device, any strides.
    num_groups, weight, bias, eps
        Positional arguments as in ``torch.nn.functional.group_norm``. Parameters may be float32 with x in half
        precision.
    mask, sample_weight, residual, scale, shift
        Tensors on the device of x; ``mask`` and ``sample_weight`` get no gradient.
    groups, channel_axis, batch_axes, affine, center, activation, return_residual, return_stats
        As in ``gridnorm.nn.group_norm``. ``groups`` may also be an integer tensor of labels. Anything but a list or
        tuple of whole numbers breaks the graph of ``torch.compile``; the module ``GroupNorm`` keeps such a tuple.

    Returns
    -------
    y
        Shape, dtype, device and memory format of x.
    mean, rstd
        With ``return_stats``: float64, and float32 (float64 for float64 x); shape (batch…, groups).
    sum
        With ``return_residual``: x + residual.

    Raises
    ------
    OptionError
        For arguments that do not fit together, and for bfloat16 on the CPU without ml_dtypes.
    DeviceError
        For CUDA tensors where CuPy cannot be used.

    Notes
    -----
    Nothing is copied: CPU tensors are computed on as NumPy arrays, CUDA tensors as CuPy arrays (through DLPack) in
    torch's current stream; torch allocates the results. Gradients have the dtypes of what they belong to. The first
    derivative is ``gridnorm.nn.group_norm_backward``; all further ones, forward mode and what ``torch.func`` derives
    are composed of torch's operations in float64, which takes longer. ``torch.compile`` sees one operator,
    ``gridnorm::group_norm``. CUDA tensors have not been tested on a device yet.

    Examples
    --------
    >>> import torch
    >>> from gridnorm.nn.torch import group_norm
    >>> x = torch.arange(4.0).reshape(1, 4).requires_grad_()
    >>> y = group_norm(x, groups=[0, 1, 1, 0])
    >>> [round(number, 2) for number in y[0].tolist()]
    [-1.0, -1.0, 1.0, 1.0]
    >>> y.square().sum().backward()
    >>> x.grad.shape
    torch.Size([1, 4])
    """
    tensors = (weight, bias, scale, shift, residual, mask, sample_weight)
    _check(x, tensors)
    if return_residual and residual is None:
        raise OptionError("return_residual needs a residual")
    if num_groups is not None and (isinstance(num_groups, bool) or not isinstance(num_groups, int | np.integer)):
        raise OptionError("num_groups must be a whole number of at least 1", found=repr(num_groups))
    refuse_both(num_groups, groups)
    channel_axis, batch_axes = whole_axes(channel_axis, batch_axes)
    check_activation(activation)
    check_affine(affine)
    if groups is not None:
        groups = _labels(groups, x.shape[channel_axis] if -x.ndim <= channel_axis < x.ndim else 0)
    number = None if num_groups is None or groups is not None else int(num_groups)
    settings = (number, groups, check_eps(eps), channel_axis, list(batch_axes), affine, center, activation)
    y, mean, rstd, total = torch_operator.group_norm(x, *tensors, *settings)
    if not (return_stats or return_residual):
        return y
    return (y, *((mean, rstd) if return_stats else ()), *((total,) if return_residual else ()))


def _check(x: Any, tensors: tuple[Any, ...]) -> None:
    if not isinstance(x, Tensor):
        raise OptionError("x is not a tensor", found=type(x).__name__, hint="Arrays: gridnorm.nn.group_norm")
    if x.dtype not in _FLOATS:
        raise OptionError("x must hold floating-point numbers", found=str(x.dtype), expected="a float of 16 to 64 bits")
    if x.device.type not in ("cpu", "cuda", "meta"):
        raise OptionError("no kernels for this device", found=str(x.device), expected="cpu or cuda", hint="Use x.cpu()")
    names = ("weight", "bias", "scale", "shift", "residual", "mask", "sample_weight")
    for name, tensor in zip(names, tensors, strict=True):
        if tensor is None:
            continue
        if not isinstance(tensor, Tensor):
            raise OptionError(f"{name} is not a tensor", found=type(tensor).__name__)
        if tensor.device != x.device:
            raise OptionError(f"{name} is on another device", found=str(tensor.device), expected=str(x.device))
    weights = tensors[-1]
    if weights is not None and weights.requires_grad and torch.is_grad_enabled():
        raise OptionError("sample_weight has no gradient", hint="Give sample_weight.detach()")


def _labels(groups: Any, channels: int) -> tuple[int, ...]:
    """One label per channel, from anything that ``groups`` may be."""
    if isinstance(groups, list | tuple) and all(type(label) is int for label in groups):
        return tuple(groups)
    if torch.compiler.is_compiling():
        return _outside_of_the_graph(groups, channels)
    return _groups_that_are_no_tuple_of_numbers(groups, channels)


def _groups_that_are_no_tuple_of_numbers(groups: Any, channels: int) -> tuple[int, ...]:
    if isinstance(groups, Tensor):
        groups = groups.tolist()
    part = partition(channels, None, groups)
    if (part.segments.sizes[: part.groups] == 0).any():
        raise OptionError("a group holds no channel", hint="Tensors take labels: leave empty groups out")
    codes = part.segments.codes.copy()
    if part.passed is not None:
        codes[part.passed] = PASSED
    return tuple(codes.tolist())


# NumPy's arrays are others within a graph of torch.compile, so it is broken; with ``fullgraph`` the error names the
# function. ``torch.compiler.disable`` would load the compiler for those who compile nothing.
_outside_of_the_graph = torch._disable_dynamo(_groups_that_are_no_tuple_of_numbers)


class GroupNorm(torch.nn.Module):
    """Group normalization with learned weight and bias, over arbitrary groups of channels.

    Parameters
    ----------
    num_groups, num_channels
        Number of equal groups of channels that follow one another, and of channels.
    eps
        Added to the variance.
    affine
        True or ``"channel"``: weight and bias hold one number per channel; ``"group"``: one per group; False: none.
    groups
        Instead of ``num_groups``, as in ``gridnorm.nn.group_norm``. With labels ``num_channels`` may be left out.
    bias
        Whether there is a bias beside the weight.
    channel_axis, batch_axes, center, activation
        As in ``gridnorm.nn.group_norm``.
    device, dtype
        Of the parameters.

    Raises
    ------
    OptionError
        For arguments that do not fit together.

    Notes
    -----
    Names of parameters and the order of the first four arguments are those of ``torch.nn.GroupNorm``, so that its
    ``state_dict`` can be loaded; see also ``from_torch``. Notes of ``group_norm`` hold.

    Examples
    --------
    >>> import torch
    >>> from gridnorm.nn.torch import GroupNorm
    >>> norm = GroupNorm(groups=[0, 0, 0, 1], affine="group", activation="silu")
    >>> norm
    GroupNorm(2 groups, 4, eps=1e-05, affine=group, activation=silu)
    >>> norm(torch.zeros(2, 4, 3, 3)).shape, norm.weight.shape
    (torch.Size([2, 4, 3, 3]), torch.Size([2]))
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        num_groups: int | None = None,
        num_channels: int | None = None,
        eps: float = 1e-5,
        affine: bool | str = True,
        *,
        groups: Any = None,
        bias: bool = True,
        channel_axis: int = 1,
        batch_axes: Sequence[int] = (0,),
        center: bool = True,
        activation: str | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if (num_groups is None) == (groups is None):
            raise OptionError(
                "groups need either a number or labels", expected="one of num_groups= and groups=, not both"
            )
        if num_channels is None:
            if np.ndim(groups) != 1:
                raise OptionError("num_channels is missing", expected="the number of channels")
            num_channels = len(groups)
        num_channels, affine = check_number_of_channels(num_channels), check_affine_of_layer(affine)
        self.groups = None if groups is None else _labels(groups, num_channels)
        part = partition(num_channels, num_groups, self.groups)
        self.num_groups, self.num_channels = part.groups, num_channels
        self.eps, self.affine, self.center = check_eps(eps), affine, center
        self.activation = check_activation(activation)
        self.channel_axis, self.batch_axes = whole_axes(channel_axis, batch_axes)
        for name, wanted in (("weight", bool(affine)), ("bias", bool(affine) and bias)):
            size = part.groups if affine == "group" else num_channels
            held = torch.nn.Parameter(torch.empty(size, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, held)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            torch.nn.init.ones_(self.weight)
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)

    def forward(
        self,
        x: Tensor,
        *,
        scale: Tensor | None = None,
        shift: Tensor | None = None,
        residual: Tensor | None = None,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Any:
        """Normalize x; further arguments as in ``group_norm``."""
        check_channels(x, self.channel_axis, self.num_channels)
        return group_norm(
            x,
            self.num_groups if self.groups is None else None,
            self.weight,
            self.bias,
            self.eps,
            groups=self.groups,
            channel_axis=self.channel_axis,
            batch_axes=self.batch_axes,
            affine="group" if self.affine == "group" else "channel",
            center=self.center,
            mask=mask,
            sample_weight=sample_weight,
            activation=self.activation,
            residual=residual,
            scale=scale,
            shift=shift,
        )

    @classmethod
    def from_torch(cls, module: torch.nn.GroupNorm, **settings: Any) -> GroupNorm:
        """The same normalization as a ``torch.nn.GroupNorm``, with its parameters (shared, not copied).

        Further settings are ``channel_axis``, ``batch_axes``, ``center`` and ``activation``, as in this class. A
        subclass is taken if its forward does nothing else; hooks and computed parameters are refused.
        """
        for name in settings:
            if name not in _FREE:
                found = f"{name}={settings[name]!r}"
                raise OptionError("a module has this already", found=found, expected=", ".join(_FREE))
        refuse_more_than((torch.nn.GroupNorm,), module, "torch.nn.GroupNorm")
        new = cls(module.num_groups, module.num_channels, module.eps, affine=False, **settings)
        new.affine = module.affine
        new.weight, new.bias = module.weight, module.bias
        return new.train(module.training)

    def extra_repr(self) -> str:
        """Settings that differ from the defaults, as in torch."""
        number = str(self.num_groups) if self.groups is None else f"{self.num_groups} groups"
        text = f"{number}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
        more = {
            "bias": self.bias is not None or not self.affine,
            "channel_axis": self.channel_axis,
            "batch_axes": self.batch_axes,
            "center": self.center,
            "activation": self.activation,
        }
        usual = {"bias": True, "channel_axis": 1, "batch_axes": (0,), "center": True, "activation": None}
        return text + "".join(f", {name}={value}" for name, value in more.items() if value != usual[name])
