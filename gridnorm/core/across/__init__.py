"""Methods across batch entries: rows that make entries alike, together or toward a target that was kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

from gridnorm.core.across import cyclic, quantile, rlm, scale, vsn
from gridnorm.core.across.entries import Given, listed
from gridnorm.core.engines import backend_for
from gridnorm.core.fit import as_items, as_view
from gridnorm.core.option import NUMBER, TEXT, WHOLE, Option, Range, Table, take
from gridnorm.core.segments import Segments, plain_label
from gridnorm.errors import FitError, OptionError
from gridnorm.plain import few

CYCLIC_METHOD = Option(
    "cyclic_method", TEXT, "fast",
    "fast (each against the mean of all), affy (all pairs at once) or pairs (one after the other).",
    choices=tuple(cyclic.FORMS), metavar="FORM", source="limma's normalizeCyclicLoess",
)  # fmt: skip
CYCLIC_SPAN = Option(
    "cyclic_span", NUMBER, 0.7, "Share of the spots in each local fit of cyclic-loess.", Range(0, 1, low_open=True),
    metavar="SHARE", source="limma's normalizeCyclicLoess",
)  # fmt: skip
MOST_ROUNDS = 100  # the rounds of limma are 3; what is left after ten is rounding
CYCLIC_ROUNDS = Option(
    "cyclic_rounds", WHOLE, 3, "Rounds of cyclic-loess.", Range(1, MOST_ROUNDS), metavar="N",
    source="limma's normalizeCyclicLoess",
)  # fmt: skip


class Payload(Protocol):
    """What a target holds: plain data that JSON can take.

    It may have ``check(sizes, options)``: what is wrong with it, read from a file, for groups of these sizes under the
    options of the row; None: nothing.
    """

    def to_plain(self) -> dict[str, Any]:
        """Lists and numbers; NaN is None."""
        ...

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """The payload that ``to_plain`` made these from."""
        ...


class Across(NamedTuple):
    """One row of ``ACROSS``.

    ``together(values, segments, given, options)`` makes the entries alike and gives the values and the payload of a
    target, None where the form has none; ``toward(values, segments, payload, given, options)`` brings entries to it
    one by one. Both may write to ``values``, (batch, item). ``itemwise``: a target holds for the very items it was made
    of; otherwise for their number in each group, or (``sizes`` False) for any. ``weighs``: weights count by their size;
    otherwise by being above 0. ``covariate``: what each item brings, by the caller's word. ``apart``: groups are
    treated each by itself; otherwise what they differ by is taken off.
    """

    name: str
    together: Callable[..., tuple[Any, Any]]
    toward: Callable[..., Any]
    payload: Any
    options: tuple[Option, ...] = ()
    itemwise: bool = False
    sizes: bool = True
    weighs: bool = False
    covariate: str | None = None
    apart: bool = True
    summary: str = ""
    source: str = ""


def _of_means(module: Any) -> Callable[..., tuple[Any, Any]]:
    """``together`` of a method that learns a target and brings every entry to it."""

    def together(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> tuple[Any, Any]:
        payload = module.learn(values, segments, given, options)
        return module.toward(values, segments, payload, given, options), payload

    return together


ACROSS: Table[Across] = Table(
    "method between",
    [
        Across(
            "scale", _of_means(scale.ABSOLUTE), scale.ABSOLUTE.toward, scale.Scales, sizes=False,
            summary="one median absolute value", source="Yang et al., Nucleic Acids Res 30 (2002)",
        ),
        Across(
            "mad", _of_means(scale.SPREAD), scale.SPREAD.toward, scale.Scales, sizes=False,
            summary="one median absolute deviation", source="Yang et al., Nucleic Acids Res 30 (2002)",
        ),
        Across(
            "quantile", _of_means(quantile), quantile.toward, quantile.Distributions,
            summary="one distribution", source="Bolstad et al., Bioinformatics 19 (2003)",
        ),
        Across(
            "cyclic", cyclic.together, cyclic.toward, cyclic.References,
            (CYCLIC_METHOD, CYCLIC_SPAN, CYCLIC_ROUNDS), itemwise=True, weighs=True,
            summary="no trend over the mean", source="Bolstad et al., Bioinformatics 19 (2003)",
        ),
        Across(
            "vsn", vsn.together, vsn.toward, vsn.Stabilized, vsn.OPTIONS, itemwise=True,
            summary="one variance at every level", source="Huber et al., Bioinformatics 18 (2002) S96",
        ),
        Across(
            "rlm", rlm.together, rlm.toward, rlm.Matched, itemwise=True, weighs=True, covariate="match", apart=False,
            summary="no difference in items that match", source="Sboner et al., J Proteome Res 8 (2009)",
        ),
    ],
    functions=("together", "toward"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Target:
    """What entries were brought to, to bring further ones to the same.

    Attributes
    ----------
    method
        A row of ``ACROSS``.
    labels, sizes
        Of the groups, and the number of items of each.
    payload
        What the row's ``toward`` takes.
    """

    method: str
    labels: tuple[Any, ...]
    sizes: tuple[int, ...]
    payload: Payload

    def check(self, row: Across, segments: Segments) -> None:
        """Refuse a method or groups that the target was not made with.

        Raises
        ------
        OptionError
            Another method, other labels, or groups of another size where that matters.
        """
        if self.method != row.name:
            raise OptionError("the target is of another method", found=self.method, expected=row.name)
        if tuple(map(plain_label, segments.labels)) != tuple(map(plain_label, self.labels)):
            raise OptionError("the target is of other groups", found=few(segments.labels), expected=few(self.labels))
        sizes = tuple(segments.sizes.tolist())
        if row.sizes and sizes != self.sizes:
            raise OptionError("the target is of groups of another size", found=few(sizes), expected=few(self.sizes))

    def to_plain(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "method": self.method,
            "labels": [plain_label(label) for label in self.labels],
            "sizes": list(self.sizes),
            "payload": self.payload.to_plain(),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The target that ``to_plain`` made these data from.

        Raises
        ------
        OptionError
            They are no data of a target.
        """
        what = "these are no data of a target"
        try:
            row = ACROSS.find(plain["method"])
            labels = tuple(tuple(one) if isinstance(one, list) else one for one in plain["labels"])
            sizes = plain["sizes"]
            whole = isinstance(sizes, list) and all(type(size) is int and size >= 0 for size in sizes)
            if not isinstance(plain["labels"], list) or not whole or len(sizes) != len(labels):
                raise OptionError(what, found="labels and sizes that do not fit", expected="two lists of one length")
            payload = row.payload.from_plain(plain["payload"])
        except KeyError as error:
            raise OptionError(what, found=f"no {error.args[0]!r}") from None
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, OptionError):
                raise
            said = str(error) if type(error) is ValueError else "data of another kind"
            raise OptionError(what, found=said, expected=f"what {row.name} keeps") from None
        return cls(row.name, labels, tuple(sizes), payload)

    def refuse_damaged(self, options: Mapping[str, Any]) -> None:
        """Refuse a payload that does not fit the groups, or these options of the row.

        Raises
        ------
        OptionError
        """
        check = getattr(self.payload, "check", None)
        wrong = None if check is None else check(self.sizes, options)
        if wrong is not None:
            raise OptionError("these are no data of a target", found=wrong)


class Alike(NamedTuple):
    """Values that were made alike, (batch, item), and the target they were brought to (None: it has none)."""

    values: Any
    target: Target | None


def normalize_across(
    values: Any,
    segments: Segments,
    method: str | Across,
    *,
    names: Sequence[str] | None = None,
    weights: Any = None,
    use: Any = None,
    covariate: Any = None,
    target: Target | None = None,
    in_place: bool = False,
    **options: Any,
) -> Alike:
    """Make batch entries alike, within every group of their items.

    Parameters
    ----------
    values
        float64 (batch, item); NaN stays NaN.
    segments
        Groups of the items, each of which is treated by itself.
    method
        A row of ``ACROSS``, or its name.
    names
        What messages call the entries.
    weights, use
        As in ``fit``: items that are not used, or have no weight, teach nothing and are treated like any.
    covariate
        float64 (item,), for a row that takes one: for ``rlm`` numbers that are equal where items match, NaN of those
        by which nothing is compared. A target knows its own.
    target
        What a former call gave: entries are brought to it, one by one.
    in_place
        Whether ``values`` may be overwritten.
    **options
        Of the row: ``cyclic_method``, ``cyclic_span``, ``cyclic_rounds`` of ``cyclic``.

    Raises
    ------
    OptionError
        Unknown method or option, one entry without a target, a target of other groups or another method.
    FitError
        An entry without a usable value in a group, or with a median of 0 where a scale is asked for.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 3.0], [10.0, 30.0, 20.0]])
    >>> normalize_across(x, Segments.single(3), "quantile").values
    array([[ 5.5, 11. , 16.5],
           [ 5.5, 16.5, 11. ]])
    """
    row = ACROSS.find(method)
    chosen = take(row.options, options, f"method {row.name}")
    backend = backend_for(values)
    view = as_view(values, segments, backend)[:, :, 0]
    if not in_place:
        view = view.astype(backend.xp.float64)
    count = int(view.shape[0])
    named = list(names) if names is not None else [f"entry {k}" for k in range(count)]
    weighed = as_items(weights, view.shape, "weights", backend)
    used = as_items(use, view.shape, "use", backend, dtype=bool)
    if weighed is not None:
        used = (weighed > 0) if used is None else used & (weighed > 0)
    if covariate is not None and row.covariate is None:
        raise OptionError(f"{row.name} takes no covariate")
    if covariate is None and row.covariate is not None and target is None:
        raise OptionError(f"{row.name} needs a covariate", hint="Give covariate=, one number per item")
    if covariate is not None:
        covariate = as_items(covariate, (1, segments.n_items), "covariates", backend)[0]
    given = Given(backend, named, weighed, used, covariate)
    if target is None and count < 2:
        raise OptionError(
            f"{row.name} makes several alike", found="1" if count else "none", expected="2 or more, or a target"
        )
    _check_filled(view, segments if row.apart else Segments.single(segments.n_items), given)
    if target is None:
        done, payload = row.together(view, segments, given, chosen)
        sizes = tuple(segments.sizes.tolist())
        return Alike(done, None if payload is None else Target(row.name, segments.labels, sizes, payload))
    target.check(row, segments)
    return Alike(row.toward(view, segments, target.payload, given, chosen), target)


def _check_filled(values: Any, segments: Segments, given: Given) -> None:
    """Refuse an entry that has no value in a group that has items.

    Raises
    ------
    FitError
        Naming the entries.
    """
    xp = given.backend.xp
    codes = xp.asarray(segments.codes)
    marked: dict[int, Any] = {}
    for entry in range(values.shape[0]):
        seen = given.of(entry).observed(values[entry : entry + 1])[0]
        if bool(seen.all()):
            continue
        count = xp.bincount(codes[seen], minlength=segments.n_segments)
        empty = (count == 0) & (xp.asarray(segments.sizes) > 0)
        if bool(empty.any()):
            marked[entry] = empty
    if marked:
        rows = xp.stack(list(marked.values()))
        names = [given.names[entry] for entry in marked]
        raise FitError(
            f"no usable value in {listed(rows, segments, given._replace(names=names))}",
            hint="Leave it out; check flags, weights and the background method",
        )


__all__ = ["ACROSS", "Across", "Alike", "Given", "Target", "normalize_across"]
