"""One array as a reader delivers it: plain data, nothing corrected yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.provenance import InputDigest

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Column = NDArray[Any]

FULL_SCALE = 65535  # of a 16-bit scanner: what lies there is saturated
NOT_FOUND = (-50,)  # GenePix, whose flags arrays have that come from no file: a spot too dim for it to find


@dataclass(frozen=True)
class ReadOptions:
    """What a reader is asked to deliver.

    ``settings`` holds values of the options that the format's row takes, by name; one that is absent has the row's
    default. ``extra`` names further spot columns, ``measures`` columns of each channel, whose number stands for
    ``{nm}``. ``keys_only`` leaves out Name, X and Y, which files after the first do not need.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    keys_only: bool = False
    measures: tuple[str, ...] = ()


class Scan(NamedTuple):
    """One of the scans that an array was merged from.

    ``channels``: by channel its ``offset``, its ``gain`` (1 for the lowest) and how many spots are ``saturated``.
    """

    file: str
    digest: InputDigest | None
    channels: Mapping[str, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """As the sidecar has it."""
        return {"file": self.file, "channels": {name: dict(found) for name, found in self.channels.items()}}


@dataclass(frozen=True, eq=False)
class RawArray:
    """One array file, decoded.

    Shapes: ``foreground`` and ``background`` are (channel, spot) float64, missing and infinite cells NaN.
    Text columns are NumPy bytes arrays (dtype ``S``) in UTF-8, numeric ones float64 or integers. ``settings`` are the
    options of its format with the values that were in force, ``taken`` the columns that the intensities come from.
    ``not_found`` are the codes among ``flags`` of spots that the image software did not find.
    ``absent`` marks rows of a set that stand for spots which the file does not have; None: it has all.
    ``part_of`` names the array that this is a part of, where it is one. ``grid`` has the rows and columns of blocks
    where the file says them. ``scans``: of an array that several scans of its slide were merged into, those.
    ``measures``: of each channel, what the background method looks at: columns of this array that no set shares.
    """

    name: str
    format: str
    version: str
    channels: tuple[str, ...]
    wavelengths: tuple[str, ...]
    foreground: FloatArray
    background: FloatArray | None
    spots: dict[str, Column]
    flags: NDArray[np.int64] | None = None
    header: dict[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    taken: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    missing: int = 0
    infinite: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    absent: NDArray[np.bool_] | None = None
    not_found: tuple[int, ...] = NOT_FOUND
    part_of: str = ""
    grid: tuple[int, int] | None = None
    scans: tuple[Scan, ...] = ()
    measures: tuple[Mapping[str, FloatArray], ...] = ()

    @property
    def whole(self) -> str:
        """What messages call the array that was read, for what holds of all its parts alike."""
        return self.part_of or self.name

    @property
    def n_spots(self) -> int:
        return int(self.foreground.shape[1])

    def with_warnings(self, *texts: str) -> RawArray:
        return replace(self, warnings=self.warnings + texts)


def reordered(raw: RawArray, order: NDArray[np.int64]) -> RawArray:
    """The same array with its spots in another order."""
    return replace(
        raw,
        foreground=raw.foreground[:, order],
        background=None if raw.background is None else raw.background[:, order],
        spots={name: column[order] for name, column in raw.spots.items()},
        flags=None if raw.flags is None else raw.flags[order],
        measures=measures_of(raw, order),
    )


def measures_of(raw: RawArray, rows: NDArray[np.int64]) -> tuple[dict[str, FloatArray], ...]:
    """The measures of an array at some of its spots."""
    return tuple({title: column[rows] for title, column in one.items()} for one in raw.measures)
