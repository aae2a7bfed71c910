"""What is known of one array beside its numbers: plain data for the sidecar, the same on every route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import NOT_FOUND, RawArray, Scan
from gridnorm.arrays.spot_types import count_types
from gridnorm.arrays.weights import count_flagged
from gridnorm.provenance import History, InputDigest


class ArrayRecord(NamedTuple):
    """One array: where it came from, how it was read, what was done to it.

    Attributes
    ----------
    file
        Name of the file, or of the array where there is none.
    format, version
        As the reader calls them.
    channels, wavelengths
        In the order of the rows of the data.
    taken
        Which column of the file serves which matrix.
    spots, flagged, missing, infinite
        Numbers of spots of the file, of flagged ones, of values missing in the result, and of infinite intensities.
    layout
        Where its blocks lie, or None.
    digest
        The file as it lay on disk, or None.
    history
        Every step with the settings that were effective for this array.
    models
        Parameters of the background model by channel, or None.
    affine
        What the affine background took out of each channel: its offset and its gain; or None.
    scans
        The scans that the array was merged from; its own digest is that of all of theirs.
    warnings
        Repairs and doubts.
    not_found
        Flags of spots that the image software did not find.
    types
        Numbers of spots by type, where a table says which are which.
    replicates
        Where spots of one ID became one row: how many spots, how many rows, and how the spots agree; else None.
    split, part
        Of a part of an array: what it was split by, and which part it is; else empty.
    """

    file: str
    format: str
    version: str
    channels: tuple[str, ...]
    wavelengths: tuple[str, ...]
    taken: tuple[tuple[str, str], ...]
    spots: int
    flagged: int
    missing: int = 0
    infinite: int = 0
    layout: Layout | None = None
    digest: InputDigest | None = None
    history: History = History()
    models: Mapping[str, Mapping[str, float]] | None = None
    warnings: tuple[str, ...] = ()
    not_found: tuple[int, ...] = NOT_FOUND
    split: str = ""
    part: str = ""
    replicates: Mapping[str, Any] | None = None
    types: Mapping[str, int] = {}
    affine: Mapping[str, Mapping[str, float]] | None = None
    scans: tuple[Scan, ...] = ()

    @property
    def digests(self) -> list[InputDigest]:
        """The files that it came from, as far as they are known."""
        return [one for one in ([scan.digest for scan in self.scans] or [self.digest]) if one is not None]

    @property
    def title(self) -> str:
        """What messages call the array: its file, and which part of it."""
        return f"{self.file} {self.split} {self.part}" if self.part else self.file

    def to_dict(self) -> dict[str, Any]:
        """As the sidecar has it, without the groups."""
        return {
            "file": self.file,
            **({"part": self.part} if self.part else {}),
            **({"scans": [scan.to_dict() for scan in self.scans]} if self.scans else {}),
            "format": self.format,
            "version": self.version,
            "channels": list(self.channels),
            "wavelengths": list(self.wavelengths),
            "parameters": self.history.parameters(),
            "normexp": None if self.models is None else {name: dict(found) for name, found in self.models.items()},
            **({} if self.affine is None else {"affine": {name: dict(one) for name, one in self.affine.items()}}),
            "columns": dict(self.taken),
            "spots": self.spots,
            "flagged": self.flagged,
            "missing": self.missing,
            **({"types": dict(self.types)} if self.types else {}),
            **({} if self.replicates is None else {"replicates": dict(self.replicates)}),
            "layout": self.layout.to_dict() if self.layout else None,
        }


def record_of(
    raw: RawArray, layout: Layout | None, digest: InputDigest | None = None, history: History | None = None
) -> ArrayRecord:
    """The record of an array that has been read."""
    return ArrayRecord(
        raw.name, raw.format, raw.version, raw.channels, raw.wavelengths, raw.taken, raw.n_spots, count_flagged(raw),
        raw.missing, raw.infinite, layout, digest, history or History(), None, raw.warnings, raw.not_found,
        types=count_types(raw.spots), scans=raw.scans,
    )  # fmt: skip
