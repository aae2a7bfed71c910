"""Batch normalization: the same core with the batch folded into the reduction."""

from __future__ import annotations

from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np

from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError
from gridnorm.nn.arguments import Arguments, backend_of, check_activation, check_eps, floating, warn_of_single_values
from gridnorm.nn.partition import Partition
from gridnorm.nn.results import like, statistics, target
from gridnorm.nn.views import as_view, axes_of


def batch_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    channel_axis: int = 1,
    batch_axis: int = 0,
    ghost_size: int | None = None,
    mask: Any = None,
    sample_weight: Any = None,
    activation: str | None = None,
    out: Any = None,
    return_stats: bool = False,
) -> Any:
    """Normalize every channel over the batch and all axes that are not channels.

    Parameters
    ----------
    x
        Floating-point array of NumPy or CuPy.
    running_mean, running_var
        (channels,): with ``training`` they are moved in place by ``momentum`` towards the batch's mean and unbiased
        variance; without, they are what x is normalized with. Without them x's own statistics are used.
    weight, bias
        γ and β, (channels,).
    training
        Normalize with the statistics of x.
    momentum
        Share of the new statistics, 0…1.
    eps
        Added to the variance.
    channel_axis, batch_axis
        The axis of the channels, and the one of the samples.
    ghost_size
        In training: statistics of that many successive samples each (ghost batch normalization); the last batch may be
        smaller. The running statistics take the mean over them.
    mask, sample_weight, activation, out
        As in ``group_norm``; a weight may differ from sample to sample here.
    return_stats
        Also return mean and rstd, (channels,) or (ghost batches, channels).

    Returns
    -------
    y
        Like x; with ``return_stats`` followed by mean (float64) and rstd (float32, or float64 for float64 x).

    Raises
    ------
    OptionError
        For arguments that do not fit together.

    Notes
    -----
    Ioffe & Szegedy (2015), arXiv:1502.03167; Hoffer et al. (2017), arXiv:1705.08741, for ghost batches. Positional
    arguments as in ``torch.nn.functional.batch_norm``.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> running_mean, running_var = np.zeros(1), np.ones(1)
    >>> nn.batch_norm(np.array([[1.0], [3.0]]), running_mean, running_var, training=True).round(3).ravel()
    array([-1.,  1.])
    >>> running_mean, running_var
    (array([0.2]), array([1.1]))
    """
    ghosts = ghost_size if training else None
    given = _gather(x, channel_axis, batch_axis, ghosts, mask, sample_weight, activation, weight, bias, running_mean)
    xp, backend, axes = given.xp, given.backend, given.axes
    running = [_channels(given, name, a) for name, a in (("running_mean", running_mean), ("running_var", running_var))]
    if (running[0] is None) != (running[1] is None):
        raise OptionError("running_mean and running_var come together", found="one of them", expected="both or none")
    for a in (running_mean, running_var) if training else ():
        if a is not None and (not hasattr(a, "dtype") or a.dtype.kind in "iub"):
            found = str(getattr(a, "dtype", type(a).__name__))
            what = "running statistics are moved in place, so they must be floating-point arrays"
            raise OptionError(what, found=found)
    if not isinstance(momentum, Real) or not 0 <= momentum <= 1:
        raise OptionError("momentum cannot have this value", found=repr(momentum), expected="0…1")
    y = target(given, out, given.x)
    affine = {
        "gain": _of_channels(given, "weight", weight),
        "offset": _of_channels(given, "bias", bias),
        "activation": activation,
    }
    eps = check_eps(eps)
    segments = given.partition.segments
    if training or running[0] is None:
        warn_of_single_values(given.partition, axes.width)
        _, mean, rstd = backend.standardize(
            given.values, segments, eps=eps, weights=given.weights(), out=y.view, **affine
        )
        if training and running[0] is not None:
            _move(given, running, mean, rstd, eps, momentum)
    else:
        mean = running[0].astype(xp.float64)[:, None]
        rstd = (1.0 / xp.sqrt(running[1].astype(xp.float64) + eps))[:, None].astype(given.real)
        backend.standardize_with(given.values, segments, mean, rstd, out=y.view, **affine)
    if not return_stats:
        return y.written()
    return (y.written(), *(a[:, 0] if ghosts is None else a.T for a in (mean, rstd)))


def batch_norm_backward(
    dy: Any,
    x: Any,
    mean: Any,
    rstd: Any,
    weight: Any = None,
    *,
    bias: Any = None,
    training: bool = True,
    channel_axis: int = 1,
    batch_axis: int = 0,
    ghost_size: int | None = None,
    mask: Any = None,
    sample_weight: Any = None,
    activation: str | None = None,
) -> tuple[Any, Any, Any]:
    """Gradients of ``batch_norm``: dx like x, dweight and dbias (channels,).

    Parameters
    ----------
    dy, x
        Gradient with respect to y, and what was normalized.
    mean, rstd
        What ``return_stats`` gave.
    training
        Whether the statistics were those of x; False: they were given, and are constants.
    weight, bias, channel_axis, batch_axis, ghost_size, mask, sample_weight, activation
        As given to ``batch_norm``.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> x = np.array([[1.0], [3.0]])
    >>> y, mean, rstd = nn.batch_norm(x, training=True, return_stats=True)
    >>> dx, dweight, dbias = nn.batch_norm_backward(np.ones_like(x), x, mean, rstd)
    >>> dbias
    array([2.])
    """
    ghosts = ghost_size if training else None
    given = _gather(x, channel_axis, batch_axis, ghosts, mask, sample_weight, activation, dy, weight, bias)
    xp, backend, axes = given.xp, given.backend, given.axes
    groups = given.partition.groups
    wanted = (axes.batch,) if ghost_size is None or not training else (groups, axes.batch)
    stats = []
    for name, a in (("mean", mean), ("rstd", rstd)):
        a = statistics(given, name, a, wanted)
        stats.append(xp.ascontiguousarray(a.reshape(groups, axes.batch).T if len(wanted) == 2 else a[:, None]))
    dy = like(dy, given, "dy")
    dx = target(given, None)
    _, dgain, doffset = backend.standardize_backward(
        as_view(dy, axes),
        given.values,
        given.partition.segments,
        stats[0],
        stats[1],
        weights=given.weights(),
        gain=_of_channels(given, "weight", weight),
        offset=_of_channels(given, "bias", bias),
        activation=activation,
        constant=not training,
        out=dx.view,
    )
    summed = (a.astype(xp.float64).sum(axis=1).astype(given.real) for a in (dgain, doffset))
    return (dx.written(), *summed)


def _gather(
    x: Any,
    channel_axis: int,
    batch_axis: int,
    ghost_size: int | None,
    mask: Any,
    sample_weight: Any,
    activation: Any,
    *others: Any,
) -> Arguments:
    """The view (channel, sample, width), its samples in one segment or in ghost batches."""
    backend = backend_of(*(a for a in (x, mask, sample_weight, *others) if a is not None))
    x = floating(x, backend)
    check_activation(activation)
    axes = axes_of(x.shape, batch_axis, (channel_axis,))
    if ghost_size is not None and (not isinstance(ghost_size, int | np.integer) or ghost_size < 1):
        raise OptionError("ghost_size must be a whole number of at least 1", found=repr(ghost_size))
    segments = _ghosts(axes.channels, None if ghost_size is None else int(ghost_size))
    part = Partition(segments, segments.n_segments, None)
    return Arguments(x, backend, axes, part, mask=mask, sample_weight=sample_weight, activation=activation)


@lru_cache(maxsize=64)
def _ghosts(samples: int, size: int | None) -> Segments:
    if size is None or not samples:
        return Segments.single(samples)
    codes = np.arange(samples) // size
    return Segments.from_codes(codes, range(int(codes[-1]) + 1))


def _channels(given: Arguments, name: str, numbers: Any) -> Any:
    if numbers is None:
        return None
    array = numbers if hasattr(numbers, "dtype") else given.xp.asarray(numbers)
    if array.shape != (given.axes.batch,):
        expected = f"({given.axes.batch},), one per channel"
        raise OptionError(f"{name} does not fit", found=f"shape {array.shape}", expected=expected)
    return array


def _of_channels(given: Arguments, name: str, numbers: Any) -> Any:
    """γ or β as (channel, sample)."""
    array = _channels(given, name, numbers)
    if array is None:
        return None
    column = array.astype(given.real, copy=False)[:, None]
    return given.xp.broadcast_to(column, (given.axes.batch, given.axes.channels))


def _move(given: Arguments, running: list[Any], mean: Any, rstd: Any, eps: float, momentum: float) -> None:
    """Move the running statistics towards those of the batch; not if there was nothing."""
    xp, segments = given.xp, given.partition.segments
    if not given.values.size:
        return
    weights = given.weights()
    if weights is None:
        n = xp.asarray(segments.sizes * given.axes.width)[None].astype(xp.float64)
    else:
        n = given.backend.sums(weights, segments)
    variance = xp.maximum(1.0 / xp.square(rstd.astype(xp.float64)) - eps, 0.0) * n / xp.maximum(n - 1, 1)
    for array, new in zip(running, (mean, variance), strict=True):
        array[...] = (1 - momentum) * array + momentum * new.mean(axis=1)
