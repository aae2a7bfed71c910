"""Small batches on dense prediction: two photographs cut into tiles, segmented."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from studies import lab, page
from studies.lab import Claim, Run

CLAIM = "Segmentation at batch 2 is better with Group Norm than with Batch Norm"
VERDICT = "not shown"
TORCH = True

TILE, WIDTH, GROUPS = 16, 16, 2
TRAINED = 240  # tiles
BATCHES = (16, 2)
NORMS = ("BN", "GN")


@lru_cache(1)
def tiles() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Grey tiles (n, 1, 16, 16) of both photographs at half their size, and which pixels are warm (more red than blue).

    The net sees no colour, so that it has to know the warm things, petals and roofs, by their look.
    """
    from sklearn.datasets import load_sample_image

    grey, warm = [], []
    for name in ("china.jpg", "flower.jpg"):
        image = load_sample_image(name)[:416].astype(np.float64).reshape(208, 2, 320, 2, 3).mean((1, 3)) / 255
        for found, pixels in ((grey, image.mean(2)), (warm, image[:, :, 0] - image[:, :, 2] > 0.1)):
            rows = pixels.reshape(208 // TILE, TILE, 320 // TILE, TILE).swapaxes(1, 2)
            found.append(rows.reshape(-1, 1, TILE, TILE))
    return np.concatenate(grey).astype(np.float32), np.concatenate(warm).astype(np.float32)


def split(seed: int) -> tuple[Any, Any, Any, Any]:
    """Training tiles, their masks, test tiles, theirs."""
    import torch

    order = np.random.default_rng([seed, 4]).permutation(len(tiles()[0]))
    x, y = (torch.from_numpy(values[order]) for values in tiles())
    return x[:TRAINED], y[:TRAINED], x[TRAINED:], y[TRAINED:]


def between(images: np.ndarray[Any, Any]) -> float:
    """Share of the variance of all pixels that lies between the means of images."""
    return float(images.mean((1, 2, 3)).var() / images.var())


def u_net(norm: Callable[[], Any]) -> Any:
    """Convolutions of 16 channels, each with its norm, at 16 x 16, 8 x 8 and 4 x 4 and up again, with skips."""
    import torch
    from torch.nn import Conv2d, LeakyReLU, Module, ModuleList, Sequential
    from torch.nn.functional import interpolate, max_pool2d

    def block(before: int) -> Any:
        return Sequential(Conv2d(before, WIDTH, 3, padding=1, bias=False), norm(), LeakyReLU(0.1))

    class UNet(Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = ModuleList([block(WIDTH if level else 1) for level in range(3)])
            self.up = ModuleList([block(2 * WIDTH) for _ in range(2)])
            self.head = Conv2d(WIDTH, 1, 1)

        def forward(self, x: Any) -> Any:
            kept = [self.down[0](x)]
            for layer in self.down[1:]:
                kept.append(layer(max_pool2d(kept[-1], 2)))
            x = kept.pop()
            for layer in self.up:
                x = layer(torch.cat([interpolate(x, scale_factor=2), kept.pop()], 1))
            return self.head(x)

    return UNet()


def dice(norm: str, batch: int, seed: int) -> float:
    """Dice coefficient of the warm pixels of all test tiles."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from gridnorm.nn.torch import GroupNorm

    x, y, x_test, y_test = split(seed)
    lab.seeded(seed)
    net = u_net((lambda: torch.nn.BatchNorm2d(WIDTH)) if norm == "BN" else (lambda: GroupNorm(GROUPS, WIDTH)))

    def loss(model: Any, indexes: Any) -> Any:
        return binary_cross_entropy_with_logits(model(x[indexes]), y[indexes])

    # With Adam a step's length does not grow with the batch, so that the rate is the same for all.
    lab.train(net, loss, TRAINED, batch=batch, epochs=20, seed=seed, lr=0.003, momentum=None)
    with torch.no_grad():
        found = (net(x_test) > 0).float()
    return float(2 * (found * y_test).sum() / (found.sum() + y_test.sum()))


def measure(seed: int) -> Run:
    digits = lab.digits(seed)[0].numpy()
    return {
        "between": {"tiles": between(tiles()[0]), "digits": between(digits)},
        "dice": {norm: [dice(norm, batch, seed) for batch in BATCHES] for norm in NORMS},
    }


def claims(runs: Sequence[Run]) -> list[Claim]:
    found = {norm: page.column(runs, "dice", norm) for norm in NORMS}
    large, small = ((found["GN"] - found["BN"])[:, which] for which in (0, 1))
    lost = {norm: values[:, 1] - values[:, 0] for norm, values in found.items()}
    tile, digit = (page.column(runs, "between", name) for name in ("tiles", "digits"))
    return [
        Claim(
            "BN's Dice at batch 2 less that at batch 16",
            page.span(lost["BN"]),
            lost["BN"].mean() < -0.1,
        ),
        Claim(
            "GN's, a smaller loss on the mean of seeds",
            page.span(lost["GN"]),
            lost["GN"].mean() > lost["BN"].mean(),
        ),
        Claim(
            "Dice at batch 16, BN and GN; BN is the better",
            f"{page.span(found['BN'][:, 0])} and {page.span(found['GN'][:, 0])}",
            large.mean() < -0.05,
        ),
        Claim(
            "GN's Dice less BN's at batch 2, within 0.3: nothing that three seeds show",
            page.span(small),
            abs(small.mean()) < 0.3,
        ),
        Claim(
            "share of the pixels' variance that lies between the means of images, tiles and digits",
            f"{tile.mean():.2f} and {digit.mean():.3f}",
            tile.min() > 0.8 and digit.max() < 0.05,
        ),
    ]


def draw(runs: Sequence[Run]) -> Any:
    figure, axis = page.axes(width=5, height=3.2)
    for norm in NORMS:
        page.over_seeds(axis, BATCHES, page.column(runs, "dice", norm), norm)
    axis.set(xscale="log", xlabel="batch size N", ylabel="Dice of test tiles", ylim=(0, 1), xlim=(1.6, 20))
    axis.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
    axis.minorticks_off()
    axis.legend(loc="lower right")
    return figure
