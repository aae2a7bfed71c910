"""Fit: what is learnt about each group. A statistic is a row of ``STATISTICS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from gridnorm.core.engines import Backend, backend_for
from gridnorm.core.huber_location import fit_huber
from gridnorm.core.option import FLAG, NUMBER, NUMBERS, WHOLE, Option, Range, Table, take
from gridnorm.core.payload import Curves, Locations, Payload, Points, floats, taken
from gridnorm.core.segments import Segments, label_text, plain_label
from gridnorm.core.weights import check_weights
from gridnorm.errors import OptionError
from gridnorm.plain import few

OWN, WHOLE_FIT, MERGED, SHRUNK = 0, 1, 2, 3
SOURCES = ("own", "whole", "merged", "shrunk")


@dataclass(frozen=True, eq=False)
class Fit:
    """What was fitted, per batch entry and segment. Plain data; arrays of the input's backend.

    Attributes
    ----------
    statistic
        Name of the row of ``STATISTICS``.
    n
        int64 (batch, segment): values that entered the fit.
    payload
        What was learnt: ``Locations``, ``Points``, ``Curves``, or what the statistic brings.
    source
        int8 (batch, segment): 0 own fit, 1 fit of the whole, 2 merged with a neighbour, 3 shrunk towards the whole.
    labels
        One label per segment; a fit is applied to groups of the same labels.
    level
        float64 (batch, 1), or None: added back after removal, so that values keep their level.
    shares
        float64 (batch, segment, 2), or None: how much of a group's own level and shape is in it, where it was pooled.
    """

    statistic: str
    n: Any
    payload: Payload
    source: Any
    labels: tuple[Any, ...]
    level: Any = None
    shares: Any = None

    @property
    def location(self) -> Any:
        """float64 (batch, segment), or None where the payload has none."""
        return getattr(self.payload, "location", None)

    @property
    def scale(self) -> Any:
        """float64 (batch, segment), or None where the payload has none."""
        return getattr(self.payload, "scale", None)

    @property
    def curve(self) -> Any:
        """Knots of the curves, batch-major, or None where the payload has none."""
        return getattr(self.payload, "knots", None)

    @property
    def points(self) -> Any:
        """float64 (batch, segment, probability), or None where the payload has none."""
        return getattr(self.payload, "points", None)

    def on(self, segments: Segments) -> Fit:
        """The same fit with its groups in the order of ``segments``, matched by label.

        Raises
        ------
        OptionError
            A group that the fit lacks; the message names the first of them and what there is.
        """
        if self.labels is segments.labels or self.labels == segments.labels:
            return self
        place = {label: g for g, label in enumerate(self.labels)}
        lacking = [label for label in segments.labels if label not in place]
        if lacking:
            raise OptionError(
                f"the fit lacks {len(lacking)} of the {segments.n_segments} groups it is applied to",
                found=few(map(label_text, lacking)),
                expected=f"groups of the fit: {few(map(label_text, self.labels))}",
                hint="Fit data that have these groups, or leave their items out",
            )
        xp = backend_for(self.n).xp
        order = xp.asarray(np.array([place[label] for label in segments.labels], np.int64))
        index = xp.arange(self.n.shape[0])[:, None] * len(self.labels) + order[None, :]
        return replace(
            pick([self], xp.zeros_like(index), index, self.source[:, order]), labels=segments.labels, level=self.level,
            shares=None if self.shares is None else self.shares[:, order],
        )  # fmt: skip

    def to_plain(self) -> dict[str, Any]:
        """Plain data for JSON: numbers, text, lists.

        Raises
        ------
        OptionError
            A label that JSON cannot hold.
        """
        return {
            "statistic": self.statistic,
            "labels": [plain_label(label) for label in self.labels],
            "n": self.n.tolist(),
            "source": self.source.tolist(),
            "level": None if self.level is None else self.level.tolist(),
            "shares": None if self.shares is None else self.shares.tolist(),
            "payload": self.payload.to_plain(),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], statistic: Statistic | None = None) -> Fit:
        """The fit that ``to_plain`` made these data from, on NumPy arrays.

        Parameters
        ----------
        plain
            What ``to_plain`` gave.
        statistic
            The row that was fitted, where it is none of ``STATISTICS``.

        Raises
        ------
        OptionError
            Unknown statistic, parts that are missing, or numbers that do not belong together.

        Examples
        --------
        >>> segments = Segments.from_labels(["a", "a", "b"])
        >>> kept = fit(np.array([1.0, 3.0, 5.0]), segments, "median").to_plain()
        >>> Fit.from_plain(kept).location
        array([[2., 5.]])
        """
        try:
            row = STATISTICS.find(plain["statistic"]) if statistic is None else STATISTICS.check(statistic)
            labels = tuple(tuple(label) if isinstance(label, list) else label for label in plain["labels"])
            level, shares = (None if plain.get(k) is None else floats(plain[k]) for k in ("level", "shares"))
            n, source = np.array(plain["n"], np.int64), np.array(plain["source"], np.int8)
            found = cls(row.name, n, row.payload.from_plain(plain["payload"]), source, labels, level, shares)
            # Taking every entry apart and together again fails where the numbers do not belong together.
            index = np.arange(n.size).reshape(n.shape)
            pick([found], np.zeros_like(index), index, source)
            if n.shape != source.shape or n.shape[1] != len(labels):
                raise ValueError(f"{n.shape} counts, {source.shape} sources, {len(labels)} labels")
        except KeyError as error:
            raise OptionError("these are no data of a fit", found=f"no {error.args[0]!r}") from None
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            if isinstance(error, OptionError):
                raise
            raise OptionError("these are no data of a fit", found=str(error)) from None
        return found


class Statistic(NamedTuple):
    """One row: how it is fitted, and what it needs.

    ``fit(backend, view, segments, arguments, options)`` gives the number of values, int64 (batch, segment), and the
    payload; ``view`` is (batch, item, width), ``arguments`` holds ``weights`` and ``use`` (batch, item) or None, and
    ``covariate`` (batch, item, k). ``covariates`` is k, the numbers that each item has to bring.
    """

    name: str
    fit: Callable[..., tuple[Any, Any]]
    payload: Any
    options: tuple[Option, ...] = ()
    covariates: int = 0
    takes_weights: bool = True
    summary: str = ""
    source: str = ""


def fit(
    values: Any,
    segments: Segments,
    statistic: str | Statistic = "moments",
    *,
    covariate: Any = None,
    weights: Any = None,
    use: Any = None,
    **options: Any,
) -> Fit:
    """Fit one statistic within every group of every batch entry.

    Parameters
    ----------
    values
        Shape (item,), (batch, item) or (batch, item, width); NaN and infinite values are left out.
        Moments of half and single precision are computed in float32 (the mean in two parts, so that offsets cost
        no digits), everything else in float64. Statistics pool item × width of a group; batch entries stay separate.
    segments
        Groups of the items.
    statistic
        ``moments`` (mean, standard deviation; option ``ddof``), ``median``, ``mad``, ``huber``,
        ``quantiles`` (``probabilities``), ``lowess`` (``span``, ``iterations``, ``clamp_weights``; needs one
        ``covariate``; width 1), or a row of your own.
    covariate
        What each item brings beside its value: (item,) or (batch, item), several as (item, k) or (batch, item, k); a
        leading axis of 1 serves all batch entries.
    weights
        (item,) or (batch, item), 0 to 1e30. Items of 0 or NaN are left out (``clamp_weights`` keeps them with 1e-5).
    use
        Boolean, shape (item,) or (batch, item): items that may enter the fit.

    Returns
    -------
    Fit

    Raises
    ------
    OptionError
        For shapes that do not agree, negative or infinite weights, an unknown statistic, an option it does not take.

    Examples
    --------
    >>> import numpy as np
    >>> s = Segments.from_labels(["a", "a", "b", "b"])
    >>> fit(np.array([1.0, 3.0, 10.0, 20.0]), s, "median").location
    array([[ 2., 15.]])
    """
    row = STATISTICS.find(statistic)
    chosen = take(row.options, options, f"statistic {row.name}")
    backend = backend_for(values)
    view = as_view(values, segments, backend)
    shape = view.shape[:2]
    if covariate is None and row.covariates:
        wanted = "a covariate" if row.covariates == 1 else f"{row.covariates} covariates"
        raise OptionError(f"{row.name} needs {wanted}", hint="Give covariate=, one number per item")
    if covariate is not None and not row.covariates:
        raise OptionError(f"{row.name} takes no covariate")
    if row.covariates and view.shape[2] != 1:
        raise OptionError(f"{row.name} takes one value per item", found=f"width {view.shape[2]}", expected="width 1")
    if weights is not None and not row.takes_weights:
        raise OptionError(f"{row.name} takes no weights")
    arguments: dict[str, Any] = {
        "weights": as_items(weights, shape, "weights", backend),
        "use": as_items(use, shape, "use", backend, dtype=bool),
    }
    if arguments["weights"] is not None:
        check_weights(arguments["weights"])
    if row.covariates:
        arguments["covariate"] = as_covariates(covariate, shape, row.covariates, backend)
    n, payload = row.fit(backend, view, segments, arguments, chosen)
    return Fit(row.name, n, payload, backend.xp.zeros(n.shape, backend.xp.int8), segments.labels)


def group_medians(values: Any, segments: Segments) -> Any:
    """Median of each group of one vector, float64 (segment,); NaN where a group has no value."""
    return fit(values, segments, "median").location[0]


def median_of(values: Any) -> float:
    """Median of the finite values of one vector; NaN where there are none."""
    return float(group_medians(values, Segments.single(len(values)))[0])


def as_view(values: Any, segments: Segments, backend: Backend) -> Any:
    """The strided view (batch, item, width) of values given with one, two or three axes.

    Floating-point numbers keep their precision, half and single included; all others become float64.
    """
    array = backend.xp.asarray(values)
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise OptionError("values must be numbers", found=f"dtype {array.dtype}")
    if array.dtype.kind in "iub" or array.dtype.itemsize > 8:
        array = array.astype(backend.xp.float64)
    if array.ndim not in (1, 2, 3):
        expected = "(item,), (batch, item) or (batch, item, width)"
        raise OptionError("values have too many axes", found=f"shape {array.shape}", expected=expected)
    view: Any = array[None, :, None] if array.ndim == 1 else array[:, :, None] if array.ndim == 2 else array
    if view.shape[1] != segments.n_items:
        raise OptionError(
            "values and groups differ in length",
            found=f"{view.shape[1]} items",
            expected=f"{segments.n_items}, one per label",
        )
    return view


def as_items(given: Any, shape: tuple[int, int], name: str, backend: Backend, dtype: Any = None) -> Any:
    """``given`` as (batch, item), or None; (item,) and (1, item) serve every batch entry."""
    if given is None:
        return None
    array = backend.xp.asarray(given).astype(dtype or backend.xp.float64, copy=False)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or array.shape[1] != shape[1] or array.shape[0] not in (1, shape[0]):
        raise OptionError(
            f"{name} do not fit the values", found=f"shape {array.shape}", expected=f"({shape[1]},) or {shape}"
        )
    return backend.xp.broadcast_to(array, shape)


def as_covariates(given: Any, shape: tuple[int, int], k: int, backend: Backend) -> Any:
    """``given`` as (batch, item, k).

    Of one covariate (item,) and (batch, item) will do, of several (item, k); a leading 1 serves every batch entry.
    """
    array = backend.xp.asarray(given)
    if array.ndim < 3 and k == 1:
        return as_items(given, shape, "covariates", backend)[:, :, None]
    array = array.astype(backend.xp.float64, copy=False)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[0] not in (1, shape[0]) or array.shape[1:] != (shape[1], k):
        raise OptionError(
            "covariates do not fit the values", found=f"shape {array.shape}", expected=f"{(*shape, k)}, k last"
        )
    return backend.xp.broadcast_to(array, (*shape, k))


def pick(fits: Sequence[Fit], which: Any, index: Any, source: Any) -> Fit:
    """Assemble one fit: entry (batch, segment) comes from ``fits[which]``, its flat row ``index``."""
    first = fits[0]
    payload = type(first.payload).take([f.payload for f in fits], which, index)
    return Fit(first.statistic, taken([f.n for f in fits], which, index), payload, source, first.labels)


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
    view = view.astype(backend.xp.float64, copy=False)
    n, knots = backend.lowess_fit(
        view, given["covariate"], segments, given["weights"], given["use"],
        span=options["span"], iterations=options["iterations"],
        zero_weights="clamp" if options["clamp_weights"] else "exclude",
    )  # fmt: skip
    return n, Curves(knots)


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
            "lowess", _lowess, Curves, (SPAN, ITERATIONS, CLAMP_WEIGHTS), covariates=1,
            summary="robust locally weighted regression on a covariate", source="Cleveland, JASA 74 (1979)",
        ),
    ],
    functions=("fit", "payload.take"),
)  # fmt: skip
