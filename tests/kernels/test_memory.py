"""Little memory on the device: the same bits in smaller batches, a clear error where one entry does not fit, no leaks."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cudashim
import numpy as np
import pytest

from gridnorm.core.engines import cuda as cuda_engine
from gridnorm.core.engines.cuda.device import CudaDevice, Device, use_device
from gridnorm.core.engines.cuda.plan import placed
from gridnorm.core.segments import Segments
from gridnorm.errors import DeviceError

ITEMS = 5000  # more than any class of size that is served in shared memory
LOWESS = {"span": 0.3, "iterations": 1, "zero_weights": "clamp"}


class Limited(cudashim.CpuDevice):
    """Says that it has ``budget`` bytes, and fails to reserve more than ``limit`` at once, as CuPy's pool would."""

    def __init__(self, budget: int, limit: int) -> None:
        super().__init__(budget)
        self.limit, self.refused = limit, 0
        self.xp = SimpleNamespace(**{**vars(np), "empty": self.reserve, "__name__": "numpy"})

    def reserve(self, shape: Any, dtype: Any = float) -> Any:
        if int(np.prod(shape)) * np.dtype(dtype).itemsize > self.limit:
            self.refused += 1
            raise MemoryError("Out of memory")
        return np.empty(shape, dtype)


def lowess(weighted: bool) -> Callable[[Any, Any, Segments], list[Any]]:
    def run(values: Any, weights: Any, segments: Segments) -> list[Any]:
        covariate = np.round(weights * 10, 3)[:, :, None]
        n, knots = cuda_engine.lowess_fit(values, covariate, segments, weights if weighted else None, None, **LOWESS)
        return [n, knots.x, knots.y, knots.offsets]

    return run


# verb, and what one batch entry of it needs: bytes for all of it, bytes at once
VERBS: dict[str, tuple[Callable[[Any, Any, Segments], list[Any]], int, int]] = {
    "lowess": (lowess(False), 100 * ITEMS, 50 * ITEMS),
    "lowess, weighted": (lowess(True), 120 * ITEMS, 50 * ITEMS),
    "moments": (lambda v, w, s: list(cuda_engine.moments(v, s, None, None)), 3 * 32, 3 * 32),
    "weighted median": (lambda v, w, s: list(cuda_engine.median(v, s, w, None)), 20 * 2 * 8192, 8 * 8192),
}
engine_on_cpu = pytest.mark.parametrize(
    "device", [pytest.param("cpu-kernels", marks=pytest.mark.shim)], indirect=True
)  # also says why there is none


def drawn() -> tuple[Any, Any, Segments]:
    if cudashim.MODE != "fast":
        pytest.skip("the kernels themselves are as in other tests")
    rng = np.random.default_rng(1)
    values = rng.normal(size=(5, ITEMS, 1))
    values[:, ::13] = np.nan
    return values, rng.uniform(0.1, 1, (5, ITEMS)), Segments.from_codes(np.arange(ITEMS) // 4500, "ab")


@engine_on_cpu
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("told", [True, False])
def test_little_memory_changes_no_bit(device: Device, verb: str, told: bool) -> None:
    """Whether the device says so beforehand or fails at a batch of more than two entries."""
    run, each, at_once = VERBS[verb]
    values, weights, segments = drawn()
    expected = run(values, weights, segments)
    budget, limit = (2 * each, 1 << 30) if told else (1 << 30, int(2.5 * at_once))
    with use_device(Limited(budget, limit)) as little:
        found = run(values, weights, segments)
    assert bool(little.refused) is not told
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@engine_on_cpu
@pytest.mark.parametrize("verb", VERBS)
def test_an_entry_that_does_not_fit_is_an_error_that_says_how_much_is_needed(device: Device, verb: str) -> None:
    run, *_ = VERBS[verb]
    values, weights, segments = drawn()
    with (
        use_device(Limited(1 << 30, 60)),
        pytest.raises(
            DeviceError, match=r"too little memory for a single batch entry; found .*about .* MiB.*device=.cpu."
        ),
    ):
        run(values, weights, segments)


def test_every_device_and_stream_has_its_own_copy_of_the_segments() -> None:
    at = {"device": 0, "stream": 0}
    cuda = SimpleNamespace(
        runtime=SimpleNamespace(getDevice=lambda: at["device"]),
        get_current_stream=lambda: SimpleNamespace(ptr=at["stream"]),
    )
    fake = object.__new__(CudaDevice)  # without CuPy
    fake.xp = SimpleNamespace(cuda=cuda)
    segments = Segments.single(4)
    with use_device(fake):
        first = placed(segments)
        assert placed(segments) is first
        for name in at:
            at[name] = 1
            assert placed(segments) is not first
            at[name] = 0
        assert placed(segments) is first


@engine_on_cpu
def test_what_lies_on_the_device_for_segments_goes_with_them(device: Device) -> None:
    segments = Segments.from_codes(np.array([1, 0, 1, 0]), "ab")
    held = placed(segments)
    assert placed(segments) is held
    order = weakref.ref(held.order)
    cuda_engine.moments(np.ones((1, 4, 1)), segments, None, None)
    del held
    assert order() is not None
    del segments
    gc.collect()
    assert order() is None
