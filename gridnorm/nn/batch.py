"""Batch normalization: the same core with the batch folded into the reduction."""

from __future__ import annotations

from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np

from gridnorm.core.segments import Segments
from gridnorm.core.standardize import sums
from gridnorm.errors import OptionError
from gridnorm.nn.arguments import Arguments, floating, warn_of_single_values
from gridnorm.nn.norm import ALL, backward, forward
from gridnorm.nn.partition import Partition
from gridnorm.nn.plain import plain, real_numbers
from gridnorm.nn.settings import check_eps
from gridnorm.nn.views import axes_of


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
    residual: Any = None,
    return_residual: bool = False,
    scale: Any = None,
    shift: Any = None,
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
    mask, sample_weight, activation, residual, return_residual, out
        As in ``group_norm``; a weight may differ from sample to sample here.
    scale, shift
        (samples, channels), or 1 in place of either: a modulation of each sample.
    return_stats
        Also return mean and rstd, (channels,) or (ghost batches, channels).

    Returns
    -------
    y
        Like x; with ``return_stats`` followed by mean (float64) and rstd (float32, or float64 for float64 x), with
        ``return_residual`` by x + residual.

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
    given = _given(
        x,
        channel_axis,
        batch_axis,
        ghosts,
        running_mean,
        weight=weight,
        bias=bias,
        scale=scale,
        shift=shift,
        mask=mask,
        sample_weight=sample_weight,
        activation=activation,
    )
    running = _running(given, running_mean, running_var, training)
    if not isinstance(momentum, Real) or not 0 <= momentum <= 1:
        raise OptionError("momentum cannot have this value", found=repr(momentum), expected="0…1")
    eps = check_eps(eps)
    own = training or running is None
    if own:
        warn_of_single_values(given)
    statistics = None if own or running is None else _as_statistics(given, running, eps)
    more = {"residual": residual, "return_residual": return_residual, "out": out}
    found = forward(given, eps, statistics=statistics, **more)
    if training and running is not None:
        _move(given, running, found.mean, found.rstd, eps, momentum)
    return found.results(given, *((found.mean, found.rstd) if return_stats else ()))


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
    scale: Any = None,
    shift: Any = None,
    dmean: Any = None,
    drstd: Any = None,
    needs: tuple[bool, bool, bool] = ALL,
    out: Any = None,
) -> tuple[Any, ...]:
    """Gradients of ``batch_norm``: dx like x, dweight and dbias (channels,), and of scale and shift if given.

    Parameters
    ----------
    dy, x
        Gradient with respect to y, and what was normalized; with a residual the sum that ``return_residual`` gave.
    mean, rstd
        What ``return_stats`` gave.
    training
        Whether the statistics were those of x; False: they were given, and are constants.
    weight, bias, channel_axis, batch_axis, ghost_size, mask, sample_weight, activation, scale, shift
        As given to ``batch_norm``.
    dmean, drstd, needs, out
        As in ``group_norm_backward``.

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
    given = _given(
        x,
        channel_axis,
        batch_axis,
        ghosts,
        dy,
        weight=weight,
        bias=bias,
        scale=scale,
        shift=shift,
        mask=mask,
        sample_weight=sample_weight,
        activation=activation,
    )
    return backward(given, dy, mean, rstd, constant=not training, dmean=dmean, drstd=drstd, needs=needs, out=out)


def _given(x: Any, channel_axis: int, batch_axis: int, ghost_size: int | None, other: Any, **rest: Any) -> Arguments:
    """The view (channel, sample, width), its samples in one segment or in ghost batches."""
    x, backend = floating(x, other, *rest.values())
    axes = axes_of(x.shape, batch_axis, (channel_axis,), ("batch_axis", "channel_axis"))
    if ghost_size is not None and (not isinstance(ghost_size, int | np.integer) or ghost_size < 1):
        raise OptionError("ghost_size must be a whole number of at least 1", found=repr(ghost_size))
    segments = _ghosts(axes.items, None if ghost_size is None else int(ghost_size))
    part = Partition(segments, segments.n_segments, None)
    return Arguments(x, backend, axes, part, "batch", grouped=ghost_size is not None, **rest)


@lru_cache(maxsize=64)
def _ghosts(samples: int, size: int | None) -> Segments:
    if size is None or not samples:
        return Segments.single(samples)
    codes = np.arange(samples) // size
    return Segments.from_codes(codes, range(int(codes[-1]) + 1))


def _running(given: Arguments, mean: Any, var: Any, training: bool) -> tuple[Any, Any] | None:
    """Running mean and variance, (channel,)."""
    if (mean is None) != (var is None):
        raise OptionError("running_mean and running_var come together", found="one of them", expected="both or none")
    if mean is None:
        return None
    for name, numbers in (("running_mean", mean), ("running_var", var)):
        if training and (not hasattr(numbers, "dtype") or numbers.dtype.kind in "iub"):
            found = str(getattr(numbers, "dtype", type(numbers).__name__))
            what = "running statistics are moved in place, so they must be floating-point arrays"
            raise OptionError(what, found=found)
        array = real_numbers(name, plain(name, numbers, given.xp))
        if array.shape != given.axes.batch_shape:
            found, expected = f"shape {array.shape}", f"{given.axes.batch_shape}, one per channel"
            raise OptionError(f"{name} does not fit", found=found, expected=expected)
    fixed = [name for name, a in (("running_mean", mean), ("running_var", var)) if not _writable(a)]
    if fixed and training and given.values.size:
        what = "running statistics are moved in place, so they must be writable"
        raise OptionError(what, found=f"{fixed[0]}, a read-only array")
    return tuple(a if hasattr(a, "dtype") else given.xp.asarray(a) for a in (mean, var))


def _writable(array: Any) -> bool:
    return bool(getattr(getattr(array, "flags", None), "writeable", True))  # CuPy's arrays always are


def _as_statistics(given: Arguments, running: tuple[Any, Any], eps: float) -> tuple[Any, Any]:
    """Mean and rstd (channel, 1)."""
    mean, var = (a.astype(given.xp.float64)[:, None] for a in running)
    return mean, (1.0 / given.xp.sqrt(var + eps)).astype(given.real)


def _move(given: Arguments, running: tuple[Any, Any], mean: Any, rstd: Any, eps: float, momentum: float) -> None:
    """Move the running statistics towards those of the batch; not if there was nothing."""
    xp, segments = given.xp, given.partition.segments
    if not given.values.size:
        return
    weights = given.weights()
    if weights is None:
        n = xp.asarray(segments.sizes * given.axes.width)[None].astype(xp.float64)
    else:
        n = sums(weights, segments)
    variance = xp.maximum(1.0 / xp.square(rstd.astype(xp.float64)) - eps, 0.0) * n / xp.maximum(n - 1, 1)
    for array, new in zip(running, (mean, variance), strict=True):
        array[...] = (1 - momentum) * array + momentum * new.mean(axis=1)
