"""Values of ``group_norm``, ``layer_norm`` and ``instance_norm``: against the formula, for every option and layout."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from backends import Backend
from formula import LAYOUTS, far, formula, normal, split
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import erf

from gridnorm.errors import GridnormWarning
from gridnorm.nn import group_norm, instance_norm, layer_norm

bfloat16 = pytest.importorskip("ml_dtypes").bfloat16

# Of the largest |y|, about 4: rounding to the type, and float32's on the way.
TOLERANCE = {np.float16: 2**-11 * 4, bfloat16: 2**-8 * 4, np.float32: 2e-6, np.float64: 1e-13}
DTYPES = list(TOLERANCE)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_type_and_layout(backend: Backend, dtype: Any, layout: str) -> None:
    x = LAYOUTS[layout](normal((3, 12, 5, 7), dtype))
    weight, bias = normal((12,), seed=1), normal((12,), seed=2)
    labels = np.array([2, 0, 0, 1, 2, 0, 1, 0, 0, -1, 2, 0])
    for groups, mine in ((split(12, 4), {"num_groups": 4}), (labels, {"groups": labels})):
        y, mean, rstd = backend.run(group_norm, x, weight=weight, bias=bias, return_stats=True, **mine)
        wanted, m, r = formula(x, groups, weight, bias)
        assert y.dtype == x.dtype and y.shape == x.shape
        assert mean.dtype == np.float64 and rstd.dtype == (np.float64 if dtype == np.float64 else np.float32)
        assert far(y, wanted) <= TOLERANCE[dtype] * 2, layout  # γ of up to 4
        assert far(mean, m) <= 2e-7 and far(rstd / r, 1.0) <= 2e-7
        # Not 1 ulp apart but the same bits: sums run along rows that are brought into one order. (The kernels add in the
        # order of the memory.)
        again = backend.run(group_norm, np.ascontiguousarray(x), weight=weight, bias=bias, **mine)
        assert np.array_equal(y, again) if backend.exact else far(y, again) <= TOLERANCE[dtype] * 2


def test_the_result_is_laid_out_like_x(backend: Backend) -> None:
    x = LAYOUTS["last"](normal((3, 12, 5, 7), np.float32))
    assert backend.run(group_norm, x, 4).strides == x.strides
    assert backend.run(group_norm, np.asfortranarray(x), 4).flags.f_contiguous


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 1), (2, 6, 1, 1), (3, 6, 5), (2, 6, 2, 3, 4), (1, 6, 2, 1, 2, 1, 3)])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_any_number_of_axes(backend: Backend, shape: tuple[int, ...], number: int) -> None:
    x = normal(shape)
    assert far(backend.run(group_norm, x, number), formula(x, split(6, number))[0]) <= 1e-13


@pytest.mark.parametrize(
    ("channel_axis", "batch_axes", "stats"),
    [
        (-1, (0,), (3, 2)),
        (2, (0,), (3, 2)),
        (0, (1,), (4, 2)),
        (-2, (-4, 3), (3, 8, 2)),
        (1, (0, 2), (3, 6, 2)),
        (0, (), (2,)),
        (3, (2, 0, 1), (6, 3, 4, 2)),
    ],
)
def test_axes_may_be_any(
    backend: Backend, channel_axis: int, batch_axes: tuple[int, ...], stats: tuple[int, ...]
) -> None:
    x = normal((3, 4, 6, 8))
    channels = x.shape[channel_axis]
    labels = np.arange(channels) % 2 if channels > 3 else np.array([0, 1, 1])
    rest = {"channel_axis": channel_axis, "batch_axes": batch_axes}
    y, mean, rstd = backend.run(group_norm, x, groups=labels, return_stats=True, **rest)
    wanted, m, r = formula(x, labels, **rest)
    assert mean.shape == rstd.shape == stats
    assert far(y, wanted) <= 1e-13 and far(mean, m) <= 1e-13 and far(rstd, r) <= 1e-12


def test_one_sample_needs_no_batch(backend: Backend) -> None:
    x = normal((6, 5), np.float32)
    alone = backend.run(group_norm, x, 3, channel_axis=0, batch_axes=())
    assert np.array_equal(alone, backend.run(group_norm, x[None], 3)[0])
    assert np.array_equal(
        backend.run(group_norm, x[:, 0], 2, channel_axis=0, batch_axes=()), backend.run(group_norm, x[None, :, 0], 2)[0]
    )


@pytest.mark.parametrize("number", [np.int8(3), np.uint64(3), np.int64(3)])
def test_num_groups_may_be_a_scalar_of_numpy(number: Any) -> None:
    x = normal((2, 6, 5))
    assert np.array_equal(group_norm(x, number), group_norm(x, 3))


# Groups


def test_ways_to_write_the_same_groups() -> None:
    x, weight = normal((2, 6, 5)), normal((6,), seed=1)
    wanted = group_norm(x, groups=[0, 1, 0, 2, -1, 1], weight=weight)
    ways = [
        [[0, 2], [1, 5], [3]],
        [(0, 2), np.array([1, 5], np.uint8), [3]],
        np.array([0, 1, 0, 2, -1, 1], np.int8),
        np.array([10, 20, 10, 99, -1, 20]),
        np.array([0.0, 1.0, 0.0, 2.0, -1.0, 1.0]),
        [0, 1, 0, 2**63 - 1, -1, 1],  # the largest label is a group, not the channels that pass
    ]
    for groups in ways:
        y, mean, _ = group_norm(x, groups=groups, weight=weight, return_stats=True)
        assert np.array_equal(y, wanted) and mean.shape == (2, 3), groups
    texts = group_norm(x[:, [0, 1, 2, 3, 5]], groups=["a", "b", "a", "c", "b"], weight=weight[[0, 1, 2, 3, 5]])
    assert np.array_equal(texts, wanted[:, [0, 1, 2, 3, 5]])


def test_statistics_are_numbered_by_ascending_label_or_by_index_array(backend: Backend) -> None:
    x = normal((2, 4, 5))
    assert np.array_equal(
        backend.run(group_norm, x, groups=[7, 3, 3, 7], return_stats=True)[1],
        backend.run(group_norm, x, groups=[1, 0, 0, 1], return_stats=True)[1],
    )
    first, second = (
        backend.run(group_norm, x, groups=g, return_stats=True)[1] for g in ([[0, 3], [1, 2]], [[1, 2], [0, 3]])
    )
    assert np.array_equal(first, second[:, ::-1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_of_no_group_pass_bit_by_bit(backend: Backend, dtype: Any) -> None:
    x, added = normal((3, 5, 4), dtype), normal((3, 5, 4), dtype, 1)
    x[0, 1, 0] = np.nan
    y = backend.run(group_norm, x, groups=[0, -1, 0, -1, 1], weight=np.full(5, 3.0), bias=np.ones(5), activation="silu")
    assert y[:, [1, 3]].tobytes() == x[:, [1, 3]].tobytes()
    assert backend.run(group_norm, x, groups=[-1] * 5).tobytes() == x.tobytes()
    x[0, 1, 0] = 1  # which of the NaNs a sum is, nobody promises
    both, total = backend.run(group_norm, x, groups=[0, -1, 0, -1, 1], residual=added, return_residual=True)
    assert both[:, [1, 3]].tobytes() == total[:, [1, 3]].tobytes() == (x + added)[:, [1, 3]].tobytes()
    in_place = x.copy()
    backend.run(group_norm, in_place, groups=[0, -1, 0, -1, 1], out=in_place)
    assert in_place[:, [1, 3]].tobytes() == x[:, [1, 3]].tobytes()


def test_weights_per_group(backend: Backend) -> None:
    x, labels = normal((2, 5, 4)), np.array([1, 0, -1, 1, 2])
    gamma, beta = normal((3,), seed=1), normal((3,), seed=2)
    y = backend.run(group_norm, x, groups=labels, weight=gamma, bias=beta, affine="group")
    assert far(y, formula(x, labels, gamma, beta, affine="group")[0]) <= 1e-13
    assert np.array_equal(y, backend.run(group_norm, x, groups=labels, weight=gamma[labels], bias=beta[labels]))


@pytest.mark.parametrize("kind", [np.float16, bfloat16, np.float32, np.float64, np.int64, bool])
def test_weight_and_bias_may_have_another_type(kind: Any) -> None:
    x, weight = normal((2, 4, 5), np.float32), np.array([0.0, 1.0, 1.0, 0.0]).astype(kind)
    y = group_norm(x, 2, weight, weight)
    assert y.dtype == np.float32
    assert np.array_equal(y, group_norm(x, 2, weight.astype(np.float32), weight.astype(np.float32)))
    half = x.astype(np.float16)
    assert group_norm(half, 2, weight).dtype == np.float16


# Options


@pytest.mark.parametrize("activation", ["silu", "relu", "gelu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations(backend: Backend, activation: str, dtype: Any) -> None:
    x = normal((2, 4, 50), dtype)
    weight, bias = np.full(4, 8.0), normal((4,), seed=1)
    y = backend.run(group_norm, x, 2, weight, bias, activation=activation)
    z = backend.run(group_norm, x.astype(np.float64), 2, weight, bias)
    wanted = {"silu": z / (1 + np.exp(-z)), "relu": np.maximum(z, 0), "gelu": z * (1 + erf(z / np.sqrt(2))) / 2}
    assert far(y, wanted[activation]) <= (8e-6 if dtype == np.float32 else 1e-13)  # |z| up to 25


def test_activations_do_not_run_over(backend: Backend) -> None:
    x = np.array([[-1.0, 1.0]])
    for name in ("silu", "relu", "gelu"):
        y = backend.run(group_norm, x, 1, np.array([2000.0, 2000.0]), activation=name)
        assert y[0, 0] == 0 and abs(y[0, 1] - 2000) < 0.02  # eps takes 0.01
        assert np.isfinite(backend.run(group_norm, x.astype(np.float32), 1, np.full(2, 1e30), activation=name)).all()


def test_torch_agrees(backend: Backend) -> None:
    torch = pytest.importorskip("torch")
    x, weight, bias = (normal(s, seed=i) for i, s in enumerate([(3, 6, 4, 5), (6,), (6,)]))
    t, w, b = (torch.from_numpy(a) for a in (x, weight, bias))
    functional = torch.nn.functional
    theirs = functional.group_norm(t, 3, w, b, 1e-3)
    assert far(backend.run(group_norm, x, 3, weight, bias, 1e-3), theirs.numpy()) <= 1e-13
    for name in ("silu", "relu", "gelu"):
        mine = backend.run(group_norm, x, 3, weight, bias, 1e-3, activation=name)
        assert far(mine, getattr(functional, name)(theirs).numpy()) <= 1e-13
    gamma = normal((4, 5), seed=3)
    theirs = functional.layer_norm(t, (4, 5), torch.from_numpy(gamma))
    assert far(backend.run(layer_norm, x, (4, 5), gamma), theirs.numpy()) <= 1e-13
    assert (
        far(backend.run(instance_norm, x, weight, bias), functional.instance_norm(t, weight=w, bias=b).numpy()) <= 1e-13
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_rms_norm(backend: Backend, dtype: Any) -> None:
    x, weight = normal((2, 6, 9), dtype), normal((6,), seed=1)
    y, mean, rstd = backend.run(group_norm, x, 2, weight, center=False, eps=1e-6, return_stats=True)
    v = x.astype(np.float64).reshape(2, 2, 27)
    r = 1 / np.sqrt((v**2).mean(axis=2) + 1e-6)
    wanted = (v * r[:, :, None]).reshape(2, 6, 9) * weight[:, None]
    assert far(y, wanted) <= TOLERANCE[dtype] * 2 and far(rstd / r, 1.0) <= 2e-7
    assert not mean.any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_residual(backend: Backend, dtype: Any) -> None:
    x, added = normal((2, 6, 5), dtype), LAYOUTS["F"](normal((2, 6, 5), dtype, 1))
    y, mean, rstd, total = backend.run(group_norm, x, 3, residual=added, return_stats=True, return_residual=True)
    assert np.array_equal(total, x + added) and total.dtype == x.dtype
    for mine, wanted in zip((y, mean, rstd), backend.run(group_norm, x + added, 3, return_stats=True), strict=True):
        assert np.array_equal(mine, wanted)  # of the rounded sum, so that backward sees what forward saw
    assert np.array_equal(backend.run(group_norm, x, 3, residual=added), y)


@pytest.mark.parametrize("batch_axes", [(0,), (0, 2)])
@pytest.mark.parametrize("width", [1, 6])
def test_modulation_of_samples(backend: Backend, width: int, batch_axes: tuple[int, ...]) -> None:
    x, weight, bias = normal((2, 6, 4, 5)), normal((6,), seed=1), normal((6,), seed=2)
    shape = (*(x.shape[a] for a in batch_axes), width)
    scale, shift = normal(shape, seed=3), normal(shape, seed=4)
    rest = {"batch_axes": batch_axes}
    for s, t in ((scale, shift), (scale, None), (None, shift)):
        for w, b in ((weight, bias), (None, None), (None, bias)):
            y = backend.run(group_norm, x, 3, w, b, scale=s, shift=t, **rest)
            assert far(y, formula(x, split(6, 3), w, b, scale=s, shift=t, **rest)[0]) <= 1e-12
            after = backend.run(group_norm, x, 3, w, b, scale=s, shift=t, activation="relu", **rest)
            assert np.array_equal(after, np.maximum(y, 0))


# Masks and weights


def test_a_mask_of_all_values_is_no_mask(backend: Backend) -> None:
    x = normal((2, 6, 5), np.float32)
    for mask in (np.ones((2, 6, 5), bool), np.ones((1, 1, 1), bool), np.array(True)):
        assert far(backend.run(group_norm, x, 3, mask=mask), backend.run(group_norm, x, 3)) <= 5e-7


def test_a_mask_is_a_selection(backend: Backend) -> None:
    x, mask = normal((2, 6, 9)), np.arange(9) < 5
    y, mean, rstd = backend.run(group_norm, x, 3, mask=mask, return_stats=True)
    wanted, m, r = backend.run(group_norm, x[:, :, :5], 3, return_stats=True)
    assert far(y[:, :, :5], wanted) <= 1e-13 and far(mean, m) <= 1e-14 and far(rstd, r) <= 1e-13
    outside = (x[:, :, 5:].reshape(2, 3, 8) - m[:, :, None]) * r[:, :, None]
    assert far(y[:, :, 5:].reshape(2, 3, 8), outside) <= 1e-12  # normalized like the others


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e38])
def test_what_is_masked_stays_out_of_the_statistics(backend: Backend, bad: float) -> None:
    x, mask = normal((3, 6, 5), np.float32), np.random.default_rng(1).random((3, 6, 5)) < 0.7
    spoilt = np.where(mask, x, np.float32(bad))
    y, mean, rstd = backend.run(group_norm, x, 3, mask=mask, return_stats=True)
    z, m, r = backend.run(group_norm, spoilt, 3, mask=mask, return_stats=True)
    assert np.array_equal(mean, m) and np.array_equal(rstd, r) and np.array_equal(y[mask], z[mask])
    if np.isfinite(bad):
        assert (z[~mask] > 1e36).all()
    else:
        assert np.array_equal(z[~mask], np.full((~mask).sum(), bad, np.float32), equal_nan=True)


def test_whole_weights_repeat_values(backend: Backend) -> None:
    x = normal((2, 4, 5))
    times = np.array([2, 0, 1, 3, 1])
    repeated = np.repeat(x, times, axis=2)
    y = backend.run(group_norm, x, 2, sample_weight=times)
    assert far(np.repeat(y, times, axis=2), backend.run(group_norm, repeated, 2)) <= 1e-13
    assert far(backend.run(group_norm, x, 2, sample_weight=times * 7.5), y) <= 1e-13  # only shares matter
    both = backend.run(group_norm, x, 2, sample_weight=np.ones(5), mask=times > 0)
    assert far(both, backend.run(group_norm, x, 2, mask=times > 0)) <= 1e-13


def test_a_group_without_weight_is_nan_and_no_other(backend: Backend) -> None:
    x, mask = normal((2, 4, 5), np.float32), np.ones((2, 4, 5), bool)
    mask[1, :2] = False
    y, mean, rstd = backend.run(group_norm, x, 2, mask=mask, return_stats=True)
    assert np.isnan(y[1, :2]).all() and np.isnan([mean[1, 0], rstd[1, 0]]).all()
    rest = ~np.isnan(y)
    assert rest.sum() == 30 and np.array_equal(y[0], backend.run(group_norm, x, 2, mask=mask[:1])[0])


# Anything


@st.composite
def calls(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    """x, and arguments for gridnorm and for the formula."""
    ndim = draw(st.integers(1, 5))
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=ndim, max_size=ndim)))
    axes = draw(st.permutations(range(ndim)))
    channel, batch = axes[0], tuple(axes[1 : 1 + draw(st.integers(0, ndim - 1))])
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    x = (rng.normal(size=shape) + draw(st.sampled_from([0.0, 30.0]))).astype(dtype)
    if draw(st.booleans()):
        x = np.asfortranarray(x)
    labels = rng.integers(-1, 3, size=shape[channel])
    held = np.unique(labels[labels >= 0])
    dense = np.where(labels >= 0, np.searchsorted(held, labels), -1)
    common: dict[str, Any] = {
        "channel_axis": draw(st.sampled_from([channel, channel - ndim])),
        "batch_axes": batch,
        "affine": draw(st.sampled_from(["channel", "group"])),
        "center": draw(st.booleans()),
        "activation": draw(st.sampled_from([None, "silu", "relu", "gelu"])),
        "eps": draw(st.sampled_from([1e-5, 1e-2, 0.5])),
    }
    number = len(held) if common["affine"] == "group" else shape[channel]
    for name in ("weight", "bias"):
        common[name] = rng.normal(size=number) if draw(st.booleans()) else None
    for name in ("scale", "shift"):
        size = (*(shape[a] for a in batch), draw(st.sampled_from([1, shape[channel]])))
        common[name] = rng.normal(size=size) if draw(st.booleans()) else None
    mine, theirs = {**common, "groups": labels}, {**common, "labels": dense}
    if draw(st.booleans()):
        mine["sample_weight"] = theirs["weights"] = np.abs(rng.normal(size=shape)) + 0.01
    return x, mine, theirs


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(calls())
def test_any_call_follows_the_formula(
    backend: Backend, call: tuple[np.ndarray, dict[str, Any], dict[str, Any]]
) -> None:
    x, mine, theirs = call
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridnormWarning)
        y, mean, rstd = backend.run(group_norm, x, return_stats=True, **mine)
    wanted, m, r = formula(x, **theirs)
    scale = max(1.0, float(np.abs(wanted).max(initial=0.0)))
    assert y.dtype == x.dtype and y.shape == x.shape
    # Offsets of 30 reach y unreduced where nothing is subtracted.
    # The formula itself rounds the mean of 30 in float64, which rstd ≤ 316 makes 4e-12 of.
    tolerance = {"e": 2**-10, "f": 4e-6, "d": 4e-12}[x.dtype.char]
    assert far(y, wanted) <= tolerance * scale
    assert far(mean, m) <= 4e-6 and far(rstd, r) <= 4e-6 * max(1.0, float(np.nanmax(r, initial=0.0)))
