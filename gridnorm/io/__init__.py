"""Readers, tried in order by content: the file's name means nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.errors import FormatError
from gridnorm.io.text import Text

Columns = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Head:
    """What the beginning of an array file tells: format, version, channels, column titles, header records."""

    format: str
    version: str
    channels: tuple[str, ...]
    columns: tuple[str, ...]
    header: Mapping[str, str] = field(default_factory=dict)


class Reader(NamedTuple):
    """One format: how it is recognised, its head, and the whole array."""

    sniff: Callable[[Text, Columns], bool]
    head: Callable[[Text, Columns], Head]
    read: Callable[[Text, ReadOptions], RawArray]


def _module(name: str) -> Any:
    return import_module(f"gridnorm.io.{name}")


def _gpr_head(text: Text, columns: Columns) -> Head:
    head = _module("gpr").read_head(text)
    return Head("GPR", head.version, head.channels, head.columns, head.header)


def _spot_head(text: Text, columns: Columns) -> Head:
    return Head("SPOT", "", ("R", "G"), _module("spot").read_head(text).columns)


def _table_head(text: Text, columns: Columns) -> Head:
    head = _module("tabular").read_head(text, columns)
    return Head("table", "", head.channels, head.columns)


READERS: dict[str, Reader] = {
    "GPR": Reader(
        lambda text, _: _module("gpr").sniff(text.data),
        _gpr_head,
        lambda text, options: _module("gpr").read(text, options),
    ),
    "SPOT": Reader(
        lambda text, _: _module("spot").sniff(text.data),
        _spot_head,
        lambda text, options: _module("spot").read(text, options),
    ),
    "table": Reader(
        lambda text, columns: bool(columns) or _module("tabular").find_head(text, ()) is not None,
        _table_head,
        lambda text, options: _module("tabular").read(text, options),
    ),
}


def recognise(head: Text, columns: Columns = ()) -> str:
    """Name of the format of a file, from its beginning.

    Raises
    ------
    FormatError
        No reader recognises it; a GAL, which holds no intensities.
    """
    for name, reader in READERS.items():
        if reader.sniff(head, columns):
            return name
    if _module("gal").sniff(head.data):
        raise FormatError(
            "this is a GAL: it names spots but holds no intensities",
            head.name,
            hint="Give it as --gal beside the array files",
        )
    first = head.data.split(b"\n", 1)[0][:60].decode("utf-8", "replace").strip()
    raise FormatError(
        "not an array file that can be read here",
        head.name,
        found=f"a file that begins with {first!r}",
        expected=" or ".join(READERS),
        hint="Plain tables need --columns, for example R=ch2,G=ch1,ID=gene",
    )


def read_head(head: Text, columns: Columns = ()) -> Head:
    """Format, channels and columns of a file, from its beginning."""
    return READERS[recognise(head, columns)].head(head, columns)


def read_text(text: Text, format: str, options: ReadOptions) -> RawArray:
    """Decode a loaded file of a known format."""
    return READERS[format].read(text, options)
