"""Loading, checking and launching kernels; what is said where a machine cannot do it (simulated where it must be)."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gridnorm.core.engines import backend_for, hosted, on_device
from gridnorm.core.engines import numpy as numpy_engine
from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda.device import Device, cuda_device, cuda_status, current_device, use_device
from gridnorm.core.engines.cuda.launch import compile_all, in_batches, launch, strided
from gridnorm.errors import DeviceError

Ask = Callable[[Any], tuple[bool, str]]
SCALE = """// y = k * x
#include "half.cuh"
#ifndef REAL
#define REAL double
#endif
using Index = long long;
extern "C" __global__ void __launch_bounds__(64)
scale(const REAL* __restrict__ x, Index stride, Index n, REAL k, REAL* y, const unsigned char* use) {
    const Index i = blockIdx.x * (Index)blockDim.x + threadIdx.x;
    if (i < n && (use == nullptr || use[i])) y[i] = same(k) * x[i * stride];
}
"""


NARROW = """#include <cuda_fp16.h>
#include <cuda_bf16.h>
extern "C" __global__ void narrow(const float* x, __half* h, __nv_bfloat16* b, float* y, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        h[i] = __float2half_rn(x[i]);
        b[i] = __float2bfloat16_rn(x[i]);
        y[i] = __bfloat162float(b[i]);
    }
}
"""


@pytest.fixture
def scale(tmp_path: Path) -> loading.Instance:
    (tmp_path / "half.cuh").write_text('#pragma once\n#include "same.cuh"\n')
    (tmp_path / "same.cuh").write_text("#pragma once\ntemplate <class T> __device__ T same(T v) { return v; }\n")
    (tmp_path / "scale.cu").write_text(SCALE)
    return loading.instance(str(tmp_path / "scale.cu"), REAL="float")


def scaled(device: Device, inst: loading.Instance, **changed: Any) -> np.ndarray:
    """Launch ``scale`` over ten values, with some arguments changed."""
    xp = device.xp
    given = {"x": xp.arange(10, dtype="float32"), "stride": np.int64(1), "n": np.int64(10), "k": np.float32(3)}
    given |= {"y": xp.zeros(10, "float32"), "use": None} | changed
    launch(inst, "scale", (1,), (64,), list(given.values()))
    return given["y"]


# ---------------------------------------------------------------------------------------------- source


def test_source_holds_macros_and_every_own_include_once_with_its_lines(scale: loading.Instance) -> None:
    text = loading.source(scale)
    assert text.startswith("#define REAL float\n")
    assert '#include "' not in text
    assert "pragma once" not in text
    assert text.count("template <class T>") == 1
    assert text.index('#line 1 "same.cuh"') < text.index('#line 3 "half.cuh"') < text.index('#line 3 "scale.cu"')


def test_lines_of_the_source_are_those_of_the_file(scale: loading.Instance) -> None:
    """A compiler that follows #line must name line 8 for line 8."""
    where, line = "", 0
    for text in loading.source(scale).splitlines():
        if text.startswith("#line"):
            line, where = int(text.split()[1]), text.split()[2]
            continue
        if text.startswith("scale("):
            assert (where, line) == ('"scale.cu"', SCALE.splitlines().index(text) + 1)
            return
        line += 1
    pytest.fail("the kernel is not in its source")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"none\.cu: a kernel file cannot be read"):
        loading.source(loading.instance(str(tmp_path / "none.cu")))


def test_macros_in_any_order_are_one_variant() -> None:
    assert loading.instance("a.cu", REAL="double", IN="float") == loading.instance("a.cu", IN="float", REAL="double")
    assert str(loading.instance("a.cu", REAL="double")) == "a.cu (REAL=double)"


@pytest.mark.parametrize(("present", "expected"), [(("_cu", "kernels"), "_cu"), (("kernels",), "kernels"), ((), None)])
def test_files_are_found_in_a_wheel_and_beside_an_editable_install(
    present: tuple[str, ...], expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"_cu": tmp_path / "gridnorm" / "_cu", "kernels": tmp_path / "kernels"}
    for name in present:
        places[name].mkdir(parents=True)
    monkeypatch.setattr(loading, "__file__", str(tmp_path / "gridnorm/core/engines/cuda/loading.py"))
    if expected is None:
        with pytest.raises(DeviceError, match=r"missing from this installation.*Install gridnorm again"):
            loading.kernel_folder()
    else:
        assert loading.kernel_folder() == places[expected]


def test_every_variant_is_listed_once_and_has_kernels() -> None:
    assert len(set(loading.INSTANCES)) == len(loading.INSTANCES)
    for inst in loading.INSTANCES:
        assert loading.kernel_names(inst), inst
        for name in loading.kernel_names(inst):
            assert all(p.dtype for p in loading.parameters(inst, name)), f"{inst}: a type of {name} is not checked"


# ---------------------------------------------------------------------------------------------- arguments


def test_signature_is_read_through_macros_and_aliases(scale: loading.Instance) -> None:
    found = {p.name: (p.dtype, p.pointer, p.constant) for p in loading.parameters(scale, "scale")}
    assert found == {
        "x": ("float32", True, True),
        "stride": ("int64", False, False),
        "n": ("int64", False, False),
        "k": ("float32", False, False),
        "y": ("float32", True, False),
        "use": ("uint8", True, True),
    }


def test_a_launch_computes_with_strided_views_and_null_pointers(device: Device, scale: loading.Instance) -> None:
    assert scaled(device, scale).tolist() == [3.0 * i for i in range(10)]
    every_second = strided(device.xp.arange(20, dtype="float32")[::2])
    assert scaled(device, scale, x=every_second, stride=np.int64(2)).tolist() == [6.0 * i for i in range(10)]
    backwards = strided(device.xp.arange(10, dtype="float32")[::-1])
    assert scaled(device, scale, x=backwards, stride=np.int64(-1)).tolist() == [3.0 * i for i in range(9, -1, -1)]
    odd = device.xp.arange(10) % 2 == 1
    assert scaled(device, scale, use=odd).tolist() == [3.0 * i if i % 2 else 0 for i in range(10)]


def test_an_empty_grid_launches_nothing(device: Device, scale: loading.Instance) -> None:
    launch(scale, "scale", (0,), (64,), [])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": np.arange(10.0)}, "argument x: wrong dtype; found float64, expected float32"),
        (
            {"x": np.arange(20, dtype="float32")[::2]},
            r"argument x: not contiguous; found shape \(10,\), strides \(8,\)",
        ),
        ({"x": [1.0] * 10}, "argument x: not an array of this device; found builtins.list"),
        ({"n": 10}, r"argument n: not a NumPy scalar; found int, expected np\.int64"),
        ({"n": np.int32(10)}, "argument n: wrong dtype; found int32, expected int64"),
        ({"k": 3.0}, r"argument k: not a NumPy scalar; found float, expected np\.float32"),
        ({"use": np.ones(10, "int8")}, "argument use: wrong dtype; found int8, expected uint8"),
    ],
)
@pytest.mark.parametrize("device", [pytest.param("cpu-kernels", marks=pytest.mark.shim)], indirect=True)
def test_a_wrong_argument_is_named(
    device: Device, scale: loading.Instance, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeviceError, match=f"kernel scale, {message}"):
        scaled(device, scale, **changed)


def test_wrong_number_of_arguments_and_unknown_kernels_are_named(device: Device, scale: loading.Instance) -> None:
    with pytest.raises(DeviceError, match="kernel scale: wrong number of arguments; found 1, expected 6"):
        launch(scale, "scale", (1,), (64,), [np.int64(1)])
    with pytest.raises(DeviceError, match=r"no kernel scales in scale.cu"):
        launch(scale, "scales", (1,), (64,), [])


@pytest.mark.parametrize("device", [pytest.param("cpu-kernels", marks=pytest.mark.shim)], indirect=True)
def test_cpu_execution_refuses_what_only_the_compiled_signature_shows(device: Device, scale: loading.Instance) -> None:
    frozen = np.zeros(10, "float32")
    frozen.flags.writeable = False
    with pytest.raises(DeviceError, match="argument 4 is read-only"):
        scaled(device, scale, y=frozen)
    with pytest.raises(DeviceError, match="outside the limits of CUDA"):
        launch(
            scale, "scale", (1, 70000), (64,), [frozen, np.int64(1), np.int64(1), np.float32(1), frozen.copy(), None]
        )


@pytest.mark.parametrize("device", [pytest.param("cpu-kernels", marks=pytest.mark.shim)], indirect=True)
def test_half_and_bfloat16_round_to_nearest_even(device: Device, tmp_path: Path) -> None:
    file = tmp_path / "half.cu"
    file.write_text(NARROW)
    x = np.array([0, 1, -1, 1.00390625, 1.01171875, 3e38, np.inf, np.nan, 1e-40, 65504, 0.1], "float32")
    h, b, y = np.zeros(x.size, "float16"), np.zeros(x.size, "uint16"), np.zeros(x.size, "float32")
    launch(loading.instance(str(file)), "narrow", (1,), (32,), [x, h, b, y, np.int32(x.size)])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(h, x.astype("float16"))
    bits = x.view("uint32").astype("uint64")
    nearest = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("uint16")
    np.testing.assert_array_equal(b[~np.isnan(x)], nearest[~np.isnan(x)])
    np.testing.assert_array_equal(y, (b.astype("uint32") << 16).view("float32"))


# ---------------------------------------------------------------------------------------------- memory


class Little:
    """A device with little memory: work on more than two entries at once fails."""

    name, xp = "little", np

    def __init__(self, room: int, most: int) -> None:
        self.room, self.most = room, most
        self.done: list[tuple[int, int]] = []

    def free_bytes(self) -> int:
        return self.room

    def function(self, inst: loading.Instance, name: str) -> Callable[..., None]:
        raise AssertionError

    def work(self, start: int, stop: int) -> None:
        if stop - start > self.most:
            raise MemoryError
        self.done.append((start, stop))


def test_batches_fit_the_free_memory_and_cover_everything_once() -> None:
    with use_device(Little(room=400, most=99)) as device:
        in_batches(10, 100, device.work)
        assert device.done == [(0, 4), (4, 8), (8, 10)]
        in_batches(0, 100, device.work)
        assert len(device.done) == 3
        in_batches(10, 0, device.work)  # needs nothing, so all at once
        assert device.done[3:] == [(0, 10)]


def test_out_of_memory_makes_batches_smaller_then_is_a_clear_error() -> None:
    with use_device(Little(room=10**9, most=2)) as device:
        in_batches(7, 100, device.work)
        assert [stop - start for start, stop in device.done] == [1] * 7 or sum(b - a for a, b in device.done) == 7
        assert device.done[0][0] == 0
        assert all(a[1] == b[0] for a, b in zip(device.done, device.done[1:], strict=False))
    with (
        use_device(Little(room=2**21, most=0)) as device,
        pytest.raises(DeviceError, match=r"too little memory for a single.*2 MiB free.*5 MiB.*device=.cpu."),
    ):
        in_batches(7, 5 * 2**20, device.work)


# ---------------------------------------------------------------------------------------------- reasons


class CudaRuntimeError(RuntimeError):
    """Like CuPy's CUDARuntimeError."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class CompileException(Exception):  # noqa: N818 - CuPy's name
    """Like CuPy's."""


def fake_cupy(*, count: Callable[[], int] = lambda: 1, compiled: Callable[[], None] = lambda: None) -> ModuleType:
    """A CuPy whose device answers as told; its kernels do nothing but what the probe expects."""

    class RawModule:
        def __init__(self, code: str, options: tuple[str, ...] = ()) -> None:
            self.code, self.options = code, options

        def get_function(self, name: str) -> Any:
            compiled()
            return FakeKernel(name)

    class FakeKernel:
        shared_size_bytes = 1024
        max_dynamic_shared_size_bytes = 47 * 1024  # what static memory leaves of 48 KiB

        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self, grid: Any, block: Any, args: Any, shared_mem: int = 0) -> None:
            assert None not in args, "cupy issue 9046"
            if shared_mem > self.max_dynamic_shared_size_bytes:
                raise CudaRuntimeError(1, "CUDA_ERROR_INVALID_VALUE")
            if self.name == "gridnorm_probe":
                args[0][0] = 7

    class Device:
        id, compute_capability = 0, "90"
        attributes = MappingProxyType({"MaxSharedMemoryPerBlockOptin": 100 * 1024})

        def __init__(self, number: int = 0) -> None:
            pass

    runtime = SimpleNamespace(
        getDeviceCount=count,
        getDevice=lambda: 0,
        getDeviceProperties=lambda number: {"name": b"Planted 9000", "totalGlobalMem": 2000},
        memGetInfo=lambda: (1000, 2000),
    )
    pool = SimpleNamespace(free_bytes=lambda: 500, get_limit=lambda: 0, used_bytes=lambda: 0)
    module = ModuleType("cupy")
    module.__dict__.update(
        __version__="14.2.0",
        RawModule=RawModule,
        cuda=SimpleNamespace(runtime=runtime, Device=Device),
        zeros=np.zeros,
        int32=np.int32,
        ndarray=FakeArray,
        get_default_memory_pool=lambda: pool,
    )
    return module


class FakeArray:
    def __init__(self, device: int) -> None:
        self.data = SimpleNamespace(device_id=device)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """``cuda_status()`` on a machine with the given CuPy (None: none)."""

    def ask(cupy: Any) -> tuple[bool, str]:
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        cuda_status.cache_clear()
        cuda_device.cache_clear()
        return cuda_status()

    yield ask
    cuda_status.cache_clear()
    cuda_device.cache_clear()


def raising(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("cupy", "reason"),
    [
        (None, r"CuPy is not installed: pip install \"gridnorm\[gpu-cuda13\]\""),
        (
            fake_cupy(
                count=raising(CudaRuntimeError(35, "cudaErrorInsufficientDriver: CUDA driver version is insufficient"))
            ),
            "no NVIDIA driver that CuPy can use.*install or update the driver",
        ),
        (
            fake_cupy(count=raising(CudaRuntimeError(100, "cudaErrorNoDevice: no device"))),
            "no visible device.*CUDA_VISIBLE_DEVICES",
        ),
        (fake_cupy(count=lambda: 0), "no CUDA device is visible.*CUDA_VISIBLE_DEVICES"),
        (
            fake_cupy(compiled=raising(RuntimeError("Failed to find CUDA headers. Please install"))),
            r"the compiler NVRTC or its headers cannot be found.*pip install",
        ),
        (
            fake_cupy(compiled=raising(OSError("libnvrtc.so.13: cannot open shared object file"))),
            r"the compiler NVRTC or its headers cannot be found.*pip install",
        ),
        (
            fake_cupy(compiled=raising(PermissionError(13, "Permission denied", "/root/.cupy/kernel_cache"))),
            "cannot write its kernel cache.*make /root/.cupy/kernel_cache writable, or set CUPY_CACHE_DIR.*IN_MEMORY=1",
        ),
        (
            fake_cupy(compiled=raising(MemoryError("Out of memory allocating 512 bytes"))),
            'out of device memory.*device="cpu"',
        ),
        (
            fake_cupy(
                compiled=raising(
                    CompileException("planted.cu(3): warning: x\nplanted.cu(7): error: y is undefined\n1 error")
                )
            ),
            r"compiler: planted.cu\(7\): error: y is undefined: ",
        ),
        (fake_cupy(compiled=raising(ValueError("something new"))), "ValueError: something new: see nvidia-smi"),
    ],
)
def test_status_says_why_not_and_what_to_do(cupy: Any, reason: str, asked: Ask) -> None:
    usable, said = asked(cupy)
    assert not usable
    assert re.search(reason, said), said
    with pytest.raises(DeviceError, match=r"the GPU cannot be used; found .*device=.auto.$"):
        current_device()


def test_a_cupy_that_cannot_be_imported_is_told_from_one_that_is_absent(
    asked: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cupy.py").write_text("raise ImportError('libcuda is of another age', name='cupy_backends')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    cuda_status.cache_clear()
    usable, said = cuda_status()
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    assert not usable
    assert "cannot be imported (libcuda is of another age)" in said


def test_status_names_the_device_where_kernels_run(asked: Ask) -> None:
    assert asked(fake_cupy()) == (True, "Planted 9000, compute capability 9.0, CuPy 14.2.0")
    assert current_device().name == "cuda"
    assert current_device().free_bytes() == 1200
    assert current_device().card() == ("Planted 9000", "9.0", 2000, 100 * 1024)


def test_status_is_asked_once(asked: Ask) -> None:
    calls: list[int] = []
    asked(fake_cupy(count=lambda: calls.append(1) or 1))  # type: ignore[func-returns-value]
    cuda_status()
    assert len(calls) == 1


def test_cuda_kernels_are_kept_opt_in_to_shared_memory_and_stay_on_their_device(
    asked: Ask, scale: loading.Instance
) -> None:
    compiled: list[int] = []
    asked(fake_cupy(compiled=lambda: compiled.append(1)))
    device = current_device()
    run = device.function(scale, "scale")
    run((1,), (64,), (None, np.float32(1)))
    assert device.function(scale, "scale") is run
    assert len(compiled) == 2  # the probe and this one
    run((1,), (64,), (), shared_mem=47 * 1024 + 1)
    run((1,), (64,), (), shared_mem=90 * 1024)
    with pytest.raises(
        DeviceError, match="too much shared memory for this card; found 102400 bytes, expected at most 101376"
    ):
        run((1,), (64,), (), shared_mem=100 * 1024)
    with pytest.raises(DeviceError, match="another device; found device 1, expected device 0"):
        run((1,), (64,), (FakeArray(1),))


def test_a_kernel_that_does_not_compile_is_named_with_the_compilers_first_error(
    asked: Ask, scale: loading.Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = iter([lambda: None])
    asked(fake_cupy(compiled=lambda: next(states, raising(CompileException("scale.cu(8): error: no")))()))
    with pytest.raises(
        DeviceError,
        match=r"kernel scale of scale.cu \(REAL=float\) could not be run; found compiler: scale.cu\(8\): error: no",
    ):
        launch(scale, "scale", (1,), (64,), [None, *[np.int64(1)] * 2, np.float32(1), None, None])
    monkeypatch.setattr(loading, "INSTANCES", (scale,))
    ((inst, seconds, trouble),) = compile_all()
    assert inst == scale
    assert seconds >= 0
    assert "scale.cu(8): error: no" in trouble


# ---------------------------------------------------------------------------------------------- who computes


def test_numpy_arrays_are_computed_on_the_device_only_on_request() -> None:
    values = np.zeros(3)
    assert backend_for(values).median is numpy_engine.median
    with on_device(False):
        assert backend_for(values).median is numpy_engine.median
    with on_device():
        assert backend_for(values).median is hosted.median
        assert backend_for(None).median is hosted.median
    assert backend_for(values).median is numpy_engine.median


def test_the_whole_job_runs_through_the_kernels_when_the_gpu_is_asked_for(device: Device, small: bool) -> None:
    """Print-tip loess of simulated arrays, from the user's call down to the kernels, against NumPy."""
    if small:
        pytest.skip("too many threads for ThreadSanitizer")
    import gridnorm as gn

    arrays = gn.simulate(2, blocks=(2, 2), spots=(9, 10), seed=3).arrays
    for method in ("loess", "mad"):
        expected = gn.normalize(arrays, by="print-tip", method=method, device="cpu")
        found = gn.normalize(arrays, by="print-tip", method=method, device="gpu")
        np.testing.assert_allclose(found.M, expected.M, rtol=0, atol=1e-11)
        np.testing.assert_array_equal(found.A, expected.A)


def test_asking_for_a_gpu_that_is_not_there_is_an_error_with_the_reason(asked: Ask) -> None:
    import gridnorm as gn

    asked(None)
    arrays = gn.simulate(1, blocks=(1, 1), spots=(8, 8), seed=3).arrays
    with pytest.raises(DeviceError, match="the GPU cannot be used; found CuPy is not installed") as raised:
        gn.normalize(arrays, device="gpu")
    assert raised.value.exit_code == 5
    gn.normalize(arrays, device="auto")
