"""What a background method is: a row of ``BACKGROUNDS``, what its function is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.neighbours import Neighbours
from gridnorm.arrays.normexp import NormexpFit
from gridnorm.arrays.normexp.doubts import Doubt
from gridnorm.core.option import Option

FloatArray = NDArray[np.float64]
Column = NDArray[Any]


class Channel(NamedTuple):
    """One channel of an array as a background method sees it: float64 (spot,), and the method's options.

    ``ratio`` is whether the logarithms of two channels are subtracted from each other afterwards. ``columns`` are spot
    columns of this array, (spot,): those of all channels by title, and of this one by what its row calls them.
    """

    foreground: FloatArray
    background: FloatArray | None
    neighbours: Neighbours | None
    options: Mapping[str, Any]
    ratio: bool = True
    columns: Mapping[str, Column] = {}

    def difference(self) -> FloatArray:
        """Foreground minus background, as far as there is one."""
        return self.foreground if self.background is None else self.foreground - self.background


class Done(NamedTuple):
    """What a background method gives back: corrected intensities, the model if it has one, and doubts.

    ``offset`` is what ``auto`` means for this channel; it is added by `correct`. ``shared`` are sentences about all
    channels, and ``line`` the offset and gain that affine took out.
    """

    values: FloatArray
    fit: NormexpFit | None = None
    notes: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    offset: float = 0.0
    shared: tuple[str, ...] = ()
    line: tuple[float, float] | None = None


class Background(NamedTuple):
    """One row of ``BACKGROUNDS``: what it does to a channel, and what it has to be given.

    ``together``: the function takes the channels of an array in a list and gives as many results. ``columns``: titles
    of what it looks at in the file of each array, ``{nm}`` being the number of the channel's own column.
    """

    name: str
    function: Callable[[Any], Any]
    summary: str
    options: tuple[Option, ...] = ()
    needs_background: bool = False
    needs_position: bool = False
    source: str = ""
    together: bool = False
    columns: tuple[str, ...] = ()
