"""What people hand over in Python: sets, and labels and weights of their spots, which go by the index they bring."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any

import numpy as np

from gridnorm.arrays.arrayset import ArraySet, decoded
from gridnorm.arrays.grouping import GROUPINGS, SPLITS, Grouping
from gridnorm.arrays.join import unique_among
from gridnorm.arrays.raw import Column
from gridnorm.core.segments import NONE_LABEL, Segments
from gridnorm.core.tables import aligned, labelled
from gridnorm.errors import OptionError

LABELS = "labels"  # the column that labels without a name make


def as_arrays(given: Any) -> ArraySet:
    """A set of arrays.

    Raises
    ------
    OptionError
        It is something else; the message says how to make a set of it.
    """
    if isinstance(given, ArraySet):
        return given
    if isinstance(getattr(type(given), "arrays", None), property):
        hint = "Give its .arrays"
    elif hasattr(given, "columns"):
        hint = "gn.read(frame, columns=…) makes one of a DataFrame"
    elif isinstance(given, str) or hasattr(given, "__fspath__"):
        hint = "gn.read(path) makes one of files"
    else:
        hint = "gn.read makes one of files and of a DataFrame; gn.normalize_groups takes plain numbers"
    raise OptionError("no set of arrays", found=kind_of(given), expected="an ArraySet", hint=hint)


def kind_of(given: Any) -> str:
    """What a thing is, for a message."""
    word = type(given).__name__
    return f"{'an' if word[0] in 'AEIOUaeiou' else 'a'} {word}"


def placed(given: Any, arrays: ArraySet, name: str) -> Any:
    """Data of pandas in the order of a set, as a NumPy array; what has no index goes by position.

    Parameters
    ----------
    given
        A Series goes by the index of ``arrays.spots``; where its index is text, by ID. The columns of a DataFrame are
        the names of arrays, in any order.
    name
        What messages call it.

    Raises
    ------
    OptionError
        An index has other entries than the set, or one of them twice.
    """
    if not labelled(given):
        return given
    import pandas as pd

    if hasattr(given, "columns"):
        given = aligned(given, (None, pd.Index(arrays.names)), name, "arrays")
    spots: Any = pd.RangeIndex(arrays.n_spots)
    if given.index.dtype.kind == "O" and "ID" in arrays.columns:
        spots = pd.Index(decoded(arrays.columns["ID"]))
        if given.index.is_unique and not spots.is_unique:  # one label for every spot of a probe
            lacking = ~np.isin(spots, given.index)
            if not lacking.any():
                return given.loc[spots].to_numpy()
            spots = spots.unique()
    return aligned(given, (spots,), name, "spots").to_numpy()


def refuse_first_weights(arrays: ArraySet, spec: str) -> None:
    """Refuse weights from a column where several arrays were read from files: a set has the columns of its first one.

    Raises
    ------
    OptionError
    """
    if spec == "none" or len(arrays) < 2 or arrays.record(0).digest is None:
        return
    raise OptionError(
        "arrays that have been read share their spot columns, which are those of the first", file=arrays.record(0).file,
        found=f"weights={spec!r} for {len(arrays)} arrays",
        hint="Give the files to gn.normalize, or weights as numbers, (spot, array)",
    )  # fmt: skip


def is_labels(given: Any) -> bool:
    """Whether this is one label for every spot, and no word or row; a tuple holds several groupings."""
    words = isinstance(given, str | bytes | tuple | Mapping | Set)  # a Grouping is a tuple, too
    return not words and hasattr(given, "__len__")


def with_labels(arrays: ArraySet, by: Any, option: str = "by") -> tuple[ArraySet, Any]:
    """A set that has the labels of ``by`` as a column, and the word that names it; other words stay as they are.

    Parameters
    ----------
    arrays
        The set; ``by`` goes by its spots.
    by
        What ``by`` or ``split`` was given: a word, a row, one label a spot, or a tuple of these.

    Raises
    ------
    OptionError
        Labels that do not fit the spots.
    """
    several = isinstance(by, tuple) and not isinstance(by, Grouping)
    columns, words = dict(arrays.columns), []
    for part in by if several else (by,):
        if is_labels(part):
            one = column_of(placed(part, arrays, option), arrays.n_spots, option)
            title = title_of(part)
            same = title in columns and columns[title].dtype.kind == one.dtype.kind and (columns[title] == one).all()
            part = title if same else unique_among(columns, title)
            columns[part] = one
        words.append(part)
    made = arrays if len(columns) == len(arrays.columns) else replace(arrays, columns=columns)
    return made, tuple(words) if several else words[0]


def title_of(labels: Any) -> str:
    """What labels are called: their own name, unless it means something else already."""
    name = getattr(labels, "name", None)
    usable = isinstance(name, str) and name and name == name.strip() and "," not in name
    return str(name) if usable and name not in GROUPINGS and name not in SPLITS else LABELS


def column_of(labels: Any, n_spots: int, option: str) -> Column:
    """Labels as a spot column: numbers, or text; missing ones are NaN or empty.

    Raises
    ------
    OptionError
        Not one label for every spot, or two that are the same text.
    """
    if hasattr(labels, "columns") or getattr(labels, "ndim", 1) != 1:
        raise OptionError(
            f"{option} takes one label for every spot", found=f"{kind_of(labels)} of shape {labels.shape}",
            expected=f"({n_spots},)", hint="Give the columns of a table one by one, several as a tuple",
        )  # fmt: skip
    groups = Segments.from_labels(labels)
    if groups.n_items != n_spots:
        raise OptionError(
            f"{option} has not one label for every spot", found=f"{groups.n_items} labels",
            expected=f"{n_spots}, as many as spots",
            hint='Several groupings are one text, such as "Block,Row", or a tuple',
        )  # fmt: skip
    missing = groups.labels[-1:] == (NONE_LABEL,)
    present = groups.labels[:-1] if missing else groups.labels
    if present and all(isinstance(label, int | float) and not isinstance(label, bool) for label in present):
        known: Column = np.array([*present, np.nan] if missing else present)
    else:
        texts = [str(label) for label in present]
        if len(set(texts)) < len(texts):
            twice = next(text for text in texts if texts.count(text) > 1)
            raise OptionError(f"different labels of {option} are the same text", found=repr(twice))
        known = np.array([text.encode("utf-8", "replace") for text in [*texts, *([""] if missing else [])]], dtype="S")
    return known[groups.codes]
