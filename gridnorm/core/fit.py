"""Fit: what is learnt about each group, by a row of ``STATISTICS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gridnorm.core.engines import Backend, backend_for
from gridnorm.core.option import take
from gridnorm.core.payload import Payload, floats, taken
from gridnorm.core.segments import Segments, label_text, plain_label
from gridnorm.core.statistic import STATISTICS, Statistic
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
    divisor
        float64 (batch, segment), or None: what is left after removal is divided by it, before the level is added.
    """

    statistic: str
    n: Any
    payload: Payload
    source: Any
    labels: tuple[Any, ...]
    level: Any = None
    shares: Any = None
    divisor: Any = None

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
            divisor=None if self.divisor is None else self.divisor[:, order],
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
            "divisor": None if self.divisor is None else self.divisor.tolist(),
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
            level, shares, divisor = (
                None if plain.get(k) is None else floats(plain[k]) for k in ("level", "shares", "divisor")
            )
            n, source = np.array(plain["n"], np.int64), np.array(plain["source"], np.int8)
            found = cls(row.name, n, row.payload.from_plain(plain["payload"]), source, labels, level, shares, divisor)
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
    if row.inner:
        own = part_of(row, chosen)

        def groups(some: Any) -> Fit:
            return fit(some, segments, row.grouped, **inner_arguments(row, arguments), **own)

        return composed(row, groups, view, segments, arguments, chosen)
    n, payload, *more = row.fit(backend, view, segments, arguments, chosen)
    source, shares = more or (backend.xp.zeros(n.shape, backend.xp.int8), None)
    return Fit(row.name, n, payload, source, segments.labels, shares=shares)


def part_of(statistic: Statistic, options: Mapping[str, Any]) -> dict[str, Any]:
    """Of the options of a statistic those that the fit of its groups takes."""
    own = {option.name for option in statistic.grouped.options}
    return {name: value for name, value in options.items() if name in own}


def inner_arguments(statistic: Statistic, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Weights, use and covariates as the fit of a statistic's groups takes them."""
    found = {name: arguments[name] for name in ("weights", "use")}
    k = statistic.grouped.covariates
    return {**found, "covariate": arguments["covariate"][:, :, :k]} if k else found


def composed(
    statistic: Statistic,
    groups: Callable[[Any], Fit],
    view: Any,
    segments: Segments,
    arguments: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Fit:
    """The fit of a statistic that has something of the whole beside the fits of its groups, which ``groups`` makes."""
    fits: list[Fit] = []

    def inner(values: Any) -> Payload:
        fits.append(groups(values))
        return fits[-1].payload

    backend = backend_for(view)
    view = view.astype(backend.xp.float64, copy=False)
    payload = statistic.fit(inner, backend, view, segments, arguments, options)
    return replace(fits[-1], statistic=statistic.name, payload=payload)


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
