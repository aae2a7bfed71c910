"""The bench at which studies are run: seeds, training, records. ``page`` says how a page shows what was found.

A study is a module with

- ``CLAIM`` and ``VERDICT``: one line each; the verdict is one of ``VERDICTS``;
- ``TORCH``: whether measuring needs torch;
- ``measure(seed)``: plain numbers (what JSON holds) of one seed, by nothing but that seed;
- ``claims(runs)``: what the page states of several seeds, each a ``Claim`` that can fail;
- ``draw(runs)``: the figure.

What the page shows was measured for ``SEEDS`` and lies in ``recorded/NAME.json`` with a digest of the code that
measured it. A page whose code has changed since measures again; the tests measure other seeds, and one of these.
Nothing here knows of gridnorm: a change of gridnorm that changes a study is found by the tests, not by the digest.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
SEEDS = (0, 1, 2)
VERDICTS = ("shown", "shown with limits", "not shown")

Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, the figure that it rests on, and whether the figure bears it."""

    text: str
    figure: str
    holds: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds", bool(self.holds))


# Records


def name_of(study: ModuleType) -> str:
    return study.__name__.rpartition(".")[2]


def digest(study: ModuleType) -> str:
    """Of the code that measures: this file and the study's, without what only words and draws its results."""
    found = hashlib.sha256(_text(HERE / "lab.py").encode())
    text = _text(HERE / f"{name_of(study)}.py")
    lines = text.splitlines()
    for node in ast.parse(text).body:
        shown = isinstance(node, ast.FunctionDef) and node.name in ("claims", "draw")
        named = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("CLAIM", "VERDICT")
        if not (shown or named or (isinstance(node, ast.Expr) and node.lineno == 1)):
            found.update("\n".join(lines[node.lineno - 1 : node.end_lineno]).encode() + b"\n")
    return found.hexdigest()[:16]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def runs(study: ModuleType) -> list[Run]:
    """The runs that a page shows: the recorded ones, measured again where the code is another now."""
    path = HERE / "recorded" / f"{name_of(study)}.json"
    kept = json.loads(_text(path)) if path.exists() else None
    found: list[Run] | None = kept["runs"] if kept is not None else None
    current = kept is not None and kept["digest"] == digest(study)
    if study.TORCH and not has_torch():
        old = "" if current else " The numbers below are those of an earlier version of the script."
        print(f'PyTorch is not installed; to measure anew: pip install "gridnorm[torch]".{old}')
        return found or []
    return found if found is not None and current else record(study)


def record(study: ModuleType) -> list[Run]:
    """Measure ``SEEDS`` and keep what was measured, whole or not at all."""
    found = measured(study, SEEDS)
    path = HERE / "recorded" / f"{name_of(study)}.json"
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"digest": digest(study), "runs": found}, indent=1) + "\n", encoding="utf-8")
    new.replace(path)
    return found


def measured(study: ModuleType, seeds: Sequence[int]) -> list[Run]:
    """Each seed in a process of its own, two at a time, with one thread each: no seed can disturb another."""
    with ProcessPoolExecutor(2, max_tasks_per_child=1) as pool:
        return list(pool.map(_measure, [study.__name__] * len(seeds), seeds))


def _measure(module: str, seed: int) -> Run:
    study = import_module(module)
    if study.TORCH:
        seeded(seed)
    plain: Run = json.loads(json.dumps({"seed": seed, **study.measure(seed)}, allow_nan=False))
    return plain


# Torch


def has_torch() -> bool:
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def seeded(seed: int) -> None:
    """One thread, and torch's generator at its start: equal numbers from equal seeds on one machine."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)


def batches(n: int, size: int, generator: np.random.Generator) -> Iterator[np.ndarray[Any, Any]]:
    """Indexes of one epoch in random order; what is left of the last batch is left out."""
    order = generator.permutation(n)
    for start in range(0, n - size + 1, size):
        yield order[start : start + size]


def train(
    model: Any,
    loss: Callable[[Any, np.ndarray[Any, Any]], Any],
    n: int,
    *,
    batch: int,
    epochs: int,
    seed: int,
    lr: float,
    momentum: float | None = 0.9,
) -> Any:
    """Train by SGD with momentum (Adam where it is None) and a cosine from ``lr`` down to 0.

    ``loss(model, indexes)`` is the loss of a batch. Batches depend on ``seed`` alone, so that two networks of one
    seed see the same ones in the same order.
    """
    import torch

    parameters = list(model.parameters())
    if momentum is None:
        optimizer: Any = torch.optim.Adam(parameters, lr=lr)
    else:
        optimizer = torch.optim.SGD(parameters, lr=lr, momentum=momentum)
    steps = epochs * (n // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = np.random.default_rng([seed, batch])
    model.train()
    for _ in range(epochs):
        for indexes in batches(n, batch, generator):
            optimizer.zero_grad()
            loss(model, indexes).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def digits(seed: int, *, train_size: int = 1000) -> tuple[Any, Any, Any, Any]:
    """scikit-learn's 1 797 digits of 8 x 8, scaled to 0 … 1: training images, their classes, test images, theirs."""
    import torch
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    order = np.random.default_rng([seed, 8]).permutation(len(images))
    x = torch.from_numpy((images[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8))
    y = torch.from_numpy(classes[order].astype(np.int64))
    return x[:train_size], y[:train_size], x[train_size:], y[train_size:]


def error(model: Any, x: Any, y: Any) -> float:
    """Share of ``x`` put into a wrong class, in percent, by the model as it stands (training or evaluating)."""
    import torch

    with torch.no_grad():
        return float((model(x).argmax(1) != y).double().mean()) * 100
