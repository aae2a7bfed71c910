"""Forward-mode derivatives and the transforms of ``torch.func``: as those of torch's own normalization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='needs PyTorch: pip install "gridnorm[torch]"')
from torch.autograd import forward_ad

from gridnorm.errors import OptionError
from gridnorm.nn.torch import GroupNorm, group_norm

pytestmark = pytest.mark.filterwarnings("default")  # torch.func warns of torch.jit and more

theirs = torch.nn.functional.group_norm


def by_hand(x: Any, groups: int, w: Any) -> Any:
    """For torch's normalization has no forward mode of its backward."""
    cut = x.reshape(len(x), groups, -1)
    z = (cut - cut.mean(2, keepdim=True)) / (cut.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
    return z.reshape(x.shape) * w[:, None]


LABELS = (1, 0, 1, -1, 0, 1)


def random(*shape: int, seed: int = 0, grad: bool = False) -> Any:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return made.requires_grad_(grad)


def same(ours: Any, expected: Any) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


TRANSFORMS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "jvp": lambda f, x, v: torch.func.jvp(f, (x,), (v,)),
    "jacfwd": lambda f, x, v: torch.func.jacfwd(f)(x),
    "linearize": lambda f, x, v: torch.func.linearize(f, x)[1](v),
    "jacrev": lambda f, x, v: torch.func.jacrev(f)(x),
    "vjp": lambda f, x, v: torch.func.vjp(f, x)[1](v),
    "grad": lambda f, x, v: torch.func.grad(lambda x: f(x).pow(3).sum())(x),
    "hessian": lambda f, x, v: torch.func.hessian(lambda x: f(x).pow(3).sum())(x),
    "jvp of jvp": lambda f, x, v: torch.func.jvp(lambda z: torch.func.jvp(f, (z,), (v,))[1], (x,), (v + 1,)),
    "vmap": lambda f, x, v: torch.func.vmap(f)(torch.stack([x, v])),
    "vmap of grad": lambda f, x, v: torch.func.vmap(torch.func.grad(lambda x: f(x).pow(3).sum()))(torch.stack([x, v])),
    "jacobian": lambda f, x, v: torch.autograd.functional.jacobian(f, x, strategy="forward-mode", vectorize=True),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name: str) -> None:
    x, v, w, b = random(2, 4, 3), random(2, 4, 3, seed=1), random(4, seed=2), random(4, seed=3)
    transform = TRANSFORMS[name]
    same(transform(lambda x: group_norm(x, 2, w, b), x, v), transform(lambda x: theirs(x, 2, w, b), x, v))


def test_between_convolutions_and_for_every_parameter() -> None:
    torch.manual_seed(0)
    first, last = (torch.nn.Conv1d(4, 4, 3, dtype=torch.float64) for _ in range(2))
    found = []
    for norm in (GroupNorm(2, 4, dtype=torch.float64), torch.nn.GroupNorm(2, 4, dtype=torch.float64)):
        model = torch.nn.Sequential(first, norm, last)
        weights = {name: p.detach() for name, p in model.named_parameters()}

        def call(weights: Any, x: Any, model: Any = model) -> Any:
            return torch.func.functional_call(model, weights, (x,))

        tangents = {name: torch.ones_like(p) for name, p in weights.items()}, random(2, 4, 9, seed=1)
        found.append(torch.func.jvp(call, (weights, random(2, 4, 9)), tangents)[1])
    assert found[1].abs().max() > 1
    same(*found)


@pytest.mark.parametrize("recorded", ["", "x", "w", "xw"])
def test_dual_tensors(recorded: str) -> None:
    x, v, w = random(2, 4, 3, grad="x" in recorded), random(2, 4, 3, seed=1), random(4, seed=2, grad="w" in recorded)
    found = []
    for norm in (group_norm, by_hand):
        with forward_ad.dual_level():
            y = norm(forward_ad.make_dual(x, v), 2, forward_ad.make_dual(w, w.detach() + 1))
            found.append([forward_ad.unpack_dual(y).tangent])
            if recorded:
                gradients = torch.autograd.grad(y.pow(3).sum(), [t for t in (x, w) if t.requires_grad])
                found[-1] += [t for g in gradients for t in forward_ad.unpack_dual(g)]
    assert all(t is not None for t in found[0])
    same(*found)


def test_a_dual_gradient_goes_back() -> None:
    x, w, dy = random(2, 4, 3, grad=True), random(4, seed=2, grad=True), random(2, 4, 3, seed=1)
    found = []
    for norm in (group_norm, by_hand):
        y = norm(x, 2, w)
        with forward_ad.dual_level():
            gradients = torch.autograd.grad(y, (x, w), forward_ad.make_dual(dy, dy * dy))
            found.append([t for g in gradients for t in forward_ad.unpack_dual(g)])
    assert all(t is not None for t in found[0])
    same(*found)


def test_all_that_goes_in_has_its_tangent() -> None:
    """Against differences of the function itself, which torch has not."""
    shapes = {"x": (2, 6, 5), "weight": (2,), "bias": (2,), "scale": (2, 6), "shift": (2, 1), "residual": (2, 6, 5)}
    at = {name: random(*shape, seed=k) for k, (name, shape) in enumerate(shapes.items())}
    to = {name: random(*shape, seed=k + 10) for k, (name, shape) in enumerate(shapes.items())}
    at["sample_weight"], to["sample_weight"] = random(2, 1, 5, seed=31).abs(), random(2, 1, 5, seed=32)
    fixed = {"mask": random(2, 1, 5, seed=30) > -1}

    def call(given: Any) -> Any:
        how = {"groups": LABELS, "affine": "group", "activation": "silu", "return_stats": True, "return_residual": True}
        return group_norm(**given, **fixed, **how)

    values, tangents = torch.func.jvp(call, (at,), (to,))
    step = 1e-6
    up, down = (call({name: at[name] + k * to[name] for name in at}) for k in (step, -step))
    for value, plain, tangent, a, b in zip(values, call(at), tangents, up, down, strict=True):
        torch.testing.assert_close(value, plain, rtol=1e-12, atol=1e-12)
        assert value.dtype == plain.dtype
        torch.testing.assert_close(tangent, (a - b) / (2 * step), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_tangents_have_the_dtype_of_the_result(dtype: Any) -> None:
    x, v = random(2, 4, 8).to(dtype), random(2, 4, 8, seed=1).to(dtype)
    ours = torch.func.jvp(lambda x: group_norm(x, 2), (x,), (v,))[1]
    exact = torch.func.jvp(lambda x: theirs(x, 2), (x.double(),), (v.double(),))[1]
    assert ours.dtype == dtype
    assert (ours.double() - exact).abs().max() < 8 * torch.finfo(dtype).eps  # values up to 4, rounded twice


def test_what_does_not_fit_is_refused_there_too() -> None:
    x = random(2, 4, 3)
    for how, message in (({"activation": "tanh"}, "unknown activation"), ({"weight": x[0, 0]}, "weight does not fit")):
        with pytest.raises(OptionError, match=message):
            torch.func.jvp(lambda x, how=how: group_norm(x, 2, **how), (x,), (x,))


def test_compiled_transforms() -> None:
    torch._dynamo.reset()
    x, v = random(2, 4, 3), random(2, 4, 3, seed=1)
    for name in ("jvp", "grad"):
        call = torch.compile(
            lambda x, v, name=name: TRANSFORMS[name](lambda x: group_norm(x, 2), x, v), backend="eager"
        )
        same(call(x, v), TRANSFORMS[name](lambda x: theirs(x, 2), x, v))
