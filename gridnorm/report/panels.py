"""What a picture needs of each array, as plain data, from a run's results or from a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.grouping import group_spots
from gridnorm.arrays.raw import FloatArray
from gridnorm.arrays.within import group_shifts
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError
from gridnorm.workflow.one import ArrayResult


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


def panels_of(results: ArraySet | Sequence[ArrayResult], by: str | None) -> list[Panel]:
    """One panel per array, and per channel where arrays have no M.

    Raises
    ------
    OptionError
        The set has not been normalized within arrays, or there is no array.
    """
    if isinstance(results, ArraySet):
        panels = _of_set(results, by)
    else:
        panels = [panel for result in results for panel in _of_result(result, by or "print-tip")]
    if not panels:
        raise OptionError("a figure needs at least one normalized array")
    return panels


def _of_result(result: ArrayResult, by: str) -> list[Panel]:
    use = _usable(result.weights, result.n_spots)
    method = str(result.used["method"])
    return [
        _panel(
            _title(result.name, matrix), by, method, result.within.start[row], values, result.values.get("A"),
            result.segments, result.within.before[row], result.within.after[row], use,
        )
        for row, (matrix, values) in enumerate((m, v) for m, v in result.values.items() if m != "A")
    ]  # fmt: skip


def _of_set(arrays: ArraySet, by: str | None) -> list[Panel]:
    done = [step for step in arrays.history.steps if step.operation == "normalize_within"]
    if not arrays.fits or not done:
        raise OptionError("these arrays have not been normalized within arrays", hint="gn.normalize(arrays) does it")
    parameters = done[-1].parameters
    grouping = str(parameters["by"])
    segments = group_spots(grouping, dict(arrays.columns), arrays.layout, arrays.n_spots)
    matrices = [name for name in arrays.values if name == "M" or name.partition(".")[0] == "E"]
    panels = []
    for i, name in enumerate(arrays.names):
        use = _usable(None if arrays.spot_weights is None else arrays.spot_weights[i], arrays.n_spots)
        covariate = arrays.values["A"][i] if "A" in arrays.values else None
        for row, matrix in enumerate(matrices):
            within, values = arrays.fits[i], arrays.values[matrix][i]
            before, after = within.before[row], within.after[row]
            if before.size != segments.n_segments:  # an array that lacks groups the set has
                ratio = covariate is not None
                both = (within.start[row][None, :], values[None, :])
                before, after = (group_shifts(v, segments, use, ratio)[1][0] for v in both)
            panels.append(
                _panel(
                    _title(name, matrix), by or grouping, str(parameters["method"]), within.start[row], values,
                    covariate, segments, before, after, use,
                )
            )  # fmt: skip
    return panels


def _panel(
    name: str, by: str, method: str, start: FloatArray, values: FloatArray, covariate: FloatArray | None,
    segments: Segments, before: FloatArray, after: FloatArray, use: NDArray[np.bool_],
) -> Panel:  # fmt: skip
    noun = "group" if "," in by or " " in by else by
    return Panel(name, noun, method, start, values, covariate, segments, before, after, use)


def _title(name: str, matrix: str) -> str:
    wavelength = matrix.partition(".")[2]
    return f"{name} ({wavelength} nm)" if wavelength else name


def _usable(weights: FloatArray | None, n: int) -> NDArray[np.bool_]:
    return np.ones(n, np.bool_) if weights is None else weights > 0
