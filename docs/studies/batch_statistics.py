"""Batch statistics at small batch: how wrong they are, when that breaks Batch Norm, and when it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gridnorm import nn
from studies import lab, page
from studies.lab import Claim, Run

CLAIM = "Batch Norm breaks where its mean and variance come from few values; Group Norm does not see the batch"
VERDICT = "shown with limits"
TORCH = True

EPS = 1e-5
SIZES = (2, 4, 8, 16, 32, 64)  # of batches whose statistics are compared with those of all images
TRAINED = (32, 16, 8, 4, 2)  # of batches trained with
DRAWS = 128
PART = 2


def statistics(x: np.ndarray[Any, Any], seed: int) -> dict[str, list[float]]:
    """Root mean square errors of a batch's mean, in deviations, and of its variance, in variances, by batch size."""
    generator = np.random.default_rng([seed, 1])
    rest = (0, *range(2, x.ndim))
    true_mean, true_variance = x.mean(rest), x.var(rest)
    found: dict[str, list[float]] = {"mean": [], "variance": []}
    for size in SIZES:
        drawn = x[generator.integers(0, len(x), DRAWS * size)]
        _, mean, rstd = nn.batch_norm(drawn, training=True, ghost_size=size, eps=EPS, return_stats=True)
        variance = 1 / np.square(rstd) - EPS
        found["mean"].append(float(np.sqrt((np.square(mean - true_mean) / true_variance).mean())))
        found["variance"].append(float(np.sqrt(np.square(variance / true_variance - 1).mean())))
    return found


def dense_net(norm: Callable[[int], Any]) -> Any:
    """Three layers of 128 units, each with its norm, and a linear head."""
    from torch.nn import Flatten, Linear, ReLU, Sequential

    layers: list[Any] = [Flatten()]
    for before in (64, 128, 128):
        layers += [Linear(before, 128, bias=False), norm(128), ReLU()]
    return Sequential(*layers, Linear(128, 10))


def conv_net(norm: Callable[[int], Any]) -> Any:
    """Three 3 x 3 convolutions of 16 channels at 8 x 8, 8 x 8 and 4 x 4, each with its norm, and a linear head."""
    from torch.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential

    layers: list[Any] = []
    for before in (1, 16, 16):
        layers += [Conv2d(before, 16, 3, padding=1, bias=False), norm(16), ReLU()]
    layers.insert(6, MaxPool2d(2))
    return Sequential(*layers, Flatten(), Linear(256, 10))


def trained(build: Callable[[Any], Any], norm: Callable[[int], Any], batch: int, seed: int) -> Any:
    """At a rate in proportion to the batch, as Wu and He have it."""
    from torch.nn.functional import cross_entropy

    lab.seeded(seed)
    x, y, *_ = lab.digits(seed)
    model = build(norm)

    def loss(net: Any, indexes: Any) -> Any:
        return cross_entropy(net(x[indexes]), y[indexes])

    return lab.train(model, loss, len(x), batch=batch, epochs=6, seed=seed, lr=0.1 * batch / 32)


def group_norm(channels: int) -> Any:
    from gridnorm.nn.torch import GroupNorm

    return GroupNorm(8, channels)


def in_parts(channels: int) -> Any:
    """Batch Norm of two images at a time in training, whatever the batch (ghost batch normalization)."""
    import torch

    class Parts(torch.nn.BatchNorm1d):
        def forward(self, x: Any) -> Any:
            whole = super().forward
            return torch.cat([whole(part) for part in x.split(PART)]) if self.training else whole(x)

    return Parts(channels)


def with_statistics_of_the_batch(model: Any, seed: int) -> list[float]:
    """Test errors by batch size when the test's own batches give mean and variance, as in training."""
    *_, x, y = lab.digits(seed)
    model.train()
    return [
        float(np.mean([lab.error(model, x[i : i + size], y[i : i + size]) for i in range(0, len(x) - size + 1, size)]))
        for size in TRAINED
    ]


def refreshed(model: Any, seed: int) -> float:
    """Test error with mean and variance of all training images in place of the running ones."""
    import torch

    x, _, x_test, y_test = lab.digits(seed)
    for layer in model:
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.momentum = 1.0
    with torch.no_grad():
        model.train()(x)
    return lab.error(model.eval(), x_test, y_test)


def under_contrast(model: Any, seed: int) -> dict[str, float]:
    """Test error with each image times a number of its own in 0.5 … 2, and the share of changed answers."""
    import torch

    *_, x, y = lab.digits(seed)
    factors = np.random.default_rng([seed, 2]).uniform(0.5, 2, (len(x), 1, 1, 1)).astype(np.float32)
    other = x * torch.from_numpy(factors)
    with torch.no_grad():
        changed = (model(x).argmax(1) != model(other).argmax(1)).double().mean()
    return {"error": lab.error(model, other, y), "changed": float(changed) * 100}


def measure(seed: int) -> Run:
    import torch
    from torch.nn import BatchNorm1d, BatchNorm2d

    x, _, x_test, y_test = lab.digits(seed)
    images = torch.cat([x, x_test])
    found: Run = {"statistics": {}, "dense": {"BN": [], "GN": []}, "conv": {"BN": [], "GN": []}, "contrast": {}}
    lab.seeded(seed)
    with torch.no_grad():
        for name, layers in (("dense", dense_net(BatchNorm1d)[:2]), ("conv", conv_net(BatchNorm2d)[:1])):
            found["statistics"][name] = statistics(layers(images).double().numpy(), seed)
    for name, norm in (("BN", BatchNorm1d), ("GN", group_norm)):
        for batch in TRAINED:
            model = trained(dense_net, norm, batch, seed)
            found["dense"][name].append(lab.error(model, x_test, y_test))
            if batch == TRAINED[0]:
                found["contrast"][name] = under_contrast(model, seed)
            if name == "BN" and batch == TRAINED[0]:
                found["dense by batch"] = with_statistics_of_the_batch(model, seed)
            if name == "BN" and batch == TRAINED[-1]:
                found["refreshed"] = refreshed(model, seed)
    found["parts"] = lab.error(trained(dense_net, in_parts, 32, seed), x_test, y_test)
    for name, norm in (("BN", BatchNorm2d), ("GN", group_norm)):
        for batch in (TRAINED[0], TRAINED[-1]):
            model = trained(conv_net, norm, batch, seed)
            found["conv"][name].append(lab.error(model, x_test, y_test))
            if name == "BN" and batch == TRAINED[0]:
                found["conv by batch"] = with_statistics_of_the_batch(model, seed)
    return found


def slopes(runs: Sequence[Run], what: str) -> list[float]:
    """Of log error over log batch size, a seed each, for the dense layer."""
    return [float(np.polyfit(np.log(SIZES), np.log(run["statistics"]["dense"][what]), 1)[0]) for run in runs]


def claims(runs: Sequence[Run]) -> list[Claim]:
    mean, variance = slopes(runs, "mean"), slopes(runs, "variance")
    dense = {name: page.column(runs, "dense", name) for name in ("BN", "GN")}
    conv = {name: page.column(runs, "conv", name) for name in ("BN", "GN")}
    large = (dense["BN"] - dense["GN"])[:, :2].mean(1)
    apart = (conv["BN"] - conv["GN"])[:, -1]
    parts, again = page.column(runs, "parts"), page.column(runs, "refreshed")
    noisy = {name: page.column(runs, f"{name} by batch")[:, -1] for name in ("dense", "conv")}
    error = {name: page.column(runs, "statistics", name, "variance") for name in ("dense", "conv")}
    shifted = {name: page.column(runs, "contrast", name, "error") for name in ("BN", "GN")}
    changed = page.column(runs, "contrast", "GN", "changed").max()
    return [
        Claim(
            "dense layer: slope of log error over log batch size N, of a batch's mean and of its variance",
            f"{page.span(mean)} and {page.span(variance)}",
            abs(np.mean(mean) + 0.5) < 0.03 and abs(np.mean(variance) + 0.5) < 0.06,
        ),
        Claim(
            "relative error of the variance at N = 2, convolution of 8 × 8 and dense layer",
            f"{page.span(error['conv'][:, 0])} and {page.span(error['dense'][:, 0])}",
            4 * error["conv"][:, 0].mean() < error["dense"][:, 0].mean(),
        ),
        Claim(
            "dense net trained at batch 2, test error in percent, BN and GN",
            f"{page.span(dense['BN'][:, -1], 1)} and {page.span(dense['GN'][:, -1], 1)}",
            dense["BN"][:, -1].min() > 20 and dense["GN"][:, -1].max() < 6,
        ),
        Claim(
            "at batch 32 and 16 BN is the better: BN's error less GN's, percentage points",
            page.span(large, 1),
            large.mean() < 0,
        ),
        Claim(
            "batch 32, but BN's statistics of two images at a time: error in percent",
            page.span(parts, 1),
            parts.min() > 15,
        ),
        Claim(
            "BN trained at batch 2, then given statistics of all training images: error in percent",
            page.span(again, 1),
            again.min() > 15,
        ),
        Claim(
            "convolutions trained at batch 2: BN's error less GN's, percentage points: less than 2",
            page.span(apart, 1),
            abs(apart.mean()) < 2,
        ),
        Claim(
            "BN trained at 32, statistics of batches of 2 at test: error in percent, dense and convolutions",
            f"{page.span(noisy['dense'], 1)} and {page.span(noisy['conv'], 1)}",
            noisy["dense"].min() > 30 and noisy["conv"].max() < 8,
        ),
        Claim(
            "contrast times 0.5 … 2 at test, batch 32, dense: error in percent, BN and GN",
            f"{page.span(shifted['BN'], 1)} and {page.span(shifted['GN'], 1)}",
            (shifted["BN"] - dense["BN"][:, 0]).mean() > 1 and changed < 0.3,
        ),
    ]


def draw(runs: Sequence[Run]) -> Any:
    figure, (left, right) = page.axes(2, width=6, height=3.6)
    for name, label, colour in (("dense", "dense", "BN"), ("conv", "conv.", "none")):
        for what, style in (("mean", "-"), ("variance", "--")):
            values = page.column(runs, "statistics", name, what)
            options = {"color": page.COLOURS[colour], "linestyle": style, "markersize": 4}
            page.over_seeds(left, SIZES, values, f"{label}, {what}", **options)
    left.set(xscale="log", yscale="log", xlabel="batch size N", ylabel="relative error", ylim=(0.007, 8))
    left.set_yticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
    left.legend(fontsize=10, loc="upper right")
    for name in ("BN", "GN"):
        page.over_seeds(right, TRAINED, page.column(runs, "dense", name), name)
    parts = page.column(runs, "parts").mean()
    right.plot(32, parts, "*", color=page.COLOURS["BN"], markersize=12)
    right.annotate("BN, parts of 2", (32, parts), (-9, -4), textcoords="offset points", ha="right", fontsize=10)
    right.set(xscale="log", yscale="log", xlabel="batch size N", ylabel="test error, %", ylim=(0.9, 110))
    right.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    right.legend(loc="center right")
    for axis, sizes in ((left, SIZES), (right, TRAINED)):
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
    return figure
