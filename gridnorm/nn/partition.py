"""Which channels belong together: numbers, labels or index arrays become segments here."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gridnorm.core.segments import IntArray, Segments, distinct
from gridnorm.errors import OptionError
from gridnorm.nn.plain import numbers_of, refuse_masked

_MOST_KEPT = 1 << 16  # labels that are worth remembering
PASSED = -1  # label of channels that no group holds


class Partition(NamedTuple):
    """Groups of channels. ``passed``: channels that are left as they are, in a last segment of their own; or None."""

    segments: Segments
    groups: int
    passed: IntArray | None


def partition(channels: int, num_groups: int | None, groups: Any) -> Partition:
    """Groups of ``channels`` channels: ``num_groups`` equal ones that follow one another, or as ``groups`` says.

    Raises
    ------
    OptionError
        If ``num_groups`` does not divide the channels (the nearest divisors are named), or ``groups`` holds neither
        one label per channel nor index arrays, none of them empty, that do not overlap.
    """
    if groups is None:
        if not isinstance(num_groups, int | np.integer) or isinstance(num_groups, bool):
            raise OptionError("num_groups must be a whole number", found=repr(num_groups), hint="Or give groups=")
        return _equal(channels, int(num_groups))
    if isinstance(groups, Segments):
        if groups.n_items != channels:
            raise OptionError("groups are of other channels", found=f"{groups.n_items}", expected=f"{channels}")
        return Partition(groups, groups.n_segments, None)
    if hasattr(groups, "__cuda_array_interface__"):
        raise OptionError("groups must lie in the host's memory", found="a device array", hint="Give groups.get()")
    if _are_index_arrays(groups):
        return _kept(channels, _from_indices(groups, channels).tobytes())
    labels = _as_labels(groups)
    if np.can_cast(labels.dtype, np.int64) and labels.dtype.kind != "b" and labels.ndim == 1:
        labels = labels.astype(np.int64)
        return _kept(channels, labels.tobytes()) if labels.size <= _MOST_KEPT else _labelled(channels, labels)
    return _of(channels, Segments.from_labels(groups), None)


def _as_labels(groups: Any) -> Any:
    if isinstance(groups, str | bytes | dict | set) or not hasattr(groups, "__len__"):
        wanted = "one label per channel, or a list of arrays of channel numbers"
        raise OptionError("groups cannot be of this kind", found=type(groups).__name__, expected=wanted)
    refuse_masked("groups", groups, "Give groups.filled(-1): -1 lets a channel pass")
    try:
        labels = np.asarray(groups)
    except ValueError:
        raise OptionError("groups mixes labels and arrays of channel numbers", expected="one or the other") from None
    if labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all() and (np.abs(labels) < 2**53).all()):
        return labels.astype(np.int64)  # −1.0 passes a channel as −1 does
    return labels


@lru_cache(maxsize=256)
def _equal(channels: int, num_groups: int) -> Partition:
    if num_groups < min(1, channels):
        raise OptionError("num_groups must be at least 1", found=str(num_groups))
    if channels == 0:
        return Partition(Segments.from_codes(np.zeros(0, np.int64), range(num_groups)), num_groups, None)
    try:
        return Partition(Segments.uniform(channels, num_groups), num_groups, None)
    except OptionError as error:
        raise OptionError(
            f"{channels} channels cannot be cut into {num_groups} groups of one size",
            expected=error.expected,
            hint="Or give groups=, one label per channel: groups need not be of one size",
        ) from None


@lru_cache(maxsize=256)
def _kept(channels: int, labels: bytes) -> Partition:
    """Of int64 labels; kept, so that the device needs to be told about them only once."""
    return _labelled(channels, np.frombuffer(labels, np.int64))


def _labelled(channels: int, given: IntArray) -> Partition:
    if given.size and given.min() < PASSED:
        raise OptionError(
            "a group label is negative",
            found=str(given.min()),
            expected=f"0 or more, or {PASSED} for channels that pass",
        )
    passed = np.flatnonzero(given == PASSED)
    if not passed.size:
        return _of(channels, Segments.from_labels(given), None)
    # Labels sort ascending, but the channels that pass come last.
    names, inverse = distinct(given[given != PASSED])
    codes = np.full(given.size, names.size, np.int64)
    codes[given != PASSED] = inverse
    return _of(channels, Segments.from_codes(codes, [*names.tolist(), PASSED]), passed)


def _of(channels: int, segments: Segments, passed: IntArray | None) -> Partition:
    if segments.n_items != channels:
        raise OptionError(
            "groups do not fit the channels",
            found=f"{segments.n_items} labels",
            expected=f"{channels}, one per channel",
        )
    return Partition(segments, segments.n_segments - (passed is not None), passed)


def _are_index_arrays(groups: Any) -> bool:
    return isinstance(groups, list | tuple) and bool(groups) and all(np.ndim(one) == 1 for one in groups)


def _from_indices(groups: Any, channels: int) -> IntArray:
    labels = np.full(channels, PASSED, np.int64)
    for number, given in enumerate(groups):
        index = numbers_of(f"group {number}", given)
        if not index.size:
            raise OptionError(f"group {number} is empty", hint="Leave it out")
        if index.dtype.kind not in "iu":
            raise OptionError(f"group {number} does not hold channel numbers", found=f"dtype {index.dtype}")
        index = index.astype(np.int64)
        bad = index[(index < 0) | (index >= channels)]
        if bad.size:
            raise OptionError(
                f"group {number} names a channel that x does not have", found=str(bad[0]), expected=f"0…{channels - 1}"
            )
        again = index[labels[index] != PASSED]
        if again.size or np.unique(index).size != index.size:
            twice = again[0] if again.size else next(i for i in index.tolist() if (index == i).sum() > 1)
            raise OptionError(f"channel {twice} is in two groups, or twice in one", expected="at most one group each")
        labels[index] = number
    return labels
