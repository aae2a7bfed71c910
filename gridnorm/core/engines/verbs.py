"""The verbs: what an engine may be asked to compute, with the signature that each has in every engine.

An *engine* is a module, or an object, with a ``name`` and a function for each verb that it has. Values are strided
views (batch, item, width); ``weights`` and ``use`` are (batch, item) or None; results are (batch, segment).
"""

from __future__ import annotations

from typing import Any, Protocol

from gridnorm.core.engines.knots import Knots
from gridnorm.core.segments import Segments


class Verbs(Protocol):
    """One method a verb. The first line of each is its meaning; engines may take further keywords."""

    def gather(self, values: Any, segments: Segments) -> Any:
        """Values in segment order, (batch, item · width)."""
        ...

    def observed(self, values: Any, use: Any, weights: Any) -> Any:
        """What enters a fit: finite values that are used and have a weight."""
        ...

    def moments(self, values: Any, segments: Segments, weights: Any, use: Any, ddof: int = 0) -> tuple[Any, Any, Any]:
        """Count, mean and standard deviation."""
        ...

    def sums(self, values: Any, segments: Segments) -> Any:
        """Sum of every segment."""
        ...

    def median(self, values: Any, segments: Segments, weights: Any, use: Any) -> tuple[Any, Any]:
        """Count and median."""
        ...

    def mad(self, values: Any, segments: Segments, weights: Any, use: Any) -> tuple[Any, Any, Any]:
        """Count, median and median absolute deviation (× 1.4826)."""
        ...

    def quantiles(self, values: Any, segments: Segments, use: Any, probabilities: Any) -> tuple[Any, Any]:
        """Count, and quantiles linear between order statistics, (batch, segment, probability)."""
        ...

    def lowess_fit(
        self,
        values: Any,
        covariate: Any,
        segments: Segments,
        weights: Any,
        use: Any,
        *,
        span: float,
        iterations: int,
        zero_weights: str,
    ) -> tuple[Any, Knots]:
        """Count, and the knots of a robust local regression on the covariate, (batch, item, 1)."""
        ...

    def loess(
        self,
        values: Any,
        covariate: Any,
        segments: Segments,
        weights: Any,
        use: Any,
        *,
        span: float,
        iterations: int,
        degree: int,
        zero_weights: str,
        lattice: bool = False,
    ) -> tuple[Any, Any, Any]:
        """Count, a robust local regression on the covariates (batch, item, k) at every item, degrees of freedom."""
        ...

    def interpolate(self, knots: Knots, covariate: Any, segments: Segments) -> Any:
        """Curve of each item's segment at its covariate, (batch, item)."""
        ...

    def select_curves(self, chosen: list[tuple[Knots, int]]) -> Knots:
        """New curves, one for each pair of knots and the number of a curve in them."""
        ...

    def remove(self, values: Any, segments: Segments, location: Any, scale: Any, *, out: Any = None) -> Any:
        """(v − location) / scale of each item's segment."""
        ...

    def standardize(
        self,
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
        """Each segment by its own mean and deviation, then gain, offset and activation; also mean and factor."""
        ...

    def standardize_with(
        self,
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
        """The same with a mean and a factor that are given."""
        ...

    def standardize_backward(
        self,
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
        """Gradients of ``standardize`` with respect to values, gain and offset."""
        ...


# Every verb and its meaning: the list is the protocol above and no other.
VERBS: dict[str, str] = {
    name: (verb.__doc__ or "").partition("\n")[0] for name, verb in vars(Verbs).items() if not name.startswith("_")
}
WRITTEN = ("out", "total")  # keywords of arrays that a verb writes to


class Engine(Protocol):
    """What every engine has; its verbs are attributes of the names in ``VERBS``."""

    @property
    def name(self) -> str:
        """How messages call it."""
        ...


class Namespace(Protocol):
    """Whose arrays an engine takes. The last engine of a chain has one."""

    @property
    def xp(self) -> Any:
        """The library's functions, as NumPy names them."""
        ...

    def special(self) -> Any:
        """Its special functions: ``ndtr``."""
        ...


class Backend(Verbs, Namespace, Protocol):
    """What computes on one kind of array: every verb, and the namespace of the arrays."""


def offered(engine: Any) -> tuple[str, ...]:
    """The verbs that an engine has, in the order of the list."""
    return tuple(name for name in VERBS if callable(getattr(engine, name, None)))
