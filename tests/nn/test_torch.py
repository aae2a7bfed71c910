"""The bridge to PyTorch: numbers, derivatives, memory, and the operator that torch.compile sees."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs PyTorch: pip install "gridnorm[torch]"')

from torch.autograd import gradcheck, gradgradcheck

from gridnorm import nn
from gridnorm.errors import GridnormWarning, OptionError
from gridnorm.nn import torch_operator
from gridnorm.nn.torch import GroupNorm, group_norm

LABELS = (2, 0, 0, 1, -1, 2)


def random(*shape: int, seed: int = 0, dtype: Any = torch.float64, grad: bool = False) -> Any:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    return made.requires_grad_(grad)


def error(a: Any, b: Any) -> float:
    return float((a.detach().double() - b.detach().double()).abs().max())


def peak(a: Any) -> float:
    return float(a.detach().abs().max())


# Numbers


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
@pytest.mark.parametrize("shape", [(2, 6), (3, 6, 5), (2, 6, 4, 3), (1, 6, 2, 3, 2)])
def test_agrees_with_torch(shape: tuple[int, ...], dtype: Any, tolerance: float) -> None:
    x, w, b = random(*shape, dtype=dtype, grad=True), random(6, seed=1, dtype=dtype), random(6, seed=2, dtype=dtype)
    w.requires_grad_(), b.requires_grad_()
    seed = random(*shape, seed=3, dtype=dtype)
    ours, theirs = group_norm(x, 3, w, b), torch.nn.functional.group_norm(x, 3, w, b)
    assert ours.dtype == dtype and error(ours, theirs) < tolerance
    mine, other = (torch.autograd.grad(y, (x, w, b), seed) for y in (ours, theirs))
    for a, c in zip(mine, other, strict=True):
        assert a.dtype == c.dtype and a.shape == c.shape
        assert error(a, c) < 20 * tolerance


def test_is_the_array_function_on_the_same_memory() -> None:
    x, w = random(4, 6, 3, 3, dtype=torch.float32), random(6, seed=1, dtype=torch.float32)
    options: dict[str, Any] = {"groups": LABELS, "activation": "silu", "return_stats": True}
    arrays = nn.group_norm(x.numpy(), weight=w.numpy(), **options)
    for a, t in zip(arrays, group_norm(x, weight=w, **options), strict=True):
        assert t.numpy().dtype == a.dtype and np.array_equal(t.numpy(), a)


@pytest.mark.parametrize("groups", [[[0, 3], [1, 2]], torch.tensor([0, 1, 1, 0]), np.array([0, 1, 1, 0]), list("abba")])
def test_groups_may_be_given_in_many_ways(groups: Any) -> None:
    x = random(2, 4, 5)
    assert torch.equal(group_norm(x, groups=groups), group_norm(x, groups=(0, 1, 1, 0)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_with_parameters_in_single(dtype: Any) -> None:
    if dtype == torch.bfloat16:
        pytest.importorskip("ml_dtypes", reason='needs ml_dtypes: pip install "gridnorm[nn]"')
    x, w, b = random(3, 8, 7, dtype=dtype, grad=True), random(8, seed=1), random(8, seed=2)
    w, b = w.float().requires_grad_(), b.float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = group_norm(x, 4, w, b)
    reference = torch.nn.functional.group_norm(x.double(), 4, w.double(), b.double())
    bits = 2.0 ** (-11 if dtype == torch.float16 else -8)
    assert y.dtype == dtype and error(y, reference) < 4 * bits * peak(reference)
    seed = random(3, 8, 7, seed=3, dtype=dtype)
    ours = torch.autograd.grad(y, (x, w, b), seed)
    theirs = torch.autograd.grad(reference, (x, w, b), seed.double())
    assert [g.dtype for g in ours] == [dtype, torch.float32, torch.float32]
    assert error(ours[0], theirs[0]) < 4 * bits * peak(theirs[0])
    for a, c in zip(ours[1:], theirs[1:], strict=True):
        # Parameters' gradients come from statistics in single precision, not from rounded ones.
        assert error(a, c) < 1e-5 * peak(c)


def test_bfloat16_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(OptionError, match=r"gridnorm\[nn\]"):
        group_norm(torch.ones(1, 4, 2, dtype=torch.bfloat16), 2)


def test_channels_last_with_an_offset() -> None:
    # torch's own CPU path for this layout loses all digits here.
    x = (random(2, 32, 24, 24) + 1000).float().to(memory_format=torch.channels_last)
    reference = torch.nn.functional.group_norm(x.double().contiguous(), 4)
    x.requires_grad_()
    y = group_norm(x, 4)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert error(y, reference) < 4e-6
    (dx,) = torch.autograd.grad(y, x, y.detach())
    assert dx.is_contiguous(memory_format=torch.channels_last)


def test_no_copy_of_any_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, Any]] = []
    inner = nn.functional.group_norm

    def spy(x: Any, *args: Any, out: Any, **options: Any) -> Any:
        seen.append((x.ctypes.data, out.ctypes.data))
        return inner(x, *args, out=out, **options)

    monkeypatch.setattr(nn.functional, "group_norm", spy)
    base = random(2, 5, 4, 6)
    for x in (base, base.to(memory_format=torch.channels_last), base.transpose(1, 3), base[:, 1:, ::2]):
        y = group_norm(x, x.shape[1])
        assert seen.pop() == (x.data_ptr(), y.data_ptr())
        assert error(y, torch.nn.functional.group_norm(x.contiguous(), x.shape[1])) < 1e-12


def test_one_value_per_group_gives_the_bias_for_any_batch() -> None:
    for n in (1, 2):
        with pytest.warns(GridnormWarning, match="one value per sample"):
            y = group_norm(random(n, 4, 1, 1), 4, torch.ones(4).double(), torch.arange(4.0).double())
        assert torch.equal(y, torch.arange(4.0).double().reshape(1, 4, 1, 1).expand(n, 4, 1, 1))


@pytest.mark.parametrize("shape", [(0, 4), (0, 4, 2, 2), (2, 4, 0)])
def test_empty_batches_pass(shape: tuple[int, ...]) -> None:
    x, w = torch.zeros(shape, requires_grad=True), torch.ones(4, requires_grad=True)
    y = group_norm(x, 2, w)
    y.sum().backward()
    assert y.shape == shape and x.grad.shape == shape and torch.equal(w.grad, torch.zeros(4))


# Derivatives

CASES: dict[str, dict[str, Any]] = {
    "plain": {"num_groups": 3},
    "one group": {"num_groups": 1},
    "instance": {"num_groups": 6},
    "labels": {"groups": LABELS},
    "tied": {"groups": LABELS, "affine": "group"},
    "rms": {"num_groups": 2, "center": False},
    "silu": {"num_groups": 2, "activation": "silu"},
    "gelu": {"groups": LABELS, "activation": "gelu"},
    "last axis": {"num_groups": 2, "channel_axis": -1},
    "two batch axes": {"num_groups": 2, "channel_axis": 2, "batch_axes": (0, 1)},
    "no batch": {"num_groups": 2, "channel_axis": 0, "batch_axes": ()},
    "statistics": {"num_groups": 2, "return_stats": True},
}
SHAPES = {"last axis": (2, 4, 6), "two batch axes": (2, 2, 6, 3), "no batch": (6, 4)}


@pytest.mark.parametrize("name", CASES)
def test_first_and_second_derivatives(name: str) -> None:
    options = CASES[name]
    x = random(*SHAPES.get(name, (2, 6, 4)), grad=True)
    size = 3 if options.get("affine") == "group" else 6
    w, b = random(size, seed=1, grad=True), random(size, seed=2, grad=True)

    def function(x: Any, w: Any, b: Any) -> Any:
        return group_norm(x, weight=w, bias=b, eps=1e-6, **options)

    assert gradcheck(function, (x, w, b))
    assert gradgradcheck(function, (x, w, b))


def test_derivatives_with_mask_and_weights() -> None:
    x, w = random(2, 6, 4, grad=True), random(6, seed=1, grad=True)
    mask = random(2, 1, 4, seed=4) > -0.5
    share = random(6, 1, seed=5).abs()

    def function(x: Any, w: Any) -> Any:
        return group_norm(x, 2, w, mask=mask, sample_weight=share)

    assert gradcheck(function, (x, w))
    assert gradgradcheck(function, (x, w))


@pytest.mark.parametrize("last", [6, 1])
def test_derivatives_of_modulation_and_residual(last: int) -> None:
    x, r = random(2, 6, 4, grad=True), random(2, 6, 4, seed=7, grad=True)
    w, b = random(6, seed=1, grad=True), random(6, seed=2, grad=True)
    scale, shift = random(2, last, seed=3, grad=True), random(2, last, seed=4, grad=True)

    def function(x: Any, w: Any, b: Any, scale: Any, shift: Any, r: Any) -> Any:
        return group_norm(x, 3, w, b, scale=scale, shift=shift, residual=r, return_residual=True, activation="silu")

    assert gradcheck(function, (x, w, b, scale, shift, r))
    assert gradgradcheck(function, (x, w, b, scale, shift, r))


def test_third_derivative() -> None:
    x, seed = random(1, 4, 2, grad=True), random(1, 4, 2, seed=1)

    def second(function: Any, x: Any) -> Any:
        (first,) = torch.autograd.grad(function(x, 2, eps=0.1), x, seed, create_graph=True)
        return torch.autograd.grad(first.square().sum(), x, create_graph=True)[0]

    assert gradcheck(partial(second, group_norm), (x,))
    ours, theirs = (
        torch.autograd.grad(second(function, x).square().sum(), x)[0]
        for function in (group_norm, torch.nn.functional.group_norm)
    )
    assert error(ours, theirs) < 1e-10 * peak(theirs)


def test_second_derivative_is_that_of_the_arrays() -> None:
    x, w, b = random(2, 6, 4, grad=True), random(6, seed=1, grad=True), random(6, seed=2, grad=True)
    dy, dd = random(2, 6, 4, seed=3, grad=True), (random(2, 6, 4, seed=4), random(6, seed=5), random(6, seed=6))
    y = group_norm(x, groups=LABELS, weight=w, bias=b, activation="gelu")
    first = torch.autograd.grad(y, (x, w, b), dy, create_graph=True)
    ours = torch.autograd.grad(first, (dy, x, w, b), dd)
    args = [t.detach().numpy() for t in (*dd, dy, x)]
    _, mean, rstd = nn.group_norm(args[4], groups=LABELS, return_stats=True)
    arrays = nn.group_norm_double_backward(
        *args, mean, rstd, w.detach().numpy(), bias=b.detach().numpy(), groups=LABELS, activation="gelu"
    )
    for t, a in zip(ours, arrays, strict=True):
        assert error(t, torch.from_numpy(a)) < 1e-12


def test_a_weight_computed_from_x_is_not_counted_twice() -> None:
    # A hypernetwork: the second derivative with respect to x has a path through the weight as well.
    x = random(2, 4, 3, grad=True)

    def function(x: Any) -> Any:
        return group_norm(x, 2, weight=x.mean((0, 2)) * 2, bias=x[0, :, 0])

    assert gradcheck(function, (x,))
    assert gradgradcheck(function, (x,))
    seed, seeds = random(2, 4, 3, seed=1), random(2, 4, 3, seed=2)
    found = []
    for further in (False, True):
        (first,) = torch.autograd.grad(function(x), x, seed, create_graph=True)
        found += torch.autograd.grad(first, x, seeds, create_graph=further)
    assert error(*found) < 1e-12


@pytest.mark.parametrize("which", range(1, 8))
def test_any_part_may_need_a_gradient(which: int) -> None:
    wanted = [bool(which & bit) for bit in (1, 2, 4)]
    tensors = [random(3, 4, 5), random(4, seed=1), random(4, seed=2)]
    theirs = [t.clone() for t in tensors]
    for group, function in ((tensors, group_norm), (theirs, torch.nn.functional.group_norm)):
        for tensor, need in zip(group, wanted, strict=True):
            tensor.requires_grad_(need)
        function(group[0], 2, group[1], group[2]).square().sum().backward()
    for a, c, need in zip(tensors, theirs, wanted, strict=True):
        assert (a.grad is not None) == need
        assert not need or error(a.grad, c.grad) < 1e-11


def test_nothing_is_recorded_without_need() -> None:
    x = random(2, 4, 3, grad=True)
    with torch.no_grad():
        assert not group_norm(x, 2).requires_grad
    with torch.inference_mode():
        assert torch.equal(group_norm(x, 2), group_norm(x.detach(), 2))
    assert not group_norm(x.detach(), 2, torch.ones(4)).requires_grad


def test_gradients_are_the_same_every_time() -> None:
    x, w = random(8, 16, 9, 9, dtype=torch.float32, grad=True), random(16, seed=1, dtype=torch.float32, grad=True)
    runs = [torch.autograd.grad(group_norm(x, 4, w).square().sum(), (x, w)) for _ in range(3)]
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))


def test_nan_stays_in_its_group() -> None:
    x = random(2, 4, 3)
    x[0, 1, 1] = torch.nan
    x.requires_grad_()
    (first,) = torch.autograd.grad(group_norm(x, 2).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    for found in (first, second):
        assert torch.isnan(found[0, :2]).all()
        assert torch.isfinite(found[0, 2:]).all() and torch.isfinite(found[1]).all()


def test_masked_nan_reaches_no_derivative() -> None:
    x, mask = random(2, 4, 3), torch.ones(2, 4, 3, dtype=torch.bool)
    mask[0, 1, 1] = False
    found = []
    for value in (0.0, torch.nan):
        z = x.clone()
        z[0, 1, 1] = value
        z.requires_grad_()
        (first,) = torch.autograd.grad(group_norm(z, 2, mask=mask)[mask].pow(3).sum(), z, create_graph=True)
        (second,) = torch.autograd.grad(first[mask].square().sum(), z)
        found.append(torch.cat([first.detach()[mask], second[mask]]))
    assert torch.isfinite(found[1]).all() and error(*found) < 1e-12


# The operator


def sample(**changes: Any) -> tuple[Any, ...]:
    tensors: dict[str, Any] = dict.fromkeys(("weight", "bias", "scale", "shift", "residual", "mask", "sample_weight"))
    settings = {
        "num_groups": 2,
        "groups": None,
        "eps": 1e-5,
        "channel_axis": 1,
        "batch_axes": [0],
        "affine": "channel",
        "center": True,
        "activation": None,
    }
    given = {"x": random(3, 6, 4, dtype=torch.float32, grad=True), **tensors, **settings}
    assert changes.keys() <= given.keys()
    return tuple({**given, **changes}.values())


@pytest.mark.parametrize("kind", ["plain", "affine", "labels", "everything"])
@pytest.mark.filterwarnings("default")
def test_opcheck(kind: str) -> None:
    def make(*shape: int) -> Any:
        return random(*shape, seed=len(shape), dtype=torch.float32, grad=True)

    more: dict[str, dict[str, Any]] = {
        "plain": {},
        "affine": {"weight": make(6), "bias": make(6)},
        "labels": {"groups": list(LABELS), "num_groups": None, "weight": make(3), "affine": "group"},
        "everything": {
            "weight": make(6),
            "scale": make(3, 6),
            "shift": make(3, 1),
            "residual": make(3, 6, 4),
            "mask": torch.ones(3, 1, 4, dtype=torch.bool),
            "activation": "silu",
        },
    }
    args = sample(**more[kind])
    result = torch.library.opcheck(torch_operator.group_norm, args)
    assert set(result.values()) == {"SUCCESS"}
    x, weight, bias, scale, shift, _, mask, share, *settings = args
    _, mean, rstd, _ = torch_operator.group_norm(*args)
    second = (torch.ones(3, 6, 4), None, None, mean.detach(), rstd.detach(), x, weight, bias, scale, shift, mask, share)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    result = torch.library.opcheck(torch_operator.group_norm_backward, (*second, *settings), test_utils=tests)
    assert set(result.values()) == {"SUCCESS"}


def test_fake_tensors_have_the_shapes_of_real_ones() -> None:
    x = random(2, 6, 4, 4, dtype=torch.float32).to(memory_format=torch.channels_last)
    real = group_norm(x, groups=LABELS, residual=x, return_residual=True, return_stats=True)
    x = x.to("meta")
    fake = group_norm(x, groups=LABELS, residual=x, return_residual=True, return_stats=True)
    for a, c in zip(fake, real, strict=True):
        assert (a.shape, a.dtype, a.stride()) == (c.shape, c.dtype, c.stride())


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.filterwarnings("default")
def test_compiles_into_one_graph(backend: str) -> None:
    torch._dynamo.reset()
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3), GroupNorm(groups=LABELS, num_channels=6, activation="silu"), GroupNorm(2, 6)
    )
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    for n in (2, 3):
        x = random(n, 3, 6, 6, dtype=torch.float32)
        model.zero_grad()
        y = model(x)
        y.square().sum().backward()
        expected = [p.grad.clone() for p in model.parameters()]
        model.zero_grad()
        found = compiled(x)
        found.square().sum().backward()
        assert error(found, y) < 1e-6
        for p, g in zip(model.parameters(), expected, strict=True):
            assert error(p.grad, g) < 1e-5 * peak(g)


@pytest.mark.filterwarnings("default")
def test_the_function_compiles_with_its_usual_groups() -> None:
    torch._dynamo.reset()
    labels = tuple(range(4)) * 8
    calls: list[Any] = [lambda x: group_norm(x), lambda x: group_norm(x, groups=labels)]
    for call in calls:
        x = random(2, 32, 3)
        assert torch.equal(torch.compile(call, fullgraph=True, backend="eager")(x), call(x))


def test_functions_of_arrays_point_to_those_of_tensors() -> None:
    from gridnorm import nn
    from gridnorm.errors import OptionError as Refused

    x = torch.zeros(2, 4)
    for call in (nn.group_norm, nn.layer_norm, nn.instance_norm, nn.batch_norm):
        with pytest.raises(Refused, match="gridnorm.nn.torch.group_norm and GroupNorm take tensors"):
            call(x, 2) if call is nn.group_norm else call(x)
