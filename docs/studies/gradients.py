"""Gradients through Group Norm: divided by the deviation of their own group, and through fifty layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gridnorm import nn
from studies import lab, page
from studies.lab import Claim, Run

CLAIM = "Group Norm divides gradients by the deviation of their own group and sample, and keeps them through depth"
VERDICT = "shown with limits"
TORCH = True

SIGMAS = (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
USUAL = slice(2, None)  # of SIGMAS: far above the root of eps
BATCHES = (2, 4, 8, 16, 32, 64)
SHAPE = (32, 4, 4)  # channels, height, width
GROUPS = 8
FACTORS = (100.0, 0.01)  # one sample of sixteen times that
DEPTH, UNITS = 50, 128
WEIGHTS = (0.41, 1.0, 2.0)  # times those of He and others; 0.41 is what torch.nn.Linear begins with
GROUP_SIZES = (4, 8, 16, 32, 64, 128)


def passed_back(x: np.ndarray[Any, Any], dy: np.ndarray[Any, Any], norm: str) -> np.ndarray[Any, Any]:
    """The gradient at x for dy at the norm's result."""
    if norm == "GN":
        _, mean, rstd = nn.group_norm(x, GROUPS, return_stats=True)
        return np.asarray(nn.group_norm_backward(dy, x, mean, rstd)[0])
    _, mean, rstd = nn.batch_norm(x, training=True, return_stats=True)
    return np.asarray(nn.batch_norm_backward(dy, x, mean, rstd)[0])


def rms(values: np.ndarray[Any, Any]) -> float:
    return float(np.sqrt(np.square(values).mean()))


def one_layer(seed: int) -> Run:
    """Normal values at one norm: their scale, their company in the batch, and one sample out of scale."""
    generator = np.random.default_rng([seed, 1])
    x, dy, other = generator.normal(size=(3, BATCHES[-1], *SHAPE))
    found: Run = {"scale": [rms(passed_back(sigma * x, dy, "GN")) * sigma for sigma in SIGMAS]}
    for norm in ("GN", "BN"):
        company = []
        for size in BATCHES:
            before = passed_back(x[:size], dy[:size], norm)[0]
            after = passed_back(np.concatenate([x[:1], other[1:size]]), dy[:size], norm)[0]
            company.append(rms(after - before) / rms(before))
        sizes = []
        before = passed_back(x[:16], dy[:16], norm)
        for factor in FACTORS:
            changed = x[:16].copy()
            changed[0] *= factor
            after = passed_back(changed, dy[:16], norm)
            sizes.append([rms(after[0]) / rms(before[0]), rms(after[1:]) / rms(before[1:])])
        found[norm] = {"company": company, "sizes": sizes}
    return found


def plain_net(norm: Callable[[], Any], scale: float, seed: int) -> Any:
    """Fifty dense layers of 128 units with ReLU, no skips; weights of He's size times ``scale``."""
    from torch.nn import Flatten, Linear, ReLU, Sequential, init

    lab.seeded(seed)
    layers: list[Any] = [Flatten()]
    for before in (64, *[UNITS] * (DEPTH - 1)):
        linear = Linear(before, UNITS, bias=False)
        init.kaiming_normal_(linear.weight)
        linear.weight.data *= scale
        layers += [linear, norm(), ReLU()]
    return Sequential(*layers, Linear(UNITS, 10))


def by_layer(norm: Callable[[], Any], scale: float, seed: int) -> list[float]:
    """log10 of the norm of each inner layer's gradient, for the loss of 64 digits before any training."""
    from torch.nn import Linear
    from torch.nn.functional import cross_entropy

    x, y, *_ = lab.digits(seed)
    net = plain_net(norm, scale, seed)
    cross_entropy(net(x[:64]), y[:64]).backward()
    inner = [layer for layer in net if isinstance(layer, Linear)][1:-1]
    return [float(layer.weight.grad.double().norm().log10()) for layer in inner]


def measure(seed: int) -> Run:
    from torch.nn import BatchNorm1d, Identity

    from gridnorm.nn.torch import GroupNorm

    norms: dict[str, Callable[[], Any]] = {
        "none": Identity,
        "BN": lambda: BatchNorm1d(UNITS),
        "GN": lambda: GroupNorm(GROUPS, UNITS),
    }
    return {
        **one_layer(seed),
        "layers": {name: [by_layer(norm, scale, seed) for scale in WEIGHTS] for name, norm in norms.items()},
        "group sizes": [
            growth(by_layer(lambda size=size: GroupNorm(UNITS // size, UNITS), 1.0, seed)) for size in GROUP_SIZES
        ],
    }


def growth(layers: Sequence[float]) -> float:
    """Factor per layer towards the input, from the first to the last."""
    return float(10 ** ((layers[0] - layers[-1]) / (len(layers) - 1)))


def claims(runs: Sequence[Run]) -> list[Claim]:
    scale = page.column(runs, "scale")
    spread = float((scale[:, USUAL].max(1) / scale[:, USUAL].min(1) - 1).max())
    company = {norm: page.column(runs, norm, "company") for norm in ("BN", "GN")}
    sizes = {norm: page.column(runs, norm, "sizes") for norm in ("BN", "GN")}
    first = {norm: page.column(runs, "layers", norm)[:, :, 0] for norm in ("none", "BN", "GN")}
    decades = {norm: np.ptp(values, axis=1) for norm, values in first.items()}
    grown = {norm: np.asarray([growth(run["layers"][norm][1]) for run in runs]) for norm in ("none", "BN", "GN")}
    groups = page.column(runs, "group sizes")
    return [
        Claim(
            "GN, values of deviation σ = 0.1 … 10: largest over smallest rms(dx)·σ, less 1",
            f"{spread:.1e}",
            spread < 0.002,
        ),
        Claim(
            "and at σ = 0.001, below the root of eps, over that at σ = 1",
            page.span(scale[:, 0] / scale[:, 4]),
            (scale[:, 0] / scale[:, 4]).max() < 0.5,
        ),
        Claim(
            "all other samples drawn anew: relative change of a sample's gradient, GN; BN at batch 2; BN at batch 64",
            f"{company['GN'].max():g}; {page.span(company['BN'][:, 0])}; {page.span(company['BN'][:, -1])}",
            company["GN"].max() == 0 and company["BN"][:, -1].min() > 0.02,
        ),
        Claim(
            "one sample of 16 times 100: gradient of the other 15 is multiplied by, BN and GN",
            f"{page.span(sizes['BN'][:, 0, 1], 3)} and {page.span(sizes['GN'][:, 0, 1], 3)}",
            sizes["BN"][:, 0, 1].max() < 0.1 and abs(sizes["GN"][:, 0, 1] - 1).max() < 0.01,
        ),
        Claim(
            "one sample of 16 times 0.01: its own gradient is multiplied by, BN and GN",
            f"{page.span(sizes['BN'][:, 1, 0])} and {page.span(sizes['GN'][:, 1, 0], 1)}",
            sizes["BN"][:, 1, 0].max() < 1.5 and sizes["GN"][:, 1, 0].min() > 80,
        ),
        Claim(
            "50 layers, weights of 0.41 … 2 times He's size: gradient of layer 2 moves by decades, no norm; BN; GN",
            f"{page.span(decades['none'], 1)}; {page.span(decades['BN'])}; {page.span(decades['GN'])}",
            decades["none"].min() > 25 and max(decades["BN"].max(), decades["GN"].max()) < 1.5,
        ),
        Claim(
            "BN at batch 64: growth of the gradient per layer towards the input",
            page.span(grown["BN"], 3),
            1.17 < grown["BN"].mean() < 1.27,
        ),
        Claim(
            "the same with GN in groups of 16 units, and without a norm at He's size",
            f"{page.span(grown['GN'], 3)} and {page.span(grown['none'], 3)}",
            abs(grown["GN"].mean() - 1) < 0.07 and abs(grown["none"].mean() - 1) < 0.04,
        ),
        Claim(
            "GN in groups of 4 and of 8 units",
            f"{page.span(groups[:, 0])} and {page.span(groups[:, 1])}",
            groups[:, 0].min() > 1.2 and 1.03 < groups[:, 1].mean() < groups[:, 0].mean(),
        ),
    ]


def draw(runs: Sequence[Run]) -> Any:
    figure, (left, right) = page.axes(2, width=6, height=3.6)
    layers = range(2, DEPTH + 1)
    for norm, which, label, style in (
        ("none", 2, "none, 2 × He", "--"),
        ("BN", 1, "BN", "-"),
        ("GN", 1, "GN", "-"),
        ("none", 0, "none, 0.41 × He", ":"),
    ):
        values = 10 ** page.column(runs, "layers", norm)[:, which].mean(0)
        left.plot(layers, values, style, color=page.COLOURS[norm], label=label, linewidth=2)
    left.set(yscale="log", xlabel="layer, from the input", ylabel="norm of the gradient", ylim=(1e-22, 1e40))
    left.set_yticks([1e-20, 1e-10, 1, 1e10])
    left.legend(fontsize=10, loc="upper left")
    page.over_seeds(right, GROUP_SIZES, page.column(runs, "group sizes"), "GN")
    grown = np.mean([growth(run["layers"]["BN"][1]) for run in runs])
    right.axhline(grown, color=page.COLOURS["BN"], label="BN, batch 64")
    right.set(xscale="log", xlabel="units a group", ylabel="growth per layer", ylim=(0.95, 1.45))
    right.set_xticks(GROUP_SIZES, [str(size) for size in GROUP_SIZES])
    right.minorticks_off()
    right.legend(fontsize=10)
    return figure
