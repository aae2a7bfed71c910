"""``GroupNorm``: a layer that holds γ, β and their gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Self

import numpy as np

from gridnorm.core.engines import backend_for
from gridnorm.errors import OptionError
from gridnorm.nn.arguments import check_channels
from gridnorm.nn.functional import group_norm
from gridnorm.nn.gradients import group_norm_backward
from gridnorm.nn.partition import partition
from gridnorm.nn.plain import real_numbers, refuse_masked
from gridnorm.nn.settings import (
    check_activation,
    check_affine_of_layer,
    check_dtype_of_parameters,
    check_eps,
    check_number_of_channels,
    whole_axes,
)
from gridnorm.nn.views import overlap

_TABLES = ("mask", "sample_weight", "scale", "shift")
_FORWARD = (*_TABLES, "residual", "return_residual", "return_stats", "out")


class GroupNorm:
    """Group normalization with parameters.

    Parameters
    ----------
    num_groups, num_channels
        Number of equal groups, and of channels.
    groups
        Instead of ``num_groups``: labels or arrays of channel numbers as in ``group_norm``; with labels
        ``num_channels`` may be left out.
    eps
        Added to the variance.
    affine
        True or ``"channel"``: γ and β per channel; ``"group"``: per group; False: none.
    bias
        False: no β.
    center, activation, channel_axis, batch_axes
        As in ``group_norm``.
    dtype
        Of γ and β.

    Attributes
    ----------
    weight, bias
        γ (ones at first) and β (zeros), NumPy arrays until ``to`` says otherwise; or None.
    grads
        Gradients that the last ``backward`` gave, by the names of ``parameters``.

    Raises
    ------
    OptionError
        If channels and groups do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> layer = nn.GroupNorm(groups=[0, 1, 0, 1])
    >>> y = layer(np.random.default_rng(0).normal(5, 2, (2, 4, 8)))
    >>> dx = layer.backward(np.ones_like(y))
    >>> layer, sorted(layer.grads)
    (GroupNorm(2 groups of 4 channels, eps=1e-05), ['bias', 'weight'])
    """

    def __init__(
        self,
        num_groups: int | None = None,
        num_channels: int | None = None,
        *,
        groups: Any = None,
        eps: float = 1e-5,
        affine: bool | str = True,
        bias: bool = True,
        center: bool = True,
        activation: str | None = None,
        channel_axis: int = 1,
        batch_axes: Sequence[int] = (0,),
        dtype: Any = np.float32,
    ) -> None:
        if (num_groups is None) == (groups is None):
            raise OptionError("GroupNorm needs groups", expected="either num_groups and num_channels, or groups=")
        if num_channels is None:
            if groups is None:
                raise OptionError(
                    "GroupNorm needs the number of channels", expected="GroupNorm(num_groups, num_channels)"
                )
            num_channels = _count(groups)
        affine = check_affine_of_layer(affine)
        self.num_channels = check_number_of_channels(num_channels)
        # A list that changes later would no longer fit the parameters.
        self.groups = deepcopy(groups) if isinstance(groups, list | tuple | np.ndarray) else groups
        self.num_groups = partition(self.num_channels, num_groups, groups).groups
        self.eps, self.center, self.activation = check_eps(eps), center, check_activation(activation)
        self.channel_axis, self.batch_axes = whole_axes(channel_axis, batch_axes)
        self.affine = "group" if affine == "group" else "channel"
        size = self.num_groups if affine == "group" else self.num_channels
        dtype = check_dtype_of_parameters(dtype)
        self.weight: Any = np.ones(size, dtype) if affine else None
        self.bias: Any = np.zeros(size, dtype) if affine and bias else None
        self.grads: dict[str, Any] = {}
        self._seen: tuple[Any, ...] | None = None

    def __repr__(self) -> str:
        extra = "" if self.weight is not None else ", affine=False"
        return f"GroupNorm({self.num_groups} groups of {self.num_channels} channels, eps={self.eps}{extra})"

    def __call__(self, x: Any, **options: Any) -> Any:
        return self.forward(x, **options)

    def forward(self, x: Any, **options: Any) -> Any:
        """Normalize x and keep what ``backward`` needs.

        Takes ``mask``, ``sample_weight``, ``scale``, ``shift``, ``residual``, ``return_residual``, ``return_stats`` and
        ``out`` as ``group_norm`` does. Where the result overwrites what ``backward`` needs, a copy of that is kept.
        """
        self._seen = None
        for name in options:
            if name not in _FORWARD:
                raise TypeError(f"{type(self).__name__}.forward() got an unexpected keyword argument {name!r}")
        check_channels(x, self.channel_axis, self.num_channels)
        out, residual = options.get("out"), options.get("residual")
        kept = x.copy() if residual is None and out is not None and _meet(out, x) else x
        met = [name for name in _TABLES if out is not None and _meet(out, options.get(name))]
        seen = options | {name: options[name].copy() for name in met}
        wanted = {name: options.pop(name, False) for name in ("return_stats", "return_residual")}
        added = residual is not None or wanted["return_residual"]
        y, mean, rstd, *total = group_norm(
            x,
            self._number(),
            self.weight,
            self.bias,
            self.eps,
            return_stats=True,
            return_residual=added,
            **self._how(),
            **options,
        )
        self._seen = (total[0] if added else kept, mean, rstd, seen)
        results = (
            y,
            *((mean, rstd) if wanted["return_stats"] else ()),
            *(total if wanted["return_residual"] else ()),
        )
        return y if len(results) == 1 else results

    def backward(self, dy: Any) -> Any:
        """Gradient with respect to the last x.

        Those of the parameters go to ``grads``, and those of ``scale``, ``shift`` and ``residual`` if they were given.
        """
        if self._seen is None:
            raise OptionError("backward comes after forward", hint="Call the layer first")
        x, mean, rstd, options = self._seen
        given = {name: options[name] for name in _TABLES if name in options}
        dx, dweight, dbias, *more = group_norm_backward(
            dy, x, mean, rstd, self.weight, bias=self.bias, num_groups=self._number(), **self._how(), **given
        )
        self.grads = {
            name: gradient.astype(parameter.dtype, copy=False)
            for name, parameter, gradient in (("weight", self.weight, dweight), ("bias", self.bias, dbias))
            if parameter is not None
        }
        self.grads |= dict(zip([n for n in ("scale", "shift") if options.get(n) is not None], more, strict=True))
        if options.get("residual") is not None:
            self.grads["residual"] = dx
        return dx

    def parameters(self) -> dict[str, Any]:
        """The arrays that training may change, by name."""
        return {name: a for name, a in (("weight", self.weight), ("bias", self.bias)) if a is not None}

    def state_dict(self) -> dict[str, Any]:
        """Copies of the parameters, by torch's names."""
        return {name: a.copy() for name, a in self.parameters().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take parameters from a mapping of arrays, or of torch tensors.

        Raises
        ------
        OptionError
            For names that are missing or unknown, for other shapes, and for what is no real number of the parameter's
            dtype; then nothing is changed.
        """
        mine = self.parameters()
        if set(state) != set(mine):
            found, expected = (", ".join(sorted(names)) or "none" for names in (state, mine))
            raise OptionError("the state has other parameters", found=found, expected=expected)
        xp = backend_for(*mine.values()).xp
        for name, value in state.items():
            refuse_masked(name, value, f"Give {name}.filled(0)")
        new = {name: xp.asarray(_plain(value)) for name, value in state.items()}
        for name, array in new.items():
            if array.shape != mine[name].shape:
                raise OptionError(f"{name} does not fit", found=str(array.shape), expected=str(mine[name].shape))
        with np.errstate(over="ignore"):
            cast = {name: real_numbers(name, array).astype(mine[name].dtype) for name, array in new.items()}
        for name, array in cast.items():
            if bool((xp.isfinite(new[name]) & ~xp.isfinite(array)).any()):
                raise OptionError(f"{name} does not fit {array.dtype}", found="numbers beyond it", hint="Give dtype=")
        for name, array in cast.items():
            setattr(self, name, array)

    def to(self, like: Any) -> Self:
        """Move the parameters to the library and device of an array, such as the next x."""
        xp = backend_for(like).xp
        for name, array in self.parameters().items():
            setattr(self, name, xp.asarray(array.get() if hasattr(array, "get") and xp is np else array))
        return self

    @classmethod
    def from_torch(cls, module: Any) -> Self:
        """The same layer as a ``torch.nn.GroupNorm`` or a ``gridnorm.nn.torch.GroupNorm``; parameters are copied.

        They keep their dtype, but for bfloat16, which becomes float32. A subclass is taken if its forward does nothing
        else; hooks and computed parameters are refused.

        Examples
        --------
        >>> import torch  # doctest: +SKIP
        >>> layer = GroupNorm.from_torch(torch.nn.GroupNorm(2, 4))  # doctest: +SKIP
        """
        import torch

        from gridnorm.nn.torch import GroupNorm as Bridge
        from gridnorm.nn.torch_plain import refuse_more_than

        refuse_more_than((torch.nn.GroupNorm, Bridge), module, "torch.nn.GroupNorm or gridnorm.nn.torch.GroupNorm")
        labels = getattr(module, "groups", None)
        affine = getattr(module, "affine", True)
        layer = cls(
            None if labels is not None else module.num_groups,
            module.num_channels,
            groups=None if labels is None else np.asarray(labels),
            eps=module.eps,
            affine=affine,
            bias=module.bias is not None,
            center=getattr(module, "center", True),
            activation=getattr(module, "activation", None),
            channel_axis=getattr(module, "channel_axis", 1),
            batch_axes=getattr(module, "batch_axes", (0,)),
            dtype=np.float32 if module.weight is None else _plain(module.weight).dtype,
        )
        if affine:
            held = {name: getattr(module, name) for name in layer.parameters()}
            layer.load_state_dict(layer.state_dict() | {name: a for name, a in held.items() if a is not None})
        return layer

    def to_torch(self) -> Any:
        """A ``torch.nn.GroupNorm`` where torch has such a layer, else a ``gridnorm.nn.torch.GroupNorm``.

        Parameters keep their dtype.
        """
        import torch

        state = {name: _tensor(a) for name, a in self.parameters().items()}
        dtype = state["weight"].dtype if state else None
        plain = self.groups is None and self.center and self.activation is None and self.affine == "channel"
        if plain and self.channel_axis == 1 and self.batch_axes == (0,):
            affine, bias = self.weight is not None, self.bias is not None
            module = torch.nn.GroupNorm(self.num_groups, self.num_channels, self.eps, affine, bias=bias, dtype=dtype)
        else:
            from gridnorm.nn.torch import GroupNorm as Bridge

            module = Bridge(
                self._number(),
                self.num_channels,
                groups=self.groups,
                eps=self.eps,
                affine=self.affine if self.weight is not None else False,
                bias=self.bias is not None,
                center=self.center,
                activation=self.activation,
                channel_axis=self.channel_axis,
                batch_axes=self.batch_axes,
                dtype=dtype,
            )
        module.load_state_dict(state)
        return module

    def _number(self) -> int | None:
        return None if self.groups is not None else self.num_groups

    def _how(self) -> dict[str, Any]:
        return {
            "groups": self.groups,
            "affine": self.affine,
            "center": self.center,
            "activation": self.activation,
            "channel_axis": self.channel_axis,
            "batch_axes": self.batch_axes,
        }


def _count(groups: Any) -> int:
    """Channels that labels are for."""
    if isinstance(groups, list | tuple) and groups and all(np.ndim(one) == 1 for one in groups):
        raise OptionError("arrays of channel numbers do not say how many channels there are", hint="Give num_channels=")
    return len(groups.codes) if hasattr(groups, "codes") else len(groups)


def _plain(value: Any) -> Any:
    """A host array of a torch tensor or CuPy array; anything else as it is."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        return value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.numpy()
    return value


def _tensor(parameter: Any) -> Any:
    """A copy on the host as a torch tensor of the same dtype."""
    import torch

    array = parameter.get() if hasattr(parameter, "get") else np.array(parameter)
    if array.dtype.name == "bfloat16":  # which torch does not take from NumPy
        return torch.as_tensor(array.astype(np.float32)).to(torch.bfloat16)
    return torch.as_tensor(array)


def _meet(a: Any, b: Any) -> bool:
    """Whether two arrays may share memory."""
    return hasattr(a, "strides") and hasattr(b, "strides") and backend_for(a) is backend_for(b) and overlap(a, b)
