"""One simulated slide: what its print-tips, its dyes and its surface do to every spot, and a scan of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import FULL_SCALE, FloatArray

IntArray = NDArray[np.int64]

SPOT_PITCH = 200.0  # µm
LOWEST, HIGHEST = 5.8, 14.5  # log2 intensity of the faintest and the brightest spots
NOT_FOUND, BAD = -50, -100  # GenePix flags
EMPTY_LEVEL = 2.0  # log2 intensity of a spot that holds no probe
SPOT_SD = 0.1  # log2: how unequal the spots of one probe are in both channels
DAMAGE_SD = 1.5  # log2, of each channel by itself
READING_SD = 2.0  # counts, of the scanner itself at any gain
BACKGROUND_SD = 0.25  # natural log: how uneven the background of a channel is from spot to spot
BLOB_RADIUS = 0.08  # σ of a blob, in lengths of the slide
BACKGROUND_STEP = 1.25  # how much higher than asked for it is in the last channel, and lower in the first


class Probes(NamedTuple):
    """What is on every slide: place and truth of each spot, (spot,), and which are controls."""

    block: IntArray
    row: IntArray
    column: IntArray
    true_m: FloatArray
    true_a: FloatArray
    control: NDArray[np.bool_]


class Slide(NamedTuple):
    """One slide. ``logs`` is (channel, spot) log2 signal at gain 1; ``background`` the same in counts, as
    it truly is.
    """

    x: FloatArray
    y: FloatArray
    bias: FloatArray
    outlier: NDArray[np.bool_]
    bad: NDArray[np.bool_]
    logs: FloatArray
    background: FloatArray


def make_slide(rng: np.random.Generator, probes: Probes, p: Mapping[str, Any]) -> Slide:
    """Print, hybridize and wash one slide."""
    n, tips = probes.block.size, p["blocks"][0] * p["blocks"][1]
    x, y, down, across = _centres(rng, probes, p)
    tip = probes.block - 1
    offset, slope, curve, scale = (
        p[name] * rng.standard_normal(tips)
        for name in ("tip_offset_sd", "tip_slope_sd", "tip_curve_sd", "tip_scale_sd")
    )
    height = p["dye_bias"] * (0.75 + 0.5 * rng.random())
    phase = 2.0 * np.pi * rng.random()
    level = probes.true_a - np.median(probes.true_a)
    bent = (level / (0.5 * (HIGHEST - LOWEST))) ** 2 - 0.3  # about 0 over all spots, 0.7 at the brightest
    bias = offset[tip] + slope[tip] * level + curve[tip] * bent
    bias += p["spatial"] * np.cos(np.pi * (down + 0.5 * across) + phase)
    if p["blob"]:
        centre = 0.1 + 0.8 * rng.spawn(1)[0].random(2)  # no number of the slide's own stream is spent
        away = (down - centre[0]) ** 2 + (across - centre[1]) ** 2
        bias += p["blob"] * np.exp(-away / (2.0 * BLOB_RADIUS**2))
    if p["channels"] == 2:
        bias += height * (1.0 - 2.0 * np.exp((LOWEST - probes.true_a) / 2.0))
    m = probes.true_m + bias + p["noise_sd"] * np.exp(scale[tip]) * rng.standard_normal(n)
    outlier = rng.random(n) < p["outliers"]
    m += np.where(outlier, np.where(rng.random(n) < 0.5, -1.0, 1.0) * (2.0 + 2.0 * rng.random(n)), 0.0)
    a = probes.true_a + SPOT_SD * rng.standard_normal(n)
    bad = rng.random(n) < p["bad"]
    logs = np.stack((a + m / 2.0, a - m / 2.0) if p["channels"] == 2 else (a + m,))
    logs += np.where(bad, DAMAGE_SD * rng.standard_normal(logs.shape), 0.0)
    return Slide(x, y, bias, outlier, bad, logs, _background(rng, np.sin(np.pi * down + phase), p))


def _background(rng: np.random.Generator, wave: FloatArray, p: Mapping[str, Any]) -> FloatArray:
    """Background of every channel: smooth over the slide, uneven from spot to spot, never the same in two dyes."""
    step = np.array([1.0 / BACKGROUND_STEP, BACKGROUND_STEP] if p["channels"] == 2 else [1.0])[:, None]
    uneven = np.exp(BACKGROUND_SD * rng.standard_normal((p["channels"], wave.size)))
    floor: FloatArray = p["background"] * step * (1.0 + 0.15 * wave) * uneven
    return floor


def scan(rng: np.random.Generator, slide: Slide, block: IntArray, gain: float, p: Mapping[str, Any]) -> dict[str, Any]:
    """What a scanner reports of a slide at some gain: counts, (channel, spot), and flags (spot,)."""
    n = block.size
    measured: dict[str, list[IntArray]] = {"mean": [], "median": [], "background": [], "sd": [], "background_sd": []}
    # The background around a spot is not quite that under it, and both are read with noise.
    noise = gain * p["additive_sd"] / np.sqrt(2.0)
    for log, background in zip(slide.logs, slide.background, strict=True):
        floor = gain * background
        signal = gain * np.exp2(log)
        under, around = (floor + noise * rng.standard_normal(n) for _ in range(2))
        around = np.maximum(around, 0.0)
        measured["mean"].append(_counts(signal + under + READING_SD * rng.standard_normal(n)))
        measured["median"].append(_counts(signal * (0.985 + 0.01 * rng.standard_normal(n)) + under))
        measured["background"].append(_counts(around + READING_SD * rng.standard_normal(n)))
        measured["sd"].append(_counts(0.22 * signal + 0.3 * floor))
        measured["background_sd"].append(_counts(0.3 * floor))
    lost = _not_found(rng, slide, block, p)
    return {
        "pixels": rng.integers(52, 121, n),
        "flags": np.where(slide.bad, BAD, np.where(lost, NOT_FOUND, 0)),
        **{key: np.stack(values) for key, values in measured.items()},
    }


def _not_found(rng: np.random.Generator, slide: Slide, block: IntArray, p: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Spots that the software does not find: the dimmest of each print-tip, not quite in their order."""
    share, tips = p["not_found"], p["blocks"][0] * p["blocks"][1]
    odds = share / (1.0 - share) if share < 1.0 else np.inf
    odds = odds * np.exp(p["not_found_sd"] * rng.standard_normal(tips))
    shares = np.where(np.isinf(odds), 1.0, odds / (1.0 + np.where(np.isinf(odds), 0.0, odds)))
    seen = np.log2(np.exp2(slide.logs).max(axis=0) + max(p["additive_sd"], 1.0)) + rng.standard_normal(block.size)
    lost = np.zeros(block.size, np.bool_)
    for tip in range(tips):
        here = np.flatnonzero(block == tip + 1)
        lost[here[np.argsort(seen[here], kind="stable")[: round(shares[tip] * here.size)]]] = True
    return lost


def _centres(
    rng: np.random.Generator, probes: Probes, p: Mapping[str, Any]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Spot centres in µm on a slightly rotated slide, and the relative place down and across, 0 to 1."""
    (block_rows, block_columns), (spot_rows, spot_columns) = p["blocks"], p["spots"]
    block_row, block_column = np.divmod(probes.block - 1, block_columns)
    # One print head: the blocks stand equally far apart both ways.
    block_pitch = SPOT_PITCH * (max(spot_rows, spot_columns) + 2)
    across = block_column * block_pitch + (probes.column - 1) * SPOT_PITCH
    down = block_row * block_pitch + (probes.row - 1) * SPOT_PITCH
    angle = 0.02 * (2.0 * rng.random() - 1.0)
    jitter = rng.integers(-12, 13, (2, probes.block.size))
    x = 2000.0 + across - angle * down + jitter[0]
    y = 2500.0 + down + angle * across + jitter[1]
    size = (block_rows * block_pitch, block_columns * block_pitch)
    return 10.0 * np.rint(x / 10.0), 10.0 * np.rint(y / 10.0), down / size[0], across / size[1]


def _counts(intensity: FloatArray) -> IntArray:
    return np.clip(np.rint(intensity), 0, FULL_SCALE).astype(np.int64)
