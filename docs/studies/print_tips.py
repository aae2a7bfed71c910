"""Print-tips: which grouping of spots carries the bias, judged by a known truth and by spots that no fit has seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import gridnorm as gn
from studies import page
from studies.lab import Claim, Run

CLAIM = "What print-tips do to M is removed within print-tips and by no other groups, and groups that mean nothing show"
VERDICT = "shown with limits"
TORCH = False

BLOCKS, SPOTS = 4, (22, 24)  # 4 x 4 blocks, rows and columns of spots in each: those of swirl
TIPS = BLOCKS * BLOCKS
SIZES = {12: (3, 4), 24: (4, 6), 48: (6, 8), 100: (10, 10), 210: (14, 15), 400: (20, 20)}
OFF = (1, 2, 4, 8, 11)  # columns that the borders of blocks are misplaced by
OTHERS = ("blocks half off", "strips of rows", "strips of columns", "print order", "random")
RANDOM = 5  # random groupings an array
ARRAYS, SMALL_ARRAYS = 4, 12
BRIGHT = 9.0  # log2 intensity; below it the background hides part of the bias from every method
TREND = {"spatial": 0.5, **dict.fromkeys(("tip_offset_sd", "tip_slope_sd", "tip_curve_sd", "tip_scale_sd"), 0.0)}

# ``swirl`` of the four arrays; a test computes it anew where their files are.
SWIRL: dict[str, list[float]] = {
    "print-tips": [4.1, 11.4, 11.4, 0.7],
    "blocks half off": [8.9, 13.5, 11.6, 0.6],
    "strips of rows": [11.1, 5.4, 5.3, 3.6],
    "strips of columns": [0.6, 12.0, 10.3, 0.3],
    "print order": [10.6, 5.6, 6.5, 4.4],
    "random": [-1.5, -1.4, -1.6, -1.8],
    "p": [0.4, 0.15, 0.24, 0.66],
    "before": [0.16, 0.11, 0.19, 0.04],
    "after": [0.02, 0.0, 0.04, 0.01],
}

Array = np.ndarray[Any, Any]


def groupings(row: Array, column: Array, generator: np.random.Generator) -> dict[str, list[Array]]:
    """Labels of the spots at these places: 16 groups of one size, but for the whole and for blocks that edges cut."""
    rows, columns = BLOCKS * SPOTS[0], BLOCKS * SPOTS[1]

    def lattice(down: int, right: int) -> Array:
        """Blocks of that size, shifted and cut at the edges of the slide."""
        return (row + down) // SPOTS[0] * (BLOCKS + 1) + (column + right) // SPOTS[1]

    dip = row % SPOTS[0] * SPOTS[1] + column % SPOTS[1]
    tips = lattice(0, 0)
    return {
        "array": [np.zeros_like(row)],
        "print-tips": [tips],
        "blocks half off": [lattice(SPOTS[0] // 2, SPOTS[1] // 2)],
        "strips of rows": [(row * columns + column) * TIPS // (rows * columns)],
        "strips of columns": [(column * rows + row) * TIPS // (rows * columns)],
        "print order": [dip * TIPS // (SPOTS[0] * SPOTS[1])],
        "random": [generator.permutation(tips) for _ in range(RANDOM)],
    }


def without(m: Array, a: Array, labels: Array, use: Array, rule: str = "shrink") -> Array:
    """M without a loess curve over A of each group; the fit sees the spots of ``use`` alone."""
    options: dict[str, Any] = {"small_groups": rule, "min_group": 200} if rule == "shrink" else {"small_groups": rule}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)  # own curves of few spots are what is asked for
        return np.asarray(gn.normalize_groups(m, labels, "loess", covariate=a, use=use, **options))


def unseen(m: Array, a: Array, labels: Array, use: Array, half: Array) -> float:
    """Mean square of M without the curves of its groups, each half judged by the fit of the other; clipped at ± 1."""
    found = np.where(half, without(m, a, labels, use & ~half), without(m, a, labels, use & half))[use]
    return float(np.square(np.clip(found, -1, 1)).mean())


def explained(m: Array, a: Array, made: dict[str, list[Array]], use: Array, seed: int) -> dict[str, float]:
    """Of what one curve of the array leaves, percent that the curves of the groups explain of spots not seen."""
    half = np.random.default_rng([seed, 2]).random(m.size) < 0.5
    whole = unseen(m, a, made["array"][0], use, half)
    return {
        name: 100 * float(np.mean([1 - unseen(m, a, labels, use, half) / whole for labels in some]))
        for name, some in made.items()
        if name != "array"
    }


def levels(arrays: gn.ArraySet) -> tuple[Array, Array]:
    """M and A, (array, spot), foreground less background."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        done = gn.normalize(arrays, method="none", background="subtract", flags="ignore")
    return done.M.T, done.A.T


def slide(spots: dict[str, Any]) -> tuple[Array, Array]:
    """Row and column of the slide, of spots in blocks of this study's size."""
    block = np.asarray(spots["Block"]) - 1
    return block // BLOCKS * SPOTS[0] + spots["Row"] - 1, block % BLOCKS * SPOTS[1] + spots["Column"] - 1


# With a truth


def left(made: Any, k: int, m: Array, a: Array, labels: Array, use: Array, rule: str = "shrink") -> float:
    """What is left of the bias of array k, or was added to it: root mean square over bright spots, a constant apart."""
    missed = m - without(m, a, labels, use, rule) - made.bias[k]
    return float(np.std(missed[use & (made.true_a > BRIGHT)]))


def truth(seed: int, **options: Any) -> dict[str, dict[str, float]]:
    """Bias left by grouping, and what groupings explain of unseen spots; means over the arrays."""
    made = gn.simulate(ARRAYS, blocks=(BLOCKS, BLOCKS), spots=SPOTS, seed=seed, **options)
    m, a = levels(made.arrays)
    row, column = slide({"Block": made.block, "Row": made.row, "Column": made.column})
    found: dict[str, list[Any]] = {"bias": [], "explained": []}
    for k in range(ARRAYS):
        use = (made.flags[k] >= 0) & np.isfinite(m[k])
        by = groupings(row, column, np.random.default_rng([seed, k]))
        bias = {name: np.mean([left(made, k, m[k], a[k], one, use) for one in some]) for name, some in by.items()}
        if not options:
            bias |= {f"{d} off": left(made, k, m[k], a[k], off(row, column, d), use) for d in OFF}
        bright = use & (made.true_a > BRIGHT)
        done = without(m[k], a[k], by["print-tips"][0], use)
        shifts = [tip_means(x, made.block, bright) for x in (made.bias[k], done - m[k] + made.bias[k])]
        bias |= {"tips before": np.std(shifts[0], ddof=1), "tips after": np.std(shifts[1], ddof=1)}
        found["bias"].append({"nothing": np.std(made.bias[k][bright]), **bias})
        found["explained"].append(explained(m[k], a[k], by, use, seed + k))
    return {key: {n: float(np.mean([one[n] for one in some])) for n in some[0]} for key, some in found.items()}


def tip_means(values: Array, block: Array, use: Array) -> Array:
    return np.bincount(block[use] - 1, values[use]) / np.bincount(block[use] - 1)


def off(row: Array, column: Array, by: int) -> Array:
    """Blocks whose borders lie some columns off, as a grid that was laid wrongly has them."""
    return row // SPOTS[0] * BLOCKS + np.minimum((column + by) // SPOTS[1], BLOCKS - 1)


def small(seed: int) -> dict[str, list[float]]:
    """Bias left by rule for small groups, along ``SIZES``."""
    found: dict[str, list[float]] = {"own": [], "array": [], "shrink": []}
    for size in SIZES.values():
        made = gn.simulate(SMALL_ARRAYS, blocks=(BLOCKS, BLOCKS), spots=size, seed=seed)
        m, a = levels(made.arrays)
        squares: dict[str, list[float]] = {rule: [] for rule in found}
        for k in range(SMALL_ARRAYS):
            use = (made.flags[k] >= 0) & np.isfinite(m[k])
            for rule, some in squares.items():
                labels = np.zeros_like(made.block) if rule == "array" else made.block
                some.append(left(made, k, m[k], a[k], labels, use, "own" if rule == "array" else rule) ** 2)
        for rule, some in squares.items():
            found[rule].append(float(np.sqrt(np.mean(some))))
    return found


# Real arrays


def swirl(folder: Path) -> dict[str, list[float]]:
    """Four arrays whose truth nobody knows: what groupings explain of unseen spots, and gridnorm's own evidence.

    ``p``: of tips beyond a smooth surface. ``before``, ``after``: real difference between tips, a standard deviation.
    """
    files = [str(folder / "bioc_marray" / f"swirl.{k}.spot.gz") for k in (1, 2, 3, 4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        gal = str(folder / "bioc_marray" / "fish.gal.gz")
        arrays, seen = gn.read(files, gal=gal), gn.inspect(files, gal=gal)["inputs"]
        fits = gn.normalize(arrays, by="print-tip", background="subtract").fits
    m, a = levels(arrays)
    row, column = slide(arrays.spots)
    table: dict[str, list[float]] = {}
    for k, fit in enumerate(fits):
        by = groupings(row, column, np.random.default_rng([0, k]))
        (tips,) = (one for one in seen[k]["explained"] if one["by"] == "print-tip")
        found = {key: round(value, 1) for key, value in explained(m[k], a[k], by, np.isfinite(m[k]), k).items()}
        found |= {"p": round(tips["p"], 2)}
        found |= {"before": round(float(fit.real_before.sd[0]), 2), "after": round(float(fit.real_after.sd[0]), 2)}
        for key, value in found.items():
            table.setdefault(key, []).append(value)
    return table


def measure(seed: int) -> Run:
    return {"tips": truth(seed), "no tips": truth(seed, **TREND), "small": small(seed), "swirl": SWIRL}


def claims(runs: Sequence[Run]) -> list[Claim]:
    def of(world: str, kind: str, name: str) -> Array:
        return page.column(runs, world, kind, name)

    tips, nothing = of("tips", "bias", "print-tips"), of("tips", "bias", "nothing")
    others = {name: of("tips", "bias", name) for name in OTHERS}
    seen = {w: {n: of(w, "explained", n) for n in ("print-tips", *OTHERS)} for w in ("tips", "no tips")}
    swirl = {name: np.asarray(values, float) for name, values in runs[0]["swirl"].items()}
    more = {w: seen[w]["print-tips"] - seen[w]["blocks half off"] for w in seen}
    real = swirl["print-tips"] - swirl["blocks half off"]
    return [
        Claim(
            "made slides with tips, bias of M in log2: before, and left by print-tip loess",
            f"{page.span(nothing, 3)}; {page.span(tips, 3)}",
            tips.mean() < 0.25 * nothing.mean(),
        ),
        Claim(
            "mean bias of a tip, standard deviation over tips: before and after",
            "; ".join(page.span(of("tips", "bias", key), 3) for key in ("tips before", "tips after")),
            of("tips", "bias", "tips after").mean() < 0.2 * of("tips", "bias", "tips before").mean(),
        ),
        Claim(
            f"left by other groups ({', '.join(OTHERS)})",
            ", ".join(f"{values.mean():.2f}" for values in others.values()),
            min(values.mean() for values in others.values()) > 3 * tips.mean(),
        ),
        Claim(
            "left by borders of blocks that are misplaced by 1, 4 and 11 of 24 columns",
            ", ".join(f"{of('tips', 'bias', f'{d} off').mean():.2f}" for d in (1, 4, 11)),
            bool((np.diff([tips.mean(), *(of("tips", "bias", f"{d} off").mean() for d in OFF)]) > 0).all())
            and of("tips", "bias", "1 off").mean() > 1.4 * tips.mean(),
        ),
        Claim(
            "explained of unseen spots, percent: tips; the same blocks half off; random groups",
            "; ".join(page.span(seen["tips"][n], 1) for n in ("print-tips", "blocks half off", "random")),
            more["tips"].mean() > 8 and seen["tips"]["random"].mean() < 0,
        ),
        Claim(
            "no tips but a smooth trend: the same three",
            "; ".join(page.span(seen["no tips"][n], 1) for n in ("print-tips", "blocks half off", "random")),
            abs(more["no tips"].mean()) < 4
            and seen["no tips"]["random"].mean() < 0 < seen["no tips"]["print-tips"].mean(),
        ),
        Claim(
            "four swirl arrays: tips explain no more than the same blocks half off; difference in percentage points",
            page.span(real, 1),
            real.mean() < 1,
        ),
        *_sizes(runs),
    ]


def _sizes(runs: Sequence[Run]) -> list[Claim]:
    rules = {rule: page.column(runs, "small", rule).mean(0) for rule in ("own", "array", "shrink")}
    worst = (rules["shrink"] / np.minimum(rules["own"], rules["array"])).max()
    return [
        Claim(
            "12 spots a tip, bias left by own curves, by one curve of the array, by partial pooling",
            ", ".join(f"{values[0]:.2f}" for values in rules.values()),
            rules["own"][0] > 1.1 * rules["array"][0] > 1.4 * rules["shrink"][0],
        ),
        Claim(
            "12 to 400 spots a tip: bias left by partial pooling, at most, of the better of the two others",
            f"{worst:.2f}",
            worst < 1.05,
        ),
    ]


def by_size(runs: Sequence[Run]) -> Any:
    rules = {rule: page.column(runs, "small", rule).mean(0) for rule in ("own", "array", "shrink")}
    rows = [[size, *(f"{values[n]:.2f}" for values in rules.values())] for n, size in enumerate(SIZES)]
    return page.table(["spots a tip", "own curves", "the array's", "pooled"], rows)


def draw(runs: Sequence[Run]) -> Any:
    figure, axis = page.axes(width=5.4, height=4.4)
    names = ("print-tips", *OTHERS)
    worlds = {
        "simulated, with tips": ("BN", "o", {n: page.column(runs, "tips", "explained", n) for n in names}),
        "simulated, a trend": ("GN", "s", {n: page.column(runs, "no tips", "explained", n) for n in names}),
        "swirl, four arrays": ("none", "^", {n: np.asarray(runs[0]["swirl"][n]) for n in names}),
    }
    for shift, (label, (colour, marker, values)) in zip((-0.22, 0, 0.22), worlds.items(), strict=True):
        for row, name in enumerate(names):
            found = values[name]
            axis.plot(
                found, np.full(len(found), row + shift), marker, color=page.COLOURS[colour], alpha=0.7, markersize=5
            )
        axis.plot([], [], marker, color=page.COLOURS[colour], label=label)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(xlabel="explained of spots that the fit did not see, %", ylabel="16 groups (blocks half off: 25)")
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.legend(loc="lower right")
    return figure
