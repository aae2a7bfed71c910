"""What a picture needs of each array, as plain data, from a run's results or from a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.grouping import group_spots
from gridnorm.arrays.matrices import LEVELS
from gridnorm.arrays.raw import FloatArray
from gridnorm.arrays.weights import flag_rule, flagged
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError


@dataclass(frozen=True, eq=False)
class Panel:
    """One array (of several channels: one channel) of a picture.

    ``start``, ``values``: float64 (spot,), before and after; ``covariate``: A, or None; ``before``, ``after``: float64
    (group,), shifts of the groups; ``use``: bool (spot,), spots behind the curves.
    """

    name: str
    noun: str
    method: str
    start: FloatArray
    values: FloatArray
    covariate: FloatArray | None
    segments: Segments
    before: FloatArray
    after: FloatArray
    use: NDArray[np.bool_]


def panels_of(results: ArraySet | Sequence[ArraySet], by: str | None = None) -> list[Panel]:
    """One panel per array, and per channel where arrays have no M.

    Raises
    ------
    OptionError
        A set has not been normalized within arrays, or there is no array.
    """
    sets = [results] if isinstance(results, ArraySet) else results
    panels = [panel for one in sets for panel in _of_set(one, by)]
    if not panels:
        raise OptionError("a figure needs at least one normalized array")
    return panels


def _of_set(arrays: ArraySet, by: str | None) -> list[Panel]:
    if not arrays.fits or arrays.stage != LEVELS:
        raise OptionError("these arrays have not been normalized within arrays", hint="gn.normalize(arrays) does it")
    matrices = [m.name for m in arrays.matrices.values() if m.role == "level"]
    panels = []
    for i, name in enumerate(arrays.names):
        parameters, within = arrays.record(i).history.parameters(), arrays.fits[i]
        grouping = str(parameters["by"])
        noun = by or grouping
        segments = group_spots(grouping, arrays.columns, arrays.layout, arrays.n_spots, options=parameters)
        place = {label: g for g, label in enumerate(within.labels)}
        use = _usable(arrays, i, str(parameters.get("flags", "ignore")))
        for row, matrix in enumerate(matrices):
            before, after = (
                # A group that the set has and this array lacks has no shift.
                np.array([found[place[label]] if label in place else np.nan for label in segments.labels])
                for found in (within.before[row], within.after[row])
            )
            panels.append(
                Panel(
                    name=_title(name, matrix, arrays.record(i).wavelengths),
                    noun="group" if "," in noun or " " in noun else noun,
                    method=str(parameters["method"]),
                    start=within.start[row],
                    values=arrays.values[matrix][i],
                    covariate=arrays.values["A"][i] if "A" in arrays.values else None,
                    segments=segments,
                    before=before,
                    after=after,
                    use=use,
                )
            )
    return panels


def _title(name: str, matrix: str, wavelengths: Sequence[str]) -> str:
    channel = matrix.partition(".")[2]
    if not channel:
        return name
    return f"{name} ({channel} nm)" if channel in wavelengths else f"{name} (channel {channel})"


def _usable(arrays: ArraySet, index: int, flags: str) -> NDArray[np.bool_]:
    """Spots with a weight, and those that were not found: they have none in the result and were in the fit."""
    if arrays.spot_weights is None:
        return np.ones(arrays.n_spots, np.bool_)
    use: NDArray[np.bool_] = arrays.spot_weights[index] > 0
    rule = flag_rule(flags)
    if arrays.flag_codes is None or rule.codes is not None or rule.policy not in ("exclude", "drop"):
        return use
    return use | flagged(arrays.flag_codes[index], arrays.n_spots, arrays.record(index).not_found)
