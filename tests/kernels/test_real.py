"""``real.cuh``: what no test of a kernel reaches, because it would take more memory than a test has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda.device import Device
from gridnorm.core.engines.cuda.launch import launch

DIVIDE = """#include "real.cuh"
extern "C" __global__ void divided(const long long* a, const long long* b, long long* quotient, long long* rest) {
    gn::divide(a[threadIdx.x], b[threadIdx.x], quotient[threadIdx.x], rest[threadIdx.x]);
}
"""


def test_division_of_positions_beyond_32_bits(device: Device, tmp_path: Path) -> None:
    (tmp_path / "divided.cu").write_text(DIVIDE)
    edges = [1, 3, 7, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1, 2**32, 2**40 + 7, 2**62]
    a, b = (np.ravel(v) for v in np.meshgrid([0, *edges], edges, indexing="ij"))
    xp = device.xp
    out = [xp.zeros(a.size, xp.int64) for _ in range(2)]
    inst = loading.instance(str(tmp_path / "divided.cu"))
    launch(inst, "divided", (1,), (a.size,), [xp.asarray(a), xp.asarray(b), *out])
    assert out[0].tolist() == (a // b).tolist()
    assert out[1].tolist() == (a % b).tolist()
