"""Normalization of rows by segment, feature by feature: graphs, ragged batches, spots of a tip."""

from __future__ import annotations

from typing import Any

import numpy as np

from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError
from gridnorm.nn.arguments import Arguments, floating
from gridnorm.nn.norm import ALL, backward, forward
from gridnorm.nn.partition import partition
from gridnorm.nn.plain import numbers_of
from gridnorm.nn.views import axes_of


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
    residual: Any = None,
    return_residual: bool = False,
    scale: Any = None,
    shift: Any = None,
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
    eps, center, mask, sample_weight, activation, residual, return_residual, out
        As in ``group_norm``.
    scale, shift
        (rows, features…), or 1 in place of any of these numbers: a modulation of each row. One per segment is
        ``scale[segments]``.
    return_stats
        Also return mean and rstd, (segments, features…).

    Returns
    -------
    y
        Like x. The rows of one segment do not depend on what else the call holds, to the last bit. With
        ``return_stats`` followed by mean and rstd, with ``return_residual`` by x + residual.

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
    given = _given(
        x,
        segments,
        ptr,
        None,
        weight=weight,
        bias=bias,
        scale=scale,
        shift=shift,
        mask=mask,
        sample_weight=sample_weight,
        activation=activation,
    )
    found = forward(given, eps, center=center, residual=residual, return_residual=return_residual, out=out)
    return found.results(given, *((found.mean, found.rstd) if return_stats else ()))


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
    scale: Any = None,
    shift: Any = None,
    dmean: Any = None,
    drstd: Any = None,
    needs: tuple[bool, bool, bool] = ALL,
    out: Any = None,
) -> tuple[Any, ...]:
    """Gradients of ``segment_norm``: dx like x, dweight and dbias like the features, and of scale and shift if given.

    Parameters
    ----------
    dy, x
        Gradient with respect to y, and what was normalized; with a residual the sum that ``return_residual`` gave.
    mean, rstd
        What ``return_stats`` gave.
    weight, segments, ptr, bias, center, mask, sample_weight, activation, scale, shift
        As given to ``segment_norm``.
    dmean, drstd, needs, out
        As in ``group_norm_backward``.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> x = np.array([[1.0], [10.0], [3.0], [30.0]])
    >>> y, mean, rstd = nn.segment_norm(x, [0, 1, 0, 1], return_stats=True)
    >>> nn.segment_norm_backward(np.ones_like(x), x, mean, rstd, segments=[0, 1, 0, 1])[2]
    array([4.])
    """
    given = _given(
        x,
        segments,
        ptr,
        dy,
        weight=weight,
        bias=bias,
        scale=scale,
        shift=shift,
        mask=mask,
        sample_weight=sample_weight,
        activation=activation,
    )
    return backward(given, dy, mean, rstd, center=center, dmean=dmean, drstd=drstd, needs=needs, out=out)


def _given(x: Any, segments: Any, ptr: Any, other: Any, **rest: Any) -> Arguments:
    """The view (feature, row, 1) and its segments."""
    x, backend = floating(x, other, *rest.values())
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
    return Arguments(x, backend, axes, part, "batch", "feature", **rest)


def _from_offsets(ptr: Any, rows: int) -> Segments:
    offsets = numbers_of("ptr", ptr.get() if hasattr(ptr, "get") else ptr)
    fine = offsets.ndim == 1 and offsets.size >= 1 and offsets.dtype.kind in "iu"
    if not fine or offsets[0] != 0 or offsets[-1] != rows or (np.diff(offsets) < 0).any():
        found = f"{offsets.tolist()}" if offsets.size <= 8 else f"{offsets[0]} … {offsets[-1]}"
        raise OptionError(
            "ptr does not cut the rows", found=found, expected=f"ascending whole numbers from 0 to {rows}"
        )
    return Segments(np.arange(rows), offsets.astype(np.int64), tuple(range(offsets.size - 1)), contiguous=True)
