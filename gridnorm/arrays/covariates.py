"""What a method may look at beside the value of a spot, by the names that its row uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gridnorm.arrays.control_spots import CONTROL_TYPE, needed_controls
from gridnorm.arrays.grouping import Spots, find_column, slide_position
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.matching import OPTIONS, match_codes
from gridnorm.arrays.raw import FloatArray, RawArray
from gridnorm.core.option import Option, effective
from gridnorm.errors import OptionError


class Covariate(NamedTuple):
    """One row of ``COVARIATES``: ``of(spots, options)`` gives a number of every spot, ``options`` are what it takes."""

    of: Callable[[Spots, Mapping[str, Any]], FloatArray]
    options: tuple[Option, ...] = ()


def covariate_options(names: Iterable[str]) -> tuple[Option, ...]:
    """The options that covariates of these names take."""
    return tuple(option for name in names if name in COVARIATES for option in COVARIATES[name].options)


def covariate_of(
    name: str, raw: RawArray, layout: Layout | None, options: Mapping[str, Any] | None = None
) -> FloatArray:
    """One covariate, float64 (1, spot): a name of ``COVARIATES``, or a spot column of numbers.

    ``options``: its own, with their effective values; None: their defaults.

    Raises
    ------
    OptionError
        No such column, or its cells are text; types of control spots that no spot has.
    FitError
        No spot is a control spot.
    LayoutError
        It needs positions that the file does not have.
    """
    known = COVARIATES.get(name)
    if known is not None:
        spots = Spots(raw.spots, layout, raw.n_spots, raw.name)
        return known.of(spots, effective(known.options, options or {}))[None, :]
    column = raw.spots[find_column(name, raw.spots, raw.name, "method")]
    if column.dtype.kind not in "fiu":
        raise OptionError(f"the covariate {name!r} is text", file=raw.name, expected="numbers")
    return column.astype(np.float64)[None, :]


def _slide_row(spots: Spots, options: Mapping[str, Any]) -> FloatArray:
    return slide_position(spots.columns, spots.need_layout("slide-row"))[0].astype(np.float64)


def _slide_column(spots: Spots, options: Mapping[str, Any]) -> FloatArray:
    return slide_position(spots.columns, spots.need_layout("slide-column"))[1].astype(np.float64)


def _control(spots: Spots, options: Mapping[str, Any]) -> FloatArray:
    return needed_controls(spots.columns, spots.n_spots, options, spots.file).astype(np.float64)


def _match(spots: Spots, options: Mapping[str, Any]) -> FloatArray:
    return match_codes(spots.columns, spots.n_spots, options, spots.file)


COVARIATES: dict[str, Covariate] = {
    "slide-row": Covariate(_slide_row),
    "slide-column": Covariate(_slide_column),
    "control": Covariate(_control, (CONTROL_TYPE,)),
    "match": Covariate(_match, OPTIONS),
}
