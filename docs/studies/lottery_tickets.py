"""Lottery tickets: pruned networks with Batch Norm's statistics stale and new, Group Norm, and unequal groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gridnorm import nn
from studies import lab, page
from studies.lab import Claim, Run

CLAIM = "A pruned network with Group Norm needs no new statistics, and unequal groups need no new cut"
VERDICT = "shown with limits"
TORCH = True

PRUNED = (50, 80, 90, 95, 98)  # percent of the weights of convolutions
TICKETS = (90, 95)
KEPT = (24, 16)  # channels of 32 in each layer
WIDTH, GROUPS = 32, 8
CONVS, NORMS = (0, 3, 7), (1, 4, 8)  # places in ``network``


def network(norm: str, labels: Sequence[Any] = (nn.groups.contiguous(WIDTH, GROUPS),) * 3) -> Any:
    """Three 3 x 3 convolutions without bias with a channel a label, each with its norm, and a linear head."""
    from torch.nn import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential

    from gridnorm.nn.torch import GroupNorm

    layers: list[Any] = []
    before = 1
    for groups in labels:
        made = BatchNorm2d(len(groups)) if norm == "BN" else GroupNorm(groups=groups)
        layers += [Conv2d(before, len(groups), 3, padding=1, bias=False), made, ReLU()]
        before = len(groups)
    layers.insert(6, MaxPool2d(2))
    return Sequential(*layers, Flatten(), Linear(before * 16, 10))


def trained(model: Any, x: Any, y: Any, seed: int, *, epochs: int = 6, lr: float = 0.05) -> Any:
    from torch.nn.functional import cross_entropy

    return lab.train(
        model, lambda m, i: cross_entropy(m(x[i]), y[i]), len(x), batch=32, epochs=epochs, seed=seed, lr=lr
    )


def masks(model: Any, percent: float) -> list[Any]:
    """The weights of convolutions that stay: the largest of all layers together."""
    import torch

    sizes = [model[place].weight.detach().abs() for place in CONVS]
    threshold = torch.quantile(torch.cat([size.flatten() for size in sizes]), percent / 100)
    return [size > threshold for size in sizes]


def masked(start: dict[str, Any], norm: str, kept: list[Any]) -> Any:
    """The network with ``start``'s parameters and statistics, of which masked weights are 0 and stay so in training."""
    from torch.nn.utils import prune

    model = network(norm)
    model.load_state_dict(start)
    for place, mask in zip(CONVS, kept, strict=True):
        prune.custom_from_mask(model[place], "weight", mask)
    return model.eval()


def renewed(model: Any, x: Any) -> Any:
    """Batch Norm's statistics of all training images in one pass."""
    import torch

    for place in NORMS:
        model[place].reset_running_stats()
        model[place].momentum = None
    with torch.no_grad():
        model.train()
        model(x)
    return model.eval()


def weights(norm: str, seed: int, data: tuple[Any, ...]) -> dict[str, Any]:
    """Test error in percent: dense, pruned in one shot, and trained again from the first weights."""
    x, y, x_test, y_test = data
    lab.seeded(seed)
    model = network(norm)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    trained(model, x, y, seed)
    found: dict[str, Any] = {"dense": lab.error(model, x_test, y_test), "one-shot": [], "renewed": []}
    for percent in PRUNED:
        pruned = masked(model.state_dict(), norm, masks(model, percent))
        found["one-shot"].append(lab.error(pruned, x_test, y_test))
        if norm == "BN":
            found["renewed"].append(lab.error(renewed(pruned, x), x_test, y_test))
    found["ticket"], found["random"] = [], []
    generator = np.random.default_rng([seed, 1])
    for percent in TICKETS:
        kept = masks(model, percent)
        # As many weights of every layer at random: what the choice within a layer is worth.
        order = [generator.permutation(mask.numel()) for mask in kept]
        shuffled = [mask.flatten()[o].reshape(mask.shape) for mask, o in zip(kept, order, strict=True)]
        for name, chosen in (("ticket", kept), ("random", shuffled)):
            found[name].append(lab.error(trained(masked(first, norm, chosen), x, y, seed), x_test, y_test))
    return found


def smaller(model: Any, norm: str, kept: Sequence[Any], labels: Sequence[Any]) -> Any:
    """The network of the kept channels alone, with the parameters that they had."""
    import torch

    new = network(norm, labels)
    own = model.state_dict()
    inputs = np.arange(1)
    for conv, part, channels in zip(CONVS, NORMS, kept, strict=True):
        own[f"{conv}.weight"] = own[f"{conv}.weight"][channels][:, inputs]
        for name in [name for name in own if name.startswith(f"{part}.") and own[name].ndim]:
            own[name] = own[name][channels]
        inputs = channels
    head = own["11.weight"].reshape(10, WIDTH, 16)[:, torch.from_numpy(inputs)]
    new.load_state_dict(own | {"11.weight": head.flatten(1)})
    return new.eval()


def only(weight: Any, channels: Any) -> Any:
    """The mask of a convolution that leaves some of its channels."""
    import torch

    mask = torch.zeros_like(weight)
    mask[channels] = 1
    return mask


def channels(seed: int, data: tuple[Any, ...]) -> dict[str, Any]:
    """Test error after whole channels are taken out: their groups kept, cut anew, or the channels left in as 0."""
    x, y, x_test, y_test = data
    lab.seeded(seed)
    model = trained(network("GN"), x, y, seed)
    parts = ("kept", "cut", "zero", "kept, tuned", "cut, tuned", "smallest", "largest")
    found: dict[str, Any] = {"dense": lab.error(model, x_test, y_test), **{name: [] for name in parts}}
    whole = nn.groups.contiguous(WIDTH, GROUPS)
    filters = [model[place].weight.detach() for place in CONVS]
    for number in KEPT:
        kept = [np.sort(np.argsort(-of.abs().sum((1, 2, 3)).numpy())[:number]) for of in filters]
        unequal = [nn.groups.pruned(whole, of_layer) for of_layer in kept]
        sizes = np.concatenate([np.bincount(labels) for labels in unequal])
        found["smallest"].append(int(sizes.min()))
        found["largest"].append(int(sizes.max()))
        for name, labels in (("kept", unequal), ("cut", [nn.groups.contiguous(number, GROUPS)] * 3)):
            new = smaller(model, "GN", kept, labels)
            found[name].append(lab.error(new, x_test, y_test))
            found[f"{name}, tuned"].append(lab.error(trained(new, x, y, seed, epochs=2, lr=0.01), x_test, y_test))
        zero = masked(model.state_dict(), "GN", [only(of, left) for of, left in zip(filters, kept, strict=True)])
        found["zero"].append(lab.error(zero, x_test, y_test))
    return found


def measure(seed: int) -> Run:
    data = lab.digits(seed)
    return {"BN": weights("BN", seed, data), "GN": weights("GN", seed, data), "channels": channels(seed, data)}


def claims(runs: Sequence[Run]) -> list[Claim]:
    bn, gn = ({name: page.column(runs, norm, name) for name in runs[0][norm]} for norm in ("BN", "GN"))
    cut = {name: page.column(runs, "channels", name) for name in runs[0]["channels"]}
    stale, new, none = bn["one-shot"], bn["renewed"], gn["one-shot"]
    apart = new[:, 3] - none[:, 3]
    luck = np.stack([of["random"][:, 1] - of["ticket"][:, 1] for of in (bn, gn)]).mean(0)
    tickets = max(of["ticket"].max() for of in (bn, gn))
    better = (cut["cut"] - cut["kept"]).mean(1)
    tuned = (cut["cut, tuned"] - cut["kept, tuned"]).mean(1)
    zero = (cut["zero"] - cut["kept"]).mean(1)
    low, high = cut["smallest"].min(), cut["largest"].max()
    return [
        Claim("test error in percent over seeds, all weights: BN", page.extent(bn["dense"]), bn["dense"].mean() < 4),
        Claim("all weights: GN", page.extent(gn["dense"]), gn["dense"].mean() < 5),
        Claim("90 % pruned, statistics of before: BN", page.extent(stale[:, 2]), stale[:, 2].mean() > 20),
        Claim("90 % pruned, statistics of the pruned network: BN", page.extent(new[:, 2]), new[:, 2].mean() < 6),
        Claim("90 % pruned: GN as it is", page.extent(none[:, 2]), none[:, 2].mean() < 9),
        Claim("95 % pruned: BN with new statistics less GN, points, mean", page.span(apart, 1), abs(apart.mean()) < 6),
        Claim(
            "98 % pruned: BN with new statistics; GN; both break",
            f"{page.extent(new[:, 4])}; {page.extent(none[:, 4])}",
            min(new[:, 4].mean(), none[:, 4].mean()) > 10,
        ),
        Claim("90 or 95 % pruned and trained from the first weights: worst of BN, GN", f"{tickets:.1f}", tickets < 6),
        Claim("a random mask of 95 % less the ticket, points, BN and GN", page.span(luck, 1), abs(luck.mean()) < 1.5),
        Claim(
            f"channels pruned to 24 and 16 of 32, groups of {low:.0f} to {high:.0f} kept: GN's error at 24; 16",
            f"{page.span(cut['kept'][:, 0], 1)}; {page.span(cut['kept'][:, 1], 1)}",
            low < high and cut["kept"].mean() < 8,
        ),
        Claim(
            "equal groups cut anew less that, points; after 2 epochs more",
            f"{page.span(better, 1)}; {page.span(tuned, 1)}",
            max(abs(better.mean()), abs(tuned.mean())) < 1.5,
        ),
        Claim("channels left in as 0 less taken out, points", page.span(zero), abs(zero.mean()) < 1.5),
    ]


def draw(runs: Sequence[Run]) -> Any:
    figure, axis = page.axes()
    shown = (
        ("BN", "one-shot", "BN, statistics of before", "-"),
        ("BN", "renewed", "BN, new statistics", "--"),
        ("GN", "one-shot", "GN", "-"),
    )
    for norm, name, label, style in shown:
        values = page.column(runs, norm, name)
        page.over_seeds(axis, PRUNED, values, label, color=page.COLOURS[norm], linestyle=style)
    axis.set(ylim=(0, 100), xlabel="weights of convolutions pruned, %", ylabel="test error, %")
    axis.set_xticks([50, 60, 70, 80, 90, 98])
    axis.legend(loc="upper left")
    return figure
