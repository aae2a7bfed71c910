"""Some spots or arrays of a set, and the set as a page shows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.given import kind_of, placed
from gridnorm.arrays.join import moved
from gridnorm.arrays.stack import stack
from gridnorm.core.option import nearest
from gridnorm.errors import OptionError, UnknownNameError

SHOWN_ROWS = 20  # arrays in the table of a page
HOW = 'arrays["slide1"], arrays[:100] (spots), arrays[:, 0] or arrays[spots, "slide1"]'


def subset(arrays: ArraySet, key: Any) -> ArraySet:
    """What ``arrays[key]`` is: names pick arrays, everything else picks spots; with two keys, spots first.

    Raises
    ------
    OptionError
        No array of this name (also a ``KeyError``), numbers out of range, or a key that can mean both.
    """
    if isinstance(key, tuple):
        if len(key) != 2:
            raise OptionError("arrays have two axes", found=f"{len(key)} keys", expected=HOW)
        spots, which = key
    elif _is_name(key) or (isinstance(key, list) and key and all(map(_is_name, key))):
        spots, which = slice(None), key
    elif isinstance(key, int | np.integer):
        raise OptionError(
            "a number alone could be a spot or an array", found=f"[{key}]",
            expected=f"[:, {key}] for the array, [[{key}]] for the spot",
        )  # fmt: skip
    else:
        spots, which = key, slice(None)
    if not _is_all(which):
        arrays = _of_arrays(arrays, _numbers(arrays, which))
    return arrays if _is_all(spots) else of_spots(arrays, _rows(arrays, spots))


def of_spots(arrays: ArraySet, rows: NDArray[np.int64]) -> ArraySet:
    """The same arrays with these spots; what was fitted to all of them stays as it was."""
    records = [arrays.record(k) for k in range(len(arrays))]
    done = replace(
        moved(arrays, rows),
        columns={title: column[rows] for title, column in arrays.columns.items()},
        absent=None if arrays.absent is None else arrays.absent[:, rows],
    )
    flagged, nothing = done.flagged.sum(axis=0), np.zeros(len(done), np.int64)
    for matrix in done.values.values():
        nothing = np.maximum(nothing, np.isnan(matrix).sum(axis=1))
    here = np.full(len(done), rows.size) if done.absent is None else (~done.absent).sum(axis=1)
    step = {"rows": int(rows.size)}
    known = [
        record._replace(
            spots=int(here[k]), flagged=int(flagged[k]), missing=int(nothing[k] - (rows.size - here[k])), infinite=0,
            history=record.history.then("subset", **step),
        )
        for k, record in enumerate(records)
    ]  # fmt: skip
    return replace(done, records=tuple(known), history=arrays.history.then("subset", **step))


def _of_arrays(arrays: ArraySet, numbers: list[int]) -> ArraySet:
    if not numbers:
        raise OptionError("no array is left", found="0 arrays", expected="one or more")
    if numbers == list(range(len(arrays))):
        return arrays
    done = stack([arrays.part(k) for k in numbers])
    targets = {title: [cells[k] for k in numbers] for title, cells in arrays.targets.items()}
    return replace(done, targets=targets)


def _is_name(key: Any) -> bool:
    return isinstance(key, str)


def _is_all(key: Any) -> bool:
    return isinstance(key, slice) and key == slice(None)


def _numbers(arrays: ArraySet, key: Any) -> list[int]:
    """Numbers of the arrays that a key means: a name or a number, several, a slice, or a mask."""
    if _is_name(key):
        return [_number(arrays, key)]
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        key = [key]
    if not isinstance(key, slice) and hasattr(key, "__iter__"):
        key = list(key)
        if key and all(map(_is_name, key)):
            return [_number(arrays, name) for name in key]
    return [int(k) for k in _picked(key, len(arrays), "array")]


def _number(arrays: ArraySet, name: str) -> int:
    if name in arrays.names:
        return arrays.names.index(name)
    near = nearest(name, arrays.names)
    shown = ", ".join(arrays.names[:3]) + (f" and {len(arrays) - 3} more" if len(arrays) > 3 else "")
    raise UnknownNameError(
        "no array of this name", found=repr(name), expected=shown,
        hint=f"Did you mean {near!r}?" if near else "Spots are chosen by slices, numbers and masks",
    )  # fmt: skip


def _rows(arrays: ArraySet, key: Any) -> NDArray[np.int64]:
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        key = [key]
    return _picked(placed(key, arrays, "the spots") if _is_mask(key) else key, arrays.n_spots, "spot")


def _is_mask(key: Any) -> bool:
    return getattr(getattr(key, "dtype", None), "kind", "") == "b"


def _picked(key: Any, n: int, what: str) -> NDArray[np.int64]:
    """Positions that a slice, numbers or a mask pick among ``n``."""
    if isinstance(key, slice):
        try:
            return np.arange(n)[key]
        except TypeError:
            raise OptionError(f"a slice of {what}s needs whole numbers", found=f"{key.start}:{key.stop}") from None
    given = np.asarray(key if hasattr(key, "__len__") else [key])
    if given.size == 0:
        return np.empty(0, np.int64)
    if given.ndim != 1 or given.dtype.kind not in "biu":
        raise OptionError(f"this chooses no {what}s", found=kind_of(key), expected=HOW)
    if given.dtype.kind == "b":
        if given.size != n:
            raise OptionError(f"the mask of {what}s has another length", found=str(given.size), expected=str(n))
        return np.flatnonzero(given)
    wrong = given[(given < -n) | (given >= n)]
    if wrong.size:
        raise OptionError(f"there is no such {what}", found=str(wrong[0]), expected=f"0 to {n - 1}")
    return np.where(given < 0, given + n, given).astype(np.int64)


def html(arrays: ArraySet) -> str:
    """A small table for a notebook; every text in it is escaped."""
    from html import escape

    from gridnorm.plain import one_line

    def row(cells: list[Any], tag: str = "td") -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(one_line(str(cell)))}</{tag}>" for cell in cells) + "</tr>"

    titles = ["array", "file", "spots", "flagged", "missing", "groups", "fits"]
    lines = [row(titles, "th")]
    for k, name in enumerate(arrays.names[:SHOWN_ROWS]):
        record = arrays.record(k)
        fit = arrays.fits[k] if arrays.fits else None
        sources = [] if fit is None else fit.sources()
        fits = ", ".join(f"{sources.count(word)} {word}" for word in dict.fromkeys(sources))
        lines.append(row([name, record.file, record.spots, record.flagged, record.missing, len(sources) or "", fits]))
    more = len(arrays) - SHOWN_ROWS
    after = f"<p>and {more} more</p>" if more > 0 else ""
    n = "1 array" if len(arrays) == 1 else f"{len(arrays)} arrays"
    head = escape(one_line(f"{n} of {arrays.n_spots} spots; {' '.join(arrays.values)}; {arrays.history}"))
    return f"<p><b>ArraySet</b>: {head}</p><table>{''.join(lines)}</table>{after}"
