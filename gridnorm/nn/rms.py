"""RMS normalization: the mean square within a group, and no mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gridnorm.core.option.signature import shows_those_of
from gridnorm.nn.arguments import Arguments, of_shape_or_channels, split_options, told_groups
from gridnorm.nn.functional import group_norm
from gridnorm.nn.gradients import group_norm_backward
from gridnorm.nn.norm import BACKWARD, FORWARD, backward, forward

_BACKWARD = tuple(name for name in BACKWARD if name != "dmean")  # there is no mean


@shows_those_of(group_norm, "center")
def rms_norm(
    x: Any,
    normalized_shape: int | Sequence[int] | None = None,
    weight: Any = None,
    eps: float | None = None,
    *,
    bias: Any = None,
    num_groups: int | None = None,
    return_stats: bool = False,
    **options: Any,
) -> Any:
    """Divide every sample by the root of its mean square within groups of its channels.

    y = f((x · rstd · γ + β) · (1 + scale) + shift), with rstd = 1/√(mean of x² + eps) of each sample and group.

    Parameters
    ----------
    x
        float16, bfloat16, float32 or float64 array of NumPy or CuPy, any axes and strides. The mean square is float32
        (float64 for float64).
    normalized_shape
        A shape: torch's meaning; the last axes, which must have that shape, are normalized together, all others are
        batch; γ and β have that shape. None: groups of channels as in ``group_norm``, all of them one group unless
        ``num_groups`` or ``groups`` say otherwise.
    weight, bias
        γ and β: of the normalized shape, or one number per channel (per group with ``affine="group"``).
    eps
        Added to the mean square. None: the spacing of numbers at 1 in the type that is computed in, as in torch: that
        of float64 for float64, of float32 for all others.
    num_groups
        Of channels, without ``normalized_shape``; None: one, or as ``groups`` say.
    return_stats
        Also return rstd.
    **options
        Of ``group_norm``: ``groups``, ``channel_axis``, ``batch_axes``, ``affine`` (without
        ``normalized_shape``), ``mask``, ``sample_weight``, ``activation``, ``residual``, ``return_residual``,
        ``scale``, ``shift``, ``out``.

    Returns
    -------
    y
        Shape, dtype, device and axis order of x.
    rstd
        With ``return_stats``: float32 (float64 for float64 x), (batch…, groups); with ``normalized_shape`` the shape
        of the other axes.
    sum
        With ``return_residual``: x + residual, in the dtype of x.

    Raises
    ------
    OptionError
        For arguments that do not fit together; the message says what would.

    Notes
    -----
    Zhang & Sennrich (2019), Root Mean Square Layer Normalization, arXiv:1910.07467; positional arguments as in
    ``torch.nn.functional.rms_norm``. The same as ``group_norm`` with ``center=False``, to the last bit.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> nn.rms_norm(np.array([[3.0, 4.0, 0.0, 0.0]]), 4)
    array([[1.2, 1.6, 0. , 0. ]])
    >>> y, rstd = nn.rms_norm(np.array([[3.0, 3.0, 8.0, 0.0]]), num_groups=2, eps=0.0, return_stats=True)
    >>> y.round(3), rstd.round(3)
    (array([[1.   , 1.   , 1.414, 0.   ]]), array([[0.333, 0.177]]))
    """
    if num_groups is not None:
        options["num_groups"] = num_groups
    ours, further = split_options("rms_norm", options, FORWARD)
    given = of_shape_or_channels(x, normalized_shape, weight=weight, bias=bias, **ours)
    found = forward(given, _usual(given) if eps is None else eps, center=False, **further)
    return found.results(given, *((found.rstd,) if return_stats else ()))


@shows_those_of(group_norm_backward, "num_groups", "center", "dmean")
def rms_norm_backward(
    dy: Any,
    x: Any,
    rstd: Any,
    weight: Any = None,
    *,
    normalized_shape: int | Sequence[int] | None = None,
    bias: Any = None,
    **options: Any,
) -> tuple[Any, ...]:
    """Gradients of ``rms_norm``.

    Parameters
    ----------
    dy
        Gradient with respect to y, like x.
    x
        What was normalized; with a residual the sum that ``return_residual`` gave.
    rstd
        What ``return_stats`` gave.
    weight, normalized_shape, bias
        As they were given to ``rms_norm``.
    **options
        Of ``rms_norm``, as they were given there (without ``num_groups`` and ``groups``: as many groups as the
        statistics have), and ``drstd``, ``needs`` and ``out`` of ``group_norm_backward``.

    Returns
    -------
    dx
        Like x. A residual's gradient is the same.
    dweight, dbias
        float32 (float64 for float64 x), in the shape of γ; also without ``weight``.
    dscale, dshift
        Only if ``scale`` or ``shift`` was given: their shapes.

    Raises
    ------
    OptionError
        For arguments that do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> x = np.array([[3.0, 4.0, 0.0, 0.0]])
    >>> y, rstd = nn.rms_norm(x, 4, return_stats=True)
    >>> dx, dweight, dbias = nn.rms_norm_backward(x, x, rstd, normalized_shape=4)
    >>> bool(np.abs(dx).max() < 1e-12), dweight  # a longer x gives the same y
    (True, array([3.6, 6.4, 0. , 0. ]))
    """
    ours, further = split_options("rms_norm_backward", options, _BACKWARD)
    if normalized_shape is None:
        ours["num_groups"] = told_groups(ours.get("groups"), ours.get("num_groups"), rstd, "rstd")
    given = of_shape_or_channels(x, normalized_shape, weight=weight, bias=bias, **ours)
    return backward(given, dy, None, rstd, center=False, **further)


def _usual(given: Arguments) -> float:
    return float(np.finfo(given.real).eps)
