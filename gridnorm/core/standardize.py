"""Standardize: each segment by its own mean and deviation, then a gain and an offset for every item; and its gradient.

The face of the verb: whoever is above the core calls it here, and the arrays decide which backend computes.
"""

from __future__ import annotations

from typing import Any

from gridnorm.core.engines import backend_for
from gridnorm.core.segments import Segments


def standardize(
    values: Any,
    segments: Segments,
    *,
    eps: float,
    center: bool = True,
    weights: Any = None,
    gain: Any = None,
    offset: Any = None,
    activation: str | None = None,
    residual: Any = None,
    total: Any = None,
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """Standardize the values of every segment of every batch entry.

    f(((v − mean) · rstd) · gain + offset), with rstd = 1/√(variance + eps).

    Parameters
    ----------
    values
        (batch, item, width) of float16, bfloat16, float32 or float64, any strides.
    segments
        Groups of the items, the same for every batch entry.
    eps
        Added to the variance, 0 or more.
    center
        False: the mean is taken as 0, and the mean square as the variance.
    weights
        (batch, item, width), none negative: shares of the values in mean and variance. Values of weight 0 are
        standardized as well.
    gain, offset
        (batch or 1, item), float32 (float64 for float64 values); None for 1 and 0.
    activation
        A name of ``core.engines.activation.ACTIVATIONS``, applied at the end; or None.
    residual, total
        Like the values: what is added to them first, and where that sum goes.
    out
        Where the result goes; ``values`` itself will do. None: a new array, its axes ordered in memory as theirs.

    Returns
    -------
    out
        Like the values.
    mean
        float64 (batch, segment); NaN where a segment has no weight, or a value of positive weight that is not finite.
    rstd
        float32 (float64 for float64 values), (batch, segment); 0 where variance and ``eps`` are 0.

    Raises
    ------
    OptionError
        For arrays of a library that has no backend.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([[[1.0], [3.0], [10.0], [30.0]]])
    >>> out, mean, rstd = standardize(values, Segments.uniform(4, 2), eps=0.0)
    >>> out.ravel(), mean, rstd
    (array([-1.,  1., -1.,  1.]), array([[ 2., 20.]]), array([[1. , 0.1]]))
    """
    return backend_for(values).standardize(
        values,
        segments,
        eps=eps,
        center=center,
        weights=weights,
        gain=gain,
        offset=offset,
        activation=activation,
        residual=residual,
        total=total,
        out=out,
    )


def standardize_with(
    values: Any,
    segments: Segments,
    mean: Any,
    rstd: Any,
    *,
    gain: Any = None,
    offset: Any = None,
    activation: str | None = None,
    residual: Any = None,
    total: Any = None,
    out: Any = None,
) -> Any:
    """The same with statistics that are given, mean and rstd (batch, segment); all else as in ``standardize``.

    Examples
    --------
    >>> import numpy as np
    >>> mean, rstd = np.array([[2.0]]), np.array([[0.5]])
    >>> standardize_with(np.array([[[1.0], [3.0]]]), Segments.single(2), mean, rstd).ravel()
    array([-0.5,  0.5])
    """
    return backend_for(values).standardize_with(
        values,
        segments,
        mean,
        rstd,
        gain=gain,
        offset=offset,
        activation=activation,
        residual=residual,
        total=total,
        out=out,
    )


def standardize_backward(
    grad: Any,
    values: Any,
    segments: Segments,
    mean: Any,
    rstd: Any,
    *,
    center: bool = True,
    weights: Any = None,
    gain: Any = None,
    offset: Any = None,
    activation: str | None = None,
    add_mean: Any = None,
    add_rstd: Any = None,
    reduce_batch: bool = False,
    constant: bool = False,
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """Gradients of ``standardize`` with respect to the values, the gain and the offset.

    Parameters
    ----------
    grad
        Gradient with respect to the result, like the values.
    values
        What was standardized (with a residual: the sum).
    mean, rstd
        As ``standardize`` returned them.
    center, weights, gain, offset, activation
        As given to ``standardize``.
    add_mean, add_rstd
        Gradients with respect to ``mean`` and ``rstd``, float64 (batch, segment), where those are used further.
    reduce_batch
        Sum the gradients of gain and offset over the batch, one entry after the other.
    constant
        Mean and factor were given (``standardize_with``): they do not depend on the values.
    out
        Where the first result goes; ``grad`` or ``values`` will do.

    Returns
    -------
    dvalues
        Like the values. With h = grad·f′·gain, standardized values x̂ and shares p of the weights, over each segment:
        rstd·(h − p·Σh − p·x̂·Σ(h·x̂)). Nothing flows through values of weight 0 that are not finite.
    dgain, doffset
        (batch, item), with ``reduce_batch`` (1, item), in the dtype of ``rstd``.

    Examples
    --------
    >>> import numpy as np
    >>> values, segments = np.array([[[1.0], [3.0]]]), Segments.single(2)
    >>> _, mean, rstd = standardize(values, segments, eps=0.0)
    >>> standardize_backward(np.ones_like(values), values, segments, mean, rstd)[1]
    array([[-1.,  1.]])
    """
    return backend_for(values).standardize_backward(
        grad,
        values,
        segments,
        mean,
        rstd,
        center=center,
        weights=weights,
        gain=gain,
        offset=offset,
        activation=activation,
        add_mean=add_mean,
        add_rstd=add_rstd,
        reduce_batch=reduce_batch,
        constant=constant,
        out=out,
    )


def sums(values: Any, segments: Segments) -> Any:
    """Sum of every segment, float64 (batch, segment); 0 where a segment is empty, NaN where a value is.

    Examples
    --------
    >>> import numpy as np
    >>> sums(np.array([[[1.0], [2.0], [4.0]]]), Segments.from_labels([0, 1, 0]))
    array([[5., 2.]])
    """
    return backend_for(values).sums(values, segments)
