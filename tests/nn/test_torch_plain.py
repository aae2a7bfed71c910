"""Which modules of PyTorch ``from_torch`` takes: those that do nothing but normalize."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs PyTorch: pip install "gridnorm[torch]"')

from gridnorm.errors import OptionError
from gridnorm.nn import GroupNorm as Layer
from gridnorm.nn.torch import GroupNorm


def random(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


class Base(torch.nn.GroupNorm):
    def __init__(self, more: Any = None) -> None:
        super().__init__(2, 4)
        self.act = more or torch.nn.Identity()


class Renamed(Base):
    pass


class AsTimm(Base):
    fast = False

    def forward(self, x: Any) -> Any:
        if self.fast:
            return torch.relu(x)
        return torch.nn.functional.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class Activated(Base):
    def forward(self, x: Any) -> Any:
        return self.act(super().forward(x))


class Tall(Base):
    def forward(self, x: Any) -> Any:
        return torch.nn.functional.group_norm(x, self.num_groups, self.weight + 1, self.bias, self.eps)


class Blind(Base):
    def forward(self, x: Any) -> Any:
        return torch.nn.functional.group_norm(x, self.num_groups, None, self.bias, eps=self.eps)


class Elsewhere(Base):
    def forward(self, x: Any) -> Any:
        return torch.nn.functional.group_norm(x, self.num_groups, self.weight, self.bias, 1e-3)


class Twice(Base):
    def forward(self, x: Any) -> Any:
        return super().forward(x + x)


class Looking(Base):
    def forward(self, x: Any) -> Any:
        return super().forward(x) if x.sum() > 0 else x


class Called(Base):
    def __call__(self, x: Any) -> Any:
        return 2 * super().__call__(x)


class Ours(GroupNorm):
    def forward(self, x: Any, **more: Any) -> Any:
        return torch.relu(super().forward(x, **more))


def hooked() -> Any:
    module = Base()
    module.register_forward_hook(lambda module, given, y: 2 * y)
    return module


def patched() -> Any:
    module = Base()
    module.forward = torch.relu
    return module


def parametrized() -> Any:
    module = Base()
    torch.nn.utils.parametrize.register_parametrization(module, "weight", torch.nn.Softplus())
    return module


@pytest.mark.parametrize("make", [Renamed, AsTimm, Activated])
def test_subclasses_that_do_nothing_else_are_taken(make: Callable[[], Any]) -> None:
    module, x = make(), random(2, 4, 5)
    torch.testing.assert_close(GroupNorm.from_torch(module)(x), module(x), rtol=0, atol=2e-6)
    wanted = module(x).detach().numpy()
    np.testing.assert_allclose(Layer.from_torch(module)(x.numpy()), wanted, atol=2e-6)


@pytest.mark.parametrize("make", [lambda: Activated(torch.nn.ReLU()), Tall, Blind, Elsewhere, Twice, Looking, Called])
def test_subclasses_that_do_more_are_refused(make: Callable[[], Any]) -> None:
    module = make()
    for layer in (GroupNorm, Layer):
        with pytest.raises(OptionError, match=f"the forward of .*{type(module).__name__} is not that of its base"):
            layer.from_torch(module)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (hooked, "Base has hooks, which would be lost; found forward_hooks"),
        (patched, "the forward of .*Base is not"),
        (parametrized, "ParametrizedBase are computed from others; found weight"),
        (lambda: torch.nn.BatchNorm2d(4), "not a torch.nn.GroupNorm.*; found torch.nn.modules.batchnorm.BatchNorm2d"),
    ],
)
def test_what_a_layer_would_lose_is_named(make: Callable[[], Any], message: str) -> None:
    module = make()
    for layer in (GroupNorm, Layer):
        with pytest.raises(OptionError, match=message):
            layer.from_torch(module)


def test_the_layer_of_arrays_refuses_what_is_more_than_ours() -> None:
    with pytest.raises(OptionError, match="the forward of .*Ours is not that"):
        Layer.from_torch(Ours(2, 4))
