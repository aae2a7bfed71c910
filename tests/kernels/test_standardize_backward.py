"""``segment_standardize_backward.cu`` against the formulas in float64, and against finite differences."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import cudashim
import groupings as g
import numpy as np
import pytest
import reference

from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda.device import Device, current_device
from gridnorm.core.engines.cuda.moments import chunk_length
from gridnorm.core.engines.cuda.standardize import standardize
from gridnorm.core.engines.cuda.standardize_backward import standardize_backward
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError

launcher = import_module("gridnorm.core.engines.cuda.standardize_backward")
RNG = np.random.default_rng(13)
# Largest error of dx, of in units of its largest part: half a unit in the last place of its
# type, and float32's arithmetic.
TOLERANCE = {"float64": 1e-12, "float32": 4e-6, "float16": 2**-10, "bfloat16": 2**-7}
# Of sums over places and batch, in units of the sum of what is added: float32 sums of a thread's 32 elements.
SUMS = {"float64": 1e-12, "float32": 2e-6, "float16": 2e-6, "bfloat16": 2e-6}
ARRAYS = ("weights", "gain", "offset", "add_mean", "add_rstd", "out")


def typed(values: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Values as the kernels take them, and the same numbers in float64."""
    if dtype != "bfloat16":
        return values.astype(dtype), values.astype(dtype).astype(np.float64)
    bits = g.bfloat16_bits(values.astype(np.float32))
    return bits, g.from_bfloat16(bits).astype(np.float64)


def plain(values: np.ndarray, dtype: str) -> np.ndarray:
    return (g.from_bfloat16(values) if dtype == "bfloat16" else values).astype(np.float64)


def compute(
    grad: np.ndarray, values: np.ndarray, segments: Segments, mean: Any, rstd: Any, **options: Any
) -> list[np.ndarray]:
    """The kernels' answer as NumPy arrays."""
    xp = current_device().xp
    given = {name: xp.asarray(a) if name in ARRAYS and a is not None else a for name, a in options.items()}
    placed = [a if xp is np else xp.asarray(a) for a in (grad, values, mean, rstd)]
    return [g.host(a) for a in standardize_backward(*placed[:2], segments, *placed[2:], **given)]


def case(shape: tuple[int, int, int], segments: Segments, *, full: bool) -> dict[str, Any]:
    """Options; ``full``: all there are."""
    if not full:
        return {}
    groups = (shape[0], segments.n_segments)
    weights = RNG.choice([0.0, 0.5, 1.7, np.nan], shape)
    weights[:, segments.order[segments.offsets[:-1][segments.sizes > 0]]] = 1.0
    return {
        "gain": RNG.uniform(0.5, 2, shape[:2]),
        "offset": RNG.normal(size=shape[:2]),
        "weights": weights,
        "activation": "silu",
        "add_mean": RNG.normal(size=groups),
        "add_rstd": RNG.normal(size=groups),
    }


def check(
    shape: tuple[int, int, int], segments: Segments, dtype: str, *, reduce_batch: bool = False, **options: Any
) -> list[np.ndarray]:
    """All three gradients against the reference, at the statistics of the forward kernel's reference."""
    values, wide = typed(RNG.normal(2.0, 3.0, shape), dtype)
    grad, wide_grad = typed(RNG.normal(0.5, 1.0, shape), dtype)
    if dtype != "float64":
        names = ("weights", "gain", "offset")
        options |= {k: np.float32(options[k]).astype(np.float64) for k in names if k in options}
    mean, rstd = reference.statistics(wide, segments, 1e-5, options.get("center", True), options.get("weights"))
    if dtype != "float64":
        rstd = rstd.astype(np.float32).astype(np.float64)
    told = {"dtype": dtype} if dtype == "bfloat16" else {}
    got = compute(grad, values, segments, mean, rstd, reduce_batch=reduce_batch, **told, **options)
    wanted = reference.backward(wide_grad, wide, segments, mean, rstd, **options)
    # Differences of what is as large as this.
    parts = np.abs(wide_grad) * rstd[:, segments.codes, None] * 2.0
    scale = max(np.abs(wanted[0]).max(initial=1.0), parts.max(initial=1.0))
    assert np.abs(plain(got[0], dtype) - wanted[0]).max(initial=0) <= TOLERANCE[dtype] * scale
    sizes = np.abs(wide_grad) * (1 + np.abs(reference.normal(wide, segments, mean, rstd)))
    many = np.sum(sizes, axis=(0, 2) if reduce_batch else 2).max(initial=1.0)
    for found, one in zip(got[1:], wanted[1:], strict=True):
        exact = one.sum(axis=0, keepdims=True) if reduce_batch else one
        assert found.shape == exact.shape
        assert found.dtype == (np.float64 if dtype == "float64" else np.float32)
        assert np.abs(found - exact).max(initial=0) <= SUMS[dtype] * many
    return got


@pytest.mark.parametrize("dtype", loading.TYPES)
@pytest.mark.parametrize(("sizes", "kind"), g.SHAPES)
def test_every_shape_of_segments(device: Device, small: bool, dtype: str, sizes: str, kind: str) -> None:
    g.once_a_mode(small, dtype)
    segments = g.segments_of(g.SIZES[sizes], kind)
    for width in (1, 3):
        shape = (1 if small else 2, segments.n_items, width)
        if not small:
            check(shape, segments, dtype)
        check(shape, segments, dtype, reduce_batch=True, **case(shape, segments, full=True))


@pytest.mark.parametrize("dtype", loading.TYPES)
@pytest.mark.parametrize("width", [7, 49, 256, "piece", "two pieces"])
def test_every_width(device: Device, small: bool, dtype: str, width: Any) -> None:
    g.once_a_mode(small, dtype)
    piece = chunk_length(dtype) // 4
    wide = {"piece": piece, "two pieces": piece + 1}.get(width, width)
    segments = g.segments_of([1, 2] if small else [1, 5, 0, 2], "arbitrary")
    shape = (1, segments.n_items, wide)
    check(shape, segments, dtype)
    check(shape, segments, dtype, center=False, **case(shape, segments, full=True))


@pytest.mark.parametrize("dtype", loading.TYPES)
@pytest.mark.parametrize("width", [1, 2, 49, "two pieces"])
def test_one_block_or_many_give_the_same_bits(
    device: Device, small: bool, dtype: str, width: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    g.once_a_mode(small, dtype)
    wide = chunk_length(dtype) // 4 + 8 if width == "two pieces" else width
    sizes = [5, 2] if wide >= 49 or small else [130, 9, 600]
    segments = g.segments_of(sizes, "arbitrary")
    shape = (2 if small else 5, segments.n_items, wide)
    values, grad = (typed(RNG.normal(1, 2, shape), dtype)[0] for _ in range(2))
    mean, rstd = RNG.normal(1, 0.1, (shape[0], segments.n_segments)), np.full((shape[0], segments.n_segments), 0.5)
    options = {**case(shape, segments, full=True), **({"dtype": dtype} if dtype == "bfloat16" else {})}
    for reduce_batch in (False, True):
        options["reduce_batch"] = reduce_batch
        monkeypatch.setattr(launcher, "BLOCK_BYTES", 1 << 30)
        one = compute(grad, values, segments, mean, rstd, **options)
        monkeypatch.setattr(launcher, "BLOCK_BYTES", 0)
        for a, b in zip(one, compute(grad, values, segments, mean, rstd, **options), strict=True):
            np.testing.assert_array_equal(a, b)
    monkeypatch.setattr(type(device), "free_bytes", lambda _: 1)
    for a, b in zip(one, compute(grad, values, segments, mean, rstd, **options), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("activation", [None, "silu", "relu", "gelu"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_activations(device: Device, small: bool, activation: str | None, dtype: str) -> None:
    g.once_a_mode(small, dtype)
    segments = g.segments_of([3, 40], "arbitrary")
    for width in (1, 4):
        shape = (2, 43, width)
        check(shape, segments, dtype, **(case(shape, segments, full=True) | {"activation": activation}))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("width", [1, 5, 8])
@pytest.mark.parametrize("room", [0, 1 << 30])
def test_no_layout_changes_a_bit(
    device: Device, small: bool, dtype: str, width: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    g.once_a_mode(small, dtype)
    monkeypatch.setattr(launcher, "BLOCK_BYTES", room)
    segments = g.segments_of([10, 7, 16] if small else [40, 8, 304], "arbitrary" if width == 5 else "contiguous")
    shape = (2, segments.n_items, width)
    values, grad = RNG.normal(1.0, 2.0, shape).astype(dtype), RNG.normal(size=shape).astype(dtype)
    mean, rstd = np.ones((2, 3)), np.full((2, 3), 0.5)
    options = case(shape, segments, full=True)
    first = compute(grad, values, segments, mean, rstd, **options)
    for (name, one), (_, other) in zip(g.layouts(values, small), g.layouts(grad, small), strict=True):
        for left, right in ((one, other), (one, grad)):
            for a, b in zip(first, compute(right, left, segments, mean, rstd, **options), strict=True):
                np.testing.assert_array_equal(a, b, err_msg=name)
        out = np.zeros(shape[::-1], dtype).T
        xp = device.xp
        placed = xp.asarray(out) if xp is not np else out
        compute(other, one, segments, mean, rstd, **options, out=placed)
        np.testing.assert_array_equal(g.host(placed), first[0], err_msg=name)


@pytest.mark.parametrize("width", [1, 3])
def test_results_do_not_depend_on_the_batch(device: Device, small: bool, width: int) -> None:
    dtype = "float64" if small else "float32"
    segments = g.segments_of([3, 9, 1], "arbitrary")
    shape = (4 if small else 300 if cudashim.MODE == "asan" else 1100, segments.n_items, width)
    values, grad = RNG.normal(5.0, 1.0, shape).astype(dtype), RNG.normal(size=shape).astype(dtype)
    mean, rstd = reference.statistics(values[:1].astype(np.float64), segments, 1e-5)
    mean, rstd = np.repeat(mean, shape[0], axis=0), np.repeat(rstd, shape[0], axis=0)
    whole = compute(grad, values, segments, mean, rstd)
    order = RNG.permutation(shape[0])
    for a, b in zip(whole, compute(grad[order], values[order], segments, mean, rstd), strict=True):
        np.testing.assert_array_equal(a[order], b)
    for n in (1,) if small else (1, 7, 264):
        for a, b in zip(whole, compute(grad[:n], values[:n], segments, mean[:n], rstd[:n]), strict=True):
            np.testing.assert_array_equal(a[:n], b)
    summed = compute(grad, values, segments, mean, rstd, reduce_batch=True)
    np.testing.assert_array_equal(summed[0], whole[0])
    for a, b in zip(summed[1:], whole[1:], strict=True):
        exact = b.astype(np.float64).sum(axis=0, keepdims=True)
        assert a.shape == exact.shape
        assert np.abs(a - exact).max() <= 1e-6 * np.abs(b).sum(axis=0).max()


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("center", [True, False])
def test_against_finite_differences(device: Device, small: bool, width: int, center: bool) -> None:
    """Of the forward kernel itself, through the statistics; one segment has but two elements."""
    segments = g.segments_of([2, 5] if small else [2, 7, 12], "arbitrary")
    xp, shape = device.xp, (1, segments.n_items, width)
    values, grad = RNG.normal(0.3, 1.5, shape), RNG.normal(size=shape)
    options: dict[str, Any] = {
        "gain": RNG.uniform(0.5, 2, shape[:2]),
        "offset": RNG.normal(size=shape[:2]),
        "weights": RNG.uniform(0.3, 1, shape),
        "activation": "gelu",
        "center": center,
    }
    add_mean, add_rstd = (RNG.normal(size=(1, segments.n_segments)) for _ in range(2))

    def total(**changed: Any) -> float:
        given = {k: xp.asarray(v) if k in ARRAYS else v for k, v in (options | changed).items() if k != "values"}
        placed = xp.asarray(changed.get("values", values))
        y, mean, rstd = (g.host(a) for a in standardize(placed, segments, eps=1e-3, **given))
        # With a mean that is always 0, what would be its gradient counts for nothing.
        return float((y * grad).sum() + (mean * add_mean).sum() + (rstd * add_rstd).sum())

    given = {k: xp.asarray(v) if k in ARRAYS else v for k, v in options.items()}
    _, mean, rstd = standardize(xp.asarray(values), segments, eps=1e-3, **given)
    extras = {"add_mean": add_mean, "add_rstd": add_rstd}
    got = compute(grad, values, segments, g.host(mean), g.host(rstd), **options, **extras)
    for name, found in zip(("values", "gain", "offset"), got, strict=True):
        start = values if name == "values" else options[name]
        for at in list(np.ndindex(start.shape))[: 2 if small else 12]:
            step = np.zeros_like(start)
            step[at] = 1e-6
            slope = (total(**{name: start + step}) - total(**{name: start - step})) / 2e-6
            assert abs(slope - found[at]) <= 1e-7, (name, at)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_gradients_come_from_float32_statistics(device: Device, small: bool, dtype: str) -> None:
    """dgain of a large offset: rounded statistics would cost 1e-2 of it."""
    g.once_a_mode(small, dtype)
    segments, xp, told = g.segments_of([4, 4]), device.xp, {"dtype": dtype} if dtype == "bfloat16" else {}
    values, wide = typed(RNG.normal(30.0, 1.0, (2, 8, 200)), dtype)
    grad, wide_grad = typed(RNG.normal(size=(2, 8, 200)), dtype)
    _, mean, rstd = standardize(xp.asarray(values), segments, eps=1e-5, **told)
    got = compute(grad, values, segments, g.host(mean), g.host(rstd), **told)
    wanted = reference.backward(wide_grad, wide, segments, *reference.statistics(wide, segments, 1e-5))
    assert np.abs(got[1] - wanted[1]).max() <= 2e-5 * np.abs(wanted[1]).max()
    assert np.abs(plain(got[0], dtype) - wanted[0]).max() <= TOLERANCE[dtype] * np.abs(wanted[0]).max()


def test_gradients_add_up_to_nothing_and_a_constant_segment_has_none(device: Device) -> None:
    segments = g.segments_of([6, 10])
    values, grad = RNG.normal(size=(1, 16, 9)), RNG.normal(size=(1, 16, 9))
    values[:, 6:] = 0.1
    mean, rstd = reference.statistics(values, segments, 0.0)
    assert rstd[0, 1] == 0
    dx, dgain, _ = compute(grad, values, segments, mean, rstd, add_mean=np.ones((1, 2)))
    np.testing.assert_array_equal(dx[:, 6:], 0)
    np.testing.assert_array_equal(dgain[:, 6:], 0)
    plain_dx = compute(grad, values, segments, mean, rstd)[0]
    xh = reference.normal(values, segments, mean, rstd)
    assert abs(plain_dx[:, :6].sum()) <= 1e-13
    assert abs((plain_dx * xh)[:, :6].sum()) <= 1e-13
    # The mean's own gradient goes to its elements in equal parts.
    np.testing.assert_allclose((dx - plain_dx)[:, :6], 1 / 54, rtol=1e-10)


@pytest.mark.parametrize("width", [1, 6])
def test_nothing_flows_through_what_has_no_weight_and_is_not_finite(device: Device, width: int) -> None:
    segments = g.segments_of([5, 300], "arbitrary")
    shape = (1, 305, width)
    values, grad = RNG.normal(size=shape), RNG.normal(size=shape)
    weights = RNG.uniform(0.5, 1, shape)
    weights[0, ::7] = 0.0
    mean, rstd = reference.statistics(values, segments, 1e-5, True, weights)
    quiet = np.where(weights == 0, 0.0, grad)
    wanted = compute(quiet, values, segments, mean, rstd, weights=weights)
    spoilt = values.copy()
    spoilt[0, ::7] = np.nan
    got = compute(grad, spoilt, segments, mean, rstd, weights=weights)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert not got[0][0, ::7].any()


@pytest.mark.parametrize("width", [1, 6])
def test_given_statistics_do_not_depend_on_the_values(device: Device, width: int) -> None:
    segments = g.segments_of([5, 300], "arbitrary")
    shape = (2, 305, width)
    values, grad = RNG.normal(size=shape), RNG.normal(size=shape)
    mean, rstd = RNG.normal(size=(2, 2)), RNG.uniform(0.5, 1, (2, 2))
    gain = RNG.uniform(0.5, 1, (1, 305))  # one row serves the whole batch
    dx, dgain, doffset = compute(grad, values, segments, mean, rstd, gain=gain, constant=True, reduce_batch=True)
    np.testing.assert_allclose(dx, grad * gain[:, :, None] * rstd[:, segments.codes, None], rtol=1e-14)
    xh = reference.normal(values, segments, mean, rstd)
    np.testing.assert_allclose(dgain, (grad * xh).sum(axis=(0, 2))[None], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(doffset, grad.sum(axis=(0, 2))[None], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("width", [1, 6])
def test_dx_may_take_the_place_of_either(device: Device, width: int) -> None:
    segments, xp = g.segments_of([20, 300], "arbitrary"), device.xp
    shape = (2, 320, width)
    values, grad = RNG.normal(size=shape), RNG.normal(size=shape)
    mean, rstd = reference.statistics(values, segments, 1e-5)
    wanted = compute(grad, values, segments, mean, rstd)[0]
    for which in (0, 1):
        placed = [xp.asarray(a.copy()) for a in (grad, values)]
        dx = standardize_backward(*placed, segments, xp.asarray(mean), xp.asarray(rstd), out=placed[which])[0]
        assert dx is placed[which]
        np.testing.assert_array_equal(g.host(dx), wanted)


@pytest.mark.parametrize("shape", [(0, 4, 1), (2, 4, 0), (2, 0, 3)])
def test_nothing_gives_nothing(device: Device, shape: tuple[int, int, int]) -> None:
    segments = Segments.from_codes(np.zeros(shape[1], np.int64), ["a", "b"])
    none, zero = np.zeros((shape[0], 2)), np.zeros(shape)
    for reduce_batch in (False, True):
        dx, dgain, doffset = compute(zero, zero, segments, none, none, reduce_batch=reduce_batch)
        assert dx.shape == shape
        assert dgain.shape == doffset.shape == (1 if reduce_batch else shape[0], shape[1])
        assert not dgain.any()


def test_what_does_not_fit_is_named(device: Device) -> None:
    segments, xp = g.segments_of([4]), device.xp
    values, table = xp.zeros((2, 4, 1)), xp.zeros((2, 1))
    with pytest.raises(OptionError, match="grad does not fit the values"):
        standardize_backward(values[:1], values, segments, table, table)
    with pytest.raises(OptionError, match="grad does not fit the values; found float32"):
        standardize_backward(values.astype(xp.float32), values, segments, table, table)
    with pytest.raises(OptionError, match=r"add_rstd does not fit; found \(1, 1\), expected \(2, 1\)"):
        standardize_backward(values, values, segments, table, table, add_rstd=table[:1])


def test_planted_mistakes_would_show_here(device: Device) -> None:
    """Several warps' items in one fold, and an end that is no whole pack."""
    check((1, 5, 33), g.segments_of([5]), "float64")
