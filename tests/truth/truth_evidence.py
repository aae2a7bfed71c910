"""Evidence that can say no: groups that mean nothing are not named, groups that mean something are.

Real difference between groups: random groupings of real arrays, their real print-tips, small noisy groups beside large
quiet ones, and intervals against the truth of made arrays. Print-tips after curve and surface: made slides without any
tip effect (a smooth gradient, spots that follow one another, heavy tails), and with one of sd 0.15.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from judged import Judged
from numpy.typing import NDArray

import gridnorm as gn
from gridnorm.arrays.chain import Levels, groups_of, levels_of, normalize_levels
from gridnorm.arrays.corrected import correct_one
from gridnorm.arrays.layout import infer_layout
from gridnorm.arrays.recipe import Recipe
from gridnorm.arrays.tip_effect import tip_effect
from gridnorm.arrays.weights import use_of
from gridnorm.arrays.within import WithinResult
from gridnorm.core.methods import normalize_within
from gridnorm.core.segments import Segments
from gridnorm.core.spread import differences, real_difference

Vector = NDArray[np.float64]
TOPIC = "evidence"
SHARED = Path(os.environ.get("GRIDNORM_SHARED", Path(__file__).resolve().parents[3] / "shared"))
GROUPINGS, SPOTS = 50, 42  # random ones, of each of four arrays
SLIDES = 100
BLOCKS, ROWS, COLUMNS = 4, 14, 15
NOISE = 0.3


def rows() -> Iterator[Judged]:
    yield from _swirl()
    yield from _uneven()
    yield from _covered()
    yield from _lattices()


def _swirl() -> Iterator[Judged]:
    arrays = gn.read(_swirls())
    recipe = Recipe(background="subtract")
    none, by_tip = 0, []
    added: dict[str, list[tuple[float, float]]] = {"own": [], "shrink": []}
    for k in range(len(arrays)):
        raw = arrays.raw(k)
        levels = levels_of(correct_one(raw, arrays.layout, recipe).raw)[0]
        random = np.random.default_rng(k)
        for grouping in range(GROUPINGS):
            codes = random.permutation(np.arange(raw.n_spots) // SPOTS)
            groups = Segments.from_codes(codes, range(codes.max() + 1))
            none += bool(real_difference(levels.values, groups).low[0] == 0)
            if grouping < 5:
                for rule, sds in added.items():
                    done = _loess(levels, groups, rule)
                    sds.append((float(done.real_before.sd[0]), float(done.real_after.sd[0])))
        by_tip.append(_loess(levels, groups_of(recipe, raw.spots, arrays.layout, raw.n_spots)))
    total = len(arrays) * GROUPINGS
    setting = f"{total} random groupings of swirl, {SPOTS} spots a group"
    yield Judged(TOPIC, setting, "real difference 0 within its interval", none / total, ">=", 0.93)
    harmed = float(np.mean([after > before for before, after in added["own"]]))
    yield Judged(TOPIC, setting, "runs of own curves shown to add difference", harmed, ">=", 0.9)
    own, pooled = (float(np.mean([after for _, after in added[rule]])) for rule in ("own", "shrink"))
    yield Judged(TOPIC, setting, "what the default adds, of what own curves add", pooled / own, "<=", 0.75)
    setting = "print-tips of swirl, loess"
    low = min(float(done.real_before.low[0]) for done in by_tip)
    yield Judged(TOPIC, setting, "lower bound before, smallest of four", low, ">=", 0.01)
    after = max(float(done.real_after.sd[0]) for done in by_tip)
    yield Judged(TOPIC, setting, "sd after, largest of four", after, "<=", 0.05)
    share = np.mean([float(done.real_after.variance[0]) for done in by_tip])
    share /= np.mean([float(done.real_before.variance[0]) for done in by_tip])
    yield Judged(TOPIC, setting, "variance after / before", float(share), "<=", 0.1)
    yield Judged(TOPIC, "tips of sd 0.15 added to swirl", "a tip effect is named", _added(), ">=", 0.85)


def _added() -> float:
    """Tips of sd 0.15 added to the four swirl arrays: share of draws in which a tip effect is named."""
    random, found = np.random.default_rng(1), []
    for arrays in (gn.read([path]) for path in _swirls()):
        raw, layout = arrays.raw(0), arrays.layout
        assert layout is not None
        levels = levels_of(correct_one(raw, layout, Recipe(background="subtract")).raw)[0]
        block = np.asarray(raw.spots["Block"], np.int64) - 1
        used = np.ones(raw.n_spots, np.bool_)
        for _ in range(10):
            values = levels.values[0] + 0.15 * random.normal(size=BLOCKS**2)[block]
            one = tip_effect(values, levels.covariates["level"][0], raw.spots, layout, used)
            found.append(one is not None and one.p < 0.05)
    return float(np.mean(found))


def _swirls() -> list[Path]:
    return [SHARED / "data" / "arrays" / "bioc_marray" / f"swirl.{k}.spot.gz" for k in (1, 2, 3, 4)]


def _loess(levels: Levels, groups: Segments, rule: str = "shrink") -> WithinResult:
    row, options = Recipe(options={"small_groups": rule}).within(("R", "G"))
    use = use_of(None, levels.values.shape[1], "ignore")
    return normalize_levels(levels, groups, row, use, options)


def _uneven() -> Iterator[Judged]:
    """Small groups with sd 4 beside large ones with sd 1, where an F test names differences in nearly every draw."""
    for sizes, times in ((((8,) * 6 + (200,) * 6), 400), (((10,) * 20 + (400,) * 4), 400)):
        groups = Segments.from_labels(np.repeat(np.arange(len(sizes)), sizes))
        sd = np.repeat([4.0 if size <= 10 else 1.0 for size in sizes], sizes)
        noise = np.random.default_rng(len(sizes)).normal(size=(times, sd.size)) * sd
        named = float((real_difference(noise, groups).low > 0).mean())
        setting = f"no difference; groups of {min(sizes)} with sd 4, of {max(sizes)} with sd 1"
        yield Judged(TOPIC, setting, "a difference is named", named, "<=", 0.07)


def _covered() -> Iterator[Judged]:
    """The interval of what a fit leaves against what it does leave, known of made values."""
    for sizes, minimum in (((400,) * 16, 30), ((100,) * 16, 30), ((20,) * 4 + (400,) * 12, 30), ((42,) * 60, 30)):
        random = np.random.default_rng(len(sizes) + sizes[0])
        before, after = _coverage(np.array(sizes), minimum, random, 100)
        setting = f"loess, {len(sizes)} groups of {'' if min(sizes) == max(sizes) else f'{min(sizes)} to '}{max(sizes)}"
        yield Judged(TOPIC, setting, "95 % interval before holds the truth", before, ">=", 0.9)
        yield Judged(TOPIC, setting, "95 % interval after holds the truth", after, ">=", 0.9)


def _coverage(sizes: NDArray[np.int64], minimum: int, random: np.random.Generator, draws: int) -> tuple[float, float]:
    groups = Segments.from_labels(np.repeat(np.arange(sizes.size), sizes))
    weight = sizes / sizes.sum()
    held = np.zeros(2)

    def spread(shift: Vector) -> float:
        return float(weight @ (shift - weight @ shift) ** 2) / (1.0 - float(weight @ weight))

    for _ in range(draws):
        level = random.uniform(6.0, 14.0, groups.n_items)
        shifts = 0.15 * random.normal(size=sizes.size)
        true = shifts[groups.codes] + 0.02 * (level - 10.0) ** 2
        m = (true + NOISE * random.normal(size=true.size))[None]

        def fitted(
            items: NDArray[np.int64],
            some: Segments,
            seen: NDArray[np.bool_] | None,
            share: float,
            m: NDArray[np.float64] = m,
            level: Vector = level,
        ) -> NDArray[np.float64]:
            least, part = math.floor(share * minimum), level[None, items]
            done = normalize_within(m[:, items], some, "loess", covariate=part, use=seen, minimum=least)
            values: NDArray[np.float64] = done.values
            return values

        done = fitted(np.arange(groups.n_items), groups, None, 1.0)
        left = np.bincount(groups.codes, true - (m - done)[0]) / sizes
        for k, (found, truth) in enumerate(zip(differences(m, done, groups, fitted), (shifts, left), strict=True)):
            held[k] += bool(found.low[0] ** 2 <= spread(truth) <= found.high[0] ** 2)
    return float(held[0] / draws), float(held[1] / draws)


def _lattices() -> Iterator[Judged]:
    block, row, column = (
        each.ravel() + 1 for each in np.meshgrid(*map(np.arange, (BLOCKS**2, ROWS, COLUMNS)), indexing="ij")
    )
    layout = infer_layout(block, row, column, override=f"{BLOCKS}x{BLOCKS}x{ROWS}x{COLUMNS}")
    spots = {"Block": block, "Row": row, "Column": column}
    y, x = (place / place.max() - 0.5 for place in layout.slide_position(block, row, column))
    n = block.size

    def follow(random: np.random.Generator) -> Vector:
        noise = NOISE * random.normal(size=n)
        for k in range(1, n):
            noise[k] += 0.3 * noise[k - 1]
        return noise

    def gradient(random: np.random.Generator) -> Vector:
        a, b, c, d = random.normal(size=4)
        return NOISE * random.normal(size=n) + 0.4 * (a * x + b * y) + 0.6 * (c * x * x + d * x * y)

    made: dict[str, Callable[[np.random.Generator], Vector]] = {
        "a smooth gradient": gradient,
        "AR(1) of 0.3 along the spots": follow,
        "t with 3 degrees of freedom": lambda random: 0.2 * random.standard_t(3, size=n),
        "t with 3 degrees of freedom and a gradient": lambda random: 0.2 * random.standard_t(3, size=n) + 0.5 * x,
    }
    used = np.ones(n, np.bool_)

    def named(make: Callable[[np.random.Generator], Vector], seed: int) -> float:
        random = np.random.default_rng(seed)
        found = [tip_effect(make(random), None, spots, layout, used) for _ in range(SLIDES)]
        return float(np.mean([one is not None and one.p < 0.05 for one in found]))

    for seed, (name, make) in enumerate(made.items()):
        yield Judged(TOPIC, f"no print-tips, {name}", "a tip effect is named", named(make, seed), "<=", 0.07)

    setting = "no print-tips; simulated slides with dye bias, a gradient, damaged and dim spots and tips' own noise"
    yield Judged(TOPIC, setting, "a tip effect is named", _simulated(), "<=", 0.07)

    def tips(random: np.random.Generator) -> Vector:
        return gradient(random) + 0.15 * random.normal(size=BLOCKS**2)[block - 1]

    setting = f"16 tips of {ROWS * COLUMNS}, sd 0.15, noise {NOISE} and a gradient"
    yield Judged(TOPIC, setting, "a tip effect is named", named(tips, 9), ">=", 0.95)


def _simulated() -> float:
    blocks, spots = (BLOCKS, BLOCKS), (ROWS, COLUMNS)
    tips = {"tip_offset_sd": 0.0, "tip_slope_sd": 0.0, "tip_curve_sd": 0.0}
    arrays = gn.simulate(SLIDES, blocks=blocks, spots=spots, seed=3, **tips).arrays
    found = []
    for raw in map(arrays.raw, range(SLIDES)):
        levels = levels_of(correct_one(raw, arrays.layout, Recipe(background="subtract")).raw)[0]
        seen = np.ones(raw.n_spots, np.bool_) if raw.flags is None else raw.flags >= 0
        assert arrays.layout is not None
        one = tip_effect(levels.values[0], levels.covariates["level"][0], raw.spots, arrays.layout, seen)
        found.append(one is not None and one.p < 0.05)
    return float(np.mean(found))


if __name__ == "__main__":
    for one in rows():
        print(f"{'ok ' if one.holds else 'NO '} {one.setting}: {one.figure}: {one.value:.4g} {one.sense} {one.limit:g}")
