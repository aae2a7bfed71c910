"""What must agree to the last bit, and how much accuracy large offsets and odd sizes may cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from formula import formula, split

from gridnorm import nn
from gridnorm.core.engines.numpy import rows
from gridnorm.nn import (
    group_norm,
    group_norm_backward,
    instance_norm,
    instance_norm_backward,
    layer_norm,
    layer_norm_backward,
)
from gridnorm.nn.groups import from_permutation, orbits, strided

bfloat16 = pytest.importorskip("ml_dtypes").bfloat16

Results = tuple[np.ndarray, ...]


def normal(shape: tuple[int, ...], dtype: Any = np.float32, offset: float = 0.0, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) + offset).astype(dtype)


def both_ways(x: np.ndarray, dy: np.ndarray, **options: Any) -> Results:
    """y, mean, rstd, dx, dweight, dbias."""
    forward = {k: v for k, v in options.items() if k not in ("dmean", "drstd")}
    y, mean, rstd = group_norm(x, return_stats=True, **forward)
    return (y, mean, rstd, *group_norm_backward(dy, x, mean, rstd, **options))


def same(a: Results, b: Results) -> bool:
    return all(p.dtype == q.dtype and np.array_equal(p, q) for p, q in zip(a, b, strict=True))


def ulps(a: np.ndarray, b: np.ndarray) -> float:
    """Largest distance of float32 numbers, in units in the last place of the larger, at least of 1."""
    step = np.spacing(np.maximum(np.maximum(np.abs(a), np.abs(b)), np.float32(1)))
    return float((np.abs(a.astype(np.float64) - b) / step).max())


# Limits


@pytest.mark.parametrize("layout", ["first", "last", "F", "reversed"])
@pytest.mark.parametrize("dtype", [np.float16, bfloat16, np.float32, np.float64])
def test_the_limits_are_exact(dtype: Any, layout: str) -> None:
    x, dy = normal((8, 12, 5, 7), dtype, 3.0), normal((8, 12, 5, 7), dtype, seed=1)
    axis = 3 if layout == "last" else 1
    move = {
        "first": lambda a: a,
        "last": lambda a: np.ascontiguousarray(np.moveaxis(a, 1, 3)),
        "F": np.asfortranarray,
        "reversed": lambda a: a[::-1, ::-1, :, ::-1],
    }[layout]
    x, dy = move(x), move(dy)
    weight, bias = normal((12,), seed=2), normal((12,), seed=3)
    rest = {"channel_axis": axis, "activation": "silu"}
    for number, limit, backward in ((1, layer_norm, layer_norm_backward), (12, instance_norm, instance_norm_backward)):
        general = both_ways(x, dy, num_groups=number, weight=weight, bias=bias, **rest)
        y, mean, rstd = limit(x, weight=weight, bias=bias, return_stats=True, **rest)
        gradients = backward(dy, x, mean, rstd, weight, bias=bias, **rest)
        for a, b in zip(general, (y, mean, rstd, *gradients), strict=True):
            assert ((a.astype(np.float64) - b.astype(np.float64)) ** 2).max() == 0.0


@pytest.mark.parametrize("shape", [(4, 6, 5, 5), (4, 6), (4, 6, 1)])
def test_all_axes_as_normalized_shape_are_one_group(shape: tuple[int, ...]) -> None:
    x = normal(shape, offset=2.0)
    assert np.array_equal(layer_norm(x, shape[1:]), layer_norm(x))


# Bits

SHAPES = [(12, 3, 1), (12, 3, 5), (6, 2, 1), (32, 4, 49), (1200, 2, 1), (1200, 2, 3), (9000, 1, 1), (3, 1, 5000)]


@pytest.mark.parametrize("size", [1, 7, 264, 1000])
@pytest.mark.parametrize("shape", [(12, 3, 1), (12, 4, 5), (6, 6, 9), (32, 4, 16)])
def test_a_sample_does_not_see_its_batch(shape: tuple[int, int, int], size: int) -> None:
    channels, number, width = shape
    x, dy = normal((size, channels, width), offset=5.0), normal((size, channels, width), seed=1)
    weight = normal((channels,), seed=2)
    labels = np.random.default_rng(3).permutation(np.arange(channels) % (number + 1)) - 1
    for groups in ({"num_groups": number}, {"groups": labels}):
        many = both_ways(x, dy, weight=weight, **groups)[:4]
        for at in {0, size // 2, size - 1}:
            alone = both_ways(x[at : at + 1].copy(), dy[at : at + 1].copy(), weight=weight, **groups)[:4]
            assert same(tuple(a[at : at + 1] for a in many), alone)
        order = np.random.default_rng(4).permutation(size)
        assert same(tuple(a[order] for a in many), both_ways(x[order], dy[order], weight=weight, **groups)[:4])


def test_eight_samples_and_one() -> None:
    for dtype in (np.float16, bfloat16, np.float64):
        x = normal((8, 24, 7, 7), dtype, 5.0)
        assert np.array_equal(group_norm(x, 3)[:1], group_norm(x[:1], 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_bits_do_not_depend_on_blocks(shape: tuple[int, int, int], dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    channels, number, width = shape
    x, dy = normal((9, channels, width), dtype, 1.0), normal((9, channels, width), dtype, 0.3, 1)
    weight, bias = normal((channels,), seed=2), normal((channels,), seed=3)
    labels = np.arange(channels) % (number + 1) if channels < 20 else np.random.default_rng(3).integers(0, 3, channels)
    for options in (
        {"num_groups": number},
        {"groups": labels, "activation": "silu"},
        {"groups": labels, "sample_weight": np.abs(dy).astype(dtype)},
    ):
        monkeypatch.undo()
        wanted = both_ways(x, dy, weight=weight, bias=bias, **options)
        for block in (1, 700, 5000):
            monkeypatch.setattr(rows, "BLOCK", block)
            assert same(both_ways(x, dy, weight=weight, bias=bias, **options), wanted), block


def test_run_to_run() -> None:
    x, dy = normal((16, 24, 9, 9), offset=3.0), normal((16, 24, 9, 9), seed=1)
    labels = np.random.default_rng(0).integers(-1, 4, 24)
    first = both_ways(x, dy, groups=labels, activation="gelu")
    for _ in range(3):
        assert same(both_ways(x, dy, groups=labels, activation="gelu"), first)


def test_relabelled_groups() -> None:
    x, dy = normal((5, 24, 9), offset=3.0), normal((5, 24, 9), seed=1)
    labels = np.random.default_rng(0).integers(0, 5, 24)
    wanted = both_ways(x, dy, groups=labels)
    names = np.array([40, 7, 1, 1000, 3])
    y, mean, rstd, *gradients = both_ways(x, dy, groups=names[labels])
    order = np.argsort(names)
    assert same((y, mean, rstd, *gradients), (wanted[0], *(a[:, order] for a in wanted[1:3]), *wanted[3:]))


def test_contiguous_labels_are_equal_groups() -> None:
    x, dy = normal((5, 24, 9), offset=3.0), normal((5, 24, 9), seed=1)
    assert same(both_ways(x, dy, num_groups=4), both_ways(x, dy, groups=split(24, 4)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 3, 49])
def test_permutations_that_keep_the_order_within_groups(width: int, dtype: Any) -> None:
    rng = np.random.default_rng(7)
    labels = np.array([0] * 7 + [1] * 3 + [2] * 5 + [-1] * 2 + [3] * 7)
    mixed = rng.permutation(labels)  # its stable sort is the permutation back
    order = np.argsort(np.where(mixed < 0, 9, mixed), kind="stable")
    place = np.empty(24, int)
    place[order] = np.argsort(np.where(labels < 0, 9, labels), kind="stable")  # channel of x at each place
    x, dy = normal((5, 24, width), dtype, 3.0), normal((5, 24, width), dtype, seed=1)
    weight, bias = normal((24,), seed=2), normal((24,), seed=3)
    y, mean, rstd, dx, dw, db = both_ways(x, dy, groups=labels, weight=weight, bias=bias, activation="silu")
    moved = both_ways(
        x[:, place], dy[:, place], groups=mixed, weight=weight[place], bias=bias[place], activation="silu"
    )
    assert (labels[place] == mixed).all()
    assert same(moved, (y[:, place], mean, rstd, dx[:, place], dw[place], db[place]))


def test_any_other_permutation() -> None:
    rng, found = np.random.default_rng(8), []
    for seed in range(50):
        x, labels, order = normal((5, 24, 49), seed=seed), rng.integers(0, 4, 24), rng.permutation(24)
        found.append(ulps(group_norm(x[:, order], groups=labels[order]), group_norm(x, groups=labels)[:, order]))
    # Sums are float64: the order of float32 values hardly reaches the mean and rstd that they are rounded to.
    assert max(found) <= 2


def test_channels_first_and_last() -> None:
    x, dy = normal((5, 24, 7, 9), offset=10.0), normal((5, 24, 7, 9), seed=1)
    last = [np.ascontiguousarray(np.moveaxis(a, 1, 3)) for a in (x, dy)]
    for groups in ({"num_groups": 8}, {"groups": np.arange(24) % 5}):
        y, mean, rstd, dx, dw, db = both_ways(x, dy, **groups)
        other = both_ways(*last, channel_axis=3, **groups)
        # The sums run in the order channel, position for either: not 1 ulp apart, but equal.
        assert same(other, (np.moveaxis(y, 1, 3), mean, rstd, np.moveaxis(dx, 1, 3), dw, db))


# Accuracy


@pytest.mark.parametrize("offset", [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6])
def test_large_offsets_cost_no_digits(offset: float) -> None:
    x, dy = normal((2, 32, 16, 16), offset=offset), normal((2, 32, 16, 16), seed=1)
    weight, bias = normal((32,), seed=2), normal((32,), seed=3)
    y, mean, rstd, *gradients = both_ways(x, dy, num_groups=8, weight=weight, bias=bias)
    wanted, m, r = formula(x, split(32, 8), weight, bias)
    assert np.abs(y - wanted).max() <= 4e-6
    assert np.abs(mean - m).max() <= 1e-7 and np.abs(rstd / r - 1).max() <= 2e-7
    exact = both_ways(x.astype(np.float64), dy.astype(np.float64), num_groups=8, weight=weight, bias=bias)[3:]
    for mine, theirs in zip(gradients, exact, strict=True):
        assert np.abs(mine - theirs).max() <= 1e-6 * np.abs(theirs).max()
    last = group_norm(np.ascontiguousarray(np.moveaxis(x, 1, 3)), 8, weight, bias, channel_axis=3)
    assert np.abs(np.moveaxis(last, 3, 1) - wanted).max() <= 4e-6


@pytest.mark.parametrize(("dtype", "tolerance"), [(bfloat16, 2.6e-3), (np.float16, 2.1e-4)])
def test_half_precision_gradients(dtype: Any, tolerance: float) -> None:
    """The statistics are not rounded to half precision: what remains is the rounding of x, dy and dx themselves."""
    x, dy, weight = normal((8, 64, 14, 14), dtype, 0.5), normal((8, 64, 14, 14), dtype, seed=1), normal((64,), seed=2)
    mine = both_ways(x, dy, num_groups=8, weight=weight)[3:]
    exact = both_ways(x.astype(np.float64), dy.astype(np.float64), num_groups=8, weight=weight)[3:]
    for name, a, b in zip(("dx", "dweight", "dbias"), mine, exact, strict=True):
        error = np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b)
        assert error <= (tolerance if name == "dx" else 2e-7), name


@pytest.mark.parametrize("value", [333333.3, 1e30, 0.1, -1e-30, 0.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_group_is_the_bias(dtype: Any, value: float) -> None:
    x, bias = np.full((2, 6, 5, 7), value, dtype), normal((6,), dtype)
    for options in ({"num_groups": 2}, {"groups": [0, 1, 1, 0, 2, 1]}, {"num_groups": 2, "sample_weight": x**0 * 0.3}):
        y = group_norm(x, weight=normal((6,), seed=1), bias=bias, **options)
        assert np.array_equal(y, np.broadcast_to(bias[:, None, None], x.shape))
        without_eps = group_norm(x, bias=bias, eps=0.0, **options)
        assert np.array_equal(without_eps, y)


def test_a_constant_group_of_half_precision() -> None:
    for dtype in (np.float16, bfloat16):
        x, bias = np.full((2, 6, 9), 333.3).astype(dtype), normal((6,), dtype)
        assert np.array_equal(group_norm(x, 2, bias=bias), np.broadcast_to(bias[:, None], x.shape))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_million_values(dtype: Any) -> None:
    x = normal((1, 4, 250_000), dtype, 100.0)
    y, mean, rstd = group_norm(x, 1, return_stats=True)
    v = x.astype(np.float64)
    m, r = v.mean(), 1 / np.sqrt(v.var() + 1e-5)
    assert abs(mean[0, 0] - m) <= 1e-7 and abs(rstd[0, 0] / r - 1) <= 2e-7
    assert np.abs(y - (v - m) * r).max() <= (2e-6 if dtype == np.float32 else 2e-3)
    dy = normal(x.shape, dtype, 1.0, 1)
    _, dweight, dbias = group_norm_backward(dy, x, mean, rstd)
    g = dy.astype(np.float64)
    # Sums of a quarter million numbers; those of x̂ cancel, so that their error is measured by what was added.
    assert np.abs(dbias / g.sum(axis=(0, 2)) - 1).max() <= 2e-7
    assert np.abs(dweight - (g * (v - m) * r).sum(axis=(0, 2))).max() <= 2e-7 * np.abs(g * (v - m) * r).sum() / 4


def test_gradients_of_many_samples() -> None:
    x, dy = normal((16384, 8)), normal((16384, 8), offset=3.0, seed=1)
    dbias = both_ways(x, dy, num_groups=2)[-1]
    wanted = dy.astype(np.float64).sum(axis=0)
    assert np.abs(dbias / wanted - 1).max() <= 6e-8  # the one rounding to float32


def test_a_hundred_thousand_groups() -> None:
    x = normal((1, 200_000, 2), offset=3.0)
    y = group_norm(x, 100_000).reshape(-1, 4)
    v = x.astype(np.float64).reshape(-1, 4)
    wanted = (v - v.mean(axis=1, keepdims=True)) / np.sqrt(v.var(axis=1, keepdims=True) + 1e-5)
    assert np.abs(y - wanted).max() <= 1e-6
    order = np.random.default_rng(0).permutation(200_000)
    labels = np.repeat(np.arange(100_000), 2)
    mixed = group_norm(x[:, order], groups=labels[order])
    assert np.abs(mixed - group_norm(x, 100_000)[:, order]).max() <= 1e-6


def test_groups_of_very_unequal_size() -> None:
    labels = np.array([0] + [1] * 3000 + [2] * 2 + [3] * 70 + [0] * 3)
    x = normal((2, labels.size, 4), offset=50.0)
    y, mean, rstd = group_norm(x, groups=labels, return_stats=True)
    wanted, m, r = formula(x, labels)
    assert np.abs(y - wanted).max() <= 4e-6
    assert np.abs(mean - m).max() <= 1e-7 and np.abs(rstd / r - 1).max() <= 4e-7


# Symmetry


def test_scaling_and_shifting() -> None:
    x = normal((3, 12, 25), np.float64)
    for factor in (-3.0, 0.01, 1e6):
        moved = group_norm(factor * x + 7.0, 4, eps=0.0)
        assert np.abs(moved - np.sign(factor) * group_norm(x, 4, eps=0.0)).max() <= 1e-12
    assert np.abs(group_norm(1e-3 * x, 4) - group_norm(x, 4)).max() > 1  # eps matters beside small variances


@pytest.mark.parametrize("layout", ["field-major", "orientation-major"])
def test_quarter_turns(layout: str) -> None:
    fields, order = 8, 4
    x = normal((2, fields * order, 6, 6), np.float64, 0.3) * np.random.default_rng(5).uniform(0.2, 3, (32, 1, 1))
    number = np.arange(fields * order).reshape((fields, order) if layout == "field-major" else (order, fields))
    turned = np.roll(number, 1, axis=1 if layout == "field-major" else 0).ravel()

    def turn(a: np.ndarray) -> np.ndarray:
        return np.rot90(a[:, turned], axes=(2, 3))

    def broken(**options: Any) -> float:
        y = group_norm(x, **options)
        return float(np.linalg.norm(group_norm(turn(x), **options) - turn(y)) / np.linalg.norm(y))

    labels = orbits(fields, order, layout)
    gamma, beta = normal((fields,), np.float64, seed=1), normal((fields,), np.float64, seed=2)
    tied = {"groups": labels, "affine": "group", "weight": gamma, "bias": beta}
    assert broken(groups=labels) <= 1e-14 and broken(**tied) <= 1e-14
    assert broken(groups=orbits(fields, order, layout, fields_per_group=2)) <= 1e-14
    assert broken(groups=from_permutation(turned)) <= 1e-14
    assert broken(num_groups=1) <= 1e-14 and broken(num_groups=32) <= 1e-14
    misaligned = np.minimum(np.arange(32) // 6, 5)
    assert broken(groups=misaligned) > 1e-2
    assert broken(groups=labels, weight=normal((32,), np.float64, seed=3)) > 1e-1  # γ not constant on orbits
    natural = {"num_groups": fields} if layout == "field-major" else {"groups": strided(32, fields)}
    assert broken(**natural) <= 1e-14


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [1.0, 2.0**500, 2.0**511])
@pytest.mark.parametrize("mean", [0.0, 0.7])
def test_the_unit_of_the_values_changes_nothing(center: bool, scale: float, mean: float) -> None:
    x = mean + np.random.default_rng(3).normal(size=(2, 4, 5))
    rows = x.reshape(2, 2, 10)
    about = rows - rows.mean(axis=2, keepdims=True) if center else rows
    expected = (about / np.sqrt((about * about).mean(axis=2, keepdims=True))).reshape(x.shape)
    found = nn.group_norm(x * scale, 2, eps=1e-300, center=center)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
