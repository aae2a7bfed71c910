"""Squash: loud channels of a group leave its quiet ones without scale; groups by variance give it back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np

from gridnorm import nn
from studies import lab, page
from studies.lab import Claim, Run

CLAIM = "A loud channel squashes the quiet ones of its group; groups by variance repair it"
VERDICT = "shown with limits"
TORCH = True

RATIOS = (1, 4, 16, 64)  # deviation of a loud channel over that of a quiet one
CHANNELS, GROUPS = 8, 2
QUIET = np.arange(CHANNELS) % 2 == 1  # loud and quiet take turns, so that every contiguous group is mixed
DRAWS, LONG = 100, 40  # layers, epochs


def left(seed: int) -> dict[str, list[float]]:
    """Deviation of the quiet channels within samples, after normalization, by groups."""
    generator = np.random.default_rng([seed, 1])
    noise = generator.normal(size=(64, CHANNELS, 8, 8))
    found: dict[str, list[float]] = {"mixed": [], "doctor": [], "proposal": []}
    for ratio in RATIOS:
        x = noise * np.where(QUIET, 1, ratio)[:, None, None]
        report = nn.groups.doctor(x, GROUPS, permutations=1)
        found["mixed"].append(quiet_deviation(nn.group_norm(x, GROUPS)))
        found["proposal"].append(quiet_deviation(nn.group_norm(x, groups=report.proposal)))
        after = np.concatenate([group.after for group in report.groups])
        found["doctor"].append(float(after[QUIET].mean()))
    return found


def quiet_deviation(y: Any) -> float:
    return float(np.sqrt(y[:, QUIET].var(axis=(2, 3)).mean()))


def named(seed: int) -> dict[str, int]:
    """Random layers with 0 to 6 quiet channels in 32: in how many the doctor names those below a quarter, no others."""
    generator = np.random.default_rng([seed, 2])
    found = {"layers": DRAWS, "exact": 0, "missed": 0, "false": 0, "squashed": 0, "left": 0}
    for _ in range(DRAWS):
        deviations = np.exp(generator.normal(0, 0.3, 32))
        quiet = generator.choice(32, generator.integers(0, 7), replace=False)
        deviations[quiet] /= np.exp(generator.uniform(np.log(2), np.log(100), quiet.size))
        group = np.sqrt(np.square(deviations).reshape(4, 8).mean(1)).repeat(8)
        true = set(np.flatnonzero(deviations < group / 4).tolist())
        x = generator.normal(size=(8, 32, 6, 6)) * deviations[:, None, None]
        report = nn.groups.doctor(x, 4, permutations=1)
        said = set(report.squashed)
        found["exact"] += said == true
        found["missed"] += len(true - said)
        found["false"] += len(said - true)
        found["squashed"] += len(true)
        found["left"] += len(report.proposal_squashed)
    return found


def commuting(seed: int) -> dict[str, float]:
    """Every order of 8 channels: which of them the norm with 2 contiguous groups commutes with, and how nearly."""
    orders = np.array(list(permutations(range(CHANNELS))))
    x = np.random.default_rng([seed, 3]).normal(size=(CHANNELS, 5)) * np.linspace(1, 3, CHANNELS)[:, None]
    y = nn.group_norm(x[None], GROUPS)[0]
    apart = np.abs(nn.group_norm(x[orders], GROUPS) - y[orders]).max(axis=(1, 2))
    halves = np.sort((orders // 4).reshape(-1, GROUPS, 4), axis=2)
    keeps = (halves[:, :, 0] == halves[:, :, 3]).all(1)  # each group holds what was one group
    carried = max(
        float(np.abs(nn.group_norm(x[order][None], groups=(order // 4).tolist())[0] - y[order]).max())
        for order in orders[np.random.default_rng([seed, 4]).integers(0, len(orders), 50)]
    )
    return {
        "orders": len(orders),
        "keep": int(keeps.sum()),
        "largest of those": float(apart[keeps].max()),
        "smallest of others": float(apart[~keeps].min()),
        "labels carried along": carried,
    }


def network(labels: Any, inputs: int) -> Any:
    """A norm of the inputs by the given groups, two convolutions with norms in 4 groups, a linear head."""
    from torch.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential

    from gridnorm.nn.torch import GroupNorm

    return Sequential(
        GroupNorm(groups=labels),
        Conv2d(inputs, 16, 3, padding=1, bias=False),
        GroupNorm(4, 16),
        ReLU(),
        MaxPool2d(2),
        Conv2d(16, 16, 3, padding=1, bias=False),
        GroupNorm(4, 16),
        ReLU(),
        Flatten(),
        Linear(256, 10),
    )


def channels(x: Any, ratio: float, seed: int, *, told: bool = False) -> Any:
    """Four quiet channels, each the image with noise, and four loud ones: noise alone, or the same (``told``)."""
    import torch

    noise = torch.from_numpy(np.random.default_rng([seed, 5, len(x)]).normal(size=(len(x), CHANNELS, 8, 8)))
    quiet, seen = torch.from_numpy(QUIET)[:, None, None], x + 0.3 * noise
    return torch.where(quiet, seen, ratio * (seen if told else 0.5 * noise)).float()


def trained(labels: Any, x: Any, y: Any, seed: int, *, epochs: int = 4) -> Any:
    """Networks of one seed differ in the groups of the first norm alone."""
    from torch.nn.functional import cross_entropy

    lab.seeded(seed)
    model = network(labels, x.shape[1])
    return lab.train(
        model, lambda m, i: cross_entropy(m(x[i]), y[i]), len(x), batch=32, epochs=epochs, seed=seed, lr=0.05
    )


def learned(seed: int) -> dict[str, Any]:
    """Test error in percent by ratio and groups of the first norm."""
    x, y, x_test, y_test = lab.digits(seed)
    mixed, single = nn.groups.contiguous(CHANNELS, GROUPS), nn.groups.contiguous(CHANNELS, CHANNELS)

    def error(labels: Any, ratio: float, *, told: bool = False, epochs: int = 4) -> float:
        model = trained(labels, channels(x, ratio, seed, told=told), y, seed, epochs=epochs)
        return lab.error(model, channels(x_test, ratio, seed, told=told), y_test)

    found: dict[str, Any] = {"mixed": [], "proposal": [], "single": []}
    for ratio in RATIOS:
        proposal = nn.groups.doctor(channels(x, ratio, seed).numpy(), GROUPS, permutations=1).proposal
        for name, labels in (("mixed", mixed), ("proposal", proposal), ("single", single)):
            found[name].append(error(labels, ratio))
    longer = {f"long {ratio}": error(mixed, ratio, epochs=LONG) for ratio in (16, 64)}
    return found | longer | {"told": error(mixed, RATIOS[-1], told=True)}


def plain(seed: int) -> dict[str, float]:
    """An ordinary network of the digits after training: channels that the doctor calls squashed, over both norms."""
    import torch

    x, y, x_test, y_test = lab.digits(seed)
    model = trained([0], x, y, seed, epochs=6)
    norms = (2, 6)  # their places in ``network``
    with torch.no_grad():
        reports = [nn.groups.doctor(model[:place](x).numpy(), 4, permutations=1) for place in norms]
    lowest = min(min(group.after) for report in reports for group in report.groups)
    squashed = sum(len(report.squashed) for report in reports)
    return {"squashed": squashed, "lowest": lowest, "error": lab.error(model, x_test, y_test)}


def measure(seed: int) -> Run:
    parts = {"left": left, "named": named, "orders": commuting, "error": learned, "plain": plain}
    return {name: part(seed) for name, part in parts.items()}


def claims(runs: Sequence[Run]) -> list[Claim]:
    from scipy.stats import binomtest

    after, forecast = page.column(runs, "left", "mixed"), page.column(runs, "left", "doctor")
    off = np.abs(forecast / after - 1).max() * 100
    count = {name: int(page.column(runs, "named", name).sum()) for name in runs[0]["named"]}
    low, high = np.multiply(100, binomtest(count["exact"], count["layers"]).proportion_ci())
    order = {name: page.column(runs, "orders", name) for name in runs[0]["orders"]}
    commute = np.all(order["keep"] == 1152) and order["largest of those"].max() < 1e-12
    squashed, lowest = page.column(runs, "plain", "squashed").sum(), page.column(runs, "plain", "lowest").min()
    quiet = "a quiet channel beside others 64 times as loud leaves with deviation (by construction)"
    named = f"{count['exact']} of {count['layers']} ({low:.1f} to {high:.1f} %)"
    left = f"{count['left']} of {count['squashed']}"
    orders = "orders of 8 channels that the norm with 2 contiguous groups commutes with"
    carried = order["labels carried along"].max()
    ordinary = "squashed channels of an ordinary network after training; lowest deviation after the norm"
    return [
        Claim(quiet, f"{after[:, -1].mean():.3f}", abs(after[:, -1].mean() - np.sqrt(2 / (1 + 64**2))) < 0.001),
        Claim("the doctor's forecast of it, all ratios: farthest off, in percent", f"{off:.1f}", off < 2),
        Claim("random layers in which the doctor names the squashed channels and no other", named, low > 90),
        Claim("squashed channels left by the groups it proposes", left, count["left"] < 0.01 * count["squashed"]),
        *trained_claims({name: page.column(runs, "error", name) for name in runs[0]["error"]}),
        Claim(
            orders,
            f"{order['keep'][0]:.0f} of {order['orders'][0]:.0f}",
            commute and order["smallest of others"].min() > 0.01,
        ),
        Claim("any order, if the labels go with the channels: largest difference", f"{carried:.0e}", carried < 1e-12),
        Claim(
            ordinary,
            f"{squashed:.0f} of {32 * len(runs)}; {lowest:.2f}",
            squashed < 0.05 * 32 * len(runs) and lowest > 0.1,
        ),
    ]


def trained_claims(error: dict[str, Any]) -> list[Claim]:
    mixed, proposal, told = error["mixed"][:, 2], error["proposal"][:, 2], error["told"]
    head = "test error in percent, ratio 16, 4 epochs"
    return [
        Claim(f"{head}: mixed groups (chance is 90)", page.span(mixed, 1), mixed.min() > 70),
        Claim(f"{head}: proposed groups", page.span(proposal, 1), proposal.max() < 15),
        Claim("mixed, 40 epochs: γ has made up for it", page.span(error["long 16"], 1), error["long 16"].max() < 25),
        Claim("mixed, 40 epochs, ratio 64: it has not", page.span(error["long 64"], 1), error["long 64"].min() > 70),
        Claim("mixed, ratio 64, 4 epochs, loud channels hold the digit too", page.span(told, 1), told.max() < 20),
    ]


def draw(runs: Sequence[Run]) -> Any:
    figure, axis = page.axes()
    page.over_seeds(
        axis, RATIOS, page.column(runs, "error", "mixed"), "contiguous groups, mixed", color=page.COLOURS["BN"]
    )
    page.over_seeds(
        axis, RATIOS, page.column(runs, "error", "proposal"), "groups by variance", color=page.COLOURS["GN"]
    )
    page.over_seeds(axis, RATIOS, page.column(runs, "error", "single"), "one channel a group", color=page.COLOURS["IN"])
    axis.set(xscale="log", ylim=(0, 100), xlabel="deviation of loud over quiet channels", ylabel="test error, %")
    axis.set_xticks(RATIOS, [str(ratio) for ratio in RATIOS])
    axis.minorticks_off()
    axis.legend(loc="upper left")
    return figure
