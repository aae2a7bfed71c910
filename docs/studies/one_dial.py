"""One dial: from LayerNorm over GroupNorm to InstanceNorm by the number of groups alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gridnorm import GridnormWarning
from studies import lab, page
from studies.lab import Claim, Run

CLAIM = "The number of groups is one dial from Layer Norm (1) to Instance Norm (one channel a group)"
VERDICT = "shown with limits"
TORCH = True

CHANNELS, UNITS = 16, 128
TESTED = 797  # images
CONV = (1, 2, 4, 8, 16)
DENSE = (1, 2, 4, 8, 16, 32, 64, 128)
DTYPES = ("float16", "bfloat16", "float32", "float64")
SHAPES = ((8, CHANNELS), (4, CHANNELS, 5, 7), (2, CHANNELS, 49))


def ends(seed: int) -> dict[str, float]:
    """Largest squared difference between an end of the dial and the norm of that name, ours and torch's own."""
    import torch

    from gridnorm import nn
    from gridnorm.nn.torch import group_norm

    generator = np.random.default_rng(seed)
    found: dict[str, float] = {}
    for dtype in DTYPES:
        ours = theirs = 0.0
        for shape in SHAPES:
            tensor = torch.from_numpy(generator.normal(3, 2, shape)).to(getattr(torch, dtype))
            layer, instance = (group_norm(tensor, groups).double() for groups in (1, CHANNELS))
            x = nn_array(tensor)
            ours = max(ours, squared(layer, nn.layer_norm(x)), squared(instance, nn.instance_norm(x)))
            wide = tensor.double()
            theirs = max(theirs, squared(layer, torch.nn.functional.layer_norm(wide, wide.shape[1:])))
            if len(shape) > 2:
                theirs = max(theirs, squared(instance, torch.nn.functional.instance_norm(wide)))
        found[dtype], found[f"{dtype}, torch"] = ours, theirs
    return found


def nn_array(tensor: Any) -> Any:
    """The tensor's memory as an array; NumPy has bfloat16 from ml_dtypes."""
    import torch

    if tensor.dtype is not torch.bfloat16:
        return tensor.numpy()
    import ml_dtypes

    return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)


def squared(a: Any, b: Any) -> float:
    a, b = (np.asarray(value, np.float64) for value in (a, b))
    return float(np.square(a - b).max())


def conv_net(num_groups: int) -> Any:
    """Three 3 x 3 convolutions of 16 channels at 8 x 8, 8 x 8 and 4 x 4, each with its norm, and a linear head."""
    from torch.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential

    from gridnorm.nn.torch import GroupNorm

    layers: list[Any] = []
    for before, after in ((1, CHANNELS), (CHANNELS, CHANNELS), (CHANNELS, CHANNELS)):
        layers += [Conv2d(before, after, 3, padding=1, bias=False), GroupNorm(num_groups, after), ReLU()]
    layers.insert(6, MaxPool2d(2))
    return Sequential(*layers, Flatten(), Linear(CHANNELS * 16, 10))


def dense_net(num_groups: int) -> Any:
    """Three layers of 128 units without space: a group has nothing but its channels to take statistics of."""
    from torch.nn import Flatten, Linear, ReLU, Sequential

    from gridnorm.nn.torch import GroupNorm

    layers: list[Any] = [Flatten()]
    for before, after in ((64, UNITS), (UNITS, UNITS), (UNITS, UNITS)):
        layers += [Linear(before, after, bias=False), GroupNorm(num_groups, after), ReLU()]
    return Sequential(*layers, Linear(UNITS, 10))


def test_error(network: Callable[[int], Any], num_groups: int, seed: int) -> float:
    from torch.nn.functional import cross_entropy

    lab.seeded(seed)
    x, y, x_test, y_test = lab.digits(seed)
    model = network(num_groups)
    lab.train(model, lambda m, i: cross_entropy(m(x[i]), y[i]), len(x), batch=16, epochs=6, seed=seed, lr=0.05)
    return lab.error(model, x_test, y_test)


def measure(seed: int) -> Run:
    with warnings.catch_warnings():
        # One value a group is the point of the last position; that it leaves only the bias is said on the page.
        warnings.filterwarnings("ignore", "every group holds one value", GridnormWarning)
        return {
            "ends": ends(seed),
            "conv": [test_error(conv_net, groups, seed) for groups in CONV],
            "dense": [test_error(dense_net, groups, seed) for groups in DENSE],
        }


def claims(runs: Sequence[Run]) -> list[Claim]:
    worst = max(run["ends"][dtype] for run in runs for dtype in DTYPES)
    other = max(run["ends"]["float64, torch"] for run in runs)
    conv, dense = page.column(runs, "conv"), page.column(runs, "dense")
    apart, share = conv[:, -1].mean() - conv[:, 0].mean(), conv[:, [0, -1]].mean() / 100
    # Two errors on the same number of images, as if on different ones, which is wider than the truth.
    chance = 1.96 * np.sqrt(2 * share * (1 - share) / (TESTED * len(runs))) * 100
    return [
        Claim(
            "the ends are Layer Norm and Instance Norm: largest squared difference, four dtypes, three shapes",
            f"{worst:g}",
            worst == 0,
        ),
        Claim("and beside torch's own two in float64", f"{other:.0e}", other < 1e-26),
        Claim(
            "convolutions train at every position: largest mean test error in percent",
            f"{conv.mean(0).max():.1f}",
            conv.mean(0).max() < 5,
        ),
        Claim(
            "Instance Norm's error less Layer Norm's, convolutions, in points, with counting noise: no optimum",
            f"{apart:.2f} ± {chance:.2f}",
            abs(apart) + chance < 3,
        ),
        Claim(
            "without space, groups of 8 units or more train: largest mean test error in percent",
            f"{dense[:, :5].mean(0).max():.1f}",
            dense[:, :5].mean(0).max() < 5,
        ),
        Claim(
            "groups of two units are ±1 whatever they were, of one 0: nothing is learned, error in percent",
            f"{dense[:, -2:].min():.1f} or more",
            dense[:, -2:].min() > 80,
        ),
    ]


def draw(runs: Sequence[Run]) -> Any:
    figure, axis = page.axes()
    page.over_seeds(axis, CONV, page.column(runs, "conv"), "3 convolutions, 16 channels", color=page.COLOURS["GN"])
    page.over_seeds(axis, DENSE, page.column(runs, "dense"), "3 dense layers, 128 units", color=page.COLOURS["BN"])
    axis.set(xscale="log", yscale="log", xlabel="number of groups", ylabel="test error, %")
    axis.set_xticks(DENSE, [str(groups) for groups in DENSE])
    axis.set_yticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
    axis.minorticks_off()
    axis.legend()
    return figure
