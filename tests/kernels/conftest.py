"""Who computes in the kernel tests: NumPy, the kernels executed on the CPU, or a CUDA device."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from gridnorm.core import kernels

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for cudashim, which is no part of the package
import cudashim

_CPU = pytest.param("cpu-kernels", marks=pytest.mark.shim)
_CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


def _engine(which: str, skip_without: Callable[[str, str], None]) -> kernels.Engine:
    if which == "cpu-kernels":
        reason = cudashim.why_not()
        if reason:
            skip_without("shim", reason)
        return cudashim.CpuEngine()
    if cudashim.MODE != "fast":
        pytest.skip("a run under a sanitizer")
    usable, reason = kernels.cuda_status()
    if not usable:
        skip_without("gpu", reason)
    return kernels.engine()


@pytest.fixture(params=[_CPU, _CUDA])
def engine(request: pytest.FixtureRequest, skip_without: Callable[[str, str], None]) -> Iterator[kernels.Engine]:
    """Who runs the kernels; ``kernels.engine()`` answers it during the test."""
    with kernels.use_engine(_engine(request.param, skip_without)) as used:
        yield used


@pytest.fixture(params=["numpy", _CPU, _CUDA])
def backend(request: pytest.FixtureRequest, skip_without: Callable[[str, str], None]) -> Iterator[ModuleType]:
    """A backend module: ``gridnorm.core._numpy``, or ``gridnorm.core._cupy`` on either engine."""
    if request.param == "numpy":
        yield import_module("gridnorm.core._numpy")
        return
    with kernels.use_engine(_engine(request.param, skip_without)):
        yield import_module("gridnorm.core._cupy")


@pytest.fixture(scope="session")
def small() -> bool:
    """Whether shapes must be small: a thread costs a fiber of ThreadSanitizer (at most 4 blocks of 128 threads)."""
    return cudashim.MODE == "tsan"
