"""Sets of the same rows into one set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.matrices import declared
from gridnorm.errors import OptionError, option_word
from gridnorm.provenance import common


def stack(sets: Sequence[ArraySet], *, like: ArraySet | None = None) -> ArraySet:
    """Sets whose spots are the same in the same order, one after the other.

    Parameters
    ----------
    sets
        At least one; spot columns and layout are the first one's.
    like
        A set that these came from: spot columns, layout, targets and warnings are its own.

    Raises
    ------
    OptionError
        No set, or sets of different channels or stages.
    """
    if not sets:
        raise OptionError("no arrays", expected="at least one")
    first = sets[0]
    same_kind(sets)
    names = [name for name in declared(first.channels, first.stage) if any(name in one.values for one in sets)]
    done = replace(
        first,
        names=tuple(name for one in sets for name in one.names),
        # An array whose background was not measured has NaN beside those whose was.
        values={name: _rows([one.values.get(name, _nothing(one)) for one in sets]) for name in names},
        flag_codes=_filled(sets, "flag_codes", lambda shape: np.zeros(shape, np.int64)),
        spot_weights=_filled(sets, "spot_weights", np.ones),
        absent=_filled(sets, "absent", lambda shape: np.zeros(shape, np.bool_)),
        fits=tuple(fit for one in sets for fit in one.fits),
        history=common([one.history for one in sets]),
        warnings=_said(sets),
        records=tuple(record for one in sets for record in one.records),
    )
    if done.absent is not None and done.spot_weights is not None:
        done = replace(done, spot_weights=np.where(done.absent, np.nan, done.spot_weights))
    done = replace(done, fits=tuple(_viewing(done, i) for i in range(len(done.fits))))
    if like is None:
        return done
    seen = set(like.warnings)
    warnings = (*like.warnings, *(text for text in done.warnings if text not in seen))
    return replace(
        done, columns=like.columns, layout=like.layout, targets=like.targets, keep=like.keep, origin=like.origin,
        warnings=warnings,
    )  # fmt: skip


def same_kind(sets: Sequence[ArraySet]) -> None:
    """Arrays of one table have the same channels.

    Raises
    ------
    OptionError
        Naming the first array that differs.
    """
    first = sets[0]
    for one in sets[1:]:
        if (one.channels, one.stage) != (first.channels, first.stage):
            raise OptionError(
                "arrays of different channels cannot be in one set",
                file=_file(one),
                found=" ".join(one.channels),
                expected=f"{' '.join(first.channels)} as in {_file(first)}",
                hint=f"Run them apart, or choose with {option_word('channels')}",
            )


def _said(sets: Sequence[ArraySet]) -> tuple[str, ...]:
    """Warnings of all sets; what concerns a whole file, which its parts repeat, once."""
    out: list[str] = []
    of: Any = None
    said: set[str] = set()
    for one in sets:
        known = one.records[0] if one.records else None
        file = None if known is None or not known.part else (known.file, known.digest)
        if file is None or file != of:
            of, said = file, set()
        out += [text for text in one.warnings if text not in said]
        said.update(one.warnings if file else ())
    return tuple(out)


def _file(one: ArraySet) -> str:
    return one.records[0].file if one.records else one.names[0]


def _nothing(one: ArraySet) -> Any:
    return np.full((len(one), one.n_spots), np.nan)


def _rows(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _filled(sets: Sequence[ArraySet], name: str, blank: Callable[[tuple[int, int]], Any]) -> Any:
    """A matrix that some sets lack; None where all do."""
    parts = [getattr(one, name) for one in sets]
    if all(part is None for part in parts):
        return None
    return _rows(
        [blank((len(one), one.n_spots)) if part is None else part for part, one in zip(parts, sets, strict=True)]
    )


def _viewing(arrays: ArraySet, index: int) -> Any:
    """The fit of one array with its values as a view of the set's: they are kept once."""
    levels = [m.name for m in arrays.matrices.values() if m.role == "level"]
    if len(levels) != 1:
        return arrays.fits[index]
    return replace(arrays.fits[index], values=arrays.values[levels[0]][index : index + 1])
