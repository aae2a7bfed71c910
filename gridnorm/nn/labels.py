"""Labels of channels: builders and checks.

Every builder returns int64 labels of shape (C,), one a channel, for ``groups=`` of ``group_norm``; −1 is a channel that
passes through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.segments import IntArray, Segments, distinct
from gridnorm.core.spread import whole_number
from gridnorm.errors import OptionError
from gridnorm.nn.plain import numbers_of

LAYOUTS = ("field-major", "orientation-major")


def contiguous(num_channels: int, num_groups: int | None = None, *, sizes: Sequence[int] | None = None) -> IntArray:
    """Neighbouring channels share a group, as in every other group normalization.

    Parameters
    ----------
    num_channels
        Number of channels C.
    num_groups
        Number of groups of one size; a divisor of C.
    sizes
        Instead of ``num_groups``: channels of every group, whole numbers of at least 1 whose sum is C.

    Returns
    -------
    ndarray
        int64 (C,).

    Raises
    ------
    OptionError
        If ``num_groups`` does not divide C (the message names the nearest divisors), if ``sizes`` do not add up to C,
        or if both or neither are given.

    Examples
    --------
    >>> contiguous(6, 3).tolist(), contiguous(6, sizes=(4, 2)).tolist()
    ([0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1])
    """
    channels = whole_number("num_channels", num_channels, 1)
    if (num_groups is None) == (sizes is None):
        found = f"num_groups={num_groups}, sizes={sizes}"
        raise OptionError("groups need either a number or sizes", found=found, expected="one of num_groups= and sizes=")
    if sizes is None:
        return _equal(channels, whole_number("num_groups", num_groups, 1)).codes
    counts = [whole_number("each of sizes", size, 1) for size in sizes]
    if sum(counts) != channels:
        found = f"{sum(counts)} = {' + '.join(map(str, counts))}" if counts else "no sizes"
        raise OptionError("the sizes do not add up to the channels", found=found, expected=str(channels))
    return np.repeat(np.arange(len(counts), dtype=np.int64), counts)


def strided(num_channels: int, num_groups: int) -> IntArray:
    """Channel c belongs to group c mod ``num_groups``.

    Parameters
    ----------
    num_channels
        Number of channels C.
    num_groups
        Number of groups, at most C. It need not divide C: sizes differ by one at most.

    Returns
    -------
    ndarray
        int64 (C,).

    Raises
    ------
    OptionError
        If ``num_groups`` is not in 1…C.

    Examples
    --------
    >>> strided(6, 2).tolist()
    [0, 1, 0, 1, 0, 1]
    """
    channels, groups = whole_number("num_channels", num_channels, 1), whole_number("num_groups", num_groups, 1)
    if groups > channels:
        raise OptionError("there are more groups than channels", found=str(groups), expected=f"1…{channels}")
    return np.arange(channels, dtype=np.int64) % groups


def orbits(n_fields: int, order: int, layout: str = "field-major", fields_per_group: int = 1) -> IntArray:
    """Groups of an equivariant network: the channels that a rotation turns into each other stay together.

    A field has ``order`` channels, one an orientation, which the group action permutes. Normalization commutes with
    the action if the partition is mapped to itself and weight and bias are equal along every orbit.

    Parameters
    ----------
    n_fields
        Number of fields.
    order
        Number of orientations: 4 for rotations by 90 degrees, 8 with reflections.
    layout
        ``field-major``: channel = field · order + orientation, the orientations of a field are neighbours;
        ``orientation-major``: channel = orientation · n_fields + field.
    fields_per_group
        Fields that share a group; a divisor of ``n_fields``.

    Returns
    -------
    ndarray
        int64 (n_fields · order,); groups are numbered by field.

    Raises
    ------
    OptionError
        For another layout, numbers below 1, or if ``fields_per_group`` does not divide ``n_fields``.

    Examples
    --------
    >>> orbits(2, 4).tolist(), orbits(2, 4, "orientation-major").tolist()
    ([0, 0, 0, 0, 1, 1, 1, 1], [0, 1, 0, 1, 0, 1, 0, 1])
    """
    fields, turns = whole_number("n_fields", n_fields, 1), whole_number("order", order, 1)
    together = whole_number("fields_per_group", fields_per_group, 1)
    if layout not in LAYOUTS:
        raise OptionError("unknown layout of the channels", found=repr(layout), expected=" or ".join(LAYOUTS))
    if fields % together:
        raise OptionError(
            "fields_per_group does not divide the fields",
            found=f"{together} for {fields} fields",
            expected=", ".join(str(d) for d in range(1, fields + 1) if fields % d == 0),
        )
    field = np.arange(fields, dtype=np.int64) // together
    return np.repeat(field, turns) if layout == "field-major" else np.tile(field, turns)


def from_permutation(*permutations: Any) -> IntArray:
    """Groups from the permutations of channels that a network should commute with.

    Two channels share a group if the permutations, applied in any order any number of times, carry one to the other:
    the orbits of the group that they generate.

    Parameters
    ----------
    *permutations
        One or more integer sequences of length C that hold each of 0…C − 1 once: the channel that entry c names goes
        to place c, or the other way round, for the orbits are the same. One generator of each symmetry is enough.

    Returns
    -------
    ndarray
        int64 (C,); groups are numbered by their smallest channel.

    Raises
    ------
    OptionError
        If no permutation is given, lengths differ, or one is no permutation; the message names its first bad entry.

    Examples
    --------
    >>> from_permutation([1, 0, 2, 4, 3]).tolist()
    [0, 0, 1, 2, 2]
    >>> from_permutation([1, 0, 2, 4, 3], [0, 2, 1, 3, 4]).tolist()
    [0, 0, 0, 1, 1]
    """
    if not permutations:
        raise OptionError("no permutation was given", expected="one or more, each of length C")
    first = numbers_of("permutation 0", permutations[0])
    checked = [_permutation(given, k, first.size) for k, given in enumerate(permutations)]
    # Every channel points at a channel of its orbit with a smaller number, in the end at the smallest.
    root = np.arange(first.size)
    while True:
        new = root.copy()
        for permutation in checked:
            low = np.minimum(root, root[permutation])
            np.minimum.at(new, root, low)
            np.minimum.at(new, root[permutation], low)
        while (new[new] != new).any():
            new = new[new]
        if (new == root).all():
            return distinct(root)[1]
        root = new


def pruned(labels: Any, kept: Any) -> IntArray:
    """Labels of the channels that remain after pruning: groups keep together whatever number of them remains.

    Parameters
    ----------
    labels
        Integers (C,), −1 for channels that pass through.
    kept
        Boolean mask (C,), or the numbers of the channels that remain, in the order they have afterwards.

    Returns
    -------
    ndarray
        int64, one label a remaining channel. Emptied groups vanish, the others are renumbered 0, 1, … in the order of
        their labels. Channels with −1 keep −1 and no group is made of them.

    Raises
    ------
    OptionError
        If nothing remains, a mask has another length, or a number is repeated or outside 0…C − 1.

    Examples
    --------
    >>> pruned([0, 0, 1, 1, 2, -1], [True, False, False, False, True, True]).tolist()
    [0, 1, -1]
    """
    codes = checked_labels(labels)
    remaining: IntArray = codes[_kept(kept, codes.size)]
    grouped = remaining >= 0
    remaining[grouped] = distinct(remaining[grouped])[1]
    return remaining


def checked_labels(labels: Any, num_channels: int | None = None) -> IntArray:
    """Labels of channels as int64 (C,), or an error that says what is wrong with them.

    Raises
    ------
    OptionError
        If they are not one row of integers of at least −1, one a channel.
    """
    array = numbers_of("labels", labels)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size:
        found = f"shape {array.shape}, dtype {array.dtype}"
        raise OptionError("labels must be one row of whole numbers", found=found, expected="one integer per channel")
    if num_channels is not None and array.size != num_channels:
        raise OptionError("labels and channels differ in number", found=str(array.size), expected=str(num_channels))
    codes = array.astype(np.int64)
    if codes.min() < -1:
        where = int(np.flatnonzero(codes < -1)[0])
        found = f"{codes[where]} for channel {where}"
        raise OptionError("a label is negative", found=found, expected="0 or more, or -1: passed through")
    return codes


def _permutation(given: Any, k: int, size: int) -> IntArray:
    name = f"permutation {k}"
    array = numbers_of(name, given)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size:
        found = f"shape {array.shape}, dtype {array.dtype}"
        raise OptionError(f"{name} is not one row of channel numbers", found=found, expected="one integer per channel")
    if array.size != size:
        expected = f"{size}, as in permutation 0"
        raise OptionError(f"{name} has another length", found=str(array.size), expected=expected)
    _refuse_first_bad(array, size, f"{name} is not a permutation")
    return array.astype(np.int64)


def _refuse_first_bad(numbers: NDArray[Any], channels: int, what: str) -> None:
    """Refuse channel numbers outside 0…C − 1 or repeated, naming the first."""
    outside = (numbers < 0) | (numbers >= channels)
    repeated = np.ones(numbers.size, bool)
    repeated[np.unique(numbers, return_index=True)[1]] = False
    bad = np.flatnonzero(outside | repeated)
    if bad.size:
        where = int(bad[0])
        again = "" if outside[where] else " again"
        found = f"{numbers[where]}{again} at entry {where}"
        raise OptionError(what, found=found, expected=f"each of 0…{channels - 1} at most once")


def _kept(kept: Any, channels: int) -> NDArray[Any]:
    """What remains, as a mask or as channel numbers."""
    array = numbers_of("kept", kept)
    if array.size == 0 or (array.dtype.kind == "b" and not array.any()):
        raise OptionError("no channel remains", expected="at least one kept channel")
    if array.ndim != 1 or array.dtype.kind not in "biu":
        found = f"shape {array.shape}, dtype {array.dtype}"
        raise OptionError("kept must be a mask or channel numbers", found=found, expected="booleans or integers")
    if array.dtype.kind == "b":
        if array.size != channels:
            raise OptionError("the mask and the labels differ in length", found=str(array.size), expected=str(channels))
        return array
    _refuse_first_bad(array, channels, "kept names a channel that it cannot (a mask must be boolean)")
    return array.astype(np.int64)


def _equal(channels: int, groups: int) -> Segments:
    try:
        return Segments.uniform(channels, groups)
    except OptionError as error:
        what = f"{channels} channels cannot be cut into {groups} groups of one size"
        hint = "Unequal groups are given by sizes=, one number of channels per group"
        raise OptionError(what, found=error.found, expected=error.expected, hint=hint) from None
