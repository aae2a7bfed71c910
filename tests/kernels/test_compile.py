"""Every kernel compiles for every card generation, without warnings and without spills; and the check can fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nvrtc
import pytest

from gridnorm.core.engines.cuda import loading

pytestmark = pytest.mark.nvrtc


@pytest.fixture(autouse=True)
def compiler(skip_without: Callable[[str, str], None]) -> None:
    reason = nvrtc.why_not()
    if reason:
        skip_without("nvrtc", reason)


SOME = ("sm_75", "sm_90", "sm_120")  # the oldest, the one in between, the newest; the others in the slow tests
CARDS = [
    pytest.param(SOME, id="some"),
    pytest.param(tuple(set(nvrtc.ARCHITECTURES) - set(SOME)), id="others", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("cards", CARDS)
@pytest.mark.parametrize("inst", loading.INSTANCES, ids=str)
def test_compiles_for_every_card_without_warnings_and_spills(inst: loading.Instance, cards: tuple[str, ...]) -> None:
    for compiled in nvrtc.compile_instance(inst, cards):
        assert compiled.complaints == []
        assert set(compiled.kernels) == set(loading.kernel_names(inst))  # the signature reader sees what NVRTC sees


def test_every_kernel_file_compiles_alone_with_its_default_macros() -> None:
    for path in sorted(loading.kernel_folder().glob("*.cu")):
        (compiled,) = nvrtc.compile_instance(loading.instance(path.name), ["sm_75"])
        assert compiled.complaints == []
        assert compiled.kernels


def test_every_kernel_file_has_variants_that_are_checked() -> None:
    files = {path.name for path in loading.kernel_folder().glob("*.cu")}
    assert {inst.file for inst in loading.INSTANCES} == files


# 300 values that live at once do not fit into the 64 registers that a block of 1024 threads leaves to each.
_SPILL = (
    "float a[300];\n#pragma unroll\nfor (int i = 0; i < 300; ++i) a[i] = x[i * n];\n"
    "#pragma unroll\nfor (int i = 0; i < 300; ++i) x[i] = a[299 - i] * a[i];"
)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("x[0] = 1.0f;", None),
        ("int left_over; x[0] = 1.0f;", 'left_over" was declared but never referenced'),
        ("x[0] = y;", "planted.cu(3): error"),
        (_SPILL, "bytes spilled"),
    ],
)
def test_a_warning_an_error_and_a_spill_are_each_caught(body: str, complaint: str | None, tmp_path: Path) -> None:
    file = tmp_path / "planted.cu"
    file.write_text(f'extern "C" __global__ void __launch_bounds__(1024)\nplanted(float* x, int n) {{\n{body}\n}}\n')
    (compiled,) = nvrtc.compile_instance(loading.instance(str(file)), ["sm_90"])
    if complaint is None:
        assert compiled.complaints == []
        assert compiled.kernels["planted"].registers > 0
    else:
        assert any(complaint in line for line in compiled.complaints), compiled.log
