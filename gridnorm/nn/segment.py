"""Normalization of rows by segment, feature by feature: graphs, ragged batches, spots of a tip."""

from __future__ import annotations

from typing import Any

import numpy as np

from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError
from gridnorm.nn.arguments import Arguments, backend_of, check_activation, check_eps, floating
from gridnorm.nn.partition import partition
from gridnorm.nn.results import like, statistics, target
from gridnorm.nn.views import as_view, axes_of


def segment_norm(
    x: Any,
    segments: Any = None,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *,
    ptr: Any = None,
    center: bool = True,
    mask: Any = None,
    sample_weight: Any = None,
    activation: str | None = None,
    out: Any = None,
    return_stats: bool = False,
) -> Any:
    """Normalize every feature over the rows of each segment.

    Parameters
    ----------
    x
        (rows, features…), floating-point, of NumPy or CuPy.
    segments
        One label per row, in any order (whole numbers; −1 passes a row through), or a ``Segments``.
    ptr
        Instead: where each segment of successive rows starts, and the number of rows at the end (CSR, as graph
        libraries batch). A segment may be empty.
    weight, bias
        γ and β of the shape of the features.
    eps, center, mask, sample_weight, activation, out
        As in ``group_norm``.
    return_stats
        Also return mean and rstd, (segments, features…).

    Returns
    -------
    y
        Like x. The rows of one segment do not depend on what else the call holds, to the last bit.

    Raises
    ------
    OptionError
        For labels, offsets or parameters that do not fit x.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> x = np.array([[1.0], [10.0], [3.0], [30.0]])
    >>> nn.segment_norm(x, [0, 1, 0, 1]).round(3).ravel()
    array([-1., -1.,  1.,  1.])
    >>> nn.segment_norm(x, ptr=[0, 2, 4]).round(3).ravel()
    array([-1.,  1., -1.,  1.])
    """
    given = _gather(x, segments, ptr, mask, sample_weight, activation, weight, bias)
    xp = given.xp
    place = target(given, out, given.x)
    untouched = None if given.partition.passed is None else given.x[given.partition.passed]
    _, mean, rstd = given.backend.standardize(
        given.values,
        given.partition.segments,
        eps=check_eps(eps),
        center=center,
        weights=given.weights(),
        gain=_of_features(given, "weight", weight),
        offset=_of_features(given, "bias", bias),
        activation=activation,
        out=place.view,
    )
    y = place.written()
    if untouched is not None:
        y[xp.asarray(given.partition.passed)] = untouched
    if not return_stats:
        return y
    shape = (given.partition.groups, *given.x.shape[1:])
    return (y, *(a[:, : given.partition.groups].T.reshape(shape) for a in (mean, rstd)))


def segment_norm_backward(
    dy: Any,
    x: Any,
    mean: Any,
    rstd: Any,
    weight: Any = None,
    *,
    segments: Any = None,
    ptr: Any = None,
    bias: Any = None,
    center: bool = True,
    mask: Any = None,
    sample_weight: Any = None,
    activation: str | None = None,
) -> tuple[Any, Any, Any]:
    """Gradients of ``segment_norm``: dx like x, dweight and dbias of the shape of the features.

    Parameters
    ----------
    dy, x
        Gradient with respect to y, and what was normalized.
    mean, rstd
        What ``return_stats`` gave.
    weight, segments, ptr, bias, center, mask, sample_weight, activation
        As given to ``segment_norm``.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> x = np.array([[1.0], [10.0], [3.0], [30.0]])
    >>> y, mean, rstd = nn.segment_norm(x, [0, 1, 0, 1], return_stats=True)
    >>> nn.segment_norm_backward(np.ones_like(x), x, mean, rstd, segments=[0, 1, 0, 1])[2]
    array([4.])
    """
    given = _gather(x, segments, ptr, mask, sample_weight, activation, dy, weight, bias)
    xp, axes, part = given.xp, given.axes, given.partition
    dy = like(dy, given, "dy")
    wanted = (part.groups, *given.x.shape[1:])
    stats = []
    for name, a in (("mean", mean), ("rstd", rstd)):
        a = statistics(given, name, a, wanted)
        flat = a.reshape(part.groups, axes.batch).T
        extra = xp.zeros((axes.batch, part.segments.n_segments - part.groups), flat.dtype)
        stats.append(xp.concatenate([flat, extra], axis=1))
    place = target(given, None)
    _, dgain, doffset = given.backend.standardize_backward(
        as_view(dy, axes),
        given.values,
        part.segments,
        stats[0],
        stats[1],
        center=center,
        weights=given.weights(),
        gain=_of_features(given, "weight", weight),
        offset=_of_features(given, "bias", bias),
        activation=activation,
        out=place.view,
    )
    dx = place.written()
    if part.passed is not None:
        where = xp.asarray(part.passed)
        dx[where] = dy[where]
        dgain[:, where] = 0
        doffset[:, where] = 0
    dweight, dbias = (
        a.astype(xp.float64).sum(axis=1).astype(given.real).reshape(given.x.shape[1:]) for a in (dgain, doffset)
    )
    return dx, dweight, dbias


def _gather(x: Any, segments: Any, ptr: Any, mask: Any, sample_weight: Any, activation: Any, *others: Any) -> Arguments:
    """The view (feature, row, 1) and its segments."""
    backend = backend_of(*(a for a in (x, mask, sample_weight, *others) if a is not None))
    x = floating(x, backend)
    check_activation(activation)
    if x.ndim < 1:
        raise OptionError("x has no axis of rows", found=f"shape {x.shape}", expected="(rows, features…)")
    if (segments is None) == (ptr is None):
        raise OptionError("segments need either labels or offsets", expected="one of segments= and ptr=")
    axes = axes_of(x.shape, 0, tuple(range(1, x.ndim)))
    rows = x.shape[0]
    labels = _from_offsets(ptr, rows) if segments is None else segments
    count = labels.n_items if isinstance(labels, Segments) else len(labels) if hasattr(labels, "__len__") else "no"
    if count != rows:
        raise OptionError("segments do not fit the rows", found=f"{count} labels", expected=f"{rows}, one per row")
    part = partition(rows, None, labels)
    return Arguments(x, backend, axes, part, mask=mask, sample_weight=sample_weight, activation=activation)


def _from_offsets(ptr: Any, rows: int) -> Segments:
    offsets = np.asarray(ptr.get() if hasattr(ptr, "get") else ptr)
    fine = offsets.ndim == 1 and offsets.size >= 1 and offsets.dtype.kind in "iu"
    if not fine or offsets[0] != 0 or offsets[-1] != rows or (np.diff(offsets) < 0).any():
        found = f"{offsets.tolist()}" if offsets.size <= 8 else f"{offsets[0]} … {offsets[-1]}"
        raise OptionError(
            "ptr does not cut the rows", found=found, expected=f"ascending whole numbers from 0 to {rows}"
        )
    return Segments(np.arange(rows), offsets.astype(np.int64), tuple(range(offsets.size - 1)), contiguous=True)


def _of_features(given: Arguments, name: str, numbers: Any) -> Any:
    """γ or β as (feature, row)."""
    if numbers is None:
        return None
    array = given.xp.asarray(numbers)
    if array.shape != given.x.shape[1:]:
        expected = f"{given.x.shape[1:]}, one per feature"
        raise OptionError(f"{name} does not fit", found=f"shape {array.shape}", expected=expected)
    flat = array.reshape(given.axes.batch, 1).astype(given.real, copy=False)
    return given.xp.broadcast_to(flat, (given.axes.batch, given.axes.channels))
