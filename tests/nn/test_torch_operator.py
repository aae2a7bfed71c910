"""Gradients that reach x and the residual by two ways, fake results, and tensors that no engine here computes on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='needs PyTorch: pip install "gridnorm[torch]"')

from gridnorm.core.engines.cuda import device
from gridnorm.errors import DeviceError
from gridnorm.nn import torch_operator
from gridnorm.nn.torch import group_norm


def random(*shape: int, seed: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("of_y", "of_sum"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (2.0, -3.0)])
@pytest.mark.parametrize("second", [False, True])
def test_the_gradients_of_the_result_and_of_the_sum_are_added(of_y: float, of_sum: float, second: bool) -> None:
    x, r = (random(2, 6, 3, seed=k).requires_grad_() for k in (1, 2))
    a, b = random(2, 6, 3, seed=3), random(2, 6, 3, seed=4)
    y, total = group_norm(x, 2, residual=r, return_residual=True)
    plain = torch.nn.functional.group_norm(x + r, 2), x + r
    found = []
    for one, two in ((y, total), plain):
        loss = sum(k * (v * c).pow(2).sum() for k, v, c in ((of_y, one, a), (of_sum, two, b)) if k)
        first = torch.autograd.grad(loss, (x, r), create_graph=second)
        found.append(torch.autograd.grad(first[0].pow(2).sum(), (x, r)) if second else first)
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(not hasattr(torch.Tag, "cudagraph_unsafe"), reason="this PyTorch has no such tag")
def test_no_operator_is_recorded_into_a_graph_of_cuda() -> None:
    for name in ("group_norm", "group_norm_backward"):
        assert torch.Tag.cudagraph_unsafe in getattr(torch.ops.gridnorm, name).default.tags


def test_tensors_of_a_device_without_an_engine_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cuda_status", lambda: (False, "no driver"))
    with (
        pytest.raises(DeviceError, match="CUDA tensors cannot be computed on; found no driver"),
        torch_operator._at_home(SimpleNamespace(device=SimpleNamespace(type="cuda", index=0))),
    ):
        pass


def test_return_flags_of_torch_choose_what_comes_back() -> None:
    x = random(2, 6, 3, seed=1)
    plain = group_norm(x, 2)
    for stats in (False, True):
        for added in (False, True):
            found = group_norm(x, 2, return_stats=stats, **({"residual": x, "return_residual": True} if added else {}))
            assert isinstance(found, tuple) is (stats or added)
            assert len(found) == 1 + 2 * stats + added if stats or added else torch.equal(found, plain)
