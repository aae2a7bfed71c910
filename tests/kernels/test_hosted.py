"""The device for NumPy arrays: every verb there and back, on a device whose arrays are not NumPy's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cudashim
import numpy as np
import pytest
import strict

from gridnorm.core.engines import hosted, offered
from gridnorm.core.engines import numpy as reference
from gridnorm.core.engines.cuda.device import use_device
from gridnorm.core.engines.knots import Knots
from gridnorm.core.segments import Segments
from gridnorm.errors import DeviceError, OptionError

pytestmark = pytest.mark.shim
RNG = np.random.default_rng(6)
SEGMENTS = Segments.from_codes(np.array([1, 0, 1, 2, 0, 1, 0, 2, 2, 1, 0, 1]), "abc")
X = RNG.normal(3, 2, (2, 12, 3))
ONE = np.ascontiguousarray(X[:, :, :1])
WEIGHTS, USE = RNG.uniform(0.2, 2, (2, 12)), RNG.uniform(size=(2, 12)) < 0.8
GAIN, OFFSET = RNG.normal(size=(1, 12)), RNG.normal(size=(1, 12))
MEAN, RSTD = X.mean(axis=1)[:, :3], np.abs(RNG.normal(size=(2, 3)))
KNOTS = Knots(np.arange(12.0), RNG.normal(size=12), np.array([0, 2, 4, 6, 8, 10, 12]))
AFFINE: dict[str, Any] = {"gain": GAIN, "offset": OFFSET, "activation": "silu"}

Case = tuple[tuple[Any, ...], Callable[[], dict[str, Any]]]
CASES: dict[str, Case] = {
    "gather": ((X, SEGMENTS), dict),
    "observed": ((X, USE, WEIGHTS), dict),
    "moments": ((X, SEGMENTS, WEIGHTS, USE, 1), dict),
    "sums": ((X, SEGMENTS), dict),
    "median": ((X, SEGMENTS, WEIGHTS, USE), dict),
    "mad": ((X, SEGMENTS, None, USE), dict),
    "quantiles": ((X, SEGMENTS, None, np.array([0.1, 0.5])), dict),
    "lowess_fit": (
        (ONE, X[:, :, 1:2], SEGMENTS, None, USE),
        lambda: {"span": 0.9, "iterations": 2, "zero_weights": "clamp"},
    ),
    "interpolate": ((KNOTS, X[:, :, 1:2], SEGMENTS), dict),
    "select_curves": (([(KNOTS, 4), (KNOTS, 0)],), dict),
    "remove": ((X, SEGMENTS, MEAN, RSTD), lambda: {"out": np.empty_like(X)}),
    "standardize": (
        (X, SEGMENTS),
        lambda: {"eps": 1e-5, **AFFINE, "residual": X[::-1], "total": np.empty_like(X), "out": np.empty_like(X)},
    ),
    "standardize_with": ((X, SEGMENTS, MEAN, RSTD), lambda: {**AFFINE, "out": np.empty((2, 12, 6))[:, :, ::2]}),
    "standardize_backward": (
        (X[::-1], X, SEGMENTS, MEAN, RSTD),
        lambda: {**AFFINE, "weights": np.abs(X), "add_mean": RSTD, "reduce_batch": True},
    ),
}


@pytest.fixture(autouse=True)
def device(skip_without: Callable[[str, str], None]) -> Iterator[strict.StrictDevice]:
    if reason := cudashim.why_not():
        skip_without("shim", reason)
    if cudashim.MODE == "tsan":
        pytest.skip("the kernels themselves are as in other tests")
    with use_device(strict.StrictDevice()) as used:
        yield used  # type: ignore[misc]


def test_every_verb_has_a_case() -> None:
    assert tuple(CASES) == offered(hosted)


def arrays(result: Any) -> list[Any]:
    if isinstance(result, tuple):
        return [array for part in result for array in arrays(part)]
    return [result.x, result.y, result.offsets] if isinstance(result, Knots) else [result]


@pytest.mark.parametrize("verb", offered(hosted))
def test_every_verb_goes_there_and_back(verb: str) -> None:
    """NumPy arrays in and out, as NumPy's engine gives them; what a verb writes to is written."""
    given, options = CASES[verb]
    ours, theirs = options(), options()
    found, expected = getattr(hosted, verb)(*given, **ours), getattr(reference, verb)(*given, **theirs)
    for a, b in zip(arrays(found), arrays(expected), strict=True):
        assert type(a) is np.ndarray
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    for name in ("out", "total"):
        if name in ours:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12, atol=1e-12)
    if "out" in ours:
        assert arrays(found)[0] is ours["out"]


def test_an_array_that_is_read_and_written_is_one_array_there_too() -> None:
    x = X.copy()
    out = hosted.standardize(x, SEGMENTS, eps=1e-5, out=x)[0]  # type: ignore[attr-defined]
    assert out is x
    np.testing.assert_allclose(x, reference.standardize(X, SEGMENTS, eps=1e-5)[0], rtol=1e-12, atol=1e-12)


def test_what_occurs_twice_is_moved_once(device: strict.StrictDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[int] = []
    inner = device.xp.asarray
    monkeypatch.setattr(device.xp, "asarray", lambda a, *rest: moved.append(a.size) or inner(a, *rest))
    hosted.select_curves([(KNOTS, k % 6) for k in range(60)])  # type: ignore[attr-defined]
    assert moved.count(KNOTS.x.size) == 2  # x and y
    x = X.copy()
    hosted.standardize(x, SEGMENTS, eps=1e-5, out=x)  # type: ignore[attr-defined]
    assert moved.count(x.size) == 1


def test_what_breaks_there_is_named_and_our_own_errors_pass(
    device: strict.StrictDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match="values do not fit the segments"):
        hosted.sums(X[:, :5], SEGMENTS)  # type: ignore[attr-defined]

    def broken(*_: Any) -> Any:
        raise MemoryError("Out of memory allocating 512 bytes")

    monkeypatch.setattr(device.xp, "asarray", broken)
    with pytest.raises(DeviceError, match=r"sums failed on the device; found out of device memory"):
        hosted.sums(X, SEGMENTS)  # type: ignore[attr-defined]


def test_mistakes_in_the_call_are_not_blamed_on_the_device() -> None:
    x = X.copy()
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        hosted.standardize(X, SEGMENTS, eps=1e-5, out=x)  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="unexpected keyword"):
        hosted.sums(X, SEGMENTS, axis=1)  # type: ignore[attr-defined]
