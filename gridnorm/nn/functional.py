"""Group normalization and its limits as functions: ``group_norm``, ``layer_norm``, ``instance_norm``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gridnorm.core.option.signature import shows_those_of
from gridnorm.nn.arguments import (
    USUAL_GROUPS,
    channels_of,
    no_groups,
    of_channels,
    of_shape,
    split_options,
    warn_of_single_values,
)
from gridnorm.nn.norm import FORWARD, forward


def group_norm(
    x: Any,
    num_groups: int | None = USUAL_GROUPS,
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
        ``instance_norm``. Not together with ``groups``.
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
        (batch…, channels), or 1 in place of any of these numbers: a modulation of each sample (FiLM, AdaGN).
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
    given = of_channels(
        x,
        num_groups,
        groups,
        channel_axis=channel_axis,
        batch_axes=batch_axes,
        affine=affine,
        weight=weight,
        bias=bias,
        scale=scale,
        shift=shift,
        mask=mask,
        sample_weight=sample_weight,
        activation=activation,
    )
    if center:
        warn_of_single_values(given)
    found = forward(given, eps, center=center, residual=residual, return_residual=return_residual, out=out)
    return found.results(given, *((found.mean, found.rstd) if return_stats else ()))


@shows_those_of(group_norm, "groups")
def layer_norm(
    x: Any,
    normalized_shape: int | Sequence[int] | None = None,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *,
    center: bool = True,
    return_stats: bool = False,
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
    center, return_stats
        As in ``group_norm``.
    **options
        Of ``group_norm``. With ``normalized_shape`` no ``channel_axis``, ``batch_axes`` and ``affine``; ``scale`` and
        ``shift`` have the shape of x then, or 1 in place of any of its numbers.

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
    no_groups(options, "layer_norm")
    if normalized_shape is None:
        return group_norm(x, 1, weight, bias, eps, center=center, return_stats=return_stats, **options)
    ours, further = split_options("layer_norm", options, FORWARD)
    given = of_shape(x, normalized_shape, weight=weight, bias=bias, **ours)
    if center:
        warn_of_single_values(given)
    found = forward(given, eps, center=center, **further)
    return found.results(given, *((found.mean, found.rstd) if return_stats else ()))


@shows_those_of(group_norm, "groups")
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
    no_groups(options, "instance_norm")
    return group_norm(x, channels_of(x, options), weight, bias, eps, **options)
