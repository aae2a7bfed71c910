"""What a format is in the table of formats, and what the head of a file tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.core.option import Option
from gridnorm.io.text import Text


class Head(NamedTuple):
    """What the beginning of an array file tells: format, version, channels, column titles, header records.

    ``certain``: whether the whole file cannot have other channels.
    """

    format: str
    version: str
    channels: tuple[str, ...]
    columns: tuple[str, ...]
    header: Mapping[str, str] = {}
    certain: bool = True


class Format(NamedTuple):
    """One format: how it is recognised, its head, and the whole array.

    Attributes
    ----------
    name
        As ``inspect`` and messages show it.
    sniff
        Whether the beginning of a file is of this format, given the settings.
    head
        What that beginning tells.
    read
        The array of a whole file.
    options
        What the format takes; the values stand in ``ReadOptions.settings``, where other formats' may stand, too.
    summary, source
        One sentence for people, and where the format or the choice of columns comes from.
    not_found
        Flags of spots that the image software did not find; none where the format has no such flag.
    catch_all
        Asked only when no other format recognises a file.
    """

    name: str
    sniff: Callable[[Text, Mapping[str, Any]], bool]
    head: Callable[[Text, Mapping[str, Any]], Head]
    read: Callable[[Text, ReadOptions], RawArray]
    options: tuple[Option, ...] = ()
    summary: str = ""
    source: str = ""
    catch_all: bool = False
    not_found: tuple[int, ...] = ()
