"""Arrays with known truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import FULL_SCALE, Column, FloatArray, RawArray
from gridnorm.errors import OptionError

if TYPE_CHECKING:
    from gridnorm.arrays.arrayset import ArraySet

IntArray = NDArray[np.int64]

WAVELENGTHS = {2: ("635", "532"), 1: ("635",)}
SPOT_PITCH = 200.0  # µm
LOWEST, HIGHEST = 6.5, 14.5  # log2 intensity of the faintest and the brightest spots
ABSENT, BAD = -50, -100  # GenePix flags


@dataclass(frozen=True, eq=False)
class Simulated:
    """Simulated arrays and the truth behind them.

    Shapes: spots (spot,); ``x y flags pixels bias outlier`` (array, spot); ``mean median background sd background_sd``
    (array, channel, spot), int64, what a scanner would report. ``true_m`` and ``true_a`` are log2 ratio and log2
    intensity before any bias, ``changed`` marks the spots whose ``true_m`` is not zero, ``bias`` is everything that
    normalization should remove from M, ``outlier`` marks spots hit by an accident.
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


def simulate(
    n_arrays: int,
    blocks: tuple[int, int] = (12, 4),
    spots: tuple[int, int] = (21, 20),
    *,
    tip_offset_sd: float = 0.3,
    tip_slope_sd: float = 0.05,
    noise_sd: float = 0.3,
    changed: float = 0.10,
    effect: float = 1.0,
    outliers: float = 0.01,
    dye_bias: float = 0.5,
    spatial: float = 0.2,
    background: float = 100.0,
    flagged: float = 0.02,
    channels: int = 2,
    seed: int = 1,
) -> Simulated:
    """Simulate spotted arrays of one experiment.

    The observed log ratio is M = truth + tip offset + tip slope × (A − median A) + dye curve(A) + spatial trend +
    noise; intensities follow from M and A, plus background, rounded and cut off at 65535. One-colour arrays have M in
    log2 intensity. Array ``i`` depends on ``seed`` and ``i`` only, not on ``n_arrays``.

    Parameters
    ----------
    n_arrays
        Number of arrays.
    blocks, spots
        Rows and columns of blocks, and of spots in a block.
    tip_offset_sd, tip_slope_sd
        Spread over blocks of their offset, and of their slope per log2 unit.
    noise_sd
        Spread of the noise of M.
    changed, effect
        Share of spots with a true M of plus or minus ``effect``.
    outliers
        Share of spots pushed off by 2 to 4.
    dye_bias
        Height of the curve of M over A that all blocks share.
    spatial
        Amplitude of a smooth trend over the slide.
    background
        Mean background intensity.
    flagged
        Share of spots flagged, half of them −50 (no signal), half −100.
    channels
        2 or 1.
    seed
        Not negative.

    Raises
    ------
    OptionError
        A parameter has a value it cannot have.

    Examples
    --------
    >>> small = simulate(2, blocks=(2, 2), spots=(10, 10), seed=1)
    >>> small.mean.shape, int(small.changed.sum())
    ((2, 2, 400), 40)
    """
    parameters = {name: value for name, value in locals().items() if name != "n_arrays"}
    _check(n_arrays, parameters)
    block, row, column = _positions(blocks, spots)
    n = block.size
    # Array i uses stream i + 1. A list of one seed would be the same stream as [seed, 0].
    common = _stream(seed, 0)
    true_a = LOWEST + (HIGHEST - LOWEST) * common.random(n) ** 1.5
    hit = np.zeros(n, np.bool_)
    hit[np.argsort(common.random(n), kind="stable")[: round(changed * n)]] = True
    true_m = np.where(hit, effect * np.where(common.random(n) < 0.5, -1.0, 1.0), 0.0)
    drawn = [_array(_stream(seed, 1 + i), block, row, column, true_m, true_a, parameters) for i in range(n_arrays)]
    stacked = {key: np.stack([one[key] for one in drawn]) for key in drawn[0]}
    return Simulated(
        names=tuple(f"array{i + 1}" for i in range(n_arrays)),
        channels=("R", "G") if channels == 2 else ("E",),
        wavelengths=WAVELENGTHS[channels],
        parameters=parameters,
        block=block, row=row, column=column,
        id=np.array([b"P%06d" % (k + 1) for k in range(n)], dtype="S"),
        name=np.array([b"probe %d" % (k + 1) for k in range(n)], dtype="S"),
        true_m=true_m, true_a=true_a, changed=hit, **stacked,
    )  # fmt: skip


def _check(n_arrays: int, parameters: dict[str, Any]) -> None:
    counts = {"n_arrays": n_arrays, "blocks": min(parameters["blocks"]), "spots": min(parameters["spots"])}
    for name, value in counts.items():
        if value < 1:
            raise OptionError(f"{name} must be 1 or more", found=str(value))
    for name, value in parameters.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise OptionError(f"{name} must be a finite number", found=str(value))
    for name in ("changed", "outliers", "flagged"):
        if not 0.0 <= parameters[name] <= 1.0:
            raise OptionError(f"{name} is a share", found=str(parameters[name]), expected="0 to 1")
    for name in ("tip_offset_sd", "tip_slope_sd", "noise_sd", "background", "seed"):
        if not parameters[name] >= 0:
            raise OptionError(f"{name} must not be negative", found=str(parameters[name]))
    if parameters["channels"] not in WAVELENGTHS:
        raise OptionError("channels must be 1 or 2", found=str(parameters["channels"]))


def _stream(seed: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number])))


def _positions(blocks: tuple[int, int], spots: tuple[int, int]) -> tuple[IntArray, IntArray, IntArray]:
    """Block, row and column numbers, from 1, in the order a scanner's software lists them."""
    block, row, column = np.meshgrid(*(np.arange(1, k + 1) for k in (blocks[0] * blocks[1], *spots)), indexing="ij")
    return block.ravel(), row.ravel(), column.ravel()


def _array(
    rng: np.random.Generator, block: IntArray, row: IntArray, column: IntArray, true_m: FloatArray, true_a: FloatArray,
    p: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    n, tips = block.size, p["blocks"][0] * p["blocks"][1]
    x, y, down, across = _centres(rng, block, row, column, p)
    offset, slope = p["tip_offset_sd"] * rng.standard_normal(tips), p["tip_slope_sd"] * rng.standard_normal(tips)
    dye = p["dye_bias"] * (0.75 + 0.5 * rng.random()) * (1.0 - 2.0 * np.exp((LOWEST - true_a) / 2.0))
    phase = 2.0 * np.pi * rng.random()
    trend = p["spatial"] * np.cos(np.pi * (down + 0.5 * across) + phase)
    bias = offset[block - 1] + slope[block - 1] * (true_a - np.median(true_a)) + dye + trend
    m = true_m + bias + p["noise_sd"] * rng.standard_normal(n)
    outlier = rng.random(n) < p["outliers"]
    m += np.where(outlier, np.where(rng.random(n) < 0.5, -1.0, 1.0) * (2.0 + 2.0 * rng.random(n)), 0.0)
    a = true_a + 0.1 * rng.standard_normal(n)
    chance = rng.random(n)
    absent, bad = chance < p["flagged"] / 2, chance > 1.0 - p["flagged"] / 2
    logs = (a + m / 2.0, a - m / 2.0) if p["channels"] == 2 else (a + m,)
    pixels = rng.integers(52, 121, n)
    measured: dict[str, list[IntArray]] = {"mean": [], "median": [], "background": [], "sd": [], "background_sd": []}
    for log in logs:
        signal = np.where(absent, 0.0, np.exp2(log))
        floor = p["background"] * (1.0 + 0.15 * np.sin(np.pi * down + phase) + 0.08 * rng.standard_normal(n))
        floor = np.maximum(floor, 0.0)
        measured["mean"].append(_counts(signal + floor + 2.0 * rng.standard_normal(n)))
        measured["median"].append(_counts(signal * (0.985 + 0.01 * rng.standard_normal(n)) + floor))
        measured["background"].append(_counts(floor + 2.0 * rng.standard_normal(n)))
        measured["sd"].append(_counts(0.22 * signal + 0.3 * floor))
        measured["background_sd"].append(_counts(0.3 * floor))
    return {
        "x": x, "y": y, "bias": bias, "outlier": outlier, "pixels": pixels,
        "flags": np.where(absent, ABSENT, np.where(bad, BAD, 0)),
        **{key: np.stack(values) for key, values in measured.items()},
    }  # fmt: skip


def _centres(
    rng: np.random.Generator, block: IntArray, row: IntArray, column: IntArray, p: dict[str, Any]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Spot centres in µm on a slightly rotated slide, and the relative place down and across, 0 to 1."""
    (block_rows, block_columns), (spot_rows, spot_columns) = p["blocks"], p["spots"]
    block_row, block_column = np.divmod(block - 1, block_columns)
    # One print head: the blocks stand equally far apart both ways.
    block_pitch = SPOT_PITCH * (max(spot_rows, spot_columns) + 2)
    across = block_column * block_pitch + (column - 1) * SPOT_PITCH
    down = block_row * block_pitch + (row - 1) * SPOT_PITCH
    angle = 0.02 * (2.0 * rng.random() - 1.0)
    jitter = rng.integers(-12, 13, (2, block.size))
    x = 2000.0 + across - angle * down + jitter[0]
    y = 2500.0 + down + angle * across + jitter[1]
    size = (block_rows * block_pitch, block_columns * block_pitch)
    return 10.0 * np.rint(x / 10.0), 10.0 * np.rint(y / 10.0), down / size[0], across / size[1]


def _counts(intensity: FloatArray) -> IntArray:
    return np.clip(np.rint(intensity), 0, FULL_SCALE).astype(np.int64)
