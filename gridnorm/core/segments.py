"""Segments: which items belong together. Labels become integer codes here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.tables import aligned, labelled
from gridnorm.errors import OptionError
from gridnorm.plain import natural_key

NONE_LABEL = "(none)"
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Segments:
    """A partition of ``n_items`` items into groups, shared by every batch entry.

    Segment ``g`` holds the items ``order[offsets[g]:offsets[g + 1]]``, in their original order.

    Attributes
    ----------
    order
        int64, shape (n_items,): item numbers sorted by segment, stable.
    offsets
        int64, shape (n_segments + 1,): where each segment starts in ``order``.
    labels
        One label per segment: a string, a number, or a tuple of them for crossed labels.

    Examples
    --------
    >>> s = Segments.from_labels(["b", "a", "b", None])
    >>> s.labels, s.offsets.tolist(), s.order.tolist()
    (('a', 'b', '(none)'), [0, 1, 3, 4], [1, 0, 2, 3])
    """

    order: IntArray
    offsets: IntArray
    labels: tuple[Any, ...]
    contiguous: bool = field(default=False)

    @property
    def n_items(self) -> int:
        return int(self.order.size)

    @property
    def n_segments(self) -> int:
        return int(self.offsets.size) - 1

    @cached_property
    def sizes(self) -> IntArray:
        """Items per segment, int64 (n_segments,)."""
        return np.diff(self.offsets)

    @cached_property
    def codes(self) -> IntArray:
        """Segment of every item, int64 (n_items,)."""
        codes = np.empty(self.n_items, np.int64)
        codes[self.order] = np.repeat(np.arange(self.n_segments), self.sizes)
        return codes

    def count(self, which: NDArray[np.bool_]) -> IntArray:
        """How many items of each segment are marked, int64 (n_segments,)."""
        return np.bincount(self.codes[which], minlength=self.n_segments)

    @cached_property
    def by_size(self) -> list[tuple[int, IntArray, slice | IntArray]]:
        """Segments of equal size together: the size, their numbers, and their items one segment after the other.

        Ascending by size, without empty segments; items that follow one another come as a slice.
        """
        by_size = np.argsort(self.sizes, kind="stable")
        ordered = self.sizes[by_size]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        classes = []
        for first, end in zip(starts.tolist(), [*starts[1:].tolist(), ordered.size], strict=False):
            size, numbers = int(ordered[first]), by_size[first:end]
            if size:
                items = self.order[(self.offsets[numbers][:, None] + np.arange(size)).ravel()]
                run = int(items[-1]) - int(items[0]) + 1 == items.size and bool((np.diff(items) == 1).all())
                classes.append((size, numbers, slice(int(items[0]), int(items[-1]) + 1) if run else items))
        return classes

    @classmethod
    def single(cls, n_items: int, label: Any = "all") -> Segments:
        """All items in one segment."""
        return cls.uniform(n_items, 1, labels=(label,))

    @classmethod
    def uniform(cls, n_items: int, n_segments: int, labels: Sequence[Any] | None = None) -> Segments:
        """Cut ``n_items`` consecutive items into ``n_segments`` pieces of one size.

        Raises
        ------
        OptionError
            If ``n_segments`` does not divide ``n_items``; the message names the nearest divisors.
        """
        if n_segments < 1 or n_items % n_segments:
            nearest = " and ".join(map(str, sorted(set(_nearest_divisors(n_items, n_segments)))))
            raise OptionError(
                f"{n_items} items cannot be cut into {n_segments} groups of one size",
                found=str(n_segments),
                expected=f"a divisor of {n_items} (nearest: {nearest})",
                hint="Unequal groups are given as labels",
            )
        offsets = np.arange(n_segments + 1, dtype=np.int64) * (n_items // n_segments)
        return cls(np.arange(n_items), offsets, tuple(range(n_segments) if labels is None else labels), contiguous=True)

    @classmethod
    def from_codes(cls, codes: IntArray, labels: Sequence[Any]) -> Segments:
        """Segments from integer codes 0…len(labels) − 1; a code without items gives an empty segment."""
        codes = np.asarray(codes)
        n = len(labels)
        if codes.size and (codes.min() < 0 or codes.max() >= n):
            raise OptionError(
                "a group code lies outside the labels", found=f"{codes.min()}…{codes.max()}", expected=f"0…{n - 1}"
            )
        offsets = np.zeros(n + 1, np.int64)
        np.cumsum(np.bincount(codes, minlength=n), out=offsets[1:])
        # The smallest integer type makes the stable sort a radix sort.
        small = codes.astype(np.min_scalar_type(max(n - 1, 0)), copy=False)
        order = np.argsort(small, kind="stable").astype(np.int64, copy=False)
        contiguous = bool((codes[1:] >= codes[:-1]).all())
        return cls(order, offsets, tuple(labels), contiguous=contiguous)

    @classmethod
    def from_labels(cls, *labels: Any) -> Segments:
        """Group items that share a label; several label vectors are crossed.

        Parameters
        ----------
        *labels
            1-D sequences or arrays of one length: numbers, strings, bytes, booleans or mixed objects.
            ``None``, NaN, NaT and empty strings are *missing*: those items form their own group ``(none)``,
            which sorts last.

        Returns
        -------
        Segments
            Groups in ascending order of label (numbers by value, also those in a text: ``P2`` before ``P10``); for
            crossed labels in lexicographic order, only combinations that occur.

        Raises
        ------
        OptionError
            If no vector is given, their lengths or dimensions differ, or so do the indexes of Series, which go by that
            of the first.
        """
        if not labels:
            raise OptionError("no labels were given", expected="at least one label per item")
        first = next((values.index for values in labels if labelled(values)), None)
        coded = [_encode(aligned(values, (first,), "labels", "first labels")) for values in labels]
        lengths = {codes.size for codes, _ in coded}
        if len(lengths) > 1:
            found = ", ".join(str(codes.size) for codes, _ in coded)
            raise OptionError("label vectors differ in length", found=found, expected="one label per item in each")
        codes, names = coded[0]
        if len(coded) > 1:
            codes, names = _cross(coded)
        return cls.from_codes(codes, names)


def _nearest_divisors(n: int, k: int) -> tuple[int, int]:
    divisors = [d for d in range(1, n + 1) if n % d == 0] or [1]
    return max((d for d in divisors if d <= max(k, 1)), default=1), min(
        (d for d in divisors if d >= k), default=divisors[-1]
    )


def _encode(values: Any) -> tuple[IntArray, list[Any]]:
    """Codes and sorted labels of one label vector; missing labels get the last code."""
    array = values if isinstance(values, np.ndarray) else _as_array(values)
    if array.ndim != 1:
        raise OptionError("labels must be one-dimensional", found=f"shape {array.shape}", expected="one label per item")
    missing = _missing(array)
    if array.dtype.kind == "O":
        return _encode_objects(array, missing)
    present = array[~missing] if missing.any() else array
    unique, inverse = distinct(present)
    names = [_plain(v) for v in unique.tolist()]
    if unique.dtype.kind not in "biufmM":
        place = sorted(range(len(names)), key=lambda k: natural_key(names[k]))
        names = [names[k] for k in place]
        inverse = np.argsort(place)[inverse]
    codes = np.full(array.size, len(names), np.int64)
    codes[~missing] = inverse
    return (codes, [*names, NONE_LABEL]) if missing.any() else (codes, names)


def distinct(values: NDArray[Any]) -> tuple[NDArray[Any], IntArray]:
    """Sorted distinct values, and for every value its position among them.

    Integers that span a small range (block numbers do) need no sort. Plain ``np.unique`` would do the same, but loads
    ``numpy.ma`` at its first call, which a short run would feel.
    """
    if values.dtype.kind in "iu" and values.size:
        low, high = int(values.min()), int(values.max())
        if high - low <= 4 * values.size + 1024:
            # 64 bits hold any distance from the lowest: small types would run over, and of 2**63 on so would int64.
            wide = values if values.dtype == np.uint64 else values.astype(np.int64, copy=False)
            place = (wide - wide.dtype.type(low)).astype(np.int64, copy=False)
            seen = np.bincount(place, minlength=high - low + 1) > 0
            return np.flatnonzero(seen).astype(wide.dtype, copy=False) + wide.dtype.type(low), (np.cumsum(seen) - 1)[
                place
            ]
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.ones(values.size, bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    place = np.empty(values.size, np.int64)
    place[order] = np.cumsum(first) - 1
    return ordered[first], place


def _encode_objects(array: NDArray[Any], missing: NDArray[np.bool_]) -> tuple[IntArray, list[Any]]:
    plain = [
        NONE_LABEL if absent else _plain(value) for value, absent in zip(array.tolist(), missing.tolist(), strict=True)
    ]
    present = {value for value, absent in zip(plain, missing.tolist(), strict=True) if not absent}
    # Numbers sort before text, each by value, so that mixed columns have one defined order.
    try:
        names = sorted(present, key=lambda v: (isinstance(v, str), 0 if isinstance(v, str) else v, natural_key(str(v))))
    except TypeError:  # days beside numbers
        names = sorted(present, key=lambda v: (isinstance(v, str), type(v).__name__, natural_key(str(v))))
    position = {name: code for code, name in enumerate(names)}
    codes = np.array(
        [len(names) if absent else position[value] for value, absent in zip(plain, missing.tolist(), strict=True)],
        np.int64,
    )
    return (codes, [*names, NONE_LABEL]) if missing.any() else (codes, names)


def _as_array(values: Iterable[Any]) -> NDArray[Any]:
    if hasattr(values, "__cuda_array_interface__"):
        raise OptionError("labels must lie in the host's memory", found="a device array", hint="Give labels.get()")
    to_numpy = getattr(values, "to_numpy", None)
    if to_numpy is not None:
        return np.asarray(to_numpy())
    listed = list(values)
    kinds = {type(v) for v in listed}
    array = None if len(kinds) > 1 or kinds & {type(None)} else np.asarray(listed)
    # Whole numbers on both sides of 2**63 would become floats, which cannot tell them apart.
    if array is None or (kinds == {int} and array.dtype.kind == "f"):
        array = np.empty(len(listed), object)
        array[:] = listed
    return array


def _missing(array: NDArray[Any]) -> NDArray[np.bool_]:
    kind = array.dtype.kind
    if kind == "f":
        return np.asarray(np.isnan(array))
    if kind in "mM":
        return np.asarray(np.isnat(array))
    if kind == "S":
        return np.asarray(array == b"")
    if kind in "UT":
        return np.asarray(array == "")
    if kind == "O":
        return np.array([_is_missing(value) for value in array.tolist()], bool)
    return np.zeros(array.size, bool)


def _is_missing(value: Any) -> bool:
    """None, an empty text, NaN, or one of pandas' own marks, which refuse to be compared."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str | bytes):
        return not value
    # NaN and NaT are the only ones of these that differ from themselves.
    return isinstance(value, float | np.floating | np.datetime64 | np.timedelta64) and bool(value != value)


def _plain(value: Any) -> Any:
    """A label as JSON can hold it: text for bytes, Python's own numbers, whole ones without ``.0``."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _cross(coded: list[tuple[IntArray, list[Any]]]) -> tuple[IntArray, list[Any]]:
    """Combine label vectors pairwise; only combinations that occur get a code, so codes never overflow."""
    codes, first = coded[0]
    names: list[Any] = [(name,) for name in first]
    for more, extra in coded[1:]:
        unique, codes = distinct(codes * len(extra) + more)
        names = [(*names[u // len(extra)], extra[u % len(extra)]) for u in unique.tolist()]
    return codes, names


def label_text(label: Any) -> str:
    """A label in a sentence; where groupings are crossed, ``3 × red``, which does not read like two labels."""
    return " × ".join(map(str, label)) if isinstance(label, tuple) else str(label)


def plain_label(label: Any) -> Any:
    """A label as a kept fit holds it: text, a number, or a list of them where groupings are crossed."""
    if isinstance(label, tuple):
        return [plain_label(part) for part in label]
    label = label.item() if isinstance(label, np.generic) else label
    if isinstance(label, str | int | float | bool) and label == label:
        return label
    raise OptionError("a label of this fit cannot be kept", found=repr(label), expected="text or a number")
