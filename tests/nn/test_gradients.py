"""First and second derivatives: against central differences in float64, and against what they must satisfy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from backends import Backend
from formula import differences, formula
from hypothesis import given, settings
from hypothesis import strategies as st

from gridnorm.errors import GridnormWarning, OptionError
from gridnorm.nn import (
    group_norm,
    group_norm_backward,
    group_norm_double_backward,
    instance_norm,
    instance_norm_backward,
    layer_norm,
    layer_norm_backward,
)

SHAPE = (2, 6, 3)
EQUAL, UNEQUAL, PASSING = [0, 0, 1, 1, 2, 2], [1, 0, 0, 1, 2, 0], [1, -1, 0, 1, 1, 0]


def normal(shape: Any, seed: int = 0, dtype: Any = np.float64) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) + 0.4).astype(dtype)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b).max(initial=0.0) / max(1e-3, np.abs(b).max(initial=0.0)))


def some_weights(kind: str | None) -> dict[str, Any]:
    mask = np.random.default_rng(5).random(SHAPE) < 0.8
    mask[:, :, 0] = True
    weight = np.random.default_rng(6).random(SHAPE) + 0.1
    return {
        None: {},
        "mask": {"mask": mask},
        "weight": {"sample_weight": weight},
        "both": {"mask": mask, "sample_weight": weight},
    }[kind]


def for_formula(options: dict[str, Any]) -> dict[str, Any]:
    known = {k: v for k, v in options.items() if k not in ("groups", "mask", "sample_weight")}
    if "mask" in options or "sample_weight" in options:
        known["weights"] = options.get("mask", 1.0) * options.get("sample_weight", 1.0)
    return known


OPTIONS: dict[str, dict[str, Any]] = {
    "equal": {"groups": EQUAL},
    "unequal": {"groups": UNEQUAL},
    "passing": {"groups": PASSING},
    "per group": {"groups": PASSING, "affine": "group"},
    "silu": {"groups": UNEQUAL, "activation": "silu"},
    "gelu": {"groups": UNEQUAL, "activation": "gelu"},
    "relu": {"groups": UNEQUAL, "activation": "relu"},
    "silu per group": {"groups": PASSING, "activation": "silu", "affine": "group"},
    "rms": {"groups": UNEQUAL, "center": False},
    "rms, gelu": {"groups": PASSING, "center": False, "activation": "gelu", "affine": "group"},
    "mask": {"groups": UNEQUAL, **some_weights("mask")},
    "weight": {"groups": UNEQUAL, **some_weights("weight")},
    "both, silu": {"groups": PASSING, "activation": "silu", **some_weights("both")},
    "mask, rms": {"groups": PASSING, "center": False, **some_weights("mask")},
    "last": {"groups": [0, 1, 0], "channel_axis": -1},
    "two batches": {"groups": [1, 0, 1], "channel_axis": 2, "batch_axes": (1, 0)},
    "no batch": {"groups": UNEQUAL, "batch_axes": ()},
    "eps": {"groups": UNEQUAL, "eps": 0.3},
}


def parameters(options: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    groups = np.asarray(options["groups"])
    number = groups.max() + 1 if options.get("affine") == "group" else groups.size
    return normal(number, 1), normal(number, 2)


def quietly(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridnormWarning)  # groups of one value are part of this
        return function(*args, **options)


@pytest.mark.parametrize("name", OPTIONS)
def test_first_derivatives(backend: Backend, name: str) -> None:
    """Of Σ y·dy + Σ mean·dmean + Σ rstd·drstd, by differences of the formula, not of this package."""
    options = OPTIONS[name]
    x, dy, (weight, bias) = normal(SHAPE), normal(SHAPE, 3), parameters(options)
    _, mean, rstd = quietly(backend.run, group_norm, x, weight=weight, bias=bias, return_stats=True, **options)
    dmean, drstd = normal(mean.shape, 7), normal(mean.shape, 8)

    def total(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> float:
        parts = formula(x, options["groups"], weight, bias, **for_formula(options))
        return sum(float((a * b).sum()) for a, b in zip(parts, (dy, dmean, drstd), strict=True))

    backward = {k: v for k, v in options.items() if k != "eps"}
    mine = backend.run(group_norm_backward, dy, x, mean, rstd, weight, bias=bias, dmean=dmean, drstd=drstd, **backward)
    for a, b in zip(mine, differences(total, [x, weight, bias]), strict=True):
        assert a.shape == b.shape and apart(a, b) <= 1e-7
    plain = backend.run(group_norm_backward, dy, x, mean, rstd, weight, bias=bias, **backward)
    assert apart(plain[0], mine[0]) > 1e-3 and np.array_equal(plain[1], mine[1])


@pytest.mark.parametrize("width", [1, 6])
@pytest.mark.parametrize("given_ones", [("scale", "shift"), ("scale",), ("shift",)])
@pytest.mark.parametrize("activation", [None, "gelu"])
@pytest.mark.parametrize("affine", [None, "channel", "group"])
def test_first_derivatives_of_a_modulation(
    backend: Backend, width: int, given_ones: tuple[str, ...], activation: str | None, affine: str | None
) -> None:
    x, dy = normal(SHAPE), normal(SHAPE, 3)
    rest: dict[str, Any] = {"activation": activation, "affine": affine or "channel"}
    weight, bias = (None, None) if affine is None else parameters({"groups": PASSING, **rest})
    numbers = [normal((2, width), 4 + i) for i in range(len(given_ones))]
    film = dict(zip(given_ones, numbers, strict=True))
    _, mean, rstd = backend.run(
        group_norm, x, groups=PASSING, weight=weight, bias=bias, return_stats=True, **rest, **film
    )
    mine = backend.run(group_norm_backward, dy, x, mean, rstd, weight, bias=bias, groups=PASSING, **rest, **film)

    def total(x: np.ndarray, *more: np.ndarray) -> float:
        w, b, *film = more if affine is not None else (None, None, *more)
        named = dict(zip(given_ones, film, strict=True))
        return float((formula(x, PASSING, w, b, **rest, **named)[0] * dy).sum())

    both = [] if affine is None else [weight, bias]
    wanted = differences(total, [x, *both, *numbers])
    mine = mine if affine is not None else (mine[0], *mine[3:])
    for a, b in zip(mine, wanted, strict=True):
        assert a.shape == b.shape and apart(a, b) <= 1e-7


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if k % 2 else ())
        for k, name in enumerate(OPTIONS)
        if name not in ("relu", "eps")
    ],
)
def test_second_derivatives(backend: Backend, name: str) -> None:
    """Of Σ dx·u + Σ dweight·a + Σ dbias·o, by differences of forward and backward together."""
    options = OPTIONS[name]
    x, dy, (weight, bias) = normal(SHAPE), normal(SHAPE, 3), parameters(options)
    u, a, o = normal(SHAPE, 4), normal(weight.shape, 5), normal(weight.shape, 6)

    def total(dy: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> float:
        _, mean, rstd = quietly(backend.on_numpy, group_norm, x, weight=weight, bias=bias, return_stats=True, **options)
        parts = backend.on_numpy(group_norm_backward, dy, x, mean, rstd, weight, bias=bias, **options)
        return sum(float((p * q).sum()) for p, q in zip(parts, (u, a, o), strict=True))

    wanted = differences(total, [dy, x, weight, bias])
    _, mean, rstd = quietly(backend.run, group_norm, x, weight=weight, bias=bias, return_stats=True, **options)
    mine = backend.run(group_norm_double_backward, u, a, o, dy, x, mean, rstd, weight, bias=bias, **options)
    for p, q in zip(mine, wanted, strict=True):
        assert p.shape == q.shape and apart(p, q) <= 1e-6
    parts = [
        backend.run(group_norm_double_backward, *three, dy, x, mean, rstd, weight, bias=bias, **options)
        for three in ((u, None, None), (None, a, None), (None, None, o))
    ]
    for whole, *single in zip(mine, *parts, strict=True):
        assert apart(sum(single), whole) <= 1e-10  # linear in what comes in


@pytest.mark.parametrize("activation", [None, "silu"])
@pytest.mark.parametrize("one", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("affine", [None, "channel", pytest.param("group", marks=pytest.mark.slow)])
def test_second_derivatives_with_modulation(affine: str | None, one: bool, activation: str | None) -> None:
    """Of everything that the first derivatives are, by differences; a scale for all channels or one for each."""
    options: dict[str, Any] = {"groups": [0, 1, -1, 0, 1, 1], "activation": activation, "affine": affine or "channel"}
    x, dy = normal((2, 6, 3)), normal((2, 6, 3), 3)
    size = 2 if affine == "group" else 6
    own = [] if affine is None else [normal((size,), 7), normal((size,), 8)]
    film = [normal((2, 1 if one else 6), 9), normal((2, 6), 10)]
    u, more = normal((2, 6, 3), 4), [normal(a.shape, 11 + k) for k, a in enumerate([*own, *film])]

    def called(own: list[np.ndarray], film: list[np.ndarray]) -> dict[str, Any]:
        named = dict(zip(("weight", "bias"), own, strict=False))
        return {**options, **named, "scale": film[0], "shift": film[1]}

    def total(dy: np.ndarray, x: np.ndarray, *rest: np.ndarray) -> float:
        named = called([*rest[: len(own)]], [*rest[len(own) :]])
        _, mean, rstd = group_norm(x, return_stats=True, **named)
        dx, dweight, dbias, *others = group_norm_backward(dy, x, mean, rstd, **named)
        parts = [dx, *([dweight, dbias] if own else []), *others]
        return sum(float((p * q).sum()) for p, q in zip(parts, [u, *more], strict=True))

    wanted = differences(total, [dy, x, *own, *film])
    named = called(own, film)
    _, mean, rstd = group_norm(x, return_stats=True, **named)
    given = [*more[: len(own)], *([] if own else [None, None])]
    found = group_norm_double_backward(u, *given, dy, x, mean, rstd, ddscale=more[-2], ddshift=more[-1], **named)
    found = found if own else (*found[:2], *found[4:])
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.shape == theirs.shape and apart(mine, theirs) <= 1e-6


def test_a_second_derivative_belongs_to_a_modulation() -> None:
    x = normal((2, 6, 3))
    _, mean, rstd = group_norm(x, 2, return_stats=True)
    with pytest.raises(OptionError, match="ddscale needs the scale that it belongs to"):
        group_norm_double_backward(x, None, None, x, x, mean, rstd, ddscale=normal((2, 6)))


def test_second_derivatives_without_weights() -> None:
    x, dy, u = normal(SHAPE), normal(SHAPE, 3), normal(SHAPE, 4)
    for activation in (None, "silu", "gelu"):

        def total(dy: np.ndarray, x: np.ndarray, activation: str | None = activation) -> float:
            _, mean, rstd = group_norm(x, 2, activation=activation, return_stats=True)
            return float((group_norm_backward(dy, x, mean, rstd, activation=activation)[0] * u).sum())

        _, mean, rstd = group_norm(x, 2, return_stats=True)
        mine = group_norm_double_backward(u, None, None, dy, x, mean, rstd, activation=activation)
        for p, q in zip(mine[:2], differences(total, [dy, x]), strict=True):
            assert apart(p, q) <= 1e-6


def test_torch_agrees() -> None:
    torch = pytest.importorskip("torch")
    x, dy, weight, bias, u = normal((3, 6, 4)), normal((3, 6, 4), 1), normal(6, 2), normal(6, 3), normal((3, 6, 4), 4)
    t, g, w, b = (torch.from_numpy(a).requires_grad_() for a in (x, dy, weight, bias))
    y = torch.nn.functional.silu(torch.nn.functional.group_norm(t, 3, w, b, 1e-3))
    first = torch.autograd.grad(y, (t, w, b), g, create_graph=True)
    second = torch.autograd.grad((first[0] * torch.from_numpy(u)).sum(), (g, t, w, b))
    _, mean, rstd = group_norm(x, 3, weight, bias, 1e-3, activation="silu", return_stats=True)
    rest = {"bias": bias, "activation": "silu"}
    for mine, theirs in zip(group_norm_backward(dy, x, mean, rstd, weight, **rest), first, strict=True):
        assert apart(mine, theirs.detach().numpy()) <= 1e-12
    doubled = group_norm_double_backward(u, None, None, dy, x, mean, rstd, weight, **rest)
    for mine, theirs in zip(doubled, second, strict=True):
        assert apart(mine, theirs.numpy()) <= 1e-12


# What gradients must satisfy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_over_a_group(dtype: Any) -> None:
    x, dy, weight = normal((4, 12, 30), 0, dtype) + dtype(100), normal((4, 12, 30), 1, dtype), normal(12, 2)
    labels = np.array([0, 1, 2, 0, 0, 1, 1, 1, 2, 3, 3, 0])
    _, mean, rstd = group_norm(x, groups=labels, eps=0.0, return_stats=True)
    dx, *_ = group_norm_backward(dy, x, mean, rstd, weight, groups=labels)
    tolerance = 2e-5 if dtype == np.float32 else 1e-11  # of sums of up to 120 numbers of size 1
    for g in range(4):
        members = np.flatnonzero(labels == g)
        part = dx[:, members].astype(np.float64)
        xhat = (x[:, members] - mean[:, g, None, None]) * rstd[:, g, None, None]
        assert np.abs(part.sum(axis=(1, 2))).max() <= tolerance
        assert np.abs((part * xhat).sum(axis=(1, 2))).max() <= tolerance


def test_gradients_scale_with_the_inverse_deviation() -> None:
    x, dy = normal((4, 12, 30)), normal((4, 12, 30), 1)
    sizes = []
    for factor in (0.1, 1.0, 10.0):
        _, mean, rstd = group_norm(factor * x, 3, eps=0.0, return_stats=True)
        sizes.append(group_norm_backward(dy, factor * x, mean, rstd)[0] * factor)
    assert apart(sizes[0], sizes[1]) <= 1e-12 and apart(sizes[2], sizes[1]) <= 1e-12


def test_channels_of_no_group() -> None:
    x, dy = normal((3, 5, 4), 0, np.float32), normal((3, 5, 4), 1, np.float32)
    x[0, 1, 2], dy[1, 3, 0] = np.nan, np.inf
    labels, weight = [0, -1, 0, -1, 1], normal(5, 2)
    rest = {"groups": labels, "bias": normal(5, 3), "activation": "silu"}
    _, mean, rstd = group_norm(x, weight=weight, return_stats=True, **rest)
    dx, dweight, dbias = group_norm_backward(dy, x, mean, rstd, weight, **rest)
    assert dx[:, [1, 3]].tobytes() == dy[:, [1, 3]].tobytes()
    assert not dweight[[1, 3]].any() and not dbias[[1, 3]].any()
    assert np.isfinite(dx[:, [0, 2, 4]]).all() and np.isfinite(dweight).all()
    ddx = normal((3, 5, 4), 4, np.float32)
    ddy, second, dw, db = group_norm_double_backward(ddx, weight, weight, dy, x, mean, rstd, weight, **rest)
    assert np.array_equal(ddy[:, [1, 3]], ddx[:, [1, 3]])
    assert not second[:, [1, 3]].any() and not dw[[1, 3]].any() and not db[[1, 3]].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_flows_through_a_masked_value_that_is_not_finite(bad: float) -> None:
    x, dy, ddx = normal(SHAPE), normal(SHAPE, 1), normal(SHAPE, 2)
    mask = some_weights("mask")["mask"]
    weight, bias = normal(6, 3), normal(6, 4)
    rest = {"groups": UNEQUAL, "mask": mask, "activation": "silu", "bias": bias}
    _, mean, rstd = group_norm(x, weight=weight, return_stats=True, **rest)
    spoilt, silent = np.where(mask, x, bad), np.where(mask, dy, 0.0)
    wanted = group_norm_backward(silent, x, mean, rstd, weight, **rest)
    mine = group_norm_backward(dy, spoilt, mean, rstd, weight, **rest)
    for a, b in zip(mine, wanted, strict=True):
        assert apart(a, b) <= 1e-14
    assert not mine[0][~mask].any()
    # The terms of what is masked in ddx, and its own ddy, are 0 as well; all others are what they were.
    wanted = group_norm_double_backward(np.where(mask, ddx, 0), None, None, silent, x, mean, rstd, weight, **rest)
    mine = group_norm_double_backward(ddx, None, None, dy, spoilt, mean, rstd, weight, **rest)
    for a, b in zip(mine, (np.where(mask, wanted[0], 0.0), *wanted[1:]), strict=True):
        assert apart(a, b) <= 1e-12


def test_a_constant_group_without_eps_has_no_gradient() -> None:
    x, dy = np.full((2, 4, 3), 7.0), normal((2, 4, 3))
    _, mean, rstd = group_norm(x, 2, eps=0.0, return_stats=True)
    dx, dweight, dbias = group_norm_backward(dy, x, mean, rstd, dmean=mean * 0, drstd=rstd + 1)
    assert not dx.any() and not dweight.any() and apart(dbias, dy.sum(axis=(0, 2))) <= 1e-14


# Arguments


def test_types_and_shapes() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        real = np.float64 if dtype == np.float64 else np.float32
        x, scale = normal((2, 6, 4), 0, dtype), normal((2, 6), 1, np.float16)
        _, mean, rstd = group_norm(x, 3, scale=scale, return_stats=True)
        dx, dweight, dbias, dscale, dshift = group_norm_backward(
            x, x, mean, rstd, scale=scale, shift=np.zeros((2, 1), int)
        )
        assert [a.dtype for a in (dx, dweight, dbias, dscale, dshift)] == [dtype, real, real, np.float16, real]
        assert dscale.shape == (2, 6) and dshift.shape == (2, 1)
        assert group_norm_backward(x, x, mean, rstd, scale=scale.tolist())[3].shape == (2, 6)
        second = group_norm_double_backward(x, None, None, x, x, mean, rstd)
        assert [a.dtype for a in second] == [dtype, dtype, real, real]


def test_only_what_is_needed() -> None:
    x = normal((2, 6, 4))
    _, mean, rstd = group_norm(x, 3, return_stats=True)
    all_three = group_norm_backward(x, x, mean, rstd)
    for needs in ((True, False, True), (False, True, False), [0, 0, 0]):
        found = group_norm_backward(x, x, mean, rstd, needs=needs)
        for wanted, a, b in zip(needs, found, all_three, strict=True):
            assert np.array_equal(a, b) if wanted else a is None


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_where_dx_goes(order: Any, dtype: Any) -> None:
    x, dy = (np.asarray(normal((3, 6, 5), k, dtype), order=order) for k in (0, 1))
    _, mean, rstd = group_norm(x, groups=UNEQUAL, return_stats=True)
    wanted = group_norm_backward(dy, x, mean, rstd, groups=UNEQUAL)
    for target in (np.zeros_like(x), dy.copy(order="K"), x.copy(order="K")):
        given_dy = target if np.array_equal(target, dy) else dy
        given_x = target if np.array_equal(target, x) else x
        found = group_norm_backward(given_dy, given_x, mean, rstd, groups=UNEQUAL, out=target)
        assert found[0] is target
        assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_dx_may_overlap_what_is_read() -> None:
    memory, dy = normal(3 * 4 * 150_000 + 7, 0, np.float32), normal((3, 4, 150_000), 1, np.float32)
    x, out = memory[7:].reshape(3, 4, -1), memory[:-7].reshape(3, 4, -1)
    _, mean, rstd = group_norm(x, 2, return_stats=True)
    wanted = group_norm_backward(dy, x.copy(), mean, rstd)[0]
    assert np.array_equal(group_norm_backward(dy, x, mean, rstd, out=out)[0], wanted)
    x = memory[7:].reshape(3, 4, -1).copy()
    _, mean, rstd = group_norm(x, 2, return_stats=True)
    wanted = group_norm_backward(dy.copy(), x, mean, rstd)[0]
    assert np.array_equal(group_norm_backward(dy, x, mean, rstd, out=dy[::-1])[0], wanted)


@pytest.mark.parametrize("order", ["C", "F"])
def test_layer_norm_over_the_last_axes(order: Any) -> None:
    x, dy, weight, bias = normal((2, 3, 4, 5)), normal((2, 3, 4, 5), 1), normal((4, 5), 2), normal((4, 5), 3)
    _, mean, rstd = layer_norm(x, (4, 5), weight, bias, activation="silu", return_stats=True)
    dmean, drstd, out = normal((2, 3), 4), normal((2, 3), 5), np.zeros_like(x, order=order)
    rest = {"normalized_shape": (4, 5), "bias": bias, "activation": "silu", "dmean": dmean, "drstd": drstd}
    mine = layer_norm_backward(dy, x, mean, rstd, weight, out=out, **rest)
    assert mine[0] is out

    def total(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> float:
        y, mean, rstd = layer_norm(x, (4, 5), weight, bias, activation="silu", return_stats=True)
        return float((y * dy).sum() + (mean * dmean).sum() + (rstd * drstd).sum())

    for a, b in zip(mine, differences(total, [x, weight, bias]), strict=True):
        assert a.shape == b.shape and apart(a, b) <= 1e-7
    without = layer_norm_backward(dy, x, mean, rstd, weight, needs=(False, True, True), **rest)
    assert without[0] is None and np.array_equal(without[1], mine[1])


def test_instance_norm() -> None:
    x, dy = normal((2, 3, 4)), normal((2, 3, 4), 1)
    _, mean, rstd = instance_norm(x, return_stats=True)
    mine = instance_norm_backward(dy, x, mean, rstd)
    assert all(
        np.array_equal(a, b) for a, b in zip(mine, group_norm_backward(dy, x, mean, rstd, num_groups=3), strict=True)
    )


# Anything


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_any_gradient_follows_differences(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=3)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    channels = shape[1]
    labels = np.sort(rng.integers(-1, 2, channels)) if data.draw(st.booleans()) else np.zeros(channels, int)
    labels = np.where(labels >= 0, np.unique(labels[labels >= 0], return_inverse=True)[1].max(initial=0) * labels, -1)
    labels = np.where(labels > 0, int((labels == 0).any()), labels)
    options: dict[str, Any] = {
        "center": data.draw(st.booleans()),
        "activation": data.draw(st.sampled_from([None, "silu", "gelu"])),
    }
    x, dy, weight, bias = (
        rng.normal(size=shape),
        rng.normal(size=shape),
        rng.normal(size=channels),
        rng.normal(size=channels),
    )
    weights = rng.random(shape) + 0.1 if data.draw(st.booleans()) else None
    _, mean, rstd = quietly(
        group_norm,
        x,
        groups=labels,
        weight=weight,
        bias=bias,
        eps=0.1,
        sample_weight=weights,
        return_stats=True,
        **options,
    )
    mine = group_norm_backward(dy, x, mean, rstd, weight, bias=bias, groups=labels, sample_weight=weights, **options)

    def total(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> float:
        return float((formula(x, labels, weight, bias, 0.1, weights=weights, **options)[0] * dy).sum())

    for a, b in zip(mine, differences(total, [x, weight, bias]), strict=True):
        assert np.abs(a - b).max() <= 1e-7 * max(1.0, np.abs(b).max())
