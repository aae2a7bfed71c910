"""Second derivatives of ``group_norm``, composed of the core's sums in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gridnorm.core.engines import activation as activations
from gridnorm.core.standardize import sums
from gridnorm.errors import OptionError
from gridnorm.nn.arguments import Arguments, of_channels, told_groups
from gridnorm.nn.norm import affine_gradients, as_given, passed_at, per_parameter
from gridnorm.nn.results import like
from gridnorm.nn.views import as_view, assign


def group_norm_double_backward(
    ddx: Any,
    ddweight: Any,
    ddbias: Any,
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
    ddscale: Any = None,
    ddshift: Any = None,
) -> tuple[Any, ...]:
    """Gradients of ``group_norm_backward``: what a gradient penalty needs. Composed of the same verbs.

    Parameters
    ----------
    ddx, ddweight, ddbias, ddscale, ddshift
        Gradients with respect to what ``group_norm_backward`` returned; None for 0.
    dy, x, mean, rstd, weight, and all others
        As given to ``group_norm_backward``.

    Returns
    -------
    ddy, dx
        Gradients with respect to dy and x, like x.
    dweight, dbias
        Gradients with respect to weight and bias.
    dscale, dshift
        Only if ``scale`` or ``shift`` was given: gradients with respect to them.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm import nn
    >>> x, dy = np.array([[1.0, 2.0, 4.0, 9.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> y, mean, rstd = nn.group_norm(x, 1, return_stats=True)
    >>> ddy, dx, dweight, dbias = nn.group_norm_double_backward(np.ones_like(x), None, None, dy, x, mean, rstd)
    >>> bool(np.abs(ddy).max() < 1e-12)  # a constant ddx is what dx never has
    True
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
    for name, of, given_to in (("ddscale", ddscale, scale), ("ddshift", ddshift, shift)):
        if of is not None and given_to is None:
            raise OptionError(f"{name} needs the {name[2:]} that it belongs to")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):  # NaN may come and go
        cotangents = _Cotangents(given, ddweight, ddbias, ddscale, ddshift)
        return _Second(given, mean, rstd, center).gradients(like(dy, given, "dy"), ddx, cotangents)


class _Cotangents:
    """Gradients with respect to dγ, dβ, dscale and dshift, as those of the gain's and the offset's gradients."""

    def __init__(self, given: Arguments, weight: Any, bias: Any, scale: Any, shift: Any) -> None:
        self.given = given
        self.weight, self.bias = (
            0.0 if a is None else given.parameter(name, a).astype(given.xp.float64)
            for name, a in (("ddweight", weight), ("ddbias", bias))
        )
        self.scale, self.shift = (
            0.0 if a is None else given.modulation(name, a).astype(given.xp.float64)
            for name, a in (("ddscale", scale), ("ddshift", shift))
        )

    def of_gain(self) -> Any:
        """(batch or 1, channel or 1, 1), or 0."""
        gamma = 1.0 if self.given.weight is None else self.given.parameter("weight", self.given.weight)
        return _deep(self.weight * self._more() + self.scale * gamma)

    def of_offset(self) -> Any:
        """(batch or 1, channel or 1, 1), or 0."""
        beta = 0.0 if self.given.bias is None else self.given.parameter("bias", self.given.bias)
        return _deep(self.bias * self._more() + self.scale * beta + self.shift)

    def _more(self) -> Any:
        return 1.0 if self.given.scale is None else 1.0 + self.given.modulation("scale", self.given.scale)

    def added(self, results: tuple[Any, ...], dgain: Any, doffset: Any) -> tuple[Any, ...]:
        """What γ, β and scale do to the gradients of one another, beyond what they do through gain and offset."""
        given = self.given
        if given.scale is None:
            return results
        if given.partition.passed is not None:
            where = given.xp.asarray(given.partition.passed)
            dgain[:, where], doffset[:, where] = 0, 0
        dx, dweight, dbias, dscale, *rest = results
        mixed = self.weight * dgain + self.bias * doffset
        return (
            dx,
            dweight + per_parameter(given, self.scale * dgain),
            dbias + per_parameter(given, self.scale * doffset),
            dscale + as_given(given, mixed, given.scale),
            *rest,
        )


def _deep(numbers: Any) -> Any:
    return numbers if isinstance(numbers, float) else numbers[:, :, None]


class _Second:
    """The terms of the second derivative, by the names of the formulas in ``gradients``."""

    def __init__(self, given: Arguments, mean: Any, rstd: Any, center: bool) -> None:
        xp, self.given, self.center = given.xp, given, center
        self.codes = given.codes
        self.mean = given.per_segment("mean", mean)
        self.rstd = given.per_segment("rstd", rstd).astype(xp.float64)
        self.r = self._spread(self.rstd)
        self.xhat = ((given.values.astype(xp.float64) - self._spread(self.mean)) * self.r).astype(xp.float64)
        gain = given.gain()
        self.a = None if gain is None else gain[:, :, None]
        self.p = self._shares()
        self.lost = None  # values outside the statistics that are not finite: nothing flows through them
        if given.mask is not None or given.sample_weight is not None:
            self.lost = (self.p == 0) & ~xp.isfinite(given.values)
            self.xhat = xp.where(self.lost, 0.0, self.xhat)

    def _spread(self, per_segment: Any) -> Any:
        return per_segment[:, self.codes][:, :, None]

    def _sum(self, values: Any) -> Any:
        """Sums over segments, (batch, segment)."""
        return sums(self.given.xp.ascontiguousarray(values), self.given.partition.segments)

    def _shares(self) -> Any:
        given = self.given
        weights = given.weights()
        if weights is None:
            counts = given.xp.asarray(given.partition.segments.sizes) * given.axes.width
            return self._spread((1.0 / given.xp.maximum(counts, 1))[None])
        w = weights.astype(given.xp.float64)
        return w / self._spread(self._sum(w))

    def _project(self, e: Any, extra: Any) -> Any:
        """rstd·(e − p·Σe − p·x̂·(Σ(e·x̂) + rstd·extra))."""
        level = self._spread(self._sum(e)) if self.center else 0.0
        slope = self._spread(self._sum(e * self.xhat) + self.rstd * extra)
        return self.r * (e - self.p * level - self.p * self.xhat * slope)

    def gradients(self, dy: Any, ddx: Any, cotangents: _Cotangents) -> tuple[Any, ...]:
        """With u, A, O the gradients of dx, dgain, doffset: q = J·u, t = γ·q + A·x̂ + O, and what follows from them."""
        given, xp = self.given, self.given.xp
        grad = as_view(dy, given.axes).astype(xp.float64)
        grad = grad if self.lost is None else xp.where(self.lost, 0.0, grad)
        g, bent = grad, None
        if given.activation is not None:
            z = self.xhat if self.a is None else self.xhat * self.a
            offset = given.offset()
            z = z if offset is None else z + offset[:, :, None]
            first = activations.slope(given.activation, z, given.backend)
            g, bent = grad * first, grad * activations.curvature(given.activation, z, given.backend)
        h = g if self.a is None else g * self.a
        u = xp.zeros_like(h) if ddx is None else as_view(like(ddx, given, "ddx"), given.axes).astype(xp.float64)
        mean_u = self._sum(self.p * u) if self.center else xp.zeros_like(self.rstd)
        slope_u = self._sum(self.p * u * self.xhat)
        q = self.r * (u - self._spread(mean_u) - self.xhat * self._spread(slope_u))
        sum_h, sum_hx = self._sum(h), self._sum(h * self.xhat)
        of_rstd = self._sum(u * h) - sum_h * mean_u - sum_hx * slope_u
        big_a, big_o = cotangents.of_gain(), cotangents.of_offset()
        t = (q if self.a is None else self.a * q) + big_a * self.xhat + big_o
        e = g * big_a - self.r * (h * self._spread(slope_u) + self._spread(sum_hx) * self.p * u)
        to_weight, to_bias = (g * q).sum(axis=2), xp.zeros(grad.shape[:2])
        ddy = t
        if bent is not None:
            ddy, bent = t * first, bent * t
            e = e + (bent if self.a is None else bent * self.a)
            to_weight, to_bias = to_weight + (bent * self.xhat).sum(axis=2), bent.sum(axis=2)
        dx = self._project(e, of_rstd)
        ddy = ddy if self.lost is None else xp.where(self.lost, 0.0, ddy)
        ddy, dx = (self._shaped(view, fill) for view, fill in ((ddy, ddx), (dx, None)))
        results = affine_gradients(given, dx, to_weight, to_bias)
        return (ddy, *cotangents.added(results, (g * self.xhat).sum(axis=2), g.sum(axis=2)))

    def _shaped(self, view: Any, passed: Any) -> Any:
        """Like x; channels that no group holds take what went through them, or 0."""
        out = self.given.xp.empty_like(self.given.x)
        assign(out, self.given.axes, view.astype(out.dtype))
        if self.given.partition.passed is not None:
            where = passed_at(self.given)
            out[where] = 0 if passed is None else passed[where]
        return out
