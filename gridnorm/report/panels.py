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
from gridnorm.arrays.spot_types import TYPE
from gridnorm.arrays.used import in_fits, types_for
from gridnorm.arrays.within import group_shifts
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError


@dataclass(frozen=True, eq=False)
class Panel:
    """One array (of several channels: one channel) of a picture.

    ``start``, ``values``: float64 (spot,), before and after; ``covariate``: A, or None; ``before``, ``after``: float64
    (group,), shifts of the groups; ``use``: bool (spot,), spots behind the curves; ``between``: the method that made
    arrays alike after the one within them: ``values``, ``after`` and ``covariate`` are those after both.
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
    between: str = "none"


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
        between = str(parameters.get("between", "none"))
        judged = in_fits(arrays, i, *_types(arrays, ()))  # as groups were compared within the array
        drawn = in_fits(arrays, i, *_types(arrays, None))
        for row, matrix in enumerate(matrices):
            before, after = (
                # A group that the set has and this array lacks has no shift.
                np.array([found[place[label]] if label in place else np.nan for label in segments.labels])
                for found in (within.before[row], within.after[row])
            )
            values = arrays.values[matrix][i]
            if between != "none":
                after = group_shifts(values[None], segments, judged, "A" in arrays.values)[1][0]
            panels.append(
                Panel(
                    name=_title(name, matrix, arrays.record(i).wavelengths),
                    noun="group" if "," in noun or " " in noun else noun,
                    method=str(parameters["method"]),
                    start=within.start[row],
                    values=values,
                    covariate=arrays.values["A"][i] if "A" in arrays.values else None,
                    segments=segments,
                    before=before,
                    after=after,
                    use=drawn,
                    between=between,
                )
            )
    return panels


def _types(arrays: ArraySet, fit: tuple[()] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Spot types that were in no fit, and alone in it; of rows that have lost their types none."""
    return types_for(arrays, None, fit) if TYPE in arrays.columns else ((), ())


def _title(name: str, matrix: str, wavelengths: Sequence[str]) -> str:
    channel = matrix.partition(".")[2]
    if not channel:
        return name
    return f"{name} ({channel} nm)" if channel in wavelengths else f"{name} (channel {channel})"
