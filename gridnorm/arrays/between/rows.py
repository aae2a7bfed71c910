"""The table of methods between arrays: what of each array is made alike, by which method of the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from gridnorm.arrays.covariates import covariate_options
from gridnorm.arrays.matrices import INTENSITIES, LEVELS
from gridnorm.arrays.raw import FloatArray
from gridnorm.core.across import ACROSS
from gridnorm.core.option import Option, Table
from gridnorm.errors import OptionError, option_value, option_word

Levels = Mapping[str, FloatArray]
WHOLE = "array"  # the grouping that is none


class Made(NamedTuple):
    """What a method makes alike of an array, and how its levels follow from that.

    ``kinds``: names of the vectors of an array, such as ``G`` and ``R``; ``take(levels)`` gives them, ``give(levels,
    vectors)`` the new levels. Both work on (spot,) and on (array, spot) alike.
    """

    kinds: tuple[str, ...]
    take: Callable[[Levels], tuple[FloatArray, ...]]
    give: Callable[[Levels, tuple[FloatArray, ...]], dict[str, FloatArray]]


def _channels(levels: Levels) -> tuple[FloatArray, ...]:
    return levels["A"] - levels["M"] / 2, levels["A"] + levels["M"] / 2


def _from_channels(levels: Levels, channels: tuple[FloatArray, ...]) -> dict[str, FloatArray]:
    green, red = channels
    return {"M": red - green, "A": (red + green) / 2}


def _moved(which: int, levels: Levels, vectors: tuple[FloatArray, ...]) -> dict[str, FloatArray]:
    """A moves by what one channel moves; M stays."""
    return {"M": levels["M"], "A": levels["A"] + (vectors[0] - _channels(levels)[which])}


def _one_channel(which: int, levels: Levels) -> tuple[FloatArray, ...]:
    return (_channels(levels)[which],)


def _each(names: tuple[str, ...], levels: Levels) -> tuple[FloatArray, ...]:
    return tuple(levels[name] for name in names)


def _in_place(names: tuple[str, ...], levels: Levels, vectors: tuple[FloatArray, ...]) -> dict[str, FloatArray]:
    return {**levels, **dict(zip(names, vectors, strict=True))}


def _themselves(*names: str) -> Made:
    """Levels that are made alike as they are."""
    return Made(names, partial(_each, names), partial(_in_place, names))


def _of_channels(channels: tuple[str, ...], values: Levels) -> tuple[FloatArray, ...]:
    return tuple(values[channel] for channel in channels)


def _to_levels(values: Levels, vectors: tuple[FloatArray, ...]) -> dict[str, FloatArray]:
    """Stabilized intensities as levels: M and A, or those of each channel."""
    if set(values) == {"R", "G"}:
        return _from_channels(values, vectors)
    names = ["E"] if len(values) == 1 else [f"E.{channel}" for channel in values]
    return dict(zip(names, vectors, strict=True))


def _intensities(levels: Levels) -> tuple[FloatArray, ...]:
    return tuple(np.exp2(level) for level in levels.values())


def _logarithms(levels: Levels, vectors: tuple[FloatArray, ...]) -> dict[str, FloatArray]:
    return {name: np.log2(vector) for name, vector in zip(levels, vectors, strict=True)}


# Functions that can travel between processes, as rows do.
CHANNELS = Made(("G", "R"), _channels, _from_channels)
M_AND_A, ONLY_M, ONLY_A = _themselves("M", "A"), _themselves("M"), _themselves("A")
ONLY_G, ONLY_R = (Made((kind,), partial(_one_channel, k), partial(_moved, k)) for k, kind in enumerate("GR"))


class Between(NamedTuple):
    """One row of ``BETWEEN``.

    Attributes
    ----------
    name, summary, source
        What it is called, what it does, and the paper or peer function.
    across
        The method of the core: a row of ``ACROSS``; None: nothing is done.
    two
        What of an array of two channels is made alike; None: not at all.
    logarithms
        Whether one channel is made alike by its log2 intensities; else by its intensities. None: not at all.
    pooled
        ``apart``: each kind of vector by itself; ``together``: all in one; ``targets``: by the samples that the
        channels were labelled with.
    stage
        What it takes: ``levels``, or background-corrected ``intensities``, of which it makes levels itself.
    options
        Those of the core's row, and of its covariate.
    """

    name: str
    across: str | None
    two: Made | None
    logarithms: bool | None
    pooled: str
    summary: str
    source: str = ""
    stage: str = LEVELS

    @property
    def options(self) -> tuple[Option, ...]:
        if self.across is None:
            return ()
        row = ACROSS[self.across]
        return (*row.options, *covariate_options([] if row.covariate is None else [row.covariate]))

    def made(self, channels: tuple[str, ...], names: tuple[str, ...]) -> Made:
        """What is made alike of arrays of these channels, whose levels have these names.

        Raises
        ------
        OptionError
            The method is one for two channels.
        """
        if self.stage == INTENSITIES:
            kinds = ("G", "R") if channels == ("R", "G") else channels
            return Made(kinds, partial(_of_channels, kinds), _to_levels)
        if channels == ("R", "G"):
            if self.two is None:
                raise OptionError(
                    f"{self.name} between arrays is for one channel", found=" ".join(channels),
                    expected="arrays of one channel, or of three and more",
                    hint=f"Choose one with {option_word('channels')}, or name {option_value('method', self.name)}",
                )  # fmt: skip
            return self.two
        if self.logarithms is None:
            raise OptionError(
                f"{self.name} is for two channels", found=" ".join(channels), expected="R and G",
                hint="Of one channel: scale, quantile, cyclic-loess, vsn, rlm",
            )  # fmt: skip
        if self.logarithms:
            return _themselves(*names)
        return Made(names, _intensities, _logarithms)


BETWEEN: Table[Between] = Table(
    "method between arrays",
    [
        Between("none", None, M_AND_A, False, "apart", "arrays stay as they are"),
        Between(
            "scale", "scale", M_AND_A, False, "apart",
            "M and A of all arrays on one scale: the median absolute value; one channel: one median",
            "limma's normalizeBetweenArrays; Yang et al., Nucleic Acids Res 30 (2002)",
        ),
        Between(
            "mad", "mad", ONLY_M, None, "apart", "M of all arrays on one scale: the MAD; A stays",
            "marray's globalMAD; Yang et al., Nucleic Acids Res 30 (2002)",
        ),
        Between(
            "quantile", "quantile", CHANNELS, False, "together", "one distribution for every channel of every array",
            "limma's normalizeBetweenArrays; Bolstad et al., Bioinformatics 19 (2003)",
        ),
        Between(
            "aquantile", "quantile", ONLY_A, None, "together", "one distribution of A; M stays",
            "limma's normalizeBetweenArrays; Yang and Thorne (2003)",
        ),
        Between(
            "gquantile", "quantile", ONLY_G, None, "together",
            "one distribution of the green channel, where it is a common reference; M stays, A follows",
            "limma's normalizeBetweenArrays",
        ),
        Between(
            "rquantile", "quantile", ONLY_R, None, "together",
            "one distribution of the red channel, where it is a common reference; M stays, A follows",
            "limma's normalizeBetweenArrays",
        ),
        Between(
            "tquantile", "quantile", CHANNELS, None, "targets",
            "one distribution for each sample: columns Cy3 (green) and Cy5 (red) of the targets table",
            "limma's normalizeBetweenArrays",
        ),
        Between(
            "cyclic-loess", "cyclic", CHANNELS, True, "together",
            "no trend of any channel of any array over their mean",
            "limma's normalizeCyclicLoess; Bolstad et al., Bioinformatics 19 (2003)",
        ),
        Between(
            "vsn", "vsn", CHANNELS, True, "together",
            "one variance at every level: an arsinh of every channel, in the place of logarithms and a method within",
            "vsn's vsn2, limma's normalizeVSN; Huber et al., Bioinformatics 18 (2002) S96", stage=INTENSITIES,
        ),
        Between(
            "rlm", "rlm", None, True, "apart",
            "one channel: no difference of arrays, and of groups where some are named, in spots that match",
            "Sboner et al., J Proteome Res 8 (2009); protGear's and PAA's robust linear models",
        ),
    ],
)  # fmt: skip
