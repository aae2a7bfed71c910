"""Which spots of a normalized array are good: those that its flags and weights let into a fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.matrices import LEVEL, LEVELS
from gridnorm.arrays.spot_types import EXCLUDE_TYPES, FIT_TYPES, TYPE, UNTYPED, use_of_types
from gridnorm.arrays.weights import flag_rule, flagged
from gridnorm.core.fit import fit
from gridnorm.core.segments import Segments, distinct


def used(arrays: ArraySet, index: int) -> NDArray[np.bool_]:
    """Spots of an array that may teach, bool (spot,): with a weight, or not found, as far as flags let these in.

    A spot that was not found has ``W`` 0 and is in every fit nevertheless (``use_of``): it is dim, not wrong, and
    without it what is left looks too bright.
    """
    weights = arrays.spot_weights
    if weights is None:
        return np.ones(arrays.n_spots, np.bool_)
    use: NDArray[np.bool_] = weights[index] > 0
    known = arrays.record(index)
    rule = flag_rule(known.history.parameters().get("flags", "ignore"))
    if arrays.flag_codes is None or not known.not_found or rule.codes is not None:
        return use
    if rule.policy not in ("exclude", "drop"):
        return use
    return use | flagged(arrays.flag_codes[index], arrays.n_spots, known.not_found)


def types_for(
    arrays: ArraySet, exclude: str | Sequence[str] | None, fit: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Spot types that teach nothing, and those that alone teach: as given, or as they were within arrays."""
    known = arrays.history.parameters()
    given = [(EXCLUDE_TYPES, exclude), (FIT_TYPES, fit)]
    read = [option.read(known.get(option.name, ()) if words is None else words) for option, words in given]
    return tuple(read[0]), tuple(read[1])


def in_fits(arrays: ArraySet, index: int, exclude: Sequence[str] = (), fit: Sequence[str] = ()) -> NDArray[np.bool_]:
    """The good spots of an array, bool (spot,), without those whose type keeps them out.

    Raises
    ------
    OptionError, FitError
        As ``use_of_types``.
    """
    return use_of_types(used(arrays, index), arrays.spots_of(index), exclude, fit)


def type_levels(arrays: ArraySet, index: int) -> dict[str, dict[str, dict[str, Any]]]:
    """What the good spots of each type came to, by type and level matrix: their number, median and MAD."""
    column = arrays.columns.get(TYPE)
    if column is None or column.dtype.kind != "S" or arrays.stage != LEVELS:
        return {}
    names, codes = distinct(column)
    segments, good = Segments.from_codes(codes, range(len(names))), used(arrays, index)
    out: dict[str, dict[str, dict[str, Any]]] = {}
    for matrix in arrays.matrices.values():
        if matrix.role != LEVEL:
            continue
        found = fit(arrays.values[matrix.name][index], segments, "mad", use=good)
        for k, name in enumerate(names):
            numbers = (found.location[0, k], found.scale[0, k])
            median, mad = (float(f"{one:.9g}") if np.isfinite(one) else None for one in numbers)
            word = name.decode("utf-8", "replace") or UNTYPED
            out.setdefault(word, {})[matrix.name] = {"n": int(found.n[0, k]), "median": median, "mad": mad}
    return out
