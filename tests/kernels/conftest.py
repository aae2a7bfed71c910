"""Who runs the kernels in their own tests: the CPU, or a CUDA device."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cudashim
import pytest

from gridnorm.core.engines.cuda.device import Device, cuda_status, current_device, use_device

_CPU = pytest.param("cpu-kernels", marks=pytest.mark.shim)
_CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


def _device(which: str, skip_without: Callable[[str, str], None]) -> Device:
    if which == "cpu-kernels":
        reason = cudashim.why_not()
        if reason:
            skip_without("shim", reason)
        return cudashim.CpuDevice()
    if cudashim.MODE != "fast":
        pytest.skip("a run under a sanitizer")
    usable, reason = cuda_status()
    if not usable:
        skip_without("gpu", reason)
    return current_device()


@pytest.fixture(params=[_CPU, _CUDA])
def device(request: pytest.FixtureRequest, skip_without: Callable[[str, str], None]) -> Iterator[Device]:
    """Who runs the kernels; ``current_device()`` answers it during the test."""
    with use_device(_device(request.param, skip_without)) as used:
        yield used


@pytest.fixture(scope="session")
def small() -> bool:
    """Whether shapes must be small: a thread costs a fiber of ThreadSanitizer (at most 4 blocks of 128 threads)."""
    return cudashim.MODE == "tsan"
