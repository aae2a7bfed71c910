"""Bottleneck: a U-Net down to one pixel, by batch size and norm; and what is left of a signal at one pixel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from gridnorm import GridnormWarning, nn
from studies import lab, page
from studies.lab import Claim, Run

CLAIM = "A U-Net with one pixel at the bottom: Batch Norm fails in batches of two, Instance Norm leaves its bias there"
VERDICT = "shown with limits"
TORCH = True

NORMS = ("BN", "GN", "LN", "IN")
BATCHES = (16, 4, 2)
SIZE, WIDTH, IMAGES, TESTED, EPOCHS = 16, 16, 192, 128, 4


def discs(n: int, generator: np.random.Generator) -> tuple[Any, Any]:
    """Images of 16 x 16 with one to three discs under a contrast and brightness of their own; their masks."""
    import torch

    rows, columns = np.mgrid[:SIZE, :SIZE]
    masks = np.zeros((n, 1, SIZE, SIZE), bool)
    for mask in masks:
        for _ in range(generator.integers(1, 4)):
            (row, column), radius = generator.uniform(2, SIZE - 2, 2), generator.uniform(1.5, 4)
            mask[0] |= (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    contrast, brightness = generator.uniform(0.3, 3, (n, 1, 1, 1)), generator.uniform(-2, 2, (n, 1, 1, 1))
    images = contrast * (masks + generator.normal(0, 0.5, masks.shape)) + brightness
    return torch.from_numpy(images).float(), torch.from_numpy(masks).float()


def layer(before: int, after: int, norm: str) -> Any:
    """A 3 x 3 convolution, its norm and a leaky ReLU."""
    from torch.nn import BatchNorm2d, Conv2d, LeakyReLU, Sequential

    from gridnorm.nn.torch import GroupNorm

    groups = {"GN": 4, "LN": 1, "IN": after}
    made = BatchNorm2d(after) if norm == "BN" else GroupNorm(groups[norm], after)
    return Sequential(Conv2d(before, after, 3, padding=1, bias=False), made, LeakyReLU(0.1))


def unet(norm: str) -> Any:
    """Five levels of 16 channels from 16 x 16 to 1 x 1 and back, joined by skips."""
    import torch
    from torch.nn.functional import interpolate, max_pool2d

    class UNet(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            levels = range(5)
            self.down = torch.nn.ModuleList(layer(WIDTH if level else 1, WIDTH, norm) for level in levels)
            self.up = torch.nn.ModuleList(layer(2 * WIDTH, WIDTH, norm) for _ in levels[1:])
            self.head = torch.nn.Conv2d(WIDTH, 1, 1)

        def forward(self, x: Any) -> Any:
            skips: list[Any] = []
            for level, down in enumerate(self.down):
                x = down(max_pool2d(x, 2) if level else x)
                skips.append(x)
            skips.pop()
            for up in self.up:
                x = up(torch.cat([interpolate(x, scale_factor=2), skips.pop()], 1))
            return self.head(x)

    return UNet()


def segmented(model: Any, x: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(x) > 0


def dice(said: Any, masks: Any) -> float:
    """Of all pixels of all images together."""
    return float(2 * (said * masks).sum() / (said.sum() + masks.sum()))


def trained(norm: str, batch: int, x: Any, masks: Any, seed: int) -> Any:
    from torch.nn.functional import binary_cross_entropy_with_logits as loss

    lab.seeded(seed)
    steps = {"batch": batch, "epochs": EPOCHS, "seed": seed, "lr": 0.005, "momentum": None}
    return lab.train(unet(norm), lambda m, i: loss(m(x[i]), masks[i]), IMAGES, **steps)


def exchanged(model: Any, x: Any) -> float:
    """Every image gets the pixel of another at the bottom: pixels of the result that change, in percent."""
    before = segmented(model, x)
    hook = model.down[-1][0].register_forward_hook(lambda _, __, pixel: pixel.roll(1, 0))
    after = segmented(model, x)
    hook.remove()
    return 100 * float((after != before).double().mean())


def of_batches(model: Any, x: Any, masks: Any, batch: int) -> dict[str, float]:
    """Dice of a Batch Norm network where norms take statistics of the test batch: that at the bottom, or all."""
    import torch

    found = {}
    for name, part in (("bottom", model.down[-1]), ("all", model)):
        part.train()
        found[name] = dice(torch.cat([segmented(model, x[k : k + batch]) for k in range(0, len(x), batch)]), masks)
    model.eval()
    return found


def pixel(seed: int) -> dict[str, float]:
    """At 1 x 1: farthest that Instance Norm is from its bias, its largest gradient, and likewise the other norms'."""
    generator = np.random.default_rng([seed, 2])
    x, dy = (generator.normal(3, 2, (2, WIDTH, 1, 1)) for _ in range(2))
    weight, bias = generator.normal(1, 0.3, WIDTH), generator.normal(0, 1, WIDTH)
    found = {}
    for norm, groups in (("IN", WIDTH), ("GN", 4), ("LN", 1)):
        y, mean, rstd = nn.group_norm(x, groups, weight, bias, return_stats=True)
        found[norm] = float(np.abs(y - bias[:, None, None]).max())
        found[f"{norm} gradient"] = float(np.abs(nn.group_norm_backward(dy, x, mean, rstd, weight)[0]).max())
    found["BN of two, beside ±1"] = float(np.abs(np.abs(nn.batch_norm(x, training=True, eps=0)) - 1).max())
    return found


def measure(seed: int) -> Run:
    x, masks = discs(IMAGES + TESTED, np.random.default_rng([seed, 1]))
    tests = x[IMAGES:], masks[IMAGES:]
    found: dict[str, Any] = {"dice": {norm: [] for norm in NORMS}, "exchanged": {}}
    with warnings.catch_warnings():
        # One value a group is the point of Instance Norm at the bottom.
        warnings.filterwarnings("ignore", "every group holds one value", GridnormWarning)
        for norm in NORMS:
            for batch in BATCHES:
                model = trained(norm, batch, x, masks, seed)
                found["dice"][norm].append(dice(segmented(model, tests[0]), tests[1]))
            found["exchanged"][norm] = exchanged(model, tests[0])
            if norm == "BN":
                found["of batches"] = of_batches(model, *tests, BATCHES[-1])
        found["pixel"] = pixel(seed)
    return found


def claims(runs: Sequence[Run]) -> list[Claim]:
    found = {norm: page.column(runs, "dice", norm) for norm in NORMS}
    apart = found["GN"][:, -1] - found["BN"][:, -1]
    again = {name: page.column(runs, "of batches", name) for name in ("bottom", "all")}
    changed = {norm: page.column(runs, "exchanged", norm).max() for norm in NORMS}
    pixel = {name: page.column(runs, "pixel", name) for name in runs[0]["pixel"]}
    batches = ", ".join(map(str, BATCHES))
    kept = {norm: values[:, -1].mean() > max(values[:, 0].mean() - 0.02, 0.84) for norm, values in found.items()}
    left = min(pixel[norm].min() for norm in ("GN", "LN"))
    return [
        Claim(
            f"Dice of BN at N = {batches}",
            spans(found["BN"]),
            found["BN"][:, :2].mean() > 0.77 and found["BN"][:, -1].mean() < found["BN"][:, 1].mean() - 0.05,
        ),
        *(Claim(f"Dice of {norm} at N = {batches}", spans(found[norm]), kept[norm]) for norm in NORMS[1:]),
        Claim("GN's less BN's at N = 2", page.span(apart), apart.mean() > 0.06),
        Claim(
            "BN at N = 2, the norm at the bottom with statistics of the test pair",
            page.span(again["bottom"]),
            again["bottom"].mean() < found["BN"][:, -1].mean() + 0.06,
        ),
        Claim(
            "BN at N = 2, all norms with statistics of the test pair",
            page.span(again["all"]),
            again["all"].mean() > found["BN"][:, -1].mean() + 0.05,
        ),
        Claim("at 1 x 1, IN's output less β: farthest", f"{pixel['IN'].max():g}", pixel["IN"].max() == 0),
        Claim("GN's and LN's with 4 and 16 channels a group: nearest", f"{left:.1f} or more", left > 0.5),
        Claim(
            "pixels of the result changed by another image's pixel at the bottom: IN, in percent",
            f"{changed['IN']:.2f}",
            changed["IN"] == 0,
        ),
        Claim(
            "the same for GN and LN: next to none, largest in percent",
            f"{max(changed['GN'], changed['LN']):.2f}",
            max(changed["GN"], changed["LN"]) < 0.5,
        ),
    ]


def spans(values: Any) -> str:
    return "; ".join(page.span(of_batch) for of_batch in values.T)


def draw(runs: Sequence[Run]) -> Any:
    figure, axis = page.axes()
    for norm in NORMS:
        page.over_seeds(axis, BATCHES, page.column(runs, "dice", norm), norm)
    axis.set(xscale="log", xlabel="batch size N", ylabel="Dice")
    axis.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
    axis.minorticks_off()
    axis.invert_xaxis()
    figure.legend(loc="outside upper center", ncols=4)
    return figure
