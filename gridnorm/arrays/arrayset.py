"""ArraySet: several arrays with the same spots, as plain NumPy columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.grouping import find_column
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.matrices import BACKGROUND, INTENSITIES, REPLICATES, Matrix, declared
from gridnorm.arrays.raw import NOT_FOUND, Column, FloatArray, RawArray
from gridnorm.arrays.record import ArrayRecord, record_of
from gridnorm.errors import OptionError
from gridnorm.plain import few
from gridnorm.provenance import History, InputDigest

if TYPE_CHECKING:
    import pandas as pd

SPOT_COLUMNS = ("Block", "Row", "Column", "ID", "Name", "X", "Y")  # what every reader delivers where the file has it
SHOWN = SPOT_COLUMNS[:5]  # in a table, without being asked for


class Origin(NamedTuple):
    """Where a set came from, beside its arrays.

    ``extra``: further files that were read; ``skipped``: files found that are no arrays, and ``failed``: arrays that
    failed, each with the reason.
    """

    extra: tuple[InputDigest, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class ArraySet:
    """Spots × arrays, raw or normalized.

    Every matrix is kept array-major, float64 (array, spot), in ``values``; the attributes ``R G Rb Gb E Eb M A`` are
    views of shape (spot, array), as the field is used to, and as is ``shape``.

    A set is indexed as a DataFrame of that shape is: a name picks an array, ``arrays["slide1"]`` or
    ``arrays[["slide1", "slide2"]]``; a slice, numbers or a mask pick spots, ``arrays[:100]``; two keys are spots and
    arrays, ``arrays[:100, "slide1"]``, ``arrays[:, 0]``. What comes out is a set again. ``len(arrays)`` is the number
    of arrays, ``"slide1" in arrays`` asks for a name, and ``for one in arrays`` gives sets of one array.

    Attributes
    ----------
    names
        Name of every array.
    channels
        ``("R", "G")``, ``("E",)``, or the wavelengths of a three- or four-colour scan.
    values
        Matrices by name: ``R G Rb Gb`` (two channels), ``E Eb`` (one), ``M A`` (normalized), ``E.<nm>`` otherwise; see
        ``matrices``.
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
    stage
        ``intensities`` or ``levels`` (M and A, log2 E): what the matrices hold.
    keep
        Spot columns shown in a table behind the usual ones; None: all but X and Y.
    records
        What is known of each array beside its numbers; empty for a set made by hand.
    origin
        Files that the set came from.
    absent
        bool (array, spot): rows that stand for spots which an array does not have; None: every array has all.

    Examples
    --------
    >>> import gridnorm as gn
    >>> simulated = gn.simulate(2, blocks=(2, 2), spots=(10, 10), seed=1)
    >>> arrays = simulated.arrays
    >>> arrays.shape, arrays.names
    ((400, 2), ('array1', 'array2'))
    >>> arrays["array2"].R.shape, arrays[:100].R.shape, arrays[arrays.spots["Block"] == 2, "array1"].shape
    ((400, 1), (100, 2), (100, 1))
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
    stage: str = INTENSITIES
    keep: tuple[str, ...] | None = None
    records: tuple[ArrayRecord, ...] = ()
    origin: Origin = field(default_factory=Origin)
    absent: NDArray[np.bool_] | None = None
    between: Any = None

    def __post_init__(self) -> None:
        known = declared(self.channels, self.stage)
        strange = [name for name in self.values if name not in known]
        lacking = [
            name for name, m in known.items() if m.role not in (BACKGROUND, REPLICATES) and name not in self.values
        ]
        if strange or lacking or not known:
            raise OptionError(
                f"matrices that arrays of {' '.join(self.channels)} do not have as {self.stage}"
                if strange
                else "matrices are missing",
                found=", ".join(strange or self.values) or "none", expected=", ".join(known) or "at least one channel",
            )  # fmt: skip
        shape = (len(self.names), self.n_spots)
        parts = {**self.values, "flag_codes": self.flag_codes, "spot_weights": self.spot_weights, "absent": self.absent}
        for name, part in parts.items():
            if part is not None and np.shape(part) != shape:
                raise OptionError(
                    f"{name} does not fit the arrays", found=f"shape {np.shape(part)}",
                    expected=f"(array, spot) = {shape}",
                )  # fmt: skip
        if len(set(self.names)) < len(self.names):
            raise OptionError("two arrays have one name", found=few(self.names), expected="a name each")

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        """In a line; thousands of numbers help nobody."""
        shown = ", ".join(self.names[:3]) + (", …" if len(self) > 3 else "")
        arrays = "1 array" if len(self) == 1 else f"{len(self)} arrays"
        return f"<ArraySet: {arrays} of {self.n_spots} spots ({shown}); {' '.join(self.values)}>"

    def _repr_html_(self) -> str:
        """A table with a line for each of the first arrays."""
        from gridnorm.arrays.subset import html

        return html(self)

    def __dir__(self) -> list[str]:
        """Public names, without those of matrices that the set does not have."""
        lacking = {"R", "G", "Rb", "Gb", "E", "Eb", "M", "A"}
        return [name for name in super().__dir__() if name[0] != "_" and name not in lacking - self.values.keys()]

    def __getitem__(self, key: Any) -> ArraySet:
        """Some arrays by name, or some spots; see the class."""
        from gridnorm.arrays.subset import subset

        return subset(self, key)

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        have = ", ".join(f".{name}" for name in self.values)
        raise OptionError("a set is not one matrix", found="an ArraySet", expected=f"a matrix of it: {have}")

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[ArraySet]:
        return (self.part(i) for i in range(len(self)))

    @property
    def shape(self) -> tuple[int, int]:
        """Spots and arrays."""
        return self.n_spots, len(self)

    @property
    def n_spots(self) -> int:
        """Number of spots."""
        return int(next(iter(self.values.values())).shape[1])

    @property
    def matrices(self) -> dict[str, Matrix]:
        """What the matrices that are there hold, by name, in the order of a table."""
        return {name: m for name, m in declared(self.channels, self.stage).items() if name in self.values}

    def _matrix(self, name: str) -> FloatArray:
        if name not in self.values:
            have = ", ".join(self.values)
            hint = "Normalize first" if name in "MA" and self.stage == INTENSITIES else None
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

    @property
    def shown(self) -> dict[str, Column]:
        """Spot columns of a table: Block, Row, Column, ID and Name, then those kept."""
        if self.keep is None:
            return {title: column for title, column in self.columns.items() if title not in ("X", "Y")}
        titles = [title for title in SHOWN if title in self.columns]
        titles += [find_column(word, self.columns, "", "keep") for word in self.keep]
        return {title: self.columns[title] for title in dict.fromkeys(titles)}

    def numbers(self) -> dict[str, NDArray[Any]]:
        """Number columns of a table by title, array by array: ``M.<array> A.<array> W.<array>`` or ``E.<array>``."""
        found: dict[str, NDArray[Any]] = {}
        for i, name in enumerate(self.names):
            for matrix in self.matrices.values():
                values = self.values[matrix.name][i]
                counts = matrix.prefix == "N" and matrix.role == REPLICATES and bool(np.isfinite(values).all())
                found[matrix.title(name)] = values.astype(np.int64) if counts else values
            if self.spot_weights is not None:
                found[f"W.{name}"] = self.spot_weights[i]
        return found

    def to_frame(self) -> pd.DataFrame:
        """The result table: spot columns, ``M.<array> A.<array>`` or ``E.<array>``; ``W.<array>`` if any is not 1."""
        import pandas as pd

        spots: dict[str, Any] = {name: decoded(column) for name, column in self.shown.items()}
        return pd.DataFrame(spots | self.numbers())

    def raw(self, index: int) -> RawArray:
        """One array as a ``RawArray``, for functions that work array by array.

        Raises
        ------
        OptionError
            The set holds levels, no intensities.
        """
        if self.stage != INTENSITIES:
            raise OptionError(
                "these arrays are normalized already", found=str(self.history), expected="raw intensities"
            )
        foreground = np.stack([self.values[name][index] for name in self.channels])
        backs = [self.values[f"{name}b"][index] for name in self.channels if f"{name}b" in self.values]
        # Of an array whose background was not measured the set has nothing but NaN.
        measured = len(backs) == len(self.channels) and not all(bool(np.isnan(b).all()) for b in backs)
        return self._raw(index, foreground, np.stack(backs) if measured else None)

    def spots_of(self, index: int) -> RawArray:
        """Spots, flags and channels of one array at any stage; its foreground are the levels where there are some."""
        if self.stage == INTENSITIES:
            return self.raw(index)
        levels = [m.name for m in self.matrices.values() if m.role == "level"]
        return self._raw(index, np.stack([self.values[name][index] for name in levels]), None)

    def _raw(self, index: int, foreground: FloatArray, background: FloatArray | None) -> RawArray:
        known = self.records[index] if self.records else None
        return RawArray(
            name=known.title if known and known.digest else self.names[index],
            format=known.format if known else "ArraySet",
            version=known.version if known else "",
            channels=self.channels,
            wavelengths=known.wavelengths if known else ("",) * len(self.channels),
            foreground=foreground,
            background=background,
            spots=dict(self.columns),
            flags=None if self.flag_codes is None else self.flag_codes[index],
            taken=known.taken if known else (),
            infinite=known.infinite if known else 0,
            absent=None if self.absent is None else self.absent[index],
            not_found=known.not_found if known else NOT_FOUND,
            part_of=known.file if known and known.part else "",
        )

    def record(self, index: int) -> ArrayRecord:
        """What is known of one array; of a set made by hand, no more than its numbers tell."""
        return (
            self.records[index] if self.records else record_of(self.spots_of(index), self.layout, history=self.history)
        )

    def part(self, index: int) -> ArraySet:
        """The set of one of the arrays."""
        part = slice(index, index + 1)
        record = self.record(index)
        return replace(
            self,
            names=self.names[part],
            values={name: matrix[part] for name, matrix in self.values.items()},
            flag_codes=None if self.flag_codes is None else self.flag_codes[part],
            spot_weights=None if self.spot_weights is None else self.spot_weights[part],
            absent=None if self.absent is None else self.absent[part],
            fits=self.fits[part],
            history=record.history,
            targets={title: cells[part] for title, cells in self.targets.items()},
            warnings=record.warnings,
            records=(record,),
        )


def of_raw(
    raw: RawArray,
    name: str,
    layout: Layout | None,
    *,
    columns: Mapping[str, Column] | None = None,
    record: ArrayRecord | None = None,
) -> ArraySet:
    """A set of one array as a reader delivers it; ``columns`` stand in for its own."""
    values = {channel: raw.foreground[k : k + 1] for k, channel in enumerate(raw.channels)}
    if raw.background is not None:
        values |= {f"{channel}b": raw.background[k : k + 1] for k, channel in enumerate(raw.channels)}
    known = record_of(raw, layout) if record is None else record
    return ArraySet(
        names=(name,),
        channels=raw.channels,
        values=values,
        columns=raw.spots if columns is None else columns,
        layout=layout,
        flag_codes=None if raw.flags is None else raw.flags[None, :],
        absent=None if raw.absent is None else raw.absent[None, :],
        history=known.history,
        warnings=known.warnings,
        records=(known,),
    )


def decoded(column: Column) -> NDArray[Any]:
    """A spot column for people: bytes become text."""
    if column.dtype.kind != "S":
        return column
    # Distinct values are decoded once: identifiers repeat, and decoding is the slow part.
    unique, inverse = np.unique(column, return_inverse=True)
    texts = np.array([value.decode("utf-8", "replace") for value in unique.tolist()], object)
    return texts[inverse] if texts.size else np.empty(0, object)
