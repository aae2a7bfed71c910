"""What a method may look at beside the value of a spot, by the names that its row uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gridnorm.arrays.control_spots import control_spots
from gridnorm.arrays.grouping import Spots, find_column, slide_position
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import FloatArray, RawArray
from gridnorm.errors import OptionError

CONTROL = "control"  # 1 for control spots, 0 for others


def covariate_of(name: str, raw: RawArray, layout: Layout | None, options: Mapping[str, Any]) -> FloatArray:
    """One covariate, float64 (1, spot): ``control``, a name of ``COVARIATES``, or a spot column of numbers.

    ``options`` are those of the method, all of them.

    Raises
    ------
    OptionError
        No such column, or its cells are text; types of control spots that no spot has.
    FitError
        No spot is a control spot.
    LayoutError
        It needs positions that the file does not have.
    """
    if name == CONTROL:
        return control_spots(raw, options).astype(np.float64)[None, :]
    known = COVARIATES.get(name)
    if known is not None:
        return known(Spots(raw.spots, layout, raw.n_spots, raw.name))[None, :]
    column = raw.spots[find_column(name, raw.spots, raw.name, "method")]
    if column.dtype.kind not in "fiu":
        raise OptionError(f"the covariate {name!r} is text", file=raw.name, expected="numbers")
    return column.astype(np.float64)[None, :]


def _slide_row(spots: Spots) -> FloatArray:
    return slide_position(spots.columns, spots.need_layout("slide-row"))[0].astype(np.float64)


def _slide_column(spots: Spots) -> FloatArray:
    return slide_position(spots.columns, spots.need_layout("slide-column"))[1].astype(np.float64)


COVARIATES: dict[str, Callable[[Spots], FloatArray]] = {"slide-row": _slide_row, "slide-column": _slide_column}
