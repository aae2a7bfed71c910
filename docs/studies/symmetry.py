"""Symmetry: which groups of channels let a network of group convolutions stay equivariant, and which break it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gridnorm import nn
from studies import page
from studies.lab import Claim, Run

CLAIM = "Group Norm keeps a network equivariant exactly where its groups and its affine respect the symmetry"
VERDICT = "shown"
TORCH = False

CHANNELS, LAYERS = 32, 3
SYMMETRIES = {"C4": 4, "D4": 8}
KEPT = ("one orbit", "two orbits", "half a turn apart", "one orientation", "Layer Norm", "Instance Norm")
CUT = ("blocks of 6", "neighbours in pairs")
UNTIED = ("one orbit, γ per channel", "one orientation, γ per group")
BATCH = ("Batch Norm, all turned", "Batch Norm, one turned", "Batch Norm, running")
READ = ("one orbit", *CUT, UNTIED[0])
TRAINING, TESTED = 897, 900  # digits of the readout

Array = np.ndarray[Any, Any]


class Symmetry:
    """C4 or D4 acting on images and on the fields of a network; element 0 is the identity."""

    def __init__(self, order: int) -> None:
        self.order = order
        square = np.arange(9).reshape(3, 3)
        seen = [self.image(g, square).tolist() for g in range(order)]
        # product[g, h]: the element that is h, then g
        self.product = np.array(
            [[seen.index(self.image(g, self.image(h, square)).tolist()) for h in range(order)] for g in range(order)]
        )

    def image(self, g: int, x: Array) -> Array:
        """Turned by g quarters; from the fourth on also reflected before."""
        return np.rot90(x[..., ::-1] if g >= 4 else x, g % 4, axes=(-2, -1))

    def permutation(self, g: int, fields: int) -> Array:
        """Channel c goes to place ``permutation[c]``; the orientations of a field are neighbours."""
        return (np.arange(fields)[:, None] * self.order + self.product[g]).ravel()

    def act(self, g: int, x: Array) -> Array:
        """The action on features: images turn, orientations change places."""
        found = np.empty_like(x)
        found[:, self.permutation(g, x.shape[1] // self.order)] = self.image(g, x)
        return found

    @property
    def generators(self) -> tuple[int, ...]:
        return (1,) if self.order == 4 else (1, 4)

    def filters(self, w: Array) -> Array:
        """(fields out, fields in, orientations, 3, 3) for every orientation of the output: channels by channels."""
        out, into, orientations = w.shape[:3]
        found = np.empty((out, self.order, into, orientations, 3, 3))
        for g in range(self.order):
            places = self.product[g] if orientations > 1 else [0]
            found[:, g][:, :, places] = self.image(g, w)
        return found.reshape(out * self.order, into * orientations, 3, 3)


def convolve(x: Array, filters: Array) -> Array:
    """3 x 3, the size kept by zeros around."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3))
    n, _, height, width = x.shape
    rows = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * height * width, -1)
    return (rows @ filters.reshape(len(filters), -1).T).reshape(n, height, width, -1).transpose(0, 3, 1, 2)


def weights(symmetry: Symmetry, generator: np.random.Generator) -> list[Array]:
    """Of three layers of group convolutions, from one field without orientations to 32 channels each."""
    fields = CHANNELS // symmetry.order
    shapes = [(fields, 1, 1)] + [(fields, fields, symmetry.order)] * (LAYERS - 1)
    return [symmetry.filters(generator.normal(0, 1 / 3 / math.sqrt(s[1] * s[2]), (*s, 3, 3))) for s in shapes]


def network(x: Array, layers: Sequence[Array], norm: Any) -> Array:
    for number, filters in enumerate(layers):
        x = np.maximum(norm(convolve(x, filters), number), 0)
    return x


def difference(a: Array, b: Array) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def norms(symmetry: Symmetry, generator: np.random.Generator) -> dict[str, Any]:
    """Functions of features and the number of the layer. Every affine has random numbers, equal for all settings."""
    order, fields = symmetry.order, CHANNELS // symmetry.order
    gain, offset = generator.uniform(0.5, 1.5, (LAYERS, CHANNELS)), generator.normal(0, 0.3, (LAYERS, CHANNELS))
    orbits = nn.groups.orbits(fields, order)
    orientations = nn.groups.strided(CHANNELS, order)

    def of(groups: Array, affine: str) -> Any:
        def norm(x: Array, n: int) -> Array:
            if affine == "tied":  # per channel, the numbers of an orbit being one
                return nn.group_norm(x, weight=gain[n][orbits], bias=offset[n][orbits], groups=groups)
            size = CHANNELS if affine == "channel" else int(groups.max()) + 1
            return nn.group_norm(x, weight=gain[n][:size], bias=offset[n][:size], groups=groups, affine=affine)

        return norm

    return {
        "one orbit": of(orbits, "group"),
        "two orbits": of(nn.groups.orbits(fields, order, fields_per_group=2), "group"),
        "half a turn apart": of(nn.groups.from_permutation(symmetry.permutation(2, fields)), "tied"),
        "one orientation": of(orientations, "tied"),
        "Layer Norm": of(np.zeros(CHANNELS, np.int64), "group"),
        "Instance Norm": of(np.arange(CHANNELS), "tied"),
        "blocks of 6": of(nn.groups.contiguous(CHANNELS, sizes=(6, 6, 6, 6, 6, 2)), "tied"),
        "neighbours in pairs": of(nn.groups.contiguous(CHANNELS, CHANNELS // 2), "tied"),
        "one orbit, γ per channel": of(orbits, "channel"),
        "one orientation, γ per group": of(orientations, "group"),
    }


def layers_turned(seed: int, images: Array) -> dict[str, dict[str, float]]:
    """Relative difference of a network of turned images from the turned network of images, the largest over turns."""
    found: dict[str, dict[str, float]] = {}
    for name, order in SYMMETRIES.items():
        symmetry, generator = Symmetry(order), np.random.default_rng([seed, order])
        layers, found[name] = weights(symmetry, generator), {}
        for setting, norm in norms(symmetry, generator).items():
            plain = network(images, layers, norm)
            found[name][setting] = max(
                difference(network(symmetry.image(g, images), layers, norm), symmetry.act(g, plain))
                for g in symmetry.generators
            )
        found[name] |= batch_statistics(symmetry, layers, images)
    return found


def batch_statistics(symmetry: Symmetry, layers: Sequence[Array], images: Array) -> dict[str, float]:
    """The same of Batch Norm, without affine: with the batch's statistics, and with running ones of upright images."""
    running = [(np.zeros(CHANNELS), np.ones(CHANNELS)) for _ in layers]
    plain = network(images, layers, lambda x, n: nn.batch_norm(x, *running[n], training=True, momentum=1.0))

    def now(x: Array) -> Array:
        return network(x, layers, lambda x, n: nn.batch_norm(x))

    def kept(x: Array) -> Array:
        return network(x, layers, lambda x, n: nn.batch_norm(x, *running[n]))

    turned = symmetry.image(1, images)
    one = np.concatenate([turned[:1], images[1:]])
    values = (
        difference(now(turned), symmetry.act(1, plain)),
        difference(now(one)[:1], symmetry.act(1, plain[:1])),
        difference(kept(turned), symmetry.act(1, kept(images))),
    )
    return dict(zip(BATCH, values, strict=True))


# Every partition


def partitions(n: int, labels: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Labels of every partition of n items, numbered by first occurrence."""
    if len(labels) == n:
        yield labels
        return
    for label in range(max(labels, default=-1) + 2):
        yield from partitions(n, (*labels, label))


def actions() -> dict[str, tuple[int, list[Array]]]:
    """Number of channels and the permutations that generate the action."""
    c4, d4 = Symmetry(4), Symmetry(8)
    return {
        "C4, two fields of 4": (8, [c4.permutation(g, 2) for g in c4.generators]),
        "D4, one field of 8": (8, [d4.permutation(g, 1) for g in d4.generators]),
        "cyclic shift of 6": (6, [(np.arange(6) + 1) % 6]),
    }


def rule(labels: Array, permutations: Sequence[Array]) -> tuple[bool, bool]:
    """Whether every permutation maps the partition to itself, and whether it maps every group to itself."""
    together = labels[:, None] == labels
    stable = all((together[np.ix_(p, p)] == together).all() for p in permutations)
    return stable, all((labels[p] == labels).all() for p in permutations)


def every_partition(seed: int) -> dict[str, dict[str, float]]:
    """What the rule says of each partition beside what the norm does; without affine, and with one number a group."""
    generator = np.random.default_rng([seed, 203])
    found = {}
    for name, (channels, permutations) in actions().items():
        x = generator.normal(1, 2, (1, channels, 3, 3)) * np.exp(generator.normal(size=(1, channels, 1, 1)))
        gain, offset = generator.uniform(0.5, 1.5, channels), generator.normal(0, 0.3, channels)
        # A permutation says where each channel goes, hence what stands in place c is what its inverse says.
        places = [np.argsort(p) for p in permutations]
        stacked = np.concatenate([x, *(x[:, p] for p in places)])
        counts = {"partitions": 0, "kept": 0, "kept, affine": 0, "wrong": 0, "kept, largest": 0.0, "lost, least": 1e9}
        for given in partitions(channels):
            labels = np.array(given)
            size = labels.max() + 1
            affine = {"weight": gain[:size], "bias": offset[:size], "affine": "group"}
            counts["partitions"] += 1
            for key, options, said in zip(
                ("kept", "kept, affine"), ({}, affine), rule(labels, permutations), strict=True
            ):
                y = nn.group_norm(stacked, groups=labels, **options)
                error = max(difference(y[k + 1], y[0, p]) for k, p in enumerate(places))
                counts[key] += said
                counts["wrong"] += said != (error < 1e-9)
                end, least = ("kept, largest", max) if error < 1e-9 else ("lost, least", min)
                counts[end] = least(counts[end], error)
        found[name] = {key: float(value) for key, value in counts.items()}
    return found


# Digits


def readout(seed: int) -> dict[str, list[float]]:
    """Test error in percent, upright and turned by 90 degrees, and share of digits whose class changes with the turn.

    Weights are random and stay so. A linear readout is trained upright, on the mean over orientations and over the four
    turns of the image: if the features are equivariant, it cannot see how an image was turned.
    """
    from sklearn.linear_model import RidgeClassifier

    x, y = digits(seed)
    symmetry, generator = Symmetry(4), np.random.default_rng([seed, 4])
    layers, found = weights(symmetry, generator), {}
    for name, norm in norms(symmetry, generator).items():
        if name not in READ:
            continue

        def features(images: Array, norm: Any = norm) -> Array:
            z = network(images, layers, norm).reshape(len(images), -1, 4, 8, 8).mean(2)
            return sum(symmetry.image(g, z) for g in range(4)).reshape(len(images), -1)

        model = RidgeClassifier(1e-3).fit(features(x[:TRAINING]), y[:TRAINING])
        upright, turned = (
            model.predict(features(images)) for images in (x[TRAINING:], symmetry.image(1, x[TRAINING:]))
        )
        found[name] = [
            float(100 * v.mean()) for v in (upright != y[TRAINING:], turned != y[TRAINING:], upright != turned)
        ]
    return found


def digits(seed: int) -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    order = np.random.default_rng([seed, 8]).permutation(len(images))
    return images[order].reshape(-1, 1, 8, 8) / 16, classes[order]


def measure(seed: int) -> Run:
    return {
        "turned": layers_turned(seed, digits(seed)[0][:16]),
        "partitions": every_partition(seed),
        "digits": readout(seed),
    }


def of_digits(runs: Sequence[Run]) -> list[Claim]:
    """What is claimed of the network that reads digits."""
    changed = {name: page.column(runs, "digits", name)[:, 2] for name in READ}
    errors = {name: page.column(runs, "digits", name)[:, :2] for name in READ}
    return [
        Claim(
            "digits that change class when turned by 90 degrees, orbit groups",
            f"{changed['one orbit'].sum() * TESTED / 100:.0f} of {TESTED * len(runs)}",
            changed["one orbit"].max() == 0,
        ),
        Claim(
            "and of other groups, percent over seeds: blocks of 6, neighbours in pairs, orbits with γ per channel",
            "; ".join(page.span(changed[name], 1) for name in READ[1:]),
            min(changed[name].mean() for name in READ[1:]) > 0.4,
        ),
        Claim(
            "test error in percent, orbit groups: upright, turned; γ per channel: upright, turned",
            ", ".join(page.span(values, 1) for name in (READ[0], READ[3]) for values in errors[name].T),
            errors[READ[0]].mean(0)[1] < errors[READ[3]].mean(0)[1],
        ),
    ]


def claims(runs: Sequence[Run]) -> list[Claim]:
    def of(names: Sequence[str]) -> Array:
        return np.array([[run["turned"][s][name] for name in names] for run in runs for s in SYMMETRIES])

    def over(key: str) -> Array:
        return np.array([[run["partitions"][action][key] for action in actions()] for run in runs])

    kept, cut, untied, batch = of(KEPT), of(CUT), of(UNTIED), of(BATCH)
    total, wrong = 2 * over("partitions").sum(), over("wrong").sum()
    named = [" + ".join(f"{n:.0f}" for n in over(key)[0]) for key in ("kept", "kept, affine")]
    return [
        Claim(
            "partition mapped to itself, one γ and β an orbit: largest relative difference, C4 and D4, six settings",
            f"{kept.max():.0e}",
            kept.max() < 1e-13,
        ),
        Claim(
            "groups that cut orbits, γ and β tied as before: smallest difference", f"{cut.min():.2f}", cut.min() > 0.02
        ),
        Claim(
            "a good partition, but γ and β that differ along orbits: smallest difference",
            f"{untied.min():.2f}",
            untied.min() > 0.1,
        ),
        Claim(
            'the rule against the norm, every partition under three actions, without affine and with affine="group": '
            "wrong verdicts",
            f"{wrong:.0f} of {total:.0f}",
            wrong == 0 and total > 0,
        ),
        Claim(
            "and the gap between the two verdicts: largest difference where it is kept, least where it is lost",
            f"{over('kept, largest').max():.0e} and {over('lost, least').min():.0e}",
            over("kept, largest").max() < 1e-14 and over("lost, least").min() > 1e-4,
        ),
        Claim(
            "partitions that keep it, without affine and with it",
            f"{named[0]} and {named[1]} of 4140 + 4140 + 203",
            (over("kept") > over("kept, affine")).all() and (over("kept, affine") >= 1).all(),
        ),
        Claim(
            "Batch Norm, largest with all images turned; smallest with one of 16 turned, and with running statistics",
            f"{batch[:, 0].max():.0e}, {batch[:, 1].min():.2f}, {batch[:, 2].min():.2f}",
            batch[:, 0].max() < 1e-13 and batch[:, 1:].min() > 0.05,
        ),
        *of_digits(runs),
    ]


def draw(runs: Sequence[Run]) -> Any:
    figure, axis = page.axes(width=5.4, height=4.8)
    names = (*KEPT, *CUT, *UNTIED, *BATCH)
    for (symmetry, marker), shift in zip((("C4", "o"), ("D4", "^")), (-0.15, 0.15), strict=True):
        for row, name in enumerate(names):
            short = "".join(word[0] for word in name.split()[:2])  # LN, IN, BN
            colour = page.COLOURS.get(short, page.COLOURS["GN"])
            values = page.column(runs, "turned", symmetry, name)
            axis.plot(values, [row + shift] * len(values), marker, color=colour, markersize=5)
        axis.plot([], [], marker, color=page.COLOURS["none"], label=symmetry)
    axis.set(xscale="log", xlabel="relative difference after a turn", ylabel="norm, or groups of Group Norm")
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.legend(loc="center")
    return figure
