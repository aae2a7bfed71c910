"""Series and tables that bring an index: it says which number belongs to which, not the order they happen to have."""

from __future__ import annotations

from typing import Any

from gridnorm.errors import OptionError
from gridnorm.plain import few


def labelled(given: Any) -> bool:
    """Whether these data have an index, as a Series and a DataFrame of pandas do."""
    return hasattr(given, "to_numpy") and hasattr(given, "index")


def indexes_of(given: Any) -> tuple[Any, ...]:
    """The index of each axis; empty where there is none."""
    if not labelled(given):
        return ()
    return (given.index, given.columns) if hasattr(given, "columns") else (given.index,)


def aligned(given: Any, wanted: tuple[Any, ...], name: str, whose: str = "values") -> Any:
    """``given`` in the order of these indexes, one an axis; None leaves an axis as it is.

    What has no index goes by position, and so does what has the very same one, repeated entries included.

    Raises
    ------
    OptionError
        An index holds other entries, or cannot be matched because an entry is there twice.

    Examples
    --------
    >>> import pandas as pd
    >>> aligned(pd.Series([1, 2], index=["b", "a"]), (pd.Index(["a", "b"]),), "weights").tolist()
    [2, 1]
    """
    for axis, (found, index) in enumerate(zip(indexes_of(given), wanted, strict=False)):
        if index is None or found.equals(index):
            continue
        at = _places(found, index, name, whose)
        given = given.iloc[at] if axis == 0 else given.iloc[:, at]
    return given


def _places(found: Any, index: Any, name: str, whose: str) -> Any:
    hint = f"To go by position give {name} as an array, for example with .to_numpy()"
    if not (found.is_unique and index.is_unique):
        twice = found if not found.is_unique else index
        raise OptionError(
            f"the index of {name} cannot be matched with that of the {whose}",
            found=f"{_listed(twice[twice.duplicated()][:1])} more than once",
            expected="every entry once, or the same index", hint=hint,
        )  # fmt: skip
    at = found.get_indexer(index)
    lacking, strange = index[at < 0], found[index.get_indexer(found) < 0]
    if len(lacking) or len(strange):
        said = [("lacks", lacking), ("has beside them", strange)]
        raise OptionError(
            f"the index of {name} is not that of the {whose}",
            found="; ".join(f"it {verb} {_listed(entries)}" for verb, entries in said if len(entries)),
            expected="the same entries, in any order", hint=hint,
        )  # fmt: skip
    return at


def _listed(entries: Any) -> str:
    return few(map(repr, entries.tolist()))
