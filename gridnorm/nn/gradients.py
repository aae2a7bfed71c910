"""First derivatives of the functions in ``functional``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gridnorm.core.option.signature import shows_those_of
from gridnorm.nn.arguments import channels_of, no_groups, of_channels, of_shape, split_options, told_groups
from gridnorm.nn.norm import ALL, BACKWARD, backward


def group_norm_backward(
    dy: Any,
    x: Any,
    mean: Any,
    rstd: Any,
    weight: Any = None,
    *,
    bias: Any = None,
    num_groups: int | None = None,
    groups: Any = None,
    channel_axis: int = 1,
    batch_axes: Sequence[int] = (0,),
    affine: str = "channel",
    center: bool = True,
    mask: Any = None,
    sample_weight: Any = None,
    activation: str | None = None,
    scale: Any = None,
    shift: Any = None,
    dmean: Any = None,
    drstd: Any = None,
    needs: tuple[bool, bool, bool] = ALL,
    out: Any = None,
) -> tuple[Any, ...]:
    """Gradients of ``group_norm``.

    Parameters
    ----------
    dy
        Gradient with respect to y, like x.
    x
        What was normalized; with a residual the sum that ``return_residual`` gave.
    mean, rstd
        What ``return_stats`` gave, (batch…, groups).
    weight, bias, groups, channel_axis, batch_axes, affine, center, mask, sample_weight, activation, scale, shift
        As they were given to ``group_norm``. ``bias`` and ``shift`` matter only with an activation.
    num_groups
        None: as many as the statistics have.
    dmean, drstd
        Gradients with respect to ``mean`` and ``rstd`` where those are used further.
    needs
        Which of the three are wanted; the others come as None.
    out
        Where dx goes, an array like x (``dy`` itself will do).

    Returns
    -------
    dx
        Like x. A residual's gradient is the same.
    dweight, dbias
        float32 (float64 for float64 x): (channels,), or (groups,) with ``affine="group"``; also without ``weight``.
    dscale, dshift
        Only if ``scale`` or ``shift`` was given: their shapes.

    Raises
    ------
    OptionError
        For arguments that do not fit together.

    Notes
    -----
    With h = dy·f′·γ, normalized values x̂ and shares p (1/m without weights), over each sample and group:
    dx = rstd·(h − p·Σh − p·x̂·Σ(h·x̂)). Sums over the batch are taken in its order, so gradients do not change from run
    to run. Nothing flows through a masked value that is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> x = np.array([[1.0, 2.0, 4.0, 8.0]])
    >>> y, mean, rstd = nn.group_norm(x, 2, return_stats=True)
    >>> dx, dweight, dbias = nn.group_norm_backward(np.ones_like(x), x, mean, rstd)
    >>> bool(np.abs(dx).max() < 1e-12), dweight.round(3), dbias
    (True, array([-1.,  1., -1.,  1.]), array([1., 1., 1., 1.]))
    """
    given = of_channels(
        x,
        told_groups(groups, num_groups, mean),
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
    return backward(given, dy, mean, rstd, center=center, dmean=dmean, drstd=drstd, needs=needs, out=out)


@shows_those_of(group_norm_backward, "num_groups", "groups")
def layer_norm_backward(
    dy: Any,
    x: Any,
    mean: Any,
    rstd: Any,
    weight: Any = None,
    *,
    normalized_shape: int | Sequence[int] | None = None,
    bias: Any = None,
    center: bool = True,
    **options: Any,
) -> tuple[Any, ...]:
    """Gradients of ``layer_norm``: those of ``group_norm`` with one group; arguments and results as there.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> x = np.array([[1.0, 2.0, 4.0]])
    >>> y, mean, rstd = nn.layer_norm(x, 3, return_stats=True)
    >>> dx, dweight, dbias = nn.layer_norm_backward(np.ones_like(x), x, mean, rstd, normalized_shape=3)
    >>> dweight.shape, bool(np.abs(dx).max() < 1e-12)
    ((3,), True)
    """
    no_groups(options, "layer_norm_backward")
    if normalized_shape is None:
        return group_norm_backward(dy, x, mean, rstd, weight, bias=bias, num_groups=1, center=center, **options)
    ours, further = split_options("layer_norm_backward", options, BACKWARD)
    given = of_shape(x, normalized_shape, weight=weight, bias=bias, **ours)
    return backward(given, dy, mean, rstd, center=center, **further)


@shows_those_of(group_norm_backward, "num_groups", "groups")
def instance_norm_backward(
    dy: Any, x: Any, mean: Any, rstd: Any, weight: Any = None, *, bias: Any = None, **options: Any
) -> tuple[Any, ...]:
    """Gradients of ``instance_norm``: those of ``group_norm`` with one group per channel; all else as there.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> x = np.array([[[1.0, 2.0, 4.0]]])
    >>> y, mean, rstd = nn.instance_norm(x, return_stats=True)
    >>> nn.instance_norm_backward(np.ones_like(x), x, mean, rstd)[2]
    array([3.])
    """
    no_groups(options, "instance_norm_backward")
    return group_norm_backward(dy, x, mean, rstd, weight, bias=bias, num_groups=channels_of(x, options), **options)
