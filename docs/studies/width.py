"""Width: how noisy the statistics of a group of few channels are, and what that costs as a net gets wider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gridnorm import nn
from studies import lab, page
from studies.lab import Claim, Run

CLAIM = "A group's deviation is known to 1/√(2m) of itself, so that it is the channels a group that must not be few"
VERDICT = "shown with limits"
TORCH = True

CHANNELS = 256
SIZES = (2, 4, 8, 16, 32, 64)  # channels a group, of CHANNELS
SHUFFLES = 16
WIDTHS = (16, 32, 64, 128, 256)
RULES = {"8 groups": lambda width: 8, "16 a group": lambda width: width // 16, "4 a group": lambda width: width // 4}


def noise(x: np.ndarray[Any, Any], seed: int, shuffles: int = SHUFFLES) -> list[float]:
    """Standard deviation of a random group's deviation over that of all channels of the same image, by group size."""
    generator = np.random.default_rng([seed, 1])
    whole = nn.layer_norm(x, return_stats=True)[2]
    found = []
    for size in SIZES:
        squares = 0.0
        for _ in range(shuffles):
            shuffled = x[:, generator.permutation(CHANNELS)]
            rstd = nn.group_norm(shuffled, CHANNELS // size, return_stats=True)[2]
            squares += float((whole / rstd).var()) / shuffles
        found.append(squares**0.5)
    return found


def expected() -> np.ndarray[Any, Any]:
    """1/√(2m) for independent normal values, less what groups share with the whole that they are taken from."""
    size = np.asarray(SIZES)
    return np.asarray(np.sqrt((1 - size / CHANNELS) / (2 * size)))


def dense_net(width: int, num_groups: int) -> Any:
    """Three layers of ``width`` units, each with its norm, and a linear head."""
    from torch.nn import Flatten, Linear, ReLU, Sequential

    from gridnorm.nn.torch import GroupNorm

    layers: list[Any] = [Flatten()]
    for before in (64, width, width):
        layers += [Linear(before, width, bias=False), GroupNorm(num_groups, width), ReLU()]
    return Sequential(*layers, Linear(width, 10))


def trained(width: int, num_groups: int, seed: int) -> Any:
    from torch.nn.functional import cross_entropy

    lab.seeded(seed)
    x, y, *_ = lab.digits(seed)
    model = dense_net(width, num_groups)
    return lab.train(model, lambda m, i: cross_entropy(m(x[i]), y[i]), len(x), batch=16, epochs=6, seed=seed, lr=0.05)


def before_the_norm(seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """What the last norm of a dense net gets, before and after training, and the first one after a convolution."""
    import torch

    *_, x, _ = lab.digits(seed)
    lab.seeded(seed)
    nets = {"new": dense_net(CHANNELS, 8)[:8], "conv": torch.nn.Conv2d(1, CHANNELS, 3, padding=1, bias=False)}
    nets["trained"] = trained(CHANNELS, 8, seed)[:8]
    with torch.no_grad():
        return {name: net(x[:100] if name == "conv" else x).double().numpy() for name, net in nets.items()}


def measure(seed: int) -> Run:
    *_, x, y = lab.digits(seed)
    inputs = before_the_norm(seed)
    found: Run = {"noise": {name: noise(values, seed) for name, values in inputs.items()}}
    found["kurtosis"] = float((nn.layer_norm(inputs["trained"]) ** 4).mean())
    found["error"] = {
        rule: [lab.error(trained(width, number(width), seed), x, y) for width in WIDTHS]
        for rule, number in RULES.items()
    }
    return found


def claims(runs: Sequence[Run]) -> list[Claim]:
    ratio = {name: page.column(runs, "noise", name)[:, 2:] / expected()[2:] for name in ("new", "trained", "conv")}
    sizes, whole = np.log(SIZES[2:]), np.sqrt(1 - np.asarray(SIZES[2:]) / CHANNELS)
    slopes = [float(np.polyfit(sizes, np.log(run["noise"]["trained"][2:] / whole), 1)[0]) for run in runs]
    heavy = ratio["trained"].mean(1) / np.sqrt((page.column(runs, "kurtosis") - 1) / 2)
    worth = 1 / np.square(ratio["conv"]).mean(1)
    error = {rule: page.column(runs, "error", rule) for rule in RULES}
    few, many = error["8 groups"], error["16 a group"]
    wide = (few - many)[:, -1]
    small = error["4 a group"]
    behind = (small - many)[:, -3:].mean(1)
    return [
        Claim(
            "dense net before training, 8 to 64 units a group: noise of a group's deviation over 1/√(2m)",
            page.span(ratio["new"].mean(1)),
            abs(ratio["new"].mean() - 1) < 0.15,
        ),
        Claim("after training", page.span(ratio["trained"].mean(1)), 1.1 < ratio["trained"].mean() < 1.7),
        Claim(
            "after training: the same over √((κ − 1)/(4m)), κ the kurtosis of an image's 256 values",
            page.span(heavy),
            abs(heavy.mean() - 1) < 0.15,
        ),
        Claim("after training: slope of log noise over log m", page.span(slopes), abs(np.mean(slopes) + 0.5) < 0.12),
        Claim(
            "convolution of 8 × 8: as many independent values as the 64 of a channel are worth",
            page.span(worth, 1),
            1.5 < worth.mean() < 8,
        ),
        Claim(
            "width 16, test error in percent: 8 groups of two units, and one group of 16",
            f"{page.span(few[:, 0], 1)} and {page.span(many[:, 0], 1)}",
            few[:, 0].min() > 80 and many[:, 0].max() < 25,
        ),
        Claim(
            "width 256: error with 8 groups of 32 less that with 16 units a group, percentage points: less than 2",
            page.span(wide),
            abs(wide.mean()) < 2,
        ),
        Claim(
            "4 units a group: error in percent at widths 16 and 256",
            f"{page.span(small[:, 0], 1)} and {page.span(small[:, -1], 1)}",
            small[:, 0].mean() > 5 * small[:, -1].mean(),
        ),
        Claim(
            "widths 64 to 256: error with 4 units a group less that with 16, percentage points",
            page.span(behind, 1),
            behind.mean() > 0.5,
        ),
    ]


def draw(runs: Sequence[Run]) -> Any:
    figure, (left, right) = page.axes(2, width=6, height=3.6)
    blue, grey = page.COLOURS["GN"], page.COLOURS["none"]
    for name, label, colour, style in (
        ("trained", "dense, trained", blue, "-"),
        ("new", "dense, new", blue, "--"),
        ("conv", "conv., new", grey, "-"),
    ):
        values = page.column(runs, "noise", name)
        page.over_seeds(left, SIZES, values, label, color=colour, linestyle=style, markersize=4)
    left.plot(SIZES, expected(), ":", color="black", label="1/√(2m)")
    left.set(xscale="log", yscale="log", xlabel="channels a group", ylabel="noise of the deviation", ylim=(0.02, 2.4))
    left.set_yticks([0.03, 0.1, 0.3, 1], ["0.03", "0.1", "0.3", "1"])
    left.set_xticks(SIZES, [str(size) for size in SIZES])
    left.legend(fontsize=10, loc="upper right")
    for rule, colour, style in (("8 groups", grey, "-"), ("4 a group", blue, "--"), ("16 a group", blue, "-")):
        values = page.column(runs, "error", rule)
        page.over_seeds(right, WIDTHS, values, rule, color=colour, linestyle=style, markersize=4)
    right.set(xscale="log", yscale="log", xlabel="width, units", ylabel="test error, %", ylim=(2, 110))
    right.set_yticks([3, 10, 30, 100], ["3", "10", "30", "100"])
    right.set_xticks(WIDTHS, [str(width) for width in WIDTHS])
    right.legend(fontsize=10)
    for axis in (left, right):
        axis.minorticks_off()
    return figure
