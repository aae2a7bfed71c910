"""``segment_standardize.cu`` against the formulas in float64."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import groupings as g
import numpy as np
import pytest
import reference

from gridnorm.core.engines.cuda import call, loading
from gridnorm.core.engines.cuda.device import Device, current_device
from gridnorm.core.engines.cuda.moments import chunk_length
from gridnorm.core.engines.cuda.standardize import standardize, standardize_with
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError

launcher = import_module("gridnorm.core.engines.cuda.standardize")
RNG = np.random.default_rng(12)
# Largest error of results of about 1 to 10 in size: half a unit in the last place of their type, and float32's sums.
TOLERANCE = {"float64": 1e-12, "float32": 4e-6, "float16": 2**-11 + 4e-6, "bfloat16": 2**-8 + 4e-6}
# Of the statistics, relative: float32 sums of a thread's 32 elements.
STATISTICS = {"float64": 1e-12, "float32": 4e-7, "float16": 4e-7, "bfloat16": 4e-7}
ARRAYS = ("weights", "gain", "offset", "residual", "total", "out")


def compute(values: np.ndarray, segments: Segments, **options: Any) -> list[np.ndarray]:
    """The kernels' answer as NumPy arrays."""
    xp = current_device().xp
    given = {name: xp.asarray(a) if name in ARRAYS and a is not None else a for name, a in options.items()}
    placed = values if xp is np else xp.asarray(values)
    return [g.host(a) for a in standardize(placed, segments, **given)]


def typed(values: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Values as the kernels take them, the same numbers in float64, and the option that tells their type."""
    if dtype != "bfloat16":
        given = values.astype(dtype)
        return given, given.astype(np.float64), {}
    bits = g.bfloat16_bits(values.astype(np.float32))
    return bits, g.from_bfloat16(bits).astype(np.float64), {"dtype": dtype}


def plain(values: np.ndarray, dtype: str) -> np.ndarray:
    return (g.from_bfloat16(values) if dtype == "bfloat16" else values).astype(np.float64)


def check(values: np.ndarray, segments: Segments, dtype: str, **options: Any) -> None:
    """Result and statistics, with the residual if there is one, against the reference."""
    given, wide, told = typed(values, dtype)
    options = {"eps": 1e-5, **options}
    told |= options
    if "residual" in options:
        second, also, _ = typed(options.pop("residual"), dtype)
        total = np.zeros_like(given)
        got = compute(given, segments, **(told | {"residual": second, "total": total}))
        if current_device().xp is np:
            exact = typed((wide + also).astype(np.float64 if dtype == "float64" else np.float32), dtype)[1]
            np.testing.assert_array_equal(plain(total, dtype), exact)
        wide = typed(wide + also, dtype)[1]
    else:
        got = compute(given, segments, **told)
    if dtype != "float64":
        options |= {k: np.float32(options[k]).astype(np.float64) for k in ("weights", "gain", "offset") if k in options}
    y, mean, rstd = reference.forward(wide, segments, **options)
    spread = 1.0 if not rstd.size else 1 / np.nanmin(rstd, initial=1.0)
    np.testing.assert_allclose(got[1], mean, rtol=0, atol=STATISTICS[dtype] * spread)
    np.testing.assert_allclose(got[2], rstd, rtol=STATISTICS[dtype])
    found = plain(got[0], dtype)
    with np.errstate(invalid="ignore"):
        error = np.abs(found - y) / np.maximum(1, np.abs(y))
    assert np.nanmax(error, initial=0) <= TOLERANCE[dtype]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(y))


def affine(values: np.ndarray) -> dict[str, np.ndarray]:
    return {"gain": RNG.uniform(0.5, 2, values.shape[:2]), "offset": RNG.normal(size=values.shape[:2])}


@pytest.mark.parametrize("dtype", loading.TYPES)
@pytest.mark.parametrize(("sizes", "kind"), g.SHAPES)
def test_every_shape_of_segments(device: Device, small: bool, dtype: str, sizes: str, kind: str) -> None:
    g.once_a_mode(small, dtype)
    segments = g.segments_of(g.SIZES[sizes], kind)
    for width in (1,) if small else (1, 3):
        values = RNG.normal(2.0, 3.0, (1 if small else 2, segments.n_items, width))
        weights = RNG.choice([0.0, 0.5, 1.7, np.nan], values.shape)
        check(values, segments, dtype)
        check(values, segments, dtype, **affine(values), weights=weights, activation="silu")


@pytest.mark.parametrize("dtype", loading.TYPES)
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_around_whole_chunks(device: Device, small: bool, dtype: str, beyond: int) -> None:
    """One block a segment, and many: the same bits, since both add in the same order."""
    g.once_a_mode(small, dtype)
    chunk = chunk_length(dtype)
    for sizes in ([chunk + beyond],) if small else ([chunk + beyond, 5], [4 * chunk + beyond]):
        values = RNG.normal(2.0, 3.0, (1, sum(sizes), 1))
        segments = g.segments_of(sizes, "arbitrary")
        check(values, segments, dtype, **affine(values))
        if not small:
            check(values, segments, dtype, weights=RNG.uniform(0, 2, values.shape), residual=values[::-1] + 1)


@pytest.mark.parametrize("dtype", loading.TYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_one_block_or_many_give_the_same_bits(
    device: Device, small: bool, dtype: str, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    g.once_a_mode(small, dtype)
    width = chunk_length(dtype) // 8
    segments = g.segments_of([9, 1], "arbitrary") if small else g.segments_of([9, 80 if dtype[0] == "f" else 30, 1, 17])
    values = RNG.normal(2.0, 3.0, (1 if small else 2, segments.n_items, width))
    given, _, told = typed(values, dtype)
    options = {**told, **affine(values), "eps": 1e-5, "activation": "gelu"}
    options |= {"weights": RNG.uniform(-0.2, 1, values.shape)} if weighted else {}
    monkeypatch.setattr(launcher, "FEW", 0)
    one = compute(given, segments, **options)
    monkeypatch.setattr(launcher, "BLOCK_BYTES", 0)
    for a, b in zip(one, compute(given, segments, **options), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("activation", [None, "silu", "relu", "gelu"])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_activations_and_residuals(
    device: Device, small: bool, activation: str | None, center: bool, dtype: str
) -> None:
    g.once_a_mode(small, dtype)
    segments = g.segments_of([3, 40], "arbitrary")
    values = RNG.normal(1.0, 3.0, (2, 43, 4))
    residual = RNG.normal(size=values.shape)
    check(values, segments, dtype, **affine(values), activation=activation, center=center, residual=residual)
    check(values, segments, dtype, activation=activation, center=center)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("width", [5, 8])
def test_every_layout_in_and_out(device: Device, small: bool, dtype: str, width: int) -> None:
    """Nearly the same numbers everywhere; the same bits where elements are counted in the same order."""
    g.once_a_mode(small, dtype)
    segments = g.segments_of([40, 7, 16] if small else [40, 8, 304], "arbitrary" if width == 5 else "contiguous")
    values = RNG.normal(1.0, 2.0, (2, segments.n_items, width)).astype(dtype)
    residual, options = values[::-1].copy(), {**affine(values), "eps": 1e-3}
    first = compute(values, segments, residual=residual, **options)[0]
    for name, view in g.layouts(values, small):
        for out in (None, np.zeros(values.shape[::-1], dtype).T):
            got = compute(view, segments, residual=residual, out=out, **options)[0]
            np.testing.assert_allclose(got, first, rtol=0, atol=2 * TOLERANCE[dtype] * 8, err_msg=name)
            same = name not in ("items inside", "reversed")
            assert not same or np.array_equal(got, first), name


def test_a_new_result_lies_as_the_values_do(device: Device) -> None:
    values = device.xp.asarray(RNG.normal(size=(2, 9, 4))).transpose(0, 2, 1)
    out, _, _ = standardize(values, Segments.uniform(4, 2), eps=1e-5)
    assert out.strides == values.strides


def test_broadcast_gain_offset_and_weights(device: Device, small: bool) -> None:
    g.once_a_mode(small, "float32")
    segments, xp = g.segments_of([3, 5], "arbitrary"), device.xp
    values = RNG.normal(size=(3, 8, 4)).astype(np.float32)
    row, weight = RNG.uniform(0.5, 2, (1, 8)).astype(np.float32), RNG.uniform(0, 1, (3, 1, 4)).astype(np.float32)
    wide = [np.broadcast_to(row, (3, 8)), np.broadcast_to(row[:, :1], (3, 8)), np.broadcast_to(weight, values.shape)]
    gain, offset, weights = (
        xp.asarray(a) if xp is np else xp.broadcast_to(xp.asarray(a.copy()), a.shape) for a in wide
    )
    placed = xp.asarray(values)
    one = standardize(placed, segments, eps=1e-5, gain=gain, offset=offset, weights=weights)
    two = compute(values, segments, eps=1e-5, gain=wide[0].copy(), offset=wide[1].copy(), weights=wide[2].copy())
    half = standardize(placed, segments, eps=1e-5, gain=gain.astype(np.float64), offset=offset, weights=weights)
    for a, b, c in zip(one, two, half, strict=True):
        np.testing.assert_array_equal(g.host(a), b)
        np.testing.assert_array_equal(g.host(a), g.host(c))


@pytest.mark.parametrize("offset", [1.0, 1e2, 1e4, 1e6])
def test_float32_keeps_its_digits_on_a_large_offset(device: Device, small: bool, offset: float) -> None:
    g.once_a_mode(small, "float32")
    segments = g.segments_of([20, 400, 6000], "arbitrary")
    values = (RNG.normal(size=(2, segments.n_items, 1)) + offset).astype(np.float32)
    got = compute(values, segments, eps=1e-5)
    wanted = reference.forward(values.astype(np.float64), segments, eps=1e-5)[0]
    assert np.abs(got[0] - wanted).max() <= 4e-6


@pytest.mark.parametrize("size", [3, 100, 9000])
@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_a_constant_segment_gives_the_offset_exactly(device: Device, small: bool, size: int, eps: float) -> None:
    g.once_a_mode(small, "float32")
    values = np.full((1, size, 1), 333333.3, np.float32)
    offset = RNG.normal(size=(1, size)).astype(np.float32)
    y, mean, rstd = compute(values, g.segments_of([size]), eps=eps, offset=offset, activation="relu")
    np.testing.assert_array_equal(y[:, :, 0], np.maximum(offset, 0))
    assert mean[0, 0] == values[0, 0, 0]
    assert rstd[0, 0] == (0 if eps == 0 else pytest.approx(1e-5**-0.5, rel=1e-7))


@pytest.mark.parametrize("scale", [1e30, 1e19, 1e-15, 1e-18])
@pytest.mark.parametrize("size", [50, 3000, 9000])
def test_float32_far_from_one(device: Device, small: bool, scale: float, size: int) -> None:
    """Squares leave float32's range; the results do not."""
    g.once_a_mode(small, "float32")
    values = (RNG.normal(size=(1, size, 1)) * scale).astype(np.float32)
    for center in (True, False):
        y, _, rstd = compute(values, g.segments_of([size]), eps=0.0, center=center)
        wanted = reference.forward(values.astype(np.float64), g.segments_of([size]), eps=0.0, center=center)
        assert np.abs(y - wanted[0]).max() <= 4e-6
        np.testing.assert_allclose(rstd, wanted[2], rtol=1e-6)


def test_nan_stays_in_its_own_segment_and_weight_nothing_keeps_it_out(device: Device, small: bool) -> None:
    g.once_a_mode(small, "float32")
    segments = g.segments_of([5, 5, 2000], "contiguous")
    values = RNG.normal(size=(2, 2010, 1)).astype(np.float32)
    clean = compute(values, segments, eps=1e-5)
    spoilt = values.copy()
    spoilt[0, 1], spoilt[1, 7], spoilt[1, 500] = np.nan, np.inf, -np.inf
    got = compute(spoilt, segments, eps=1e-5)
    bad = np.array([[True, False, False], [False, True, True]])
    np.testing.assert_array_equal(np.isnan(got[2]), bad)
    np.testing.assert_array_equal(np.isnan(got[0][:, :, 0]), bad[:, segments.codes])
    np.testing.assert_array_equal(got[2][~bad], clean[2][~bad])
    # Weight 0 or NaN: the others have the statistics that they have alone.
    weights = np.where(np.isfinite(spoilt), 1.0, np.nan)
    y, mean, rstd = compute(spoilt, segments, eps=1e-5, weights=weights)
    assert np.isfinite(mean).all()
    assert np.isfinite(rstd).all()
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(spoilt))
    nothing = compute(values, segments, eps=1e-5, weights=np.zeros(values.shape))
    assert all(np.isnan(a).all() for a in nothing)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_results_do_not_depend_on_the_batch(device: Device, small: bool, dtype: str) -> None:
    g.once_a_mode(small, dtype)
    segments = g.segments_of([3, 9, 1], "arbitrary")
    values = RNG.normal(5.0, 1.0, (4 if small else 1000, segments.n_items, 2)).astype(dtype)
    whole = compute(values, segments, eps=1e-5)
    for n in (1,) if small else (1, 7, 264):
        for one, part in zip(whole, compute(values[:n], segments, eps=1e-5), strict=True):
            np.testing.assert_array_equal(one[:n], part)
    order = RNG.permutation(values.shape[0])
    for one, other in zip(whole, compute(values[order], segments, eps=1e-5), strict=True):
        np.testing.assert_array_equal(one[order], other)
    long = RNG.normal(5.0, 1.0, (2 if small else 5, 2500, 2)).astype(dtype)
    together, again = (compute(long, g.segments_of([2500]), eps=1e-5) for _ in range(2))
    alone = compute(long[1:2], g.segments_of([2500]), eps=1e-5)
    for one, two, three in zip(together, again, alone, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one[1:2], three)


def test_labels_and_their_names_change_no_bit(device: Device, small: bool) -> None:
    g.once_a_mode(small, "float32")
    values = RNG.normal(size=(2, 12, 50)).astype(np.float32)
    labels = RNG.integers(0, 3, 12)
    one = compute(values, Segments.from_codes(labels, range(3)), eps=1e-5)
    two = compute(values, Segments.from_codes(2 - labels, range(3)), eps=1e-5)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1][:, ::-1])
    for a, b in ((Segments.single(12), ["x"] * 12), (Segments.uniform(12, 12), list(range(12)))):
        for x, y in zip(compute(values, a, eps=1e-5), compute(values, Segments.from_labels(b), eps=1e-5), strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("dtype", loading.TYPES)
def test_given_statistics_give_the_same_bits(device: Device, small: bool, dtype: str) -> None:
    g.once_a_mode(small, dtype)
    segments, xp = g.segments_of([40, 0, 7], "arbitrary"), device.xp
    given, _, told = typed(RNG.normal(3, 2, (2, 47, 6)), dtype)
    options = {k: xp.asarray(v) for k, v in affine(given).items()} | told | {"activation": "silu"}
    options |= {"residual": xp.asarray(given[::-1].copy())}
    placed = xp.asarray(given)
    y, mean, rstd = standardize(placed, segments, eps=1e-5, **options)
    np.testing.assert_array_equal(g.host(standardize_with(placed, segments, mean, rstd, **options)), g.host(y))
    np.testing.assert_array_equal(
        g.host(standardize_with(placed, segments, mean, rstd.astype(np.float64), out=placed, **options)), g.host(y)
    )


def test_in_place_and_batches_cut_to_the_memory(device: Device, monkeypatch: pytest.MonkeyPatch, small: bool) -> None:
    segments = g.segments_of([900, 30])
    values = RNG.normal(size=(2, 930, 2 if small else 5))
    wanted = compute(values, segments, eps=1e-5)
    placed = device.xp.asarray(values.copy())
    assert standardize(placed, segments, eps=1e-5, out=placed)[0] is placed
    np.testing.assert_array_equal(g.host(placed), wanted[0])
    monkeypatch.setattr(launcher, "BLOCK_BYTES", 0)
    monkeypatch.setattr(type(device), "free_bytes", lambda _: 1)
    for one, two in zip(wanted, compute(values, segments, eps=1e-5, gain=np.ones((2, 930))), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("shape", [(0, 4, 1), (2, 4, 0), (2, 0, 3)])
def test_nothing_gives_nothing(device: Device, shape: tuple[int, int, int]) -> None:
    segments = Segments.from_codes(np.zeros(shape[1], np.int64), ["a", "b"])
    y, mean, rstd = compute(np.zeros(shape), segments, eps=1e-5)
    assert y.shape == shape
    assert mean.shape == rstd.shape == (shape[0], 2)
    assert np.isnan(mean).all()
    assert standardize_with(device.xp.zeros(shape), segments, *map(device.xp.asarray, (mean, rstd))).shape == shape


def test_what_does_not_fit_is_named(device: Device) -> None:
    segments, xp = g.segments_of([4]), device.xp
    values = xp.zeros((2, 4, 1))
    wrong = {
        "eps must not be negative; found -1": {"eps": -1.0},
        "no such activation; found 'tanh'": {"activation": "tanh"},
        "weights does not fit": {"weights": xp.ones((2, 4))},
        "gain does not fit": {"gain": xp.ones(4)},
        "offset does not fit": {"offset": xp.ones((1, 3))},
        "residual does not fit": {"residual": values.astype(xp.float32)},
        "out does not fit": {"out": values[:1]},
        "total is the sum with a residual": {"total": values},
    }
    for text, options in wrong.items():
        with pytest.raises(OptionError, match=text):
            standardize(values, segments, **({"eps": 1e-5} | options))
    with pytest.raises(OptionError, match="do not take values of this type; found int32"):
        standardize(values.astype(xp.int32), segments, eps=1e-5)
    with pytest.raises(OptionError, match=r"rstd does not fit; found \(2,\), expected \(2, 1\)"):
        standardize_with(values, segments, xp.zeros((2, 1)), xp.zeros(2))


def test_the_numbers_of_a_call_are_those_of_the_kernels_struct() -> None:
    text = (loading.kernel_folder() / "standardize.cuh").read_text()
    body = re.search(r"struct Call \{(.*?)\};", text, flags=re.S)
    assert body
    fields = [
        (name.strip(), kind)
        for kind, names in re.findall(r"(long long|double) ([^;]+);", body[1])
        for name in names.split(",")
    ]
    wanted = [(name, "long long" if dtype == np.int64 else "double") for name, (dtype, _) in call.CALL.fields.items()]
    assert fields == wanted


def test_planted_mistakes_would_show_here(device: Device) -> None:
    """More than one chunk of a segment in one block, and an end that is no whole pack."""
    check(RNG.normal(size=(1, 2051, 1)), g.segments_of([2051]), "float64")
