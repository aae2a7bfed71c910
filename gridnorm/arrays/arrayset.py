"""ArraySet: several arrays with the same spots, as plain NumPy columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import Column, FloatArray, RawArray
from gridnorm.arrays.weights import flagged
from gridnorm.errors import OptionError
from gridnorm.provenance import History

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ArraySet:
    """Arrays × spots, raw or normalized.

    Every matrix is kept array-major, float64 (array, spot), in ``values``; the attributes ``R G Rb Gb E Eb M A`` are
    views of shape (spot, array), as the field is used to.

    Attributes
    ----------
    names
        Name of every array.
    channels
        ``("R", "G")``, ``("E",)``, or the wavelengths of a three- or four-colour scan.
    values
        Matrices by name: ``R G Rb Gb`` (two channels), ``E Eb`` (one), ``M A`` (normalized), ``E.<nm>`` otherwise.
    columns
        Spot columns: ``Block Row Column ID Name X Y`` as far as the files have them, and those asked for.
    layout
        Where the blocks lie on the slide, or None.
    flag_codes
        int64 (array, spot) raw flags, or None.
    spot_weights
        float64 (array, spot): ``W`` of the result, or None where all are 1.
    fits
        One ``WithinResult`` per array after normalization.
    history
        What was done.
    targets
        Columns of the targets table, one entry per array.
    warnings
        Repairs and doubts from reading, in the order of the files.

    Examples
    --------
    >>> import gridnorm as gn
    >>> simulated = gn.simulate(2, blocks=(2, 2), spots=(10, 10), seed=1)
    >>> simulated.arrays.R.shape, simulated.arrays.names
    ((400, 2), ('array1', 'array2'))
    """

    names: tuple[str, ...]
    channels: tuple[str, ...]
    values: Mapping[str, FloatArray]
    columns: Mapping[str, Column]
    layout: Layout | None = None
    flag_codes: NDArray[np.int64] | None = None
    spot_weights: FloatArray | None = None
    fits: tuple[Any, ...] = ()
    history: History = field(default_factory=History)
    targets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_spots(self) -> int:
        return int(next(iter(self.values.values())).shape[1])

    def _matrix(self, name: str) -> FloatArray:
        if name not in self.values:
            have = ", ".join(self.values)
            hint = "Normalize first" if name in "MA" else None
            raise AttributeError(f"these arrays have no {name}; they have {have}" + (f". {hint}" if hint else ""))
        return self.values[name].T

    @property
    def R(self) -> FloatArray:  # noqa: N802
        """Red foreground (spot, array)."""
        return self._matrix("R")

    @property
    def G(self) -> FloatArray:  # noqa: N802
        """Green foreground (spot, array)."""
        return self._matrix("G")

    @property
    def Rb(self) -> FloatArray:  # noqa: N802
        """Red background (spot, array)."""
        return self._matrix("Rb")

    @property
    def Gb(self) -> FloatArray:  # noqa: N802
        """Green background (spot, array)."""
        return self._matrix("Gb")

    @property
    def E(self) -> FloatArray:  # noqa: N802
        """Foreground of one channel; after normalization log2 intensities (spot, array)."""
        return self._matrix("E")

    @property
    def Eb(self) -> FloatArray:  # noqa: N802
        """Background of one channel (spot, array)."""
        return self._matrix("Eb")

    @property
    def M(self) -> FloatArray:  # noqa: N802
        """log2 R − log2 G (spot, array), missing NaN."""
        return self._matrix("M")

    @property
    def A(self) -> FloatArray:  # noqa: N802
        """Mean of log2 R and log2 G (spot, array), missing NaN."""
        return self._matrix("A")

    @property
    def weights(self) -> FloatArray | None:
        """Spot weights (spot, array), or None where all are 1."""
        return None if self.spot_weights is None else self.spot_weights.T

    @property
    def flags(self) -> NDArray[np.int64] | None:
        """Raw flag codes (spot, array)."""
        return None if self.flag_codes is None else self.flag_codes.T

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Spots with a negative flag (spot, array)."""
        if self.flag_codes is None:
            return np.zeros((self.n_spots, len(self)), bool)
        return self.flag_codes.T < 0

    @cached_property
    def spots(self) -> pd.DataFrame:
        """Spot columns as a DataFrame, text decoded; built when first asked for."""
        import pandas as pd

        return pd.DataFrame({name: decoded(column) for name, column in self.columns.items()})

    def to_frame(self) -> pd.DataFrame:
        """The result table: spot columns, ``M.<array> A.<array>`` or ``E.<array>``; ``W.<array>`` if any is not 1."""
        import pandas as pd

        data: dict[str, Any] = {
            name: decoded(column) for name, column in self.columns.items() if name not in ("X", "Y")
        }
        for i, name in enumerate(self.names):
            for matrix in result_names(self.values):
                data[column_title(matrix, name)] = self.values[matrix][i]
            if self.spot_weights is not None:
                data[f"W.{name}"] = self.spot_weights[i]
        return pd.DataFrame(data)

    def raw(self, index: int) -> RawArray:
        """One array as a ``RawArray``, for functions that work array by array."""
        if "M" in self.values or any(name.startswith("E.") for name in self.values):
            raise OptionError(
                "these arrays are normalized already", found=str(self.history), expected="raw intensities"
            )
        foreground = np.stack([self.values[name][index] for name in self.channels])
        backs = [self.values.get(f"{name}b") for name in self.channels]
        background = None if any(b is None for b in backs) else np.stack([b[index] for b in backs if b is not None])
        return RawArray(
            name=self.names[index],
            format="ArraySet",
            version="",
            channels=self.channels,
            wavelengths=("",) * len(self.channels),
            foreground=foreground,
            background=background,
            spots=dict(self.columns),
            flags=None if self.flag_codes is None else self.flag_codes[index],
        )

    def __iter__(self) -> Iterator[RawArray]:
        return (self.raw(i) for i in range(len(self)))

    def with_values(self, values: Mapping[str, FloatArray], operation: str, **parameters: Any) -> ArraySet:
        """The same arrays with other matrices and one more step of history."""
        return replace(self, values=values, history=self.history.then(operation, **parameters))


def from_raw(
    raws: Sequence[RawArray], names: Sequence[str], layout: Layout | None, targets: Mapping[str, Sequence[str]]
) -> ArraySet:
    """Stack arrays whose spots are the same in the same order.

    Raises
    ------
    OptionError
        No array, or one- and two-channel arrays together.
    """
    if not raws:
        raise OptionError("no arrays", expected="at least one")
    channels = raws[0].channels
    other = next((raw for raw in raws if raw.channels != channels), None)
    if other is not None:
        raise OptionError(
            "arrays of different channels cannot be in one set",
            file=other.name,
            found=" ".join(other.channels),
            expected=" ".join(channels) + f" as in {raws[0].name}",
            hint="Give --channels, or run them apart",
        )
    values = {name: np.stack([raw.foreground[k] for raw in raws]) for k, name in enumerate(channels)}
    if all(raw.background is not None for raw in raws):
        values |= {
            f"{name}b": np.stack([raw.background[k] for raw in raws if raw.background is not None])
            for k, name in enumerate(channels)
        }
    flags = None
    if any(raw.flags is not None for raw in raws):
        flags = np.stack([raw.flags if raw.flags is not None else np.zeros(raw.n_spots, np.int64) for raw in raws])
    warnings = tuple(text for raw in raws for text in raw.warnings)
    return ArraySet(
        tuple(names), channels, values, raws[0].spots, layout, flags, None, (), History(), targets, warnings
    )


def decoded(column: Column) -> NDArray[Any]:
    """A spot column for people: bytes become text."""
    if column.dtype.kind != "S":
        return column
    # Distinct values are decoded once: identifiers repeat, and decoding is the slow part.
    unique, inverse = np.unique(column, return_inverse=True)
    texts = np.array([value.decode("utf-8", "replace") for value in unique.tolist()], object)
    return texts[inverse] if texts.size else np.empty(0, object)


def result_names(values: Mapping[str, Any]) -> list[str]:
    """Matrices of a result in table order: M and A, else the intensities."""
    ratio = [name for name in ("M", "A") if name in values]
    return ratio or [name for name in values if not name.endswith("b")]


def column_title(matrix: str, array: str) -> str:
    """``M.<array>``; for wavelengths ``E.<array>.<nm>``."""
    kind, _, wavelength = matrix.partition(".")
    return f"{kind}.{array}.{wavelength}" if wavelength else f"{kind}.{array}"


def count_flagged(raw: RawArray) -> int:
    """Number of spots with a negative flag."""
    return int(np.count_nonzero(flagged(raw.flags, raw.n_spots)))
