"""Arrays with known truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import Column, FloatArray, RawArray
from gridnorm.arrays.simulate.options import OPTIONS
from gridnorm.arrays.simulate.slide import EMPTY_LEVEL, HIGHEST, LOWEST, IntArray, Probes, make_slide, scan
from gridnorm.core.option import no_meaning, take
from gridnorm.core.option.signature import shows
from gridnorm.errors import OptionError, option_word

if TYPE_CHECKING:
    from gridnorm.arrays.arrayset import ArraySet

_MOST_SPOTS = 100_000_000  # of all arrays together; they are in memory at once
WAVELENGTHS = {2: ("635", "532"), 1: ("635",)}


@dataclass(frozen=True, eq=False)
class Simulated:
    """Simulated arrays and the truth behind them.

    Shapes: spots (spot,); ``x y flags pixels bias outlier`` (array, spot); ``mean median background sd background_sd``
    (array, channel, spot), int64, what a scanner would report. ``true_m`` and ``true_a`` are log2 ratio and log2
    intensity before any bias, ``changed`` marks the spots whose ``true_m`` is not zero, ``bias`` is everything that
    normalization should remove from M (E of one channel), ``outlier`` marks spots hit by an accident that no flag
    tells of; damaged spots are those with flag −100.
    """

    names: tuple[str, ...]
    channels: tuple[str, ...]
    wavelengths: tuple[str, ...]
    parameters: dict[str, Any]
    block: IntArray
    row: IntArray
    column: IntArray
    id: NDArray[np.bytes_]
    name: NDArray[np.bytes_]
    x: FloatArray
    y: FloatArray
    mean: IntArray
    median: IntArray
    background: IntArray
    sd: IntArray
    background_sd: IntArray
    pixels: IntArray
    flags: IntArray
    true_m: FloatArray
    true_a: FloatArray
    changed: NDArray[np.bool_]
    bias: FloatArray
    outlier: NDArray[np.bool_]

    def raw(self, array: int) -> RawArray:
        """One array as a reader would deliver it: foreground mean, background median."""
        spots: dict[str, Column] = {
            "Block": self.block, "Row": self.row, "Column": self.column, "ID": self.id, "Name": self.name,
            "X": self.x[array], "Y": self.y[array],
        }  # fmt: skip
        if self.parameters["controls"]:
            spots["SpotType"] = np.where(np.char.startswith(self.name, b"control"), b"control", b"probe")
        taken = []
        for channel, wavelength in zip(self.channels, self.wavelengths, strict=True):
            taken += [(channel, f"F{wavelength} Mean"), (f"{channel}b", f"B{wavelength} Median")]
        return RawArray(
            name=f"{self.names[array]}.gpr",
            format="GPR",
            version="GenePix Results 3",
            channels=self.channels,
            wavelengths=self.wavelengths,
            foreground=self.mean[array].astype(np.float64),
            background=self.background[array].astype(np.float64),
            spots=spots,
            flags=self.flags[array],
            taken=tuple(taken),
        )

    @property
    def arrays(self) -> ArraySet:
        """All arrays as one set, as :func:`gridnorm.read` would deliver them."""
        from gridnorm.arrays.arrayset import of_raw
        from gridnorm.arrays.layout import infer_layout
        from gridnorm.arrays.stack import stack

        layout = infer_layout(self.block, self.row, self.column, self.x[0], self.y[0])
        return stack([of_raw(self.raw(k), name, layout) for k, name in enumerate(self.names)])

    def truth_columns(self) -> tuple[dict[str, Column], dict[str, FloatArray]]:
        """The truth as columns for :func:`gridnorm.io.write.write_table`: whole numbers and text, then floats."""
        labels: dict[str, Column] = {
            "Block": self.block, "Row": self.row, "Column": self.column, "ID": self.id,
            "changed": self.changed.astype(np.int64),
        }  # fmt: skip
        labels |= {f"outlier.{name}": self.outlier[k].astype(np.int64) for k, name in enumerate(self.names)}
        numbers = {"true.M": self.true_m, "true.A": self.true_a}
        return labels, numbers | {f"bias.{name}": self.bias[k] for k, name in enumerate(self.names)}


@shows(OPTIONS)
def simulate(
    n_arrays: int, blocks: tuple[int, int] = (12, 4), spots: tuple[int, int] = (21, 20), **options: Any
) -> Simulated:
    """Simulate spotted arrays of one experiment.

    Two channels: M = truth + tip offset + tip slope × (A − median A) + tip curve + dye curve(A) + trend over the
    slide + noise. The signals that follow from M and A are scanned over a background that differs from the one
    measured beside the spot; counts are rounded and cut off at 65535. One channel: the same without dye curve, in log2
    intensity. Array ``i`` depends on the options and ``i`` only, not on ``n_arrays``; what print-tips lack and the
    level of a block do not change the other numbers.

    Parameters
    ----------
    n_arrays
        Number of arrays.
    blocks, spots
        Rows and columns of blocks, and of spots in a block.
    **options

    Raises
    ------
    OptionError
        An option that there is not, or a value that it cannot have.

    Notes
    -----
    Additive and multiplicative noise as in Rocke and Durbin, J Comput Biol 8 (2001).

    Examples
    --------
    >>> small = simulate(2, blocks=(2, 2), spots=(10, 10), seed=1)
    >>> small.mean.shape, int(small.changed.sum())
    ((2, 2, 400), 40)
    >>> simulate(1, blocks=(2, 2), spots=(10, 10), small_tips=1, small_tip_spots=7).block.size
    307
    """
    given = take(OPTIONS, options, "simulate")
    if "small_tip_spots" in options and not given["small_tips"]:
        raise no_meaning("small_tip_spots", f"{option_word('small_tips')} 0")
    _check(n_arrays, blocks, spots, given)
    p = {"blocks": blocks, "spots": spots, **given}
    probes, hit, printed, probe = _probes(p)
    drawn = []
    for i in range(n_arrays):
        # Array i uses stream i + 1; scans of one slide share the stream of the slide.
        slide = make_slide(_stream(p["seed"], 1 if p["gains"] else 1 + i), probes, p)
        gain = p["gains"][i] if p["gains"] else 1.0
        scanned = scan(_stream(p["seed"], 1 + i, 1), slide, probes.block, gain, p)
        drawn.append({"x": slide.x, "y": slide.y, "bias": slide.bias, "outlier": slide.outlier, **scanned})
    which = list(zip(probe[printed].tolist(), probes.control[printed].tolist(), strict=True))
    stacked = {key: np.stack([one[key] for one in drawn])[..., printed] for key in drawn[0]}
    return Simulated(
        names=tuple(f"array{i + 1}" for i in range(n_arrays)),
        channels=("R", "G") if p["channels"] == 2 else ("E",),
        wavelengths=WAVELENGTHS[p["channels"]],
        parameters=p,
        block=probes.block[printed], row=probes.row[printed], column=probes.column[printed],
        id=np.array([b"C%06d" % k if c else b"P%06d" % k for k, c in which], dtype="S"),
        name=np.array([b"control %d" % k if c else b"probe %d" % k for k, c in which], dtype="S"),
        true_m=probes.true_m[printed], true_a=probes.true_a[printed], changed=hit[printed], **stacked,
    )  # fmt: skip


def _check(n_arrays: int, blocks: tuple[int, int], spots: tuple[int, int], p: dict[str, Any]) -> None:
    if not (_whole(n_arrays) and n_arrays >= 1):
        raise OptionError("n_arrays must be a whole number", found=repr(n_arrays), expected="1 or more")
    for name, size in {"blocks": blocks, "spots": spots}.items():
        if not (isinstance(size, tuple | list) and len(size) == 2 and all(_whole(k) and k >= 1 for k in size)):
            raise OptionError(
                f"{option_word(name)} must be two whole numbers, down and across",
                found=repr(size),
                expected="1 or more",
            )
    total = n_arrays * math.prod((*blocks, *spots))
    if total > _MOST_SPOTS:
        raise OptionError(
            "there are too many spots to simulate", found=f"{total:.3g}", expected=f"{_MOST_SPOTS:g} at most"
        )
    if p["gains"] and len(p["gains"]) != n_arrays:
        raise OptionError(
            f"{option_word('gains')} must be as many as arrays",
            found=f"{len(p['gains'])} gains",
            expected=str(n_arrays),
        )
    if p["small_tips"] > blocks[0] * blocks[1]:
        raise OptionError(
            f"{option_word('small_tips')} are more than there are print-tips", found=str(p["small_tips"]),
            expected=f"at most {blocks[0] * blocks[1]}",
        )  # fmt: skip


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _stream(seed: int, *number: int) -> np.random.Generator:
    # A list of one seed would be the same stream as [seed, 0].
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *number])))


def _positions(blocks: tuple[int, int], spots: tuple[int, int]) -> tuple[IntArray, IntArray, IntArray]:
    """Block, row and column numbers, from 1, in the order a scanner's software lists them."""
    block, row, column = np.meshgrid(*(np.arange(1, k + 1) for k in (blocks[0] * blocks[1], *spots)), indexing="ij")
    return block.ravel(), row.ravel(), column.ravel()


def _probes(p: dict[str, Any]) -> tuple[Probes, NDArray[np.bool_], NDArray[np.bool_], IntArray]:
    """Every place of the grid with its truth, whether it is changed, whether it was printed, and its probe."""
    block, row, column = _positions(p["blocks"], p["spots"])
    n, tips, each = block.size, p["blocks"][0] * p["blocks"][1], p["spots"][0] * p["spots"][1]
    rng = _stream(p["seed"], 0)
    place = np.tile(np.arange(each), tips)
    probe = place if p["same_probes"] else np.arange(n)
    # Most probes are in the lower half, few at either end.
    true_a = (LOWEST + (HIGHEST - LOWEST) * rng.random((2, n)).mean(axis=0) ** 1.3)[probe]
    empty = (rng.random(n) < p["empty"])[probe]
    true_a = np.where(empty, EMPTY_LEVEL, true_a)
    hit = np.zeros(n, np.bool_)
    # Empty places come last.
    order = np.argsort(rng.random(n) + empty, kind="stable")
    hit[order[: round(p["changed"] * n)]] = True
    control = np.zeros(n, np.bool_)
    probed = order[~(empty | hit)[order]]
    control[probed[max(probed.size - round(p["controls"] * n), 0) :]] = True
    true_m = np.where(hit, p["effect"] * np.where(rng.random(n) < p["up"], 1.0, -1.0), 0.0)
    true_a = true_a + p["content_sd"] * rng.standard_normal(tips)[block - 1]
    printed = each - np.floor(p["uneven"] * each * rng.random(tips)).astype(np.int64)
    small = np.argsort(rng.random(tips), kind="stable")[: p["small_tips"]]
    printed[small] = np.minimum(p["small_tip_spots"], each)
    return (
        Probes(block, row, column, true_m, true_a, control),
        hit,
        place < np.maximum(printed, 1)[block - 1],
        probe + 1,
    )
