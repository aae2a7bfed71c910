"""``segment_apply.cu`` against NumPy in float64, and the core's own fit and apply on the kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import groupings as g
import numpy as np
import pytest

from gridnorm.core.engines import in_front
from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda.apply import remove
from gridnorm.core.engines.cuda.device import Device, current_device
from gridnorm.core.engines.cuda.moments import moments
from gridnorm.core.fit import fit
from gridnorm.core.methods import normalize_within
from gridnorm.core.segments import Segments
from gridnorm.errors import DeviceError, OptionError

RNG = np.random.default_rng(9)
# Rounding of the result: half a unit in the last place of its type, and float32's on the way.
RELATIVE = {"float64": 0.0, "float32": 2e-7, "float16": 2**-11 + 1e-6, "bfloat16": 2**-8}


def expected(values: np.ndarray, segments: Segments, location: Any, scale: Any) -> np.ndarray:
    out = values.astype(np.float64)
    if location is not None:
        out = out - location[:, segments.codes, None]
    if scale is not None:
        out = out / np.where(scale > 0, scale, 1.0)[:, segments.codes, None]
    return out


def compute(values: np.ndarray, segments: Segments, location: Any, scale: Any, **options: Any) -> np.ndarray:
    xp = current_device().xp
    given = [None if a is None else xp.asarray(a) for a in (location, scale)]
    return g.host(remove(values if xp is np else xp.asarray(values), segments, *given, **options))


def fitted(batch: int, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """A location and a scale per segment; some scales 0 or NaN, a location that is not there."""
    location, scale = RNG.normal(size=(batch, groups)), RNG.uniform(0.5, 2, (batch, groups))
    scale[0, 0], scale[-1, -1], location[-1, 0] = 0.0, np.nan, np.nan
    return location, scale


@pytest.mark.parametrize("dtype", loading.TYPES)
@pytest.mark.parametrize("width", [1, 3, 8])
def test_every_layout_in_and_out(device: Device, small: bool, dtype: str, width: int) -> None:
    g.once_a_mode(small, dtype)
    segments = g.segments_of([1, 0, 31, 40], "arbitrary")
    location, scale = fitted(2, 4)
    values = RNG.normal(1, 3, (2, segments.n_items, width)).astype(np.float32)
    if dtype == "bfloat16":
        given, plain, options = g.bfloat16_bits(values), g.from_bfloat16(g.bfloat16_bits(values)), {"dtype": dtype}
    else:
        given, options = g.spoil(values.astype(dtype)), {}
        plain = given
    for name, view in g.layouts(given, small):
        for where, what in ((location, scale), (location, None), (None, scale)):
            got = compute(view, segments, where, what, **options)
            wanted = expected(plain, segments, where, what)
            got = g.from_bfloat16(got) if dtype == "bfloat16" else got
            with np.errstate(invalid="ignore"):
                error = np.abs(got.astype(np.float64) - wanted)
                fine = (error <= RELATIVE[dtype] * (np.abs(wanted) + 1)) | (got == wanted) | np.isnan(wanted)
            assert fine.all(), name
            np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted), err_msg=name)


def test_float64_is_numpy_bit_for_bit(device: Device) -> None:
    segments = g.segments_of([30, 1, 500], "arbitrary")
    location, scale = fitted(3, 3)
    values = RNG.normal(size=(3, segments.n_items, 2))
    np.testing.assert_array_equal(
        compute(values, segments, location, scale), expected(values, segments, location, scale)
    )


@pytest.mark.parametrize("offset", [1e2, 1e4, 1e6])
def test_float32_standardizes_without_loss_on_a_large_offset(device: Device, offset: float) -> None:
    """One float32 for the mean would cost 4e-4 at 1e4 and 1e-2 at 1e6; as K + d it costs ≤ 4e-6."""
    segments = g.segments_of([300, 2000])
    values = (RNG.normal(size=(2, segments.n_items, 1)) + offset).astype(np.float32)
    xp = device.xp
    _, mean, deviation = moments(xp.asarray(values), segments, None, None)
    got = g.host(remove(xp.asarray(values), segments, mean, deviation))
    wide = values.astype(np.float64)
    for start, stop in ((0, 300), (300, 2300)):
        part = wide[:, start:stop]
        exact = (part - part.mean(axis=1, keepdims=True)) / part.std(axis=1, keepdims=True)
        assert np.abs(got[:, start:stop] - exact).max() <= 4e-6


def test_a_scale_too_small_to_invert_gives_no_nan(device: Device) -> None:
    values = np.zeros((1, 4, 1), np.float32)
    assert (compute(values, g.segments_of([4]), None, np.array([[1e-45]])) == 0).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_values_can_give_float32(device: Device, small: bool, dtype: str) -> None:
    g.once_a_mode(small, dtype)
    segments = g.segments_of([3, 70])
    location, scale = fitted(2, 2)
    values = RNG.normal(size=(2, 73, 5)).astype(np.float32)
    given = values.astype(np.float16) if dtype == "float16" else g.bfloat16_bits(values)
    plain = given if dtype == "float16" else g.from_bfloat16(given)
    got = compute(given, segments, location, scale, dtype=dtype, result="float32")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected(plain, segments, location, scale), rtol=1e-6, atol=1e-6)


def test_out_may_be_the_values_or_a_view(device: Device) -> None:
    segments, xp = g.segments_of([10, 11], "arbitrary"), device.xp
    location, scale = fitted(2, 2)
    values = RNG.normal(size=(2, 21, 4))
    wanted = expected(values, segments, location, scale)
    placed = xp.asarray(values.copy())
    assert remove(placed, segments, xp.asarray(location), xp.asarray(scale), out=placed) is placed
    np.testing.assert_array_equal(g.host(placed), wanted)
    turned = xp.zeros((4, 21, 2)).transpose(2, 1, 0)
    remove(xp.asarray(values), segments, xp.asarray(location), xp.asarray(scale), out=turned)
    np.testing.assert_array_equal(g.host(turned), wanted)


def test_results_do_not_depend_on_the_batch(device: Device, small: bool) -> None:
    segments = g.segments_of([3, 2], "arbitrary")
    batch = 8 if small else 1000
    location, scale = fitted(batch, 2)
    values = RNG.normal(size=(batch, 5, 3)).astype(np.float32)
    whole = compute(values, segments, location, scale)
    for n in (1, 7) if small else (1, 7, 264):
        np.testing.assert_array_equal(compute(values[:n], segments, location[:n], scale[:n]), whole[:n])


def test_what_does_not_fit_is_named(device: Device) -> None:
    segments, xp = g.segments_of([4]), device.xp
    values, table = xp.zeros((2, 4, 1)), xp.zeros((2, 1))
    with pytest.raises(OptionError, match=r"location does not fit; found \(1, 1\), expected \(2, 1\)"):
        remove(values, segments, table[:1], None)
    with pytest.raises(OptionError, match="no kernel writes that type; found float64 to float16"):
        remove(values, segments, table, None, result="float16")
    with pytest.raises(OptionError, match="out does not fit the values"):
        remove(values, segments, table, None, out=xp.zeros((2, 3, 1)))
    with pytest.raises(DeviceError, match="argument result: wrong dtype; found float32, expected float64"):
        remove(values, segments, table, None, out=xp.zeros((2, 4, 1), xp.float32))
    assert remove(values[:0], segments, table[:0], None).shape == (0, 4, 1)


def test_planted_mistakes_would_show_here(device: Device) -> None:
    values = RNG.normal(size=(1, 7, 3))
    location = np.zeros((1, 1))
    np.testing.assert_array_equal(compute(values, g.segments_of([7]), location, None), values)


@contextmanager
def core_on(device: Device) -> Iterator[Callable[[Any], Any]]:
    """Within the block the core computes with the kernels; gives how arrays get there."""
    with in_front("cuda"):
        yield device.xp.asarray


@pytest.mark.parametrize("method", ["median", "mean", "mad", "zscore"])
@pytest.mark.parametrize("rule", ["whole", "shrink", "merge"])
def test_the_core_needs_no_change_for_the_kernels(device: Device, small: bool, method: str, rule: str) -> None:
    if small and (method, rule) != ("mad", "shrink"):
        pytest.skip("no other kernel than in this module's other tests")
    segments = g.segments_of([40, 3, 60], "arbitrary")
    values = g.spoil(RNG.normal(3, 2, (2, segments.n_items)))
    use, weights = RNG.uniform(size=values.shape) < 0.9, RNG.uniform(0.2, 2, values.shape)
    position = np.stack([segments.codes * 1.0, segments.codes * 2.0], axis=1)
    options = {"minimum": 5, "small_groups": rule, "keep_level": True, "position": position}
    wanted = normalize_within(values, segments, method, use=use, weights=weights, **options)
    with core_on(device) as place:
        options["position"] = place(position)
        got = normalize_within(place(values), segments, method, use=place(use), weights=place(weights), **options)
    # Sums are added in another order than NumPy's.
    np.testing.assert_allclose(g.host(got.values), wanted.values, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(g.host(got.fit.n), wanted.fit.n)
    np.testing.assert_array_equal(g.host(got.fit.source), wanted.fit.source)


def test_the_core_fits_quantiles_on_the_kernels(device: Device) -> None:
    segments = g.segments_of([40, 3, 0])
    values = RNG.normal(size=(2, 43))
    wanted = fit(values, segments, "quantiles", probabilities=(0.1, 0.5)).points
    with core_on(device) as place:
        got = fit(place(values), segments, "quantiles", probabilities=(0.1, 0.5)).points
    np.testing.assert_array_equal(g.host(got), wanted)


def test_the_result_goes_into_a_field_of_records(device: Device) -> None:
    """Strides that are no whole number of elements: a kernel could not be told of them."""
    if device.xp is not np:
        pytest.skip("CuPy has no records")
    segments = g.segments_of([3, 2])
    values = RNG.normal(size=(1, 5, 1)).astype(np.float32)
    records = np.zeros((1, 5, 1), [("a", "i1"), ("b", "f4")])
    remove(values, segments, np.ones((1, 2)), None, out=records["b"])
    np.testing.assert_array_equal(records["b"], values - 1)
