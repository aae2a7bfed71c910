"""The verb ``standardize`` and its gradients in the core's own words: segments, items, batch entries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from backends import Backend
from scipy.special import expit, ndtr

from gridnorm.core.engines import activation
from gridnorm.core.engines import numpy as numpy_engine
from gridnorm.core.engines.numpy import rows
from gridnorm.core.segments import Segments
from gridnorm.core.standardize import standardize, standardize_backward, standardize_with, sums
from gridnorm.errors import OptionError

RAGGED = Segments.from_labels([2, 0, 0, 1, 2, 0, 1, 0])
EMPTY = Segments.from_codes(np.array([4, 0, 0, 4, 2, 2, 2, 0]), range(6))
EQUAL = Segments.uniform(8, 2)


def normal(shape: tuple[int, ...], seed: int = 0, dtype: Any = np.float64) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) + 0.5).astype(dtype)


def plainly(
    values: np.ndarray, segments: Segments, eps: float, gain: Any = 1.0, offset: Any = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    v = values.astype(np.float64)
    mean, rstd = (np.full((v.shape[0], segments.n_segments), np.nan) for _ in range(2))
    z = np.empty(v.shape)
    for g in range(segments.n_segments):
        part = v[:, segments.codes == g]
        if part.size:
            mean[:, g] = part.mean(axis=(1, 2))
            rstd[:, g] = 1 / np.sqrt(part.var(axis=(1, 2)) + eps)
            z[:, segments.codes == g] = (part - mean[:, g, None, None]) * rstd[:, g, None, None]
    return (
        z * np.broadcast_to(gain, v.shape[:2])[..., None] + np.broadcast_to(offset, v.shape[:2])[..., None],
        mean,
        rstd,
    )


@pytest.mark.parametrize("segments", [RAGGED, EMPTY, EQUAL, Segments.single(8), Segments.uniform(8, 8)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("width", [2, 15, 16, 40])
def test_values(backend: Backend, segments: Segments, dtype: Any, width: int) -> None:
    values, real = normal((3, 8, width), 0, dtype), np.float64 if dtype == np.float64 else np.float32
    gain, offset = normal((3, 8), 1, real), normal((3, 8), 2, real)
    out, mean, rstd = backend.run(standardize, values, segments, eps=1e-3, gain=gain, offset=offset)
    wanted, m, r = plainly(values, segments, 1e-3, gain, offset)
    assert out.dtype == dtype and mean.dtype == np.float64 and rstd.dtype == real
    tolerance = {np.float16: 6e-3, np.float32: 4e-6, np.float64: 1e-13}[dtype]  # |result| up to 10
    assert np.abs(out - wanted).max() <= tolerance
    assert np.array_equal(np.isnan(mean), np.isnan(m)), "segments without items have no mean"
    assert np.nanmax(np.abs(mean - m)) <= 1e-7 and np.nanmax(np.abs(rstd / r - 1)) <= 2e-7
    first = backend.run(standardize, values, segments, eps=1e-3, gain=gain)[0]
    assert np.abs(first - plainly(values, segments, 1e-3, gain)[0]).max() <= tolerance
    second = backend.run(standardize, values, segments, eps=1e-3, offset=offset)[0]
    assert np.abs(second - plainly(values, segments, 1e-3, 1.0, offset)[0]).max() <= tolerance


def test_views_of_any_strides(backend: Backend) -> None:
    base = normal((7, 5, 8))
    values, out = base.transpose(1, 2, 0), np.zeros((8, 7, 5)).transpose(2, 0, 1)
    wanted = backend.run(standardize, values.copy(), RAGGED, eps=0.1)[0]
    assert backend.run(standardize, values, RAGGED, eps=0.1, out=out)[0] is out
    # The kernels add in the order of the memory.
    np.testing.assert_allclose(out, wanted, rtol=0, atol=backend.tolerance(np.float64))
    assert backend.run(standardize, values, RAGGED, eps=0.1)[0].strides == np.empty_like(values).strides


def test_residual_and_total(backend: Backend) -> None:
    values, added, total = (
        normal((3, 8, 5), 0, np.float16),
        normal((3, 8, 5), 1, np.float16),
        np.zeros((3, 8, 5), np.float16),
    )
    out, *stats = backend.run(standardize, values, RAGGED, eps=0.1, residual=added, total=total)
    assert np.array_equal(total, values + added)
    for a, b in zip((out, *stats), backend.run(standardize, values + added, RAGGED, eps=0.1), strict=True):
        assert np.array_equal(a, b)
    again = backend.run(standardize_with, values, RAGGED, *stats, residual=added, total=np.empty_like(total))
    assert np.array_equal(again, out)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("segments", [RAGGED, EQUAL])
def test_with_its_own_statistics(backend: Backend, segments: Segments, dtype: Any) -> None:
    values = normal((3, 8, 5), 0, dtype) + dtype(300)
    rest: dict[str, Any] = {"gain": normal((3, 8), 1, np.float32), "offset": normal((3, 8), 2, np.float32)}
    rest = {k: v.astype(np.float64 if dtype == np.float64 else np.float32) for k, v in rest.items()}
    out, mean, rstd = backend.run(standardize, values, segments, eps=0.1, activation="silu", **rest)
    again = backend.run(standardize_with, values, segments, mean, rstd, activation="silu", **rest)
    # The mean comes in one float64 here, so that its rest may be cut elsewhere.
    tolerance = {np.float16: 4e-3, np.float32: 2e-6, np.float64: 1e-12}[dtype]
    assert np.abs(out.astype(np.float64) - again).max() <= tolerance
    place = values.copy()
    assert backend.run(standardize_with, place, segments, mean, rstd, activation="silu", out=place, **rest) is place
    assert np.array_equal(place, again)


@pytest.mark.parametrize("segments", [RAGGED, EMPTY, EQUAL])
@pytest.mark.parametrize("width", [1, 5, 20])
def test_gradients_of_single_entries_add_up(backend: Backend, segments: Segments, width: int) -> None:
    grad, values = normal((4, 8, width)), normal((4, 8, width), 1)
    gain = normal((4, 8), 2)
    _, mean, rstd = backend.run(standardize, values, segments, eps=0.1, gain=gain)
    dx, dgain, doffset = backend.run(standardize_backward, grad, values, segments, mean, rstd, gain=gain)
    sx, sgain, soffset = backend.run(
        standardize_backward, grad, values, segments, mean, rstd, gain=gain, reduce_batch=True
    )
    assert np.array_equal(dx, sx) and sgain.shape == soffset.shape == (1, 8) and dgain.shape == (4, 8)
    assert np.abs(sgain - dgain.sum(axis=0)).max() <= 1e-13 and np.abs(soffset - doffset.sum(axis=0)).max() <= 1e-13
    assert np.abs(doffset - grad.sum(axis=2)).max() <= 1e-13
    wanted = (grad * plainly(values, segments, 0.1)[0]).sum(axis=2)
    assert np.abs(dgain - wanted).max() <= 1e-12


@pytest.mark.parametrize("items", [1, 2, 3, 8, 700])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_over_the_batch_run_in_its_order(items: int, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry after the other in float64, wherever a block begins."""
    segments = Segments.uniform(items, 1)
    grad, values = normal((50, items, 2), 0, dtype), normal((50, items, 2), 1, dtype)
    _, mean, rstd = standardize(values, segments, eps=0.1)
    parts = standardize_backward(grad, values, segments, mean, rstd)[1:]
    for block in (1, 300, 1 << 19):
        monkeypatch.setattr(rows, "BLOCK", block)
        found = standardize_backward(grad, values, segments, mean, rstd, reduce_batch=True)[1:]
        if dtype == np.float32:
            wanted = [np.add.accumulate(p, axis=0, dtype=np.float64)[-1].astype(np.float32) for p in parts]
            # Each term of dgain is float64 before it is rounded for ``parts``.
            assert np.array_equal(found[1][0], wanted[1]) and np.abs(found[0][0] - wanted[0]).max() <= 1e-5
        else:
            for a, b in zip(found, parts, strict=True):
                assert np.array_equal(a[0], np.add.accumulate(b, axis=0)[-1])


def test_weights_of_zero_and_nan_leave_values_out(backend: Backend) -> None:
    values, weights = normal((2, 8, 5), 0, np.float32), np.ones((2, 8, 5), np.float32)
    weights[:, :, 3:] = 0
    _, mean, rstd = backend.run(standardize, values, RAGGED, eps=0.1, weights=weights)
    weights[:, :, 4] = np.nan
    _, m, r = backend.run(standardize, values, RAGGED, eps=0.1, weights=weights)
    _, short, scale = backend.run(standardize, values[:, :, :3], RAGGED, eps=0.1)
    assert np.array_equal(mean, m) and np.array_equal(rstd, r)
    assert np.abs(mean - short).max() <= 1e-7 and np.abs(rstd / scale - 1).max() <= 2e-7


def test_extreme_factors(backend: Backend) -> None:
    for size in (1e-25, 1e25):
        values = np.concatenate([normal((1, 8, 9)) * size, normal((1, 8, 9), 1)]).astype(np.float32)
        grad = normal((2, 8, 9), 2, np.float32)
        _, mean, rstd = backend.run(standardize, values, EQUAL, eps=0.0)
        dx = backend.run(standardize_backward, grad, values, EQUAL, mean, rstd)[0]
        exact = backend.run(
            standardize_backward,
            grad.astype(np.float64),
            values.astype(np.float64),
            EQUAL,
            mean,
            rstd.astype(np.float64),
        )[0]
        assert np.abs(dx[0] * size - exact[0] * size).max() <= 2e-6
        # An ordinary neighbour does not notice.
        alone = backend.run(standardize_backward, grad[1:], values[1:], EQUAL, mean[1:], rstd[1:])[0]
        assert np.array_equal(dx[1:], alone)


@pytest.mark.parametrize("name", activation.ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations(name: str, dtype: Any) -> None:
    z = np.linspace(-12, 12, 481).astype(dtype)
    v = z.astype(np.float64)
    wanted = {"silu": v * expit(v), "relu": np.maximum(v, 0), "gelu": v * ndtr(v)}[name]
    tolerance = 2e-6 if dtype == np.float32 else 1e-14
    found = activation.activate(name, z.copy(), numpy_engine)
    assert found.dtype == dtype and np.abs(found - wanted).max() <= tolerance
    if dtype == np.float64:
        v = v[v != 0]  # where relu has none
        step = 1e-5
        up, down = (activation.activate(name, v + s, numpy_engine) for s in (step, -step))
        slope = activation.slope(name, v, numpy_engine)
        assert np.abs((up - down) / (2 * step) - slope).max() <= 1e-9
        up, down = (activation.slope(name, v + s, numpy_engine) for s in (step, -step))
        assert np.abs((up - down) / (2 * step) - activation.curvature(name, v, numpy_engine)).max() <= 1e-9


def test_activations_at_the_ends() -> None:
    for name in activation.ACTIVATIONS:
        z = np.array([-3e38, -800.0, 800.0, 3e38], np.float32)
        with np.errstate(over="ignore"):
            slope, curvature = (f(name, z, numpy_engine) for f in (activation.slope, activation.curvature))
            found = activation.activate(name, z.copy(), numpy_engine)
        assert found.tolist() == [0, 0, 800, float(np.float32(3e38))] and slope.tolist() == [0, 0, 1, 1]
        assert not curvature.any()
    assert activation.slope("relu", np.array([0.0]), numpy_engine)[0] == 0


def test_the_face_is_the_backend_of_the_arrays() -> None:
    """With every option handed on; lists and arrays of an unknown library are no values."""
    values, grad = normal((3, 8, 4)), normal((3, 8, 4), 1)
    shared = {
        "weights": np.abs(normal((3, 8, 4), 2)),
        "gain": normal((3, 8), 3),
        "offset": normal((1, 8), 4),
        "activation": "silu",
    }
    forward = {"eps": 1e-3, "center": False, "residual": grad, **shared}
    totals = np.zeros_like(values), np.zeros_like(values)
    one = standardize(values, RAGGED, total=totals[0], **forward)
    for a, b in zip(one, numpy_engine.standardize(values, RAGGED, total=totals[1], **forward), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(*totals)
    _, mean, rstd = one
    backward = {"add_mean": mean, "add_rstd": rstd, "reduce_batch": True, "constant": True, "center": False, **shared}
    pair = (
        f(grad, values, RAGGED, mean, rstd, **backward)
        for f in (standardize_backward, numpy_engine.standardize_backward)
    )
    for a, b in zip(*pair, strict=True):
        np.testing.assert_array_equal(a, b)
    given = {"residual": grad, "out": np.empty_like(values), **shared}
    del given["weights"]
    assert standardize_with(values, RAGGED, mean, rstd, **given) is given["out"]
    np.testing.assert_array_equal(given.pop("out"), numpy_engine.standardize_with(values, RAGGED, mean, rstd, **given))
    np.testing.assert_array_equal(sums(values, RAGGED), numpy_engine.sums(values, RAGGED))

    class Foreign:
        dtype = None

    with pytest.raises(OptionError, match="no backend for this kind of array"):
        standardize(Foreign(), RAGGED, eps=0.0)
