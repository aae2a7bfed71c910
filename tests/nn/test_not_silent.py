"""What came out wrong without a word once, or dropped what it was given: right now, or refused."""

from __future__ import annotations

import random as chance
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs PyTorch: pip install "gridnorm[torch]"')

from gridnorm import nn
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError
from gridnorm.nn.torch import GroupNorm, group_norm

pytestmark = pytest.mark.filterwarnings("default")  # torch.func warns of torch.jit, groups of one value of themselves
func, theirs, inf, nan = torch.func, torch.nn.functional.group_norm, torch.inf, torch.nan


def made(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(ours: Any, expected: Any) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9, equal_nan=True)  # both compute in float64


X, V, W = made(2, 4, 3), made(2, 4, 3, seed=1), made(4, seed=2)
HOLED = X.clone()
HOLED[0, 1, 2] = nan
INFINITE = X.clone()
INFINITE[0, 1, 2] = inf
EQUAL = torch.full_like(X, 3.7)
PRESENT = torch.isfinite(HOLED)


# Values and derivatives that no kernel has: those of the operator, and of torch.


@pytest.mark.parametrize(
    ("x", "how"),
    [
        (X, {"scale": made(1, 4), "shift": made(1, 1)}),
        (X, {"scale": made(2, 1), "shift": made(1, 4), "groups": (2, 0, -1, 2)}),
        (EQUAL, {"eps": 0.0}),
        (HOLED, {"groups": (1, -1, 1, 0)}),
        (HOLED, {"mask": PRESENT}),
        (INFINITE, {"mask": PRESENT, "activation": "silu"}),
        (INFINITE, {"center": False}),
        (X, {"sample_weight": torch.where(PRESENT, 2.0, nan)}),
        (X, {"groups": (-1, -1, -1, -1)}),
    ],
)
def test_a_transform_changes_no_value(x: Any, how: dict[str, Any]) -> None:
    how = {"num_groups": None if "groups" in how else 2, "return_stats": True, **how}
    same(func.jvp(lambda x: group_norm(x, **how), (x,), (V,))[0], group_norm(x, **how))


def test_a_channel_that_passes_keeps_its_nan_from_the_gradient() -> None:
    (gradient,) = func.vjp(lambda x: group_norm(x, groups=(1, -1, 1, 0)), HOLED)[1](V)
    assert torch.equal(gradient[:, 1], V[:, 1])
    assert torch.isfinite(gradient).all()


def test_the_gradient_of_the_mean_of_equal_values() -> None:
    """rstd is 0 there, of which the gradient of x is a multiple, but for the mean's."""
    for how in ({}, {"mask": PRESENT}, {"sample_weight": X.abs()}):
        x = EQUAL.clone().requires_grad_()
        counts = torch.ones_like(X) * how.get("mask", 1) * how.get("sample_weight", 1)
        total = (x * counts).reshape(2, 2, 6).sum(2) / counts.reshape(2, 2, 6).sum(2)
        found = group_norm(x, 2, eps=0.0, return_stats=True, **how)[1]
        same(torch.autograd.grad(found, x, W.reshape(2, 2)), torch.autograd.grad(total, x, W.reshape(2, 2)))


def test_a_hessian_in_forward_mode() -> None:
    def hessian(norm: Any) -> Any:
        how = {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}
        return torch.autograd.functional.hessian(lambda x: norm(x, 2, W).pow(3).sum(), X, **how)

    def by_hand(x: Any, groups: int, w: Any) -> Any:  # torch's normalization has no forward mode of its backward
        cut = x.reshape(len(x), groups, -1)
        z = (cut - cut.mean(2, keepdim=True)) / (cut.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
        return z.reshape(x.shape) * w[:, None]

    same(hessian(group_norm), hessian(by_hand))


@pytest.mark.slow
@pytest.mark.parametrize(("transform", "how"), [("jvp", {"num_groups": 2}), ("hessian", {"groups": (0, 1, 1, 0)})])
def test_what_inductor_makes_of_a_transform(transform: str, how: dict[str, Any]) -> None:
    """With sums by index it added up where an expanded 0 was: tangents were wrong, and hessians read beyond memory."""

    def call(x: Any, v: Any) -> Any:
        if transform == "jvp":
            return func.jvp(lambda x: group_norm(x, weight=W, **settings), (x,), (v,))
        return func.hessian(lambda x: group_norm(x, weight=W, **settings).pow(3).sum())(x)

    settings = {"num_groups": None, **how}
    torch._dynamo.reset()
    same(torch.compile(call)(X, V), call(X, V))


def drawn(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors, and settings, of a call."""
    pick, tensors = chance.Random(seed), iter(range(100 * seed, 100 * seed + 100))

    def new(*shape: int) -> Any:
        return made(*shape, seed=next(tensors))

    shape, batch, axes = pick.choice(
        [
            ((2, 6, 4), (2,), {}),
            ((2, 3, 6), (2,), {"channel_axis": -1}),
            ((2, 2, 6, 3), (2, 2), {"channel_axis": 2, "batch_axes": (1, 0)}),
            ((6, 5), (), {"channel_axis": 0, "batch_axes": ()}),
        ]
    )
    labels = pick.choice([None, (2, 0, 0, 1, -1, 2), (5,) * 6])
    number = None if labels else pick.choice([1, 2, 3])
    affine, groups = pick.choice(["channel", "group"]), number or len({*(labels or ())} - {-1})
    given = {"x": new(*shape) * pick.choice([1, 1000]) + pick.choice([0, 1e5])}
    parts = {
        "weight": (6 if affine == "channel" else groups,),
        "bias": (6 if affine == "channel" else groups,),
        "scale": (*(pick.choice([1, n]) for n in batch), pick.choice([1, 6])),
        "shift": (*(pick.choice([1, n]) for n in batch), pick.choice([1, 6])),
        "residual": shape,
    }
    given |= {name: new(*size) for name, size in parts.items() if pick.random() < 0.5}
    how = {"num_groups": number, "groups": labels, "affine": affine, "center": pick.random() < 0.7, **axes}
    how |= {"eps": pick.choice([1e-5, 0.1]), "activation": pick.choice([None, "silu", "relu", "gelu"])}
    how |= {"mask": new(*shape) > -2} if pick.random() < 0.3 else {}
    how |= {"sample_weight": new(*shape).abs()} if pick.random() < 0.3 else {}
    return given, {**how, "return_stats": True, "return_residual": "residual" in given}


@pytest.mark.parametrize("seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 300))])
def test_kernels_and_compositions_agree_on_whatever_is_given(seed: int) -> None:
    given, how = drawn(seed)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in given.items()}
    tangents = {name: made(*tensor.shape, seed=k) for k, (name, tensor) in enumerate(given.items())}
    plain = group_norm(**leaves, **how)
    seeds = [made(*one.shape, seed=50 + k) for k, one in enumerate(plain)]
    live = [k for k, one in enumerate(plain) if one.requires_grad]
    results, backs = ([many[k] for k in live] for many in (plain, seeds))
    first = torch.autograd.grad(results, list(leaves.values()), backs, allow_unused=True)
    values, pull = func.vjp(lambda given: group_norm(**given, **how), given)
    second = pull(tuple(seeds))[0]
    for one, other in zip(values, plain, strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=1e-9, atol=1e-8)  # 1e5 costs five digits of sixteen
    for one, other in zip(first, second.values(), strict=True):
        close = {"rtol": 1e-7, "atol": 1e-7 * max(1.0, float(other.abs().max()))}
        torch.testing.assert_close(torch.zeros_like(other) if one is None else one, other, **close)
    pushed = func.jvp(lambda given: group_norm(**given, **how), (given,), (tangents,))[1]
    there = sum((back * push).sum() for back, push in zip(seeds, pushed, strict=True))
    back = sum((second[name] * tangents[name]).sum() for name in given)
    torch.testing.assert_close(there, back, rtol=1e-7, atol=1e-6 * max(1.0, float(abs(back))))


# Modules that do more, or less, than a group normalization.


class Base(torch.nn.GroupNorm):
    def __init__(self) -> None:
        super().__init__(2, 4)


class InPlace(Base):
    def forward(self, x: Any) -> Any:
        x.add_(1)
        return super().forward(x)


class InPlaceAfter(Base):
    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        y.mul_(2)
        return y


class OnlyInTraining(Base):
    def forward(self, x: Any) -> Any:
        return super().forward(torch.nn.functional.dropout(x) if self.training else x)


class Drifting(Base):
    def forward(self, x: Any) -> Any:
        self.weight.mul_(1.1)
        return super().forward(x)


class Caller(Base):
    def _call_impl(self, *args: Any, **options: Any) -> Any:
        return 2 * super()._call_impl(*args, **options)


class Followed(Base):
    def __init__(self) -> None:
        super().__init__()
        self.act = torch.nn.Identity()
        self.act.register_forward_hook(lambda module, given, y: 2 * y)

    def forward(self, x: Any) -> Any:
        return self.act(super().forward(x))


class Computed(Base):
    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        return torch.nn.functional.softplus(found) if name == "weight" else found


def with_a_buffer() -> Any:
    module = Base()
    del module.weight
    module.register_buffer("weight", torch.ones(4))
    return module


def normed_as_of_old() -> Any:
    module = Base()
    torch.nn.utils.weight_norm(module, "weight")
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make",
    [
        InPlace,
        InPlaceAfter,
        lambda: OnlyInTraining().eval(),
        OnlyInTraining,
        Drifting,
        Caller,
        Followed,
        Computed,
        with_a_buffer,
        normed_as_of_old,
    ],
)
def test_a_module_that_does_more_is_not_taken(make: Callable[[], Any]) -> None:
    module = make()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    for layer in (GroupNorm, nn.GroupNorm):
        with pytest.raises(OptionError, match="the forward of|has hooks|are not its own"):
            layer.from_torch(module)
    for name, p in module.named_parameters():
        torch.testing.assert_close(p, before[name], rtol=0, atol=0, equal_nan=True)


def test_looking_at_a_module_leaves_nothing_behind() -> None:
    class Remembering(Base):
        def forward(self, x: Any) -> Any:
            self.last = x
            return torch.nn.functional.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    module = Remembering().eval()
    module(X.float())
    assert not GroupNorm.from_torch(module).training and type(module.last) is torch.Tensor


def test_parameters_are_those_of_the_module() -> None:
    """Not what hooks make of its state; and a weight that is not there is 1."""
    module = torch.nn.GroupNorm(2, 4)
    module.register_state_dict_post_hook(lambda module, state, prefix, local: state.update(weight=state["weight"] * 0))
    assert nn.GroupNorm.from_torch(module).weight.tolist() == [1.0] * 4
    module = torch.nn.GroupNorm(2, 4)
    module.weight = None
    with torch.no_grad():
        module.bias += torch.arange(4)
    found = nn.GroupNorm.from_torch(module)(X.float().numpy())
    assert np.abs(found - module(X.float()).detach().numpy()).max() < 1e-6  # float32


@pytest.mark.parametrize("setting", [{"bias": False}, {"eps": 1.0}, {"groups": (0, 0, 1, 1)}, {"dtype": torch.float64}])
def test_from_torch_takes_no_setting_that_the_module_has(setting: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"a module has this already; found {next(iter(setting))}="):
        GroupNorm.from_torch(Base(), **setting)


def test_tensors_have_no_groups_without_channels() -> None:
    holes = Segments.from_codes(np.array([0, 2, 2, 0]), [0, 1, 2])
    assert nn.group_norm(X.numpy(), groups=holes, return_stats=True)[1].shape == (2, 3)
    with pytest.raises(OptionError, match="a group holds no channel"):
        group_norm(X, groups=holes)


# Arrays


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(4) * 1j, "weight must hold real numbers; found dtype complex128"),
        (list("1234"), "weight must hold real numbers; found dtype <U1"),
        ([None, 1, 1, 1], "weight must hold real numbers; found dtype object"),
        (np.full(4, 1e300), "weight does not fit float32; found numbers beyond it"),
    ],
)
def test_a_state_that_is_no_state_changes_nothing(weight: Any, message: str) -> None:
    layer = nn.GroupNorm(2, 4)
    with pytest.raises(OptionError, match=message):
        layer.load_state_dict({"bias": np.ones(4), "weight": weight})
    assert layer.weight.tolist() == [1.0] * 4 and layer.bias.tolist() == [0.0] * 4


@pytest.mark.parametrize("wrong", [np.zeros(4, complex), np.zeros(4, object), np.broadcast_to(0.0, 4)])
def test_running_statistics_that_cannot_be_moved_are_refused_before_anything_is(wrong: Any) -> None:
    moved = np.zeros(4)
    with pytest.raises(OptionError, match="must hold real numbers|must be writable; found running_var"):
        nn.batch_norm(X.numpy(), moved, wrong, training=True)
    assert not moved.any()


HALF = np.ma.masked_array(X[0].numpy(), X[0].numpy() > 0)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: nn.group_norm([HALF, HALF], 2), "x"),
        (lambda: nn.groups.doctor([HALF, HALF], 2), "x"),
        (lambda: nn.segment_norm(list(HALF), [0, 0, 1, 1]), "x"),
        (lambda: nn.group_norm(X.numpy(), 2, (1.0, np.ma.masked, 1.0, 1.0)), "weight"),
        (lambda: nn.group_norm(X.numpy(), groups=[0, np.ma.masked, 1, 1]), "groups"),
        (lambda: nn.groups.pruned([0, np.ma.masked, 1, 1], [0, 1]), "labels"),
    ],
)
def test_masks_within_a_list_are_not_lost(call: Callable[[], Any], name: str) -> None:
    with pytest.raises(OptionError, match=f"{name} holds masked values, and their masks would be lost"):
        call()
