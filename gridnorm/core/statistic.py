"""Statistics: rows that say how something is learnt about each group, and what is learnt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gridnorm.core.composed import blended, joined
from gridnorm.core.engines import Backend
from gridnorm.core.huber_location import fit_huber
from gridnorm.core.option import FLAG, NUMBER, NUMBERS, TEXT, WHOLE, Option, Range, Table
from gridnorm.core.payload import Curves, Locations, Points
from gridnorm.core.robust import effects, splines
from gridnorm.core.segments import Segments
from gridnorm.core.surfaces import Blend, Joint, Surfaces, curves_at, surfaces_at


class Statistic(NamedTuple):
    """One row: how it is fitted, and what it needs.

    ``fit(backend, view, segments, arguments, options)`` gives the number of values, int64 (batch, segment), and the
    payload; where it pools groups itself also their source and shares, as a ``Fit`` has them. ``view`` is
    (batch, item, width), ``arguments`` holds ``weights`` and ``use`` (batch, item) or None, and ``covariate``
    (batch, item, k). ``covariates`` is k, the numbers that each item has to bring.

    A statistic that has something of the whole beside a fit of each group names that fit, ``inner``, which takes the
    first covariates and the options of its name: small groups are dealt with there. Its own ``fit`` takes a function
    more, in front: values, (batch, item), to the payload of the groups' fits; it gives the payload alone.
    """

    name: str
    fit: Callable[..., Any]
    payload: Any
    options: tuple[Option, ...] = ()
    covariates: int = 0
    takes_weights: bool = True
    summary: str = ""
    source: str = ""
    inner: str = ""

    @property
    def grouped(self) -> Statistic:
        """What is fitted to each group."""
        return STATISTICS[self.inner] if self.inner else self


def _moments(backend: Backend, view: Any, segments: Segments, given: dict[str, Any], options: dict[str, Any]) -> Any:
    n, mean, deviation = backend.moments(view, segments, given["weights"], given["use"], **options)
    return n, Locations(mean, deviation)


def _median(backend: Backend, view: Any, segments: Segments, given: dict[str, Any], options: dict[str, Any]) -> Any:
    n, centre = backend.median(view, segments, given["weights"], given["use"])
    return n, Locations(centre)


def _mad(backend: Backend, view: Any, segments: Segments, given: dict[str, Any], options: dict[str, Any]) -> Any:
    n, centre, spread = backend.mad(view, segments, given["weights"], given["use"])
    return n, Locations(centre, spread)


def _quantiles(backend: Backend, view: Any, segments: Segments, given: dict[str, Any], options: dict[str, Any]) -> Any:
    probabilities = backend.xp.asarray(options["probabilities"], dtype=backend.xp.float64)
    n, points = backend.quantiles(view, segments, given["use"], probabilities)
    return n, Points(points)


def _lowess(backend: Backend, view: Any, segments: Segments, given: dict[str, Any], options: dict[str, Any]) -> Any:
    if options["surface"] == DIRECT:
        return _loess(backend, view, segments, given, {**options, "degree": 1})
    view = view.astype(backend.xp.float64, copy=False)
    n, knots = backend.lowess_fit(
        view, given["covariate"], segments, given["weights"], given["use"],
        span=options["span"], iterations=options["iterations"],
        zero_weights="clamp" if options["clamp_weights"] else "exclude",
    )  # fmt: skip
    return n, Curves(knots)


def _local(backend: Backend, view: Any, segments: Segments, given: dict[str, Any], options: dict[str, Any]) -> Any:
    """The count and the local fit at every item."""
    n, fitted, _ = backend.loess(
        view.astype(backend.xp.float64, copy=False), given["covariate"], segments, given["weights"], given["use"],
        span=options["span"], iterations=options["iterations"], degree=options["degree"],
        zero_weights="keep" if options["clamp_weights"] else "exclude", lattice=options.get("surface") == INTERPOLATE,
    )  # fmt: skip
    return n, fitted


def _loess(backend: Backend, view: Any, segments: Segments, given: dict[str, Any], options: dict[str, Any]) -> Any:
    n, fitted = _local(backend, view, segments, given, {**options, "surface": DIRECT})
    return n, curves_at(given["covariate"][:, :, 0], fitted, segments)


def _surface(backend: Backend, view: Any, segments: Segments, given: dict[str, Any], options: dict[str, Any]) -> Any:
    n, fitted = _local(backend, view, segments, given, options)
    return n, surfaces_at(given["covariate"], fitted, segments)


def _shares(given: tuple[float, ...]) -> bool:
    return all(0 <= value <= 1 for value in given)


DDOF = Option("ddof", WHOLE, 0, "Subtracted from the number of values in the divisor, as in numpy.std.")
PROBABILITIES = Option("probabilities", NUMBERS, (0.25, 0.5, 0.75), "Which quantiles.", _shares, "0 to 1")
SPAN = Option(
    "span", NUMBER, 0.3, "Share of a group in each local fit of loess.", Range(0, 1, low_open=True),
    metavar="SHARE", source="limma's loessFit",
)  # fmt: skip
MOST_ITERATIONS = 1000  # after a few nothing changes any more
ITERATIONS = Option(
    "iterations", WHOLE, 4, "Fits of loess: the first and the robust ones.", Range(1, MOST_ITERATIONS), metavar="N",
    source="limma's loessFit",
)  # fmt: skip
DIRECT, INTERPOLATE = "direct", "interpolate"
SURFACE = Option(
    "surface", TEXT, INTERPOLATE,
    "Where local fits are computed: interpolate (at some places, straight or smooth in between), direct (at "
    "each value, as R's loess can).",
    choices=(INTERPOLATE, DIRECT), metavar="interpolate|direct", source="R's loess.control",
)  # fmt: skip
DEGREE = Option(
    "degree", WHOLE, 1, "Degree of the local fits: 0 or 1.", Range(0, 1), metavar="0|1", source="R's loess",
)  # fmt: skip
SPACE_SPAN = Option(
    "space_span", NUMBER, None, "Share of the values in each local fit of the surface over space; auto: by GCV.",
    Range(0, 1, low_open=True), metavar="SHARE", auto=True, shown="by generalized cross-validation",
)  # fmt: skip
CLAMP_WEIGHTS = Option(
    "clamp_weights", FLAG, False, "Keep what has weight 0 in the fit of loess with weight 1e-5, as limma does.",
    auto=True, source="limma's loessFit",
)  # fmt: skip

STATISTICS: Table[Statistic] = Table(
    "statistic",
    [
        Statistic("moments", _moments, Locations, (DDOF,), summary="mean and standard deviation"),
        Statistic("median", _median, Locations, summary="median"),
        Statistic("mad", _mad, Locations, summary="median and median absolute deviation"),
        Statistic(
            "huber", fit_huber, Locations, takes_weights=False, summary="Huber's location, and the MAD as its scale",
            source="MASS's huber; Huber, Robust Statistics (1981)",
        ),
        Statistic(
            "quantiles", _quantiles, Points, (PROBABILITIES,), takes_weights=False,
            summary="quantiles, linear between order statistics",
        ),
        Statistic(
            "lowess", _lowess, Curves, (SPAN, ITERATIONS, SURFACE, CLAMP_WEIGHTS), covariates=1,
            summary="robust locally weighted regression on a covariate", source="Cleveland, JASA 74 (1979)",
        ),
        Statistic(
            "loess", _loess, Curves, (SPAN, ITERATIONS, DEGREE, CLAMP_WEIGHTS), covariates=1,
            summary="robust local regression on a covariate, computed at every item",
            source="Cleveland and Devlin, JASA 83 (1988); R's loess",
        ),
        Statistic(
            "surface", _surface, Surfaces, (SPAN, ITERATIONS, DEGREE, SURFACE, CLAMP_WEIGHTS), covariates=2,
            summary="robust local regression on two covariates",
            source="Cleveland and Devlin, JASA 83 (1988); R's loess",
        ),
        Statistic(
            "composite", blended, Blend, (SPAN, ITERATIONS, CLAMP_WEIGHTS), covariates=2, inner="lowess",
            summary="the groups' lowess curves where the covariate is low, going over to one curve of marked items",
            source="Yang et al., Nucleic Acids Res 30 (2002)",
        ),
        Statistic(
            "joint", joined, Joint, (SPAN, ITERATIONS, SPACE_SPAN, CLAMP_WEIGHTS), covariates=3, inner="lowess",
            summary="the groups' lowess curves and one surface over two further covariates, in turn",
            source="Futschik and Crompton, Genome Biol 5 (2004)",
        ),
        Statistic(
            "spline", splines.fit_splines, splines.Splines, (splines.DF,), covariates=1,
            summary="robust natural spline over a covariate, shrunken toward that of the whole",
            source="limma's normalizeRobustSpline",
        ),
        Statistic(
            "rlm", effects.fit_effects, Locations, covariates=1,
            summary="what groups differ by in items of one code, by a robust linear model",
            source="Sboner et al., J Proteome Res 8 (2009)",
        ),
    ],
    functions=("fit", "payload.take"),
)  # fmt: skip
