"""Contrast: Group Norm takes a · x + b of a sample away, down to where eps stops it; Batch Norm keeps it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gridnorm import nn
from studies import lab, page
from studies.lab import Claim, Run

CLAIM = "Group Norm is blind to the contrast of a sample, down to eps; Batch Norm keeps it"
VERDICT = "shown with limits"
TORCH = True

SCALES = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)  # of the layer's input
CONTRASTS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 0.03, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0)  # of images at test
LEVELS = (0.5, 1.0, 1.5, 2.0)  # contrasts to be told apart
BRIGHTER = 0.5  # of a range of 0 … 1
EPS = 1e-5
NORMS = ("BN", "GN", "LN", "IN")


def layer(seed: int) -> dict[str, Any]:
    """Root mean square of GN(a · x + b) − GN(x) with and without eps, and what eps alone lets one expect."""
    generator = np.random.default_rng([seed, 1])
    x = generator.normal(0, 1, (32, 8, 8, 8))
    shift = generator.normal(0, 3, (32, 1, 1, 1))
    found: dict[str, Any] = {"eps": [], "no eps": [], "expected": []}
    groups = x.reshape(32, 2, -1)
    for a in SCALES:
        found["eps"].append(rms(nn.group_norm(a * (x + shift), 2) - nn.group_norm(x, 2)))
        found["no eps"].append(rms(nn.group_norm(a * (x + shift), 2, eps=0) - nn.group_norm(x, 2, eps=0)))
        variance = groups.var(2)
        kept = np.sqrt(variance / (variance + EPS / a**2)) - np.sqrt(variance / (variance + EPS))
        found["expected"].append(rms(kept))
    y = nn.batch_norm(x)
    found["BN, sample by sample"] = rms(nn.batch_norm(x * generator.uniform(0.5, 2, (32, 1, 1, 1))) - y)
    return found


def rms(values: Any) -> float:
    return float(np.sqrt(np.square(values).mean()))


def network(norm: str, *, classes: int = 10, first: bool = False) -> Any:
    """Three 3 x 3 convolutions without bias, each with its norm, and a linear head; ``first`` norms the image too."""
    from torch.nn import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential

    from gridnorm.nn.torch import GroupNorm

    groups = {"GN": 4, "LN": 1, "IN": 16}
    layers: list[Any] = [GroupNorm(1, 1)] if first else []
    for before in (1, 16, 16):
        made = BatchNorm2d(16, eps=EPS) if norm == "BN" else GroupNorm(groups[norm], 16, EPS)
        layers += [Conv2d(before, 16, 3, padding=1, bias=False), made, ReLU()]
        if before == 1:
            layers.append(MaxPool2d(2))
    return Sequential(*layers, Flatten(), Linear(256, classes))


def trained(model: Callable[[], Any], x: Any, y: Any, seed: int, *, varied: bool = False) -> Any:
    """Networks of one seed start alike; ``varied`` multiplies every image by a contrast of its own at every step."""
    import torch
    from torch.nn.functional import cross_entropy

    lab.seeded(seed)
    generator = np.random.default_rng([seed, 3])

    def loss(m: Any, indexes: Any) -> Any:
        shown = x[indexes]
        if varied:
            a = np.exp(generator.uniform(np.log(0.25), np.log(4), (len(indexes), 1, 1, 1)))
            shown = shown * torch.from_numpy(a).float()
        return cross_entropy(m(shown), y[indexes])

    return lab.train(model(), loss, len(x), batch=32, epochs=8, seed=seed, lr=0.05)


def images(seed: int) -> dict[str, Any]:
    """Test error in percent by contrast, and with a brightness of every image's own."""
    import torch

    x, y, x_test, y_test = lab.digits(seed)
    b = torch.from_numpy(np.random.default_rng([seed, 2]).uniform(-BRIGHTER, BRIGHTER, (len(x_test), 1, 1, 1))).float()
    models = {norm: trained(lambda norm=norm: network(norm), x, y, seed) for norm in NORMS}
    models["BN, varied"] = trained(lambda: network("BN"), x, y, seed, varied=True)
    models["GN, image too"] = trained(lambda: network("GN", first=True), x, y, seed)
    found: dict[str, Any] = {"error": {}, "changed": {}, "brighter": {}}
    for name, model in models.items():
        found["error"][name] = [lab.error(model, a * x_test, y_test) for a in CONTRASTS]
        with torch.no_grad():
            same = [(model(a * x_test).argmax(1) == model(x_test).argmax(1)).double().mean() for a in (0.5, 2.0)]
        found["changed"][name] = 100 * (1 - float(min(same)))
        found["brighter"][name] = lab.error(model, x_test + b, y_test)
    for part in models["GN"].modules():
        if hasattr(part, "eps"):
            part.eps = 1e-12
    found["error"]["GN, eps 1e-12"] = [lab.error(models["GN"], a * x_test, y_test) for a in CONTRASTS]
    return found


def levels(seed: int) -> dict[str, float]:
    """Error in percent where the class is the contrast of the image, one of four."""
    import torch

    x, _, x_test, _ = lab.digits(seed)

    def each(of: Any) -> tuple[Any, Any]:
        return torch.cat([a * of for a in LEVELS]), torch.arange(len(LEVELS)).repeat_interleave(len(of))

    data, test = each(x[:250]), each(x_test)
    return {
        norm: lab.error(trained(lambda norm=norm: network(norm, classes=4), *data, seed), *test)
        for norm in ("BN", "GN")
    }


def measure(seed: int) -> Run:
    return {"layer": layer(seed), "images": images(seed), "levels": levels(seed)}


def claims(runs: Sequence[Run]) -> list[Claim]:
    scaled = {name: page.column(runs, "layer", name) for name in ("eps", "no eps", "expected")}
    error = {name: page.column(runs, "images", "error", name) for name in runs[0]["images"]["error"]}
    at = {contrast: place for place, contrast in enumerate(CONTRASTS)}
    bn, gn, no_eps, varied = (error[name] for name in ("BN", "GN", "GN, eps 1e-12", "BN, varied"))
    exact, found, expected = scaled["no eps"].max(), *(scaled[name][:, 2].mean() for name in ("eps", "expected"))
    changed = max(page.column(runs, "images", "changed", name).max() for name in ("GN", "LN", "IN"))
    low, flat = gn[:, at[1e-3]], np.abs(no_eps - no_eps[:, [at[1.0]]]).max()
    worst = varied[:, at[0.25] : at[4.0] + 1].max(axis=1)
    brighter = page.column(runs, "images", "brighter", "GN") - gn[:, at[1.0]]
    first = page.column(runs, "images", "brighter", "GN, image too") - error["GN, image too"][:, at[1.0]]
    told, blind = (page.column(runs, "levels", name) for name in ("BN", "GN"))
    return [
        Claim("GN(a · x + b) − GN(x) with eps 0, a from 0.0001 to 100: largest RMS", f"{exact:.0e}", exact < 1e-14),
        Claim(
            "the same with eps 1e-5, σ = 1, a = 0.01; expected from σ² / (σ² + eps)",
            f"{found:.3f}; {expected:.3f}",
            found > 0.03 and abs(found - expected) < 1e-6,
        ),
        Claim("predictions that contrast 0.5 or 2 changes, in percent: GN, LN, IN", f"{changed:.1f}", changed < 0.3),
        Claim(
            "test error in percent at contrast 0.5, over seeds: BN",
            page.extent(bn[:, at[0.5]]),
            bn[:, at[0.5]].min() > 4,
        ),
        Claim("at the contrast of training: BN", page.span(bn[:, at[1.0]], 1), bn[:, at[1.0]].mean() < 4),
        Claim("at the contrast of training: GN", page.span(gn[:, at[1.0]], 1), gn[:, at[1.0]].mean() < 7),
        Claim("BN trained with contrasts 0.25 to 4: the worst of these", page.span(worst, 1), worst.mean() < 9),
        Claim(
            "at contrast 0.001, over seeds: GN with eps 1e-5", page.extent(low), low.mean() - gn[:, at[1.0]].mean() > 2
        ),
        Claim("GN with eps 1e-12 at test, contrasts 0.0001 to 10: change of error", f"{flat:.1f}", flat < 0.3),
        Claim(
            "brightness ± 0.5, points of error more: GN, and GN that normalizes the image too",
            f"{page.span(brighter, 1)}; {np.abs(first).max():.1f}",
            brighter.mean() > 0 and np.abs(first).max() < 0.3,
        ),
        Claim("which of four contrasts, over seeds: error of BN", page.extent(told), told.max() < 5),
        Claim(
            "which of four contrasts, over seeds: error of GN (chance is 75)", page.extent(blind), blind.min() > 74.5
        ),
    ]


def draw(runs: Sequence[Run]) -> Any:
    figure, axis = page.axes()
    shown = {
        "BN": ("BN", "-"),
        "BN, varied": ("BN, trained with contrasts", "--"),
        "GN": ("GN, eps 1e-5", "-"),
        "GN, eps 1e-12": ("GN, eps 1e-12", "--"),
    }
    for name, (label, style) in shown.items():
        values = page.column(runs, "images", "error", name)
        page.over_seeds(axis, CONTRASTS, values, label, color=page.COLOURS[name[:2]], linestyle=style)
    axis.set(xscale="log", ylim=(0, 100), xlabel="contrast of the test images", ylabel="test error, %")
    axis.set_xticks([1e-4, 1e-3, 1e-2, 0.1, 1, 10], ["0.0001", "0.001", "0.01", "0.1", "1", "10"])
    axis.minorticks_off()
    figure.legend(loc="outside upper center", ncols=2)
    return figure
