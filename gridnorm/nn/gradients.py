"""First derivatives of the functions in ``functional``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gridnorm.errors import OptionError
from gridnorm.nn.arguments import Arguments, gather
from gridnorm.nn.functional import Rows, passed_at
from gridnorm.nn.results import like, target
from gridnorm.nn.views import as_view


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
    needs: tuple[bool, bool, bool] = (True, True, True),
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
    given = given_backward(
        x,
        mean,
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
    if len(needs) != 3:
        raise OptionError("needs has the wrong length", found=repr(needs), expected="three: of x, weight and bias")
    dy = like(dy, given, "dy")
    place = target(given, out, given.x, dy)
    untouched = None if given.partition.passed is None else dy[passed_at(given)]
    modulated = scale is not None or shift is not None
    _, dgain, doffset = given.backend.standardize_backward(
        as_view(dy, given.axes),
        given.values,
        given.partition.segments,
        given.per_segment("mean", mean),
        given.per_segment("rstd", rstd),
        center=center,
        weights=given.weights(),
        gain=given.gain(),
        offset=given.offset(),
        activation=activation,
        add_mean=None if dmean is None else given.per_segment("dmean", dmean).astype(given.xp.float64),
        add_rstd=None if drstd is None else given.per_segment("drstd", drstd).astype(given.xp.float64),
        reduce_batch=not modulated,
        out=place.view,
    )
    dx = place.written()
    if untouched is not None:
        dx[passed_at(given)] = untouched
    return affine_gradients(given, dx, dgain, doffset, needs)


def given_backward(x: Any, mean: Any, num_groups: int | None, groups: Any, **rest: Any) -> Arguments:
    """The call that a backward belongs to; ``num_groups`` None stands for as many as the statistics have."""
    if groups is not None and num_groups is not None:
        raise OptionError("num_groups and groups exclude each other", found=f"num_groups {num_groups} and groups")
    if groups is None and num_groups is None:
        shape = np.shape(mean)
        if not shape:
            raise OptionError("mean is not what return_stats gave", found=repr(mean), expected="(batch…, groups)")
        num_groups = shape[-1]
    return gather(x, num_groups, groups, **rest)


def affine_gradients(
    given: Arguments, dx: Any, dgain: Any, doffset: Any, needs: tuple[bool, bool, bool] = (True, True, True)
) -> tuple[Any, ...]:
    """From gradients of gain and offset, (batch or 1, channel), to those of γ, β, scale and shift."""
    if given.partition.passed is not None:
        dgain[:, given.xp.asarray(given.partition.passed)] = 0
        doffset[:, given.xp.asarray(given.partition.passed)] = 0
    more = None if given.scale is None else 1 + given.per_sample_numbers("scale", given.scale)
    results = [dx if needs[0] else None]
    for wanted, gradient in zip(needs[1:], (dgain, doffset), strict=True):
        results.append(per_parameter(given, gradient if more is None else gradient * more) if wanted else None)
    if given.scale is not None:
        weight, bias = given.per_channel("weight", given.weight), given.per_channel("bias", given.bias)
        dscale = dgain if weight is None else dgain * weight
        results.append(as_given(given, dscale if bias is None else dscale + doffset * bias, given.scale))
    if given.shift is not None:
        results.append(as_given(given, doffset, given.shift))
    return tuple(results)


def per_parameter(given: Arguments, gradient: Any) -> Any:
    """A gradient (batch or 1, channel) summed to the shape of γ and β."""
    summed = gradient[0] if gradient.shape[0] == 1 else gradient.astype(given.xp.float64).sum(axis=0)
    if given.affine == "group":
        segments = given.partition.segments
        ordered = given.xp.ascontiguousarray(summed)[None, :, None]
        summed = given.backend.sums(ordered, segments)[0, : given.partition.groups]
    return summed.astype(given.real, copy=False)


def as_given(given: Arguments, gradient: Any, like_this: Any) -> Any:
    """A gradient (batch, channel) in the shape and dtype of a scale or shift."""
    like_this = given.xp.asarray(like_this)
    dtype = given.real if like_this.dtype.kind in "iub" else like_this.dtype
    if like_this.shape[-1] == 1 and gradient.shape[-1] != 1:
        gradient = gradient.astype(given.xp.float64).sum(axis=1, keepdims=True)
    return gradient.reshape(like_this.shape).astype(dtype, copy=False)


def layer_norm_backward(
    dy: Any,
    x: Any,
    mean: Any,
    rstd: Any,
    weight: Any = None,
    *,
    normalized_shape: int | Sequence[int] | None = None,
    bias: Any = None,
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
    if normalized_shape is None:
        return group_norm_backward(dy, x, mean, rstd, weight, bias=bias, **options)
    rows = Rows.of(x, normalized_shape)
    rows.check_options(options, ("center", "activation", "dmean", "drstd", "needs", "out"))
    for name in ("dmean", "drstd"):
        if options.get(name) is not None:
            options[name] = rows.per_row(options[name], name)
    out = options.pop("out", None)
    place = None if out is None else rows.place(out)
    dx, *rest = group_norm_backward(
        rows.flat(dy, "dy"),
        rows.x,
        rows.per_row(mean, "mean"),
        rows.per_row(rstd, "rstd"),
        rows.affine(weight, "weight"),
        bias=rows.affine(bias, "bias"),
        out=place,
        **options,
    )
    dx = None if dx is None else rows.given_back(dx, out, place)
    return (dx, *(None if a is None else a.reshape(rows.inner) for a in rest))


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
    return group_norm_backward(dy, x, mean, rstd, weight, bias=bias, **options)
