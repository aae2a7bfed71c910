"""One forward and one backward for every norm: they differ in which axes go where, in the groups, and where γ lies.

``Arguments`` holds those; a norm of its own is a function that makes them and calls ``forward``, and one for
``backward``. ``rms`` is an example.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gridnorm.core.standardize import standardize, standardize_backward, standardize_with, sums
from gridnorm.errors import OptionError
from gridnorm.nn.arguments import Arguments
from gridnorm.nn.results import like, target
from gridnorm.nn.settings import check_eps
from gridnorm.nn.views import as_view

ALL = (True, True, True)
FORWARD = ("residual", "return_residual", "out")  # keywords that a norm may hand on as they are
BACKWARD = ("dmean", "drstd", "needs", "out")


class Normalized(NamedTuple):
    """What ``forward`` found. ``y`` and ``total`` are like x; mean and rstd (batch, segment)."""

    y: Any
    mean: Any
    rstd: Any
    total: Any

    def results(self, given: Arguments, *stats: Any) -> Any:
        """What a norm returns: y, those statistics as users see them, and the sum with a residual if it was wanted."""
        found = [self.y, *(given.per_sample(numbers) for numbers in stats)]
        if self.total is not None:
            found.append(self.total)
        return found[0] if len(found) == 1 else tuple(found)


def forward(
    given: Arguments,
    eps: float,
    *,
    center: bool = True,
    statistics: tuple[Any, Any] | None = None,
    residual: Any = None,
    return_residual: bool = False,
    out: Any = None,
) -> Normalized:
    """Normalize with the statistics of x itself, or with ``statistics``: mean and rstd, (batch, segment)."""
    eps = check_eps(eps)
    x, segments = given.x, given.partition.segments
    added = None if residual is None else like(residual, given, "residual")
    if return_residual and added is None:
        raise OptionError("return_residual needs a residual", hint="Give residual=, an array like x")
    y = target(given, out, x, added)
    total = target(given, None) if return_residual else None
    untouched = _passed(given, x, added)
    how = {
        "gain": given.gain(),
        "offset": given.offset(),
        "activation": given.activation,
        "residual": None if added is None else as_view(added, given.axes),
        "total": None if total is None else total.view,
        "out": y.view,
    }
    if statistics is None:
        weights = given.weights()
        _, mean, rstd = standardize(given.values, segments, eps=eps, center=center, weights=weights, **how)
    else:
        mean, rstd = statistics
        standardize_with(given.values, segments, mean, rstd, **how)
    result = y.written()
    if untouched is not None:
        result[passed_at(given)] = untouched
    return Normalized(result, mean, rstd, None if total is None else total.written())


def passed_at(given: Arguments) -> tuple[Any, ...]:
    """Index of the items that no group holds."""
    axis = given.axes.order[len(given.axes.batch_shape)]
    return (*(slice(None),) * axis, given.xp.asarray(given.partition.passed))


def _passed(given: Arguments, x: Any, added: Any) -> Any:
    """Values of the items that no group holds; read before anything is written."""
    if given.partition.passed is None:
        return None
    where = passed_at(given)
    return x[where] if added is None else x[where] + added[where]


def backward(
    given: Arguments,
    dy: Any,
    mean: Any | None,
    rstd: Any,
    *,
    center: bool = True,
    constant: bool = False,
    dmean: Any = None,
    drstd: Any = None,
    needs: tuple[bool, bool, bool] = ALL,
    out: Any = None,
) -> tuple[Any, ...]:
    """dx, dweight, dbias, and dscale and dshift where those were given; mean and rstd as users see them.

    ``constant``: the statistics were not those of x. ``mean`` None: it is 0.
    """
    if len(needs) != 3:
        raise OptionError("needs has the wrong length", found=repr(needs), expected="three: of x, weight and bias")
    dy = like(dy, given, "dy")
    place = target(given, out, given.x, dy)
    untouched = _passed(given, dy, None)
    mean = None if mean is None else given.per_segment("mean", mean)
    rstd = given.per_segment("rstd", rstd)
    _, dgain, doffset = standardize_backward(
        as_view(dy, given.axes),
        given.values,
        given.partition.segments,
        given.xp.zeros(rstd.shape) if mean is None else mean,
        rstd,
        center=center,
        weights=given.weights(),
        gain=given.gain(),
        offset=given.offset(),
        activation=given.activation,
        add_mean=_further(given, "dmean", dmean),
        add_rstd=_further(given, "drstd", drstd),
        reduce_batch=given.along != "batch" and not given.modulated,
        constant=constant,
        out=place.view,
    )
    if dmean is not None and center and not constant:
        _add_where_rstd_is_0(given, place.view, rstd, dmean)
    # Before dx is written: γ, β and scale may lie where it goes.
    _, *further = affine_gradients(given, None, dgain, doffset, needs)
    dx = place.written()
    if untouched is not None:
        dx[passed_at(given)] = untouched
    return (dx if needs[0] else None, *further)


def _further(given: Arguments, name: str, gradient: Any) -> Any:
    """Gradient with respect to a statistic that is used further."""
    return None if gradient is None else given.per_segment(name, gradient).astype(given.xp.float64)


def _add_where_rstd_is_0(given: Arguments, dx: Any, rstd: Any, dmean: Any) -> None:
    """Add a mean's gradient where values are equal and eps is 0: the kernels have it in units of rstd."""
    xp, part = given.xp, given.partition
    dead = rstd == 0
    if not bool(dead[:, : part.groups].any()):
        return
    weights = given.weights()
    counted = xp.ones(given.values.shape) if weights is None else xp.where(weights > 0, weights, 0.0)
    total = sums(xp.ascontiguousarray(counted), part.segments)
    share = xp.where(dead & (total > 0), given.per_segment("dmean", dmean) / xp.where(total > 0, total, 1.0), 0.0)
    dx += (share[:, given.codes][:, :, None] * counted).astype(dx.dtype)


def affine_gradients(
    given: Arguments, dx: Any, dgain: Any, doffset: Any, needs: tuple[bool, bool, bool] = ALL
) -> tuple[Any, ...]:
    """From gradients of gain and offset, (batch or 1, item), to those of γ, β, scale and shift."""
    if given.partition.passed is not None:
        where = given.xp.asarray(given.partition.passed)
        dgain[:, where], doffset[:, where] = 0, 0
    more = None if given.scale is None else 1 + given.modulation("scale", given.scale)
    results = [dx if needs[0] else None]
    for wanted, gradient in zip(needs[1:], (dgain, doffset), strict=True):
        results.append(per_parameter(given, gradient if more is None else gradient * more) if wanted else None)
    if given.scale is not None:
        weight, bias = given.parameter("weight", given.weight), given.parameter("bias", given.bias)
        dscale = dgain if weight is None else dgain * weight
        results.append(as_given(given, dscale if bias is None else dscale + doffset * bias, given.scale))
    if given.shift is not None:
        results.append(as_given(given, doffset, given.shift))
    return tuple(results)


def per_parameter(given: Arguments, gradient: Any) -> Any:
    """A gradient (batch or 1, item) summed to the shape of γ and β."""
    if given.along == "batch":
        summed = gradient.astype(given.xp.float64).sum(axis=1)
    else:
        summed = gradient[0] if gradient.shape[0] == 1 else gradient.astype(given.xp.float64).sum(axis=0)
    if given.along == "segment":
        ordered = given.xp.ascontiguousarray(summed)[None, :, None]
        summed = sums(ordered, given.partition.segments)[0, : given.partition.groups]
    return summed.astype(given.real, copy=False).reshape(given.parameter_shape)


def as_given(given: Arguments, gradient: Any, like_this: Any) -> Any:
    """A gradient (batch, item) in the shape and dtype of a scale or shift."""
    like_this = given.xp.asarray(like_this)
    dtype = given.real if like_this.dtype.kind in "iub" else like_this.dtype
    gradient = given.from_table(gradient)
    shared = tuple(
        axis for axis, (n, full) in enumerate(zip(like_this.shape, gradient.shape, strict=True)) if n == 1 != full
    )
    if shared:
        gradient = gradient.astype(given.xp.float64).sum(axis=shared, keepdims=True)
    return gradient.astype(dtype, copy=False)
