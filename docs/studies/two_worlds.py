"""Two worlds: a slide and a feature map go through one function, and each through the other's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

import gridnorm as gn
from gridnorm import nn
from gridnorm.core.fit import fit
from gridnorm.core.segments import Segments
from studies import page
from studies.lab import Claim, Run

CLAIM = "A slide and a feature map are normalized by one function, and each is served by the other's call"
VERDICT = "shown with limits"
TORCH = False

SLIDE = (4, 16, 22, 24)  # arrays, tips, rows and columns of spots: samples, channels, pixels
MAP = (4, 16, 16, 16)  # samples, channels, pixels; 4 x 4 blocks of 4 x 4 pixels
GROUPS = 4  # groups of four tips that follow one another, as groups of channels do
# Counts that say nothing of log ratios are left out: what is planted is the only bias.
QUIET = {"additive_sd": 0.0, "empty": 0.0, "bad": 0.0, "not_found": 0.0}
PLAIN = dict.fromkeys(("tip_offset_sd", "tip_slope_sd", "tip_curve_sd", "tip_scale_sd", "dye_bias", "spatial"), 0.0)

Array = np.ndarray[Any, Any]


def slide(seed: int, **options: Any) -> tuple[Any, Array, Array]:
    """Simulated arrays, and their M and A as samples, channels and pixels."""
    made = gn.simulate(SLIDE[0], blocks=(4, 4), spots=SLIDE[2:], seed=seed, **QUIET, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        done = gn.normalize(made.arrays, method="none", background="subtract")
    return made, done.M.T.reshape(SLIDE), done.A.T.reshape(SLIDE)


def features(generator: np.random.Generator) -> Array:
    """Noise, and in every channel another level and another spread."""
    level, spread = generator.normal(0, 0.5, (1, MAP[1], 1, 1)), np.exp(generator.normal(0, 0.3, (1, MAP[1], 1, 1)))
    return generator.normal(size=MAP) * spread + level


# One function


def same(x: Array, groups: int) -> dict[str, float]:
    """Largest differences between what the two calls find and give.

    ``mean``: the mean of a group. ``values``: of normalized values, once 1/(n − 1) has become 1/n.
    """
    items, labels = x.reshape(len(x), -1), np.repeat(np.arange(groups), x[0].size // groups)
    y, mean, _ = nn.group_norm(x, groups, eps=0.0, return_stats=True)
    n = x[0].size / groups
    z = gn.normalize_groups(items, labels, "zscore", axis=1) * np.sqrt(n / (n - 1))
    fitted = fit(items, Segments.from_labels(labels), "moments").location  # what ``normalize_groups`` subtracts
    return {
        "mean": float(np.abs(fitted - mean).max()),
        "values": float(np.abs(z - y.reshape(items.shape)).max()),
    }


def calls(x: Array) -> dict[str, int]:
    """How often each call reaches the function that finds mean and variance of rows."""
    moments, standardize = (import_module(f"gridnorm.core.engines.numpy.{name}") for name in ("moments", "standardize"))
    items, labels = x.reshape(len(x), -1), np.repeat(np.arange(GROUPS), x[0].size // GROUPS)
    tried: dict[str, Callable[[], Any]] = {
        "group_norm": lambda: nn.group_norm(x, GROUPS),
        "batch_norm": lambda: nn.batch_norm(x),
        "mean": lambda: gn.normalize_groups(items, labels, "mean", axis=1),
        "zscore": lambda: gn.normalize_groups(items, labels, "zscore", axis=1),
        "median": lambda: gn.normalize_groups(items, labels, "median", axis=1),
        "loess": lambda: gn.normalize_groups(items, labels, "loess", covariate=items**2, axis=1),
    }
    found = {}
    for name, call in tried.items():
        watched = mock.Mock(wraps=moments.around)
        with mock.patch.object(moments, "around", watched), mock.patch.object(standardize, "around", watched):
            call()
        found[name] = watched.call_count
    return found


# Planted


def in_map(generator: np.random.Generator) -> dict[str, list[float]]:
    """A shift for every block of pixels, as a print-tip would have it, and what ``by=`` takes off each block."""
    x = features(generator)
    row, column = np.indices(MAP[2:])
    block = np.broadcast_to(row // 4 * 4 + column // 4, MAP[1:]).ravel()
    other = generator.permutation(block)
    found: dict[str, list[float]] = {"planted": [], "right": [], "random": []}
    for sample in x.reshape(len(x), -1):
        shift = generator.normal(0, 0.5, 16)
        bare = sample + shift[block]
        frame = pd.DataFrame({"E": 2.0**bare, "tip": block, "other": other})
        found["planted"] += (shift - shift.mean()).tolist()
        for name, by in (("right", "tip"), ("random", "other")):
            done = gn.normalize(frame, columns="E=E", by=by, method="mean", background="none")
            taken = np.bincount(block, bare - done.values["E"][0]) / np.bincount(block)
            found[name] += (taken - taken.mean()).tolist()
    return found


def on_slide(seed: int, generator: np.random.Generator) -> dict[str, list[float]]:
    """A shift and a factor for every four tips, as a group of channels would have them, and what Group Norm finds."""
    _, m, _ = slide(seed, **PLAIN)
    found: dict[str, list[float]] = {key: [] for key in ("planted", "right", "random", "scales", "right scales")}
    right, other = np.repeat(np.arange(GROUPS), 4), nn.groups.strided(16, GROUPS)
    for sample in m:
        shift, scale = generator.normal(0, 0.5, GROUPS), np.exp(generator.normal(0, 0.3, GROUPS))
        bare = sample * scale[right][:, None, None] + shift[right][:, None, None]
        found["planted"] += (shift - shift.mean()).tolist()
        found["scales"] += (np.log(scale) - np.log(scale).mean()).tolist()
        for name, labels in (("right", right), ("random", other)):
            _, mean, rstd = nn.group_norm(bare[None], groups=labels, return_stats=True)
            taken = np.bincount(right, mean[0][labels]) / 4  # of each of the true groups
            found[name] += (taken - taken.mean()).tolist()
            if name == "right":
                spread = -np.log(rstd[0])
                found["right scales"] += (spread - spread.mean()).tolist()
    return found


def curves(seed: int) -> dict[str, float]:
    """Bias left on slides whose tips bend M over A: root mean square, log2, a constant apart."""
    made, m, a = slide(seed)
    bias = made.bias.reshape(SLIDE)
    _, mean, _ = nn.group_norm(m, SLIDE[1], return_stats=True)
    items, level = m.reshape(SLIDE[0], -1), a.reshape(SLIDE[0], -1)
    removed = {"nothing": np.zeros_like(m), "group_norm": np.broadcast_to(mean[:, :, None, None], SLIDE)}
    for method, options in {"median": {}, "loess": {"covariate": level}}.items():
        done = gn.normalize_groups(items, made.block, method, axis=1, **options)
        removed[method] = (items - done).reshape(SLIDE)
    return {
        name: float(np.mean([(bias[k] - taken[k]).std() for k in range(SLIDE[0])])) for name, taken in removed.items()
    }


def measure(seed: int) -> Run:
    generator = np.random.default_rng([seed, 16])
    _, m, _ = slide(seed)
    x = features(generator)
    return {
        "calls": calls(x),
        "same": {
            "slide, float64": same(m, SLIDE[1]),
            "map, float64": same(x, GROUPS),
            "slide, float32": same(m.astype(np.float32), SLIDE[1]),
            "map, float32": same(x.astype(np.float32), GROUPS),
        },
        "map": in_map(generator),
        "slide": on_slide(seed, generator),
        "curves": curves(seed),
    }


def left(run: Run, world: str, planted: str, found: str) -> float:
    """What of the planted numbers was not taken off, or was put in: percent, root mean squares."""
    truth, taken = (np.asarray(run[world][key]) for key in (planted, found))
    return float(100 * np.sqrt(np.square(truth - taken).mean() / np.square(truth).mean()))


def claims(runs: Sequence[Run]) -> list[Claim]:
    count = {name: [run["calls"][name] for run in runs] for name in runs[0]["calls"]}
    both, neither = ("group_norm", "batch_norm", "mean", "zscore"), ("median", "loess")
    worst = {
        (kind, dtype): max(run["same"][f"{world}, {dtype}"][kind] for run in runs for world in ("slide", "map"))
        for kind in ("mean", "values")
        for dtype in ("float64", "float32")
    }

    def of(world: str, found: str, planted: str = "planted") -> list[float]:
        return [left(run, world, planted, found) for run in runs]

    bias = {name: page.column(runs, "curves", name) for name in runs[0]["curves"]}
    return [
        Claim(
            f"one function finds mean and variance, reached by {', '.join(both)}; not by {', '.join(neither)}: calls",
            ", ".join(str(count[name][0]) for name in both) + "; " + ", ".join(str(count[name][0]) for name in neither),
            all(min(count[name]) > 0 for name in both) and all(max(count[name]) == 0 for name in neither),
        ),
        Claim(
            "means of groups, normalize_groups beside group_norm, slide and map, float64 and float32: differences",
            f"{worst['mean', 'float64']:g} and {worst['mean', 'float32']:g}",
            worst["mean", "float64"] == worst["mean", "float32"] == 0,
        ),
        Claim(
            "normalized values, zscore and group_norm with eps=0, float64 and float32: largest difference",
            f"{worst['values', 'float64']:.0e} and {worst['values', 'float32']:.0e}",
            worst["values", "float64"] < 1e-13 and worst["values", "float32"] < 1e-4,
        ),
        Claim(
            "shifts of pixel blocks planted in a feature map, left by gn.normalize(by=…), percent; by random groups",
            f"{page.span(of('map', 'right'), 1)}; {page.span(of('map', 'random'), 0)}",
            np.mean(of("map", "right")) < 25 and np.mean(of("map", "random")) > 90,
        ),
        Claim(
            "shifts of four tips each planted on a slide, left by nn.group_norm, percent; by groups across them",
            f"{page.span(of('slide', 'right'), 1)}; {page.span(of('slide', 'random'), 0)}",
            np.mean(of("slide", "right")) < 10 and np.mean(of("slide", "random")) > 90,
        ),
        Claim(
            "factors planted there, left by nn.group_norm, percent",
            page.span(of("slide", "right scales", "scales"), 1),
            np.mean(of("slide", "right scales", "scales")) < 35,
        ),
        Claim(
            "tips that bend M over A, bias in log2: before, left by group_norm's means, by medians, by loess",
            ", ".join(f"{values.mean():.2f}" for values in bias.values()),
            bias["loess"].mean() < 0.5 * min(bias["group_norm"].mean(), bias["median"].mean()),
        ),
    ]


def draw(runs: Sequence[Run]) -> Any:
    figure, panels = page.axes(2, height=3.6)
    titles = {"map": "tips in a feature map\nby gn.normalize", "slide": "channel groups on a slide\nby nn.group_norm"}
    for axis, (world, title) in zip(panels, titles.items(), strict=True):
        planted, right, other = (page.column(runs, world, key).ravel() for key in ("planted", "right", "random"))
        end = 1.1 * np.abs(planted).max()
        axis.plot([-end, end], [-end, end], color="black", linewidth=0.8)
        axis.plot(planted, other, ".", color=page.COLOURS["none"], label="other groups")
        axis.plot(planted, right, ".", color=page.COLOURS["GN"], label="right groups")
        axis.set(xlabel="planted shift, log2", ylabel="taken off, log2")
        axis.set_title(title, fontsize=11)
        axis.set_ylim(-end, 1.5 * end)
        axis.legend(loc="upper left", handletextpad=0.1)
    return figure
