"""Lowess kernels: the NumPy twin's knots and values, to the bit where sums are taken alike, whatever the launch."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import cudashim
import numpy as np
import pytest
from lowess_cases import OPTIONS, WEIGHTS, assert_same, draw, entry, fit, moves, segments_of, x86

from gridnorm.core.engines import numpy as twin
from gridnorm.core.engines.cuda import curves as verbs
from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda import lowess as launches
from gridnorm.core.engines.knots import Knots
from gridnorm.core.segments import Segments
from gridnorm.errors import DeviceError, OptionError


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize(("span", "iterations"), [(0.1, 4), (0.3, 1), (0.3, 4), (0.7, 4)])
def test_curves_of_segments_in_shared_memory_are_those_of_the_twin(device, small, weights, span, iterations):
    rng = np.random.default_rng(WEIGHTS.index(weights))
    sizes = (0, 1, 3, 14, 33) if small else (0, 1, 3, 14, 31, 33, 257, 500, 0)
    segments = segments_of(sizes, rng)
    x, y, w = draw(rng, 1 if small else 3, segments.n_items, weights)
    options = {"span": span, "iterations": iterations, "zero_weights": rng.choice(["clamp", "exclude"])}
    found, expected = (fit(b, x, y, w, segments, **options) for b in (verbs, twin))
    assert_same(found, expected, np.nanmax(np.abs(y)))


@x86
@pytest.mark.parametrize("weights", ["none", "uniform", "zeros", "gamma"])
def test_curves_of_up_to_1024_items_are_the_twins_to_the_bit(device, small, weights):
    rng = np.random.default_rng(20)
    segments = segments_of((14, 20, 60) if small else (14, 17, 40, 128, 257, 420, 1024))
    x, y, w = draw(rng, 1 if small else 4, segments.n_items, weights)
    x[0] = rng.normal(size=x.shape[1])  # not one window of a single x, whose mean the twin sums pairwise
    y[0] = rng.normal(size=x.shape[1])
    for b in range(len(x)):
        own = [None if v is None else v[b : b + 1] for v in (x, y, w)]
        found, expected = fit(verbs, *own, segments), fit(twin, *own, segments)
        assert_same(found, expected, None if b == 0 else np.nanmax(np.abs(y)))


@pytest.mark.parametrize("weights", ["none", "zeros"])
def test_curves_of_segments_in_global_memory_are_those_of_the_twin(device, small, monkeypatch, weights):
    rng = np.random.default_rng(22)
    monkeypatch.setattr(launches, "LARGE_THREADS", 64 if small else 512)
    segments = segments_of((2300,) if small else (5000, 30, 1025, 3), rng)
    x, y, w = draw(rng, 1 if small else 2, segments.n_items, weights)
    found, expected = (fit(b, x, y, w, segments) for b in (verbs, twin))
    assert_same(found, expected, np.nanmax(np.abs(y)))


@pytest.mark.parametrize("weights", ["none", "uniform"])
def test_a_curve_depends_on_its_observed_items_only(device, small, monkeypatch, weights):
    """Left-out items, the class of size, the number of threads, the tile: the same bits."""
    rng = np.random.default_rng(23)
    n, more = (40, 30) if small else (300, 900)  # with the further items the segment leaves shared memory
    if small:
        monkeypatch.setattr(launches, "SHARED", 64)
        monkeypatch.setattr(launches, "CLASSES", ((64, 32),))
    monkeypatch.setattr(launches, "LARGE_THREADS", 64)
    x, y, w = draw(rng, 1, n, weights)
    expected = fit(verbs, x, y, w, Segments.single(n))
    use = np.zeros((1, n + more), bool)
    use[0, rng.permutation(n + more)[:n]] = True

    def among_others(values):
        if values is None:
            return None
        wide = rng.uniform(5, 15, use.shape)
        wide[use] = values[0]
        return wide

    scattered = [among_others(values) for values in (x, y, w)]
    assert_same(fit(verbs, *scattered, Segments.single(n + more), use), expected)
    monkeypatch.setattr(launches, "CLASSES", ((1024, 96),))
    assert_same(fit(verbs, x, y, w, Segments.single(n)), expected)


@pytest.mark.parametrize("weights", ["none", "uniform"])
def test_a_batch_entry_has_the_same_bits_in_any_batch(device, small, weights):
    rng = np.random.default_rng(24)
    segments = segments_of((20, 31), rng)
    x, y, w = draw(rng, 3 if small else 264, segments.n_items, weights)
    whole = fit(verbs, x, y, w, segments)
    for part in (slice(1, 2), slice(2, 3) if small else slice(100, 107)):
        found = fit(verbs, x[part], y[part], None if w is None else w[part], segments)
        for k, b in enumerate(range(part.start, part.stop)):
            assert_same(entry(found, k, 2), entry(whole, b, 2))
    order = rng.permutation(len(x))[:20]
    found = fit(verbs, x[order], y[order], None if w is None else w[order], segments)
    for k, b in enumerate(order):
        assert_same(entry(found, k, 2), entry(whole, b, 2))


def test_batches_cut_to_the_free_memory_change_no_bit(device, small, monkeypatch):
    rng = np.random.default_rng(25)
    segments = segments_of((20, 15))
    x, y, _ = draw(rng, 4, segments.n_items)
    expected = fit(verbs, x, y, None, segments)
    made = []
    inner = verbs.curves
    monkeypatch.setattr(verbs, "curves", lambda where, y, *rest: made.append(len(y)) or inner(where, y, *rest))
    monkeypatch.setattr(type(device), "free_bytes", lambda self: 3 * 35 * 40)
    assert_same(fit(verbs, x, y, None, segments), expected)
    assert made == [3, 1]


@pytest.mark.parametrize("weights", ["none", "uniform"])
def test_views_masks_and_rows_shared_by_all_entries(device, weights):
    rng = np.random.default_rng(26)
    segments = segments_of((25, 20), rng)
    xp = device.xp
    x, y, w = draw(rng, 4, 2 * segments.n_items, weights)
    use = rng.random((4, 2 * segments.n_items)) > 0.2
    views = [(y[::2, ::2], x[:1, ::2]), (y[::-2, 1::2], x[1:2, 1::2])]
    for k, (values, row) in enumerate(views):
        w_view, use_view = None if w is None else w[2:3, ::2], use[:1, ::2]
        shape = values.shape
        spread = [None if v is None else np.broadcast_to(v, shape) for v in (row, w_view, use_view)]
        expected = fit(twin, spread[0], values, spread[1], segments, spread[2])
        on_device = [None if v is None else xp.broadcast_to(xp.asarray(v), shape) for v in (row, w_view, use_view)]
        held = xp.asarray(y)
        held = held[::2, ::2] if k == 0 else held[::-2, 1::2]
        given = held[:, :, None], on_device[0][:, :, None]
        n, knots = verbs.lowess_fit(*given, segments, *on_device[1:], **OPTIONS)
        back = moves()[1]
        assert_same((back(n), Knots(*(back(v) for v in (knots.x, knots.y, knots.offsets)))), expected, 100.0)


def test_nothing_to_fit(device):
    for batch, sizes in ((0, (3, 4)), (2, (0, 0)), (2, ()), (1, (5, 0))):
        segments = segments_of(sizes)
        x = np.full((batch, segments.n_items), 1.0)
        y = np.full_like(x, np.nan)
        n, knots = fit(verbs, x, y, None, segments)
        assert n.shape == (batch, len(sizes))
        assert not n.any()
        assert knots.x.size == knots.y.size == 0
        np.testing.assert_array_equal(knots.offsets, np.zeros(batch * len(sizes) + 1))


# ---------------------------------------------------------------------------------------------- evaluated and chosen


def some_knots(rng, counts):
    x = np.concatenate([np.sort(rng.normal(size=count)) for count in counts])
    return Knots(x, rng.normal(size=x.size), np.concatenate([[0], np.cumsum(counts)]))


def on_device(knots):
    to, _ = moves()
    return Knots(to(knots.x), to(knots.y), to(knots.offsets))


def test_curves_between_knots_are_the_twins_to_the_bit(device, small):
    rng = np.random.default_rng(28)
    segments = segments_of((5, 0, 3, 20, 4) if small else (5, 0, 300, 40, 4), rng)
    knots = some_knots(rng, (3, 2, 0, 150, 2, 9, 1, 0, 2, 7))
    knots.y[10:12] = np.nan
    x = rng.normal(0, 1.5, (2, segments.n_items, 1))
    x[0, ::5, 0] = rng.choice(knots.x, x[0, ::5, 0].size)
    x[1, ::7] = [[np.inf], [-np.inf]][small]
    expected = twin.interpolate(knots, x, segments)
    x[:, ::11] = np.nan
    expected[:, ::11] = np.nan  # the twin too, but for a curve of one knot
    to, back = moves()
    np.testing.assert_array_equal(back(verbs.interpolate(on_device(knots), to(x), segments)), expected)
    one_row = np.broadcast_to(x[:1], x.shape)
    given = np.broadcast_to(to(x[:1]), x.shape) if device.xp is np else device.xp.broadcast_to(to(x[:1]), x.shape)
    found = back(verbs.interpolate(on_device(knots), given, segments))
    known = ~np.isnan(one_row[:, :, 0])
    np.testing.assert_array_equal(found[known], twin.interpolate(knots, one_row, segments)[known])


def test_curves_are_chosen_from_several_fits(device):
    rng = np.random.default_rng(29)
    one, two = some_knots(rng, (3, 0, 5)), some_knots(rng, (4, 2))
    first, second = on_device(one), on_device(two)
    wanted = [(0, 2), (1, 0), (0, 1), (0, 0), (1, 0), (1, 1)]
    expected = twin.select_curves([((one, two)[k], i) for k, i in wanted])
    found = verbs.select_curves([((first, second)[k], i) for k, i in wanted])
    _, back = moves()
    for name in ("x", "y", "offsets"):
        np.testing.assert_array_equal(back(getattr(found, name)), getattr(expected, name))
    assert back(verbs.select_curves([]).offsets).tolist() == [0]


# ---------------------------------------------------------------------------------------------- mistakes


def test_what_the_kernel_would_believe_is_refused(device):
    segments = Segments.single(20)
    xp = device.xp
    good = xp.ones((1, 20, 1))
    for options in ({"span": 0.0}, {"span": np.nan}, {"iterations": 0}):
        with pytest.raises(OptionError, match=next(iter(options))):
            verbs.lowess_fit(good, good, segments, None, None, **{**OPTIONS, **options})
    with pytest.raises(DeviceError, match=r"argument y: wrong dtype; found float32, expected float64"):
        verbs.lowess_fit(good.astype(xp.float32), good, segments, None, None, **OPTIONS)
    with pytest.raises(DeviceError, match=r"argument weights: wrong dtype"):
        verbs.lowess_fit(good, good, segments, xp.ones((1, 20), xp.float32), None, **OPTIONS)
    for wrong in ((good[:, :19], good, None), (good, good[:, :19], None), (good, good, good[:, :19, 0])):
        with pytest.raises(OptionError, match="do not fit"):
            verbs.lowess_fit(wrong[0], wrong[1], segments, wrong[2], None, **OPTIONS)
    huge = SimpleNamespace(sizes=np.array([2**29 + 1]))
    with pytest.raises(OptionError, match=r"too many items for the kernel; found 536870913, expected 2\^29 at most"):
        launches._make_classes(SimpleNamespace(segments=huge), False)
    with pytest.raises(OptionError, match="do not fit"):
        verbs.interpolate(Knots(xp.ones(1), xp.ones(1), xp.asarray([0, 1])), good[:, :19], segments)


PLANTED = [
    ("GN_PLANT_LOWESS_NO_BARRIER", "tsan", "data race"),
    ("GN_PLANT_LOWESS_BOUNDS", "asan", "heap-buffer-overflow"),
]


@pytest.mark.parametrize(("macro", "mode", "says"), PLANTED)
@pytest.mark.parametrize("device", [pytest.param("cpu-kernels", marks=pytest.mark.shim)], indirect=True)
def test_a_planted_mistake_in_the_curves_is_caught(device, monkeypatch, macro, mode, says):
    if mode != cudashim.MODE:
        pytest.skip(f"for {mode} to catch")
    inner = launches.instance

    def planted(*which):
        inst = inner(*which)
        return loading.instance(inst.file, **dict(inst.defines), **{macro: "1"})

    monkeypatch.setattr(launches, "instance", planted)
    x, y, _ = draw(np.random.default_rng(30), 1, 40)
    with pytest.raises(cudashim.SanitizerError, match=says):
        fit(verbs, x, y, None, Segments.single(40))


@pytest.mark.parametrize("device", [pytest.param("cpu-kernels", marks=pytest.mark.shim)], indirect=True)
def test_a_planted_mistake_between_knots_is_caught(device, monkeypatch):
    if cudashim.MODE != "asan":
        pytest.skip("for asan to catch")
    monkeypatch.setattr(verbs, "INSTANCE", replace(verbs.INSTANCE, defines=(("GN_PLANT_CURVES_BOUNDS", "1"),)))
    knots = some_knots(np.random.default_rng(31), (3,))
    with pytest.raises(cudashim.SanitizerError, match="heap-buffer-overflow"):
        verbs.interpolate(knots, np.full((1, 4, 1), 1e9), Segments.single(4))


@pytest.mark.parametrize("far", [(), (1e3,), (-1e3,), (-1e3, 1e3)], ids=["none", "above", "below", "both"])
@pytest.mark.parametrize("width", [1e-6, 1e-3])
def test_a_far_item_at_either_end_counts_for_what_is_close(device, small, far, width):
    if small:
        pytest.skip("seeds lie apart from 200 items on")
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.uniform(0, width, 420), far])[None, :]
    y = np.sin(6 * x / width) + rng.standard_t(2, x.shape)
    w = rng.uniform(0.5, 1, x.shape)
    segments = segments_of((x.size,))
    found, expected = (fit(b, x, y, w, segments) for b in (verbs, twin))
    assert_same(found, expected, np.abs(y).max())
