"""Group normalization and its limits as functions: ``group_norm``, ``layer_norm``, ``instance_norm``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index
from typing import Any, NamedTuple

from gridnorm.errors import OptionError
from gridnorm.nn.arguments import Arguments, backend_of, check_eps, floating, gather, warn_of_single_values, whole_axes
from gridnorm.nn.results import like, target, writable
from gridnorm.nn.views import as_view


def group_norm(
    x: Any,
    num_groups: int = 32,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *,
    groups: Any = None,
    channel_axis: int = 1,
    batch_axes: Sequence[int] = (0,),
    affine: str = "channel",
    center: bool = True,
    mask: Any = None,
    sample_weight: Any = None,
    activation: str | None = None,
    residual: Any = None,
    return_residual: bool = False,
    scale: Any = None,
    shift: Any = None,
    out: Any = None,
    return_stats: bool = False,
) -> Any:
    """Normalize every sample within groups of its channels.

    y = f(((x − mean) · rstd · γ + β) · (1 + scale) + shift), with mean and rstd = 1/√(variance + eps) of each sample
    and group, over its channels and all axes that are neither batch nor channels.

    Parameters
    ----------
    x
        float16, bfloat16, float32 or float64 array of NumPy or CuPy, any axes and strides. Statistics are float32
        (float64 for float64), the mean carried in two parts, so that large offsets cost no digits.
    num_groups
        Number of equal groups of channels that follow one another. 1 is ``layer_norm``, the number of channels
        ``instance_norm``.
    weight, bias
        γ and β: one number per channel, or per group with ``affine="group"``.
    eps
        Added to the variance.
    groups
        Instead of ``num_groups``: one label per channel (whole numbers; −1 passes the channel through untouched), or a
        list of arrays of channel numbers (channels in none pass through). Groups may have any sizes and lie anywhere;
        they are numbered by ascending label. ``gridnorm.nn.groups`` makes labels.
    channel_axis, batch_axes
        The axis of the channels; the axes whose entries are samples. ``batch_axes=()`` for one sample without a batch.
    affine
        Whether ``weight`` and ``bias`` hold a number per ``"channel"`` or per ``"group"``.
    center
        False: nothing is subtracted, and the mean square takes the variance's place (RMS norm).
    mask
        Boolean, broadcast to x: False leaves a value out of the statistics; it is still normalized with them.
    sample_weight
        Non-negative numbers, broadcast to x: how much a value counts in the statistics.
    activation
        ``"silu"``, ``"relu"`` or ``"gelu"`` (exact), at the end.
    residual, return_residual
        Array like x that is added to it first; whether to return the sum, too.
    scale, shift
        (batch…, channels) or (batch…, 1): a modulation of each sample (FiLM, AdaGN).
    out
        Where the result goes, an array like x; x itself normalizes in place.
    return_stats
        Also return mean and rstd.

    Returns
    -------
    y
        Shape, dtype, device and axis order of x.
    mean, rstd
        With ``return_stats``: float64, and float32 (float64 for float64 x); shape (batch…, groups).
    sum
        With ``return_residual``: x + residual, in the dtype of x.

    Raises
    ------
    OptionError
        For arguments that do not fit together; the message says what would.

    Warns
    -----
    GridnormWarning
        If a group has one value per sample: the result there is β.

    Notes
    -----
    A sample's result does not depend on the batch it comes in, to the last bit. Equal values in a group give β
    exactly. NaN stays within its sample and group. Wu & He (2018), Group Normalization,
    doi:10.1007/978-3-030-01261-8_1; positional arguments as in ``torch.nn.functional.group_norm``.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> x = np.arange(16.0).reshape(1, 4, 2, 2)
    >>> nn.group_norm(x, 2).round(2)[0, :, 0]
    array([[-1.53, -1.09],
           [ 0.22,  0.65],
           [-1.53, -1.09],
           [ 0.22,  0.65]])
    >>> y, mean, rstd = nn.group_norm(x, groups=[0, 1, 1, 0], return_stats=True)
    >>> mean
    array([[7.5, 7.5]])
    """
    if groups is not None and num_groups not in (None, 32):
        raise OptionError("num_groups and groups exclude each other", found=f"num_groups {num_groups} and groups")
    given = gather(
        x,
        num_groups,
        groups,
        channel_axis=channel_axis,
        batch_axes=batch_axes,
        affine=affine,
        activation=activation,
        weight=weight,
        bias=bias,
        scale=scale,
        shift=shift,
        mask=mask,
        sample_weight=sample_weight,
    )
    if center:
        warn_of_single_values(given.partition, given.axes.width)
    return _normalize(given, check_eps(eps), center, residual, return_residual, out, return_stats)


def _normalize(
    given: Arguments, eps: float, center: bool, residual: Any, return_residual: bool, out: Any, return_stats: bool
) -> Any:
    x, axes = given.x, given.axes
    added = None if residual is None else like(residual, given, "residual")
    if return_residual and added is None:
        raise OptionError("return_residual needs a residual")
    y = target(given, out, x, added)
    total = target(given, None) if return_residual else None
    untouched = _passed(given, x, added)
    _, mean, rstd = given.backend.standardize(
        given.values,
        given.partition.segments,
        eps=eps,
        center=center,
        weights=given.weights(),
        gain=given.gain(),
        offset=given.offset(),
        activation=given.activation,
        residual=None if added is None else as_view(added, axes),
        total=None if total is None else total.view,
        out=y.view,
    )
    results = [y.written()]
    if untouched is not None:
        results[0][passed_at(given)] = untouched
    if return_stats:
        results += [given.per_sample(mean), given.per_sample(rstd)]
    if total is not None:
        results.append(total.written())
    return results[0] if len(results) == 1 else tuple(results)


def passed_at(given: Arguments) -> tuple[Any, ...]:
    """Index of the channels that no group holds."""
    channel = given.axes.order[len(given.axes.batch_shape)]
    return (*(slice(None),) * channel, given.xp.asarray(given.partition.passed))


def _passed(given: Arguments, x: Any, added: Any) -> Any:
    """Values of the channels that no group holds; read before anything is written."""
    if given.partition.passed is None:
        return None
    where = passed_at(given)
    return x[where] if added is None else x[where] + added[where]


def layer_norm(
    x: Any,
    normalized_shape: int | Sequence[int] | None = None,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    **options: Any,
) -> Any:
    """Normalize every sample as a whole: group normalization with one group.

    Parameters
    ----------
    x
        As in ``group_norm``.
    normalized_shape
        None: all axes but the batch axes are one group, γ and β are per channel; exactly ``group_norm(x, 1, …)``.
        A shape: torch's meaning; the last axes, which must have that shape, are normalized together, all others are
        batch; γ and β have that shape.
    weight, bias, eps
        γ, β and what is added to the variance.
    **options
        Of ``group_norm``. With ``normalized_shape``: ``center``, ``activation``, ``residual``, ``return_residual``,
        ``out``, ``return_stats``.

    Returns
    -------
    As ``group_norm``; with ``normalized_shape`` the statistics have the shape of the other axes.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> nn.layer_norm(np.array([[1.0, 2.0, 3.0]]), 3).round(3)
    array([[-1.225,  0.   ,  1.225]])
    """
    _no_groups(options, "layer_norm")
    if normalized_shape is None:
        return group_norm(x, 1, weight, bias, eps, **options)
    rows = Rows.of(x, normalized_shape)
    rows.check_options(options, ("center", "activation", "residual", "return_residual", "out", "return_stats"))
    if options.get("residual") is not None:
        options["residual"] = rows.flat(options["residual"], "residual")
    out = options.pop("out", None)
    place = None if out is None else rows.place(out)
    result = group_norm(rows.x, 1, rows.affine(weight, "weight"), rows.affine(bias, "bias"), eps, out=place, **options)
    y, *others = result if isinstance(result, tuple) else (result,)
    y = rows.given_back(y, out, place)
    stats = 2 if options.get("return_stats") else 0
    results = (y, *(a.reshape(rows.leading if i < stats else rows.shape) for i, a in enumerate(others)))
    return results if others else y


class Rows(NamedTuple):
    """``x`` with its last axes as channels and all others as one batch axis; its shape, and the normalized one."""

    x: Any
    shape: tuple[int, ...]
    inner: tuple[int, ...]
    xp: Any

    @classmethod
    def of(cls, x: Any, normalized_shape: int | Sequence[int]) -> Rows:
        backend = backend_of(x)
        x = floating(x, backend)
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
        return cls(x.reshape(prod(x.shape[: x.ndim - len(inner)]), prod(inner)), x.shape, inner, backend.xp)

    @property
    def leading(self) -> tuple[int, ...]:
        return self.shape[: len(self.shape) - len(self.inner)]

    def check_options(self, options: dict[str, Any], known: Sequence[str]) -> None:
        for name in options:
            if name not in known:
                raise OptionError(f"{name} does not go with normalized_shape", expected=", ".join(known))

    def flat(self, array: Any, name: str) -> Any:
        """An array of the shape of x in that of the rows."""
        array = self.xp.asarray(array)
        if array.shape != self.shape:
            raise OptionError(f"{name} is not like x", found=str(array.shape), expected=str(self.shape))
        return array.reshape(self.x.shape)

    def per_row(self, array: Any, name: str) -> Any:
        """Statistics in the shape of the other axes, as (row, 1)."""
        array = self.xp.asarray(array)
        if array.shape != self.leading:
            raise OptionError(f"{name} does not fit x", found=str(array.shape), expected=str(self.leading))
        return array.reshape(-1, 1)

    def affine(self, array: Any, name: str) -> Any:
        """γ or β of the normalized shape as one number per channel."""
        if array is None:
            return None
        array = self.xp.asarray(array)
        if array.shape != self.inner:
            found, wanted = str(array.shape), str(self.inner)
            raise OptionError(f"{name} does not have the normalized shape", found=found, expected=wanted)
        return array.reshape(-1)

    def place(self, out: Any) -> Any:
        """Where rows are written so that they reach ``out``; None: they must be copied."""
        if writable(out).dtype != self.x.dtype or out.shape != self.shape:
            found, wanted = (f"{a.dtype} {shape}" for a, shape in ((out, out.shape), (self.x, self.shape)))
            raise OptionError("out is not like x", found=found, expected=wanted)
        return out.reshape(self.x.shape) if out.flags.c_contiguous else None

    def given_back(self, result: Any, out: Any, place: Any) -> Any:
        """A result in the shape of x, and in ``out`` where that is given."""
        if out is None:
            return result.reshape(self.shape)
        if place is None:
            out[...] = result.reshape(self.shape)
        return out


def _no_groups(options: dict[str, Any], name: str) -> None:
    for key in ("num_groups", "groups"):
        if key in options:
            raise OptionError(f"{name} has groups of its own", found=f"{key}=", hint="group_norm takes groups")


def instance_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, **options: Any) -> Any:
    """Normalize every channel of every sample by itself: exactly ``group_norm`` with one group per channel.

    Parameters
    ----------
    x, weight, bias, eps
        As in ``group_norm``.
    **options
        Of ``group_norm``, without ``num_groups`` and ``groups``.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> nn.instance_norm(np.array([[[1.0, 3.0], [10.0, 30.0]]])).round(3)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """
    _no_groups(options, "instance_norm")
    axis, _ = whole_axes(options.get("channel_axis", 1), ())
    x = floating(x, backend_of(x))
    if not -x.ndim <= axis < x.ndim:
        raise OptionError("x has no axis of channels", found=f"shape {x.shape}", expected=f"an axis {axis}")
    return group_norm(x, x.shape[axis], weight, bias, eps, **options)
