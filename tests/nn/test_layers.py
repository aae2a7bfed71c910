"""``GroupNorm``: parameters, state, gradients, torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gridnorm import nn
from gridnorm.errors import OptionError

RNG = np.random.default_rng(5)
X = RNG.normal(2, 3, (3, 6, 4)).astype(np.float32)


def test_a_new_layer_is_the_function_with_ones_and_zeros() -> None:
    layer = nn.GroupNorm(2, 6)
    np.testing.assert_array_equal(layer(X), nn.group_norm(X, 2))
    assert layer.parameters()["weight"].tolist() == [1.0] * 6
    assert layer.parameters()["bias"].tolist() == [0.0] * 6


@pytest.mark.parametrize(
    "options",
    [
        {"num_groups": 3},
        {"groups": [0, 1, 0, 1, 0, -1]},
        {"groups": [[0, 5], [1, 2]], "affine": "group"},
        {"num_groups": 2, "center": False, "activation": "silu"},
        {"num_groups": 2, "bias": False},
        {"num_groups": 2, "affine": False},
    ],
)
def test_backward_is_the_functions(options: dict[str, Any]) -> None:
    layer = nn.GroupNorm(num_channels=6, **options)
    for array in layer.parameters().values():
        array += RNG.normal(size=array.shape).astype(np.float32)
    y = layer(X)
    dy = RNG.normal(size=y.shape).astype(np.float32)
    dx = layer.backward(dy)
    shared = {k: options[k] for k in ("groups", "center", "activation") if k in options}
    shared["affine"] = "group" if options.get("affine") == "group" else "channel"
    given = {"num_groups": options["num_groups"]} if "num_groups" in options else {}
    _, mean, rstd = nn.group_norm(X, weight=layer.weight, bias=layer.bias, return_stats=True, **given, **shared)
    wanted = nn.group_norm_backward(dy, X, mean, rstd, layer.weight, bias=layer.bias, **given, **shared)
    np.testing.assert_array_equal(dx, wanted[0])
    assert set(layer.grads) == set(layer.parameters())
    for name, gradient in zip(("weight", "bias"), wanted[1:], strict=True):
        if name in layer.grads:
            np.testing.assert_array_equal(layer.grads[name], gradient)


def test_modulation_has_gradients_too() -> None:
    layer = nn.GroupNorm(2, 6)
    layer(X, scale=np.ones((3, 1), np.float32), shift=np.zeros((3, 6), np.float32))
    layer.backward(np.ones_like(X))
    assert {name: a.shape for name, a in layer.grads.items()} == {
        "weight": (6,), "bias": (6,), "scale": (3, 1), "shift": (3, 6)
    }  # fmt: skip
    np.testing.assert_allclose(layer.grads["shift"], 4.0)


def test_a_state_goes_from_layer_to_layer_and_is_a_copy() -> None:
    one, two = nn.GroupNorm(2, 6), nn.GroupNorm(3, 6)
    one.weight[:] = np.arange(6)
    two.load_state_dict(one.state_dict())
    one.weight[0] = 100
    assert two.weight.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    layer = nn.GroupNorm(2, 6)
    with pytest.raises(OptionError, match="the state has other parameters; found weight, expected bias, weight"):
        layer.load_state_dict({"weight": np.zeros(6)})
    with pytest.raises(OptionError, match=r"bias does not fit; found \(5,\), expected \(6,\)"):
        layer.load_state_dict({"weight": np.zeros(6), "bias": np.zeros(5)})
    assert layer.weight.tolist() == [1.0] * 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "GroupNorm needs groups"),
        ({"num_groups": 2, "num_channels": 6, "groups": [0] * 6}, "GroupNorm needs groups"),
        ({"num_groups": 4, "num_channels": 6}, r"expected a divisor of 6 \(nearest: 3 and 6\)"),
        ({"num_groups": 8}, "GroupNorm needs the number of channels"),
        ({"num_groups": 16, "num_channels": 8}, r"expected a divisor of 8 \(nearest: 8\)"),
        ({"groups": [[0, 1], [2]]}, "Give num_channels="),
        ({"groups": [0, 1], "num_channels": 3}, "found 2 labels, expected 3"),
        ({"num_groups": 2, "num_channels": 6, "affine": "both"}, "affine cannot have this value"),
    ],
)
def test_groups_that_make_no_layer(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        nn.GroupNorm(**arguments)


def test_wrong_order_and_wrong_channels() -> None:
    layer = nn.GroupNorm(2, 6)
    with pytest.raises(OptionError, match="backward comes after forward"):
        layer.backward(X)
    with pytest.raises(OptionError, match="x has other channels than the layer; found 4 along axis 1, expected 6"):
        layer(X.transpose(0, 2, 1))


def test_there_and_back_through_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    module = torch.nn.GroupNorm(3, 6, eps=1e-3)
    with torch.no_grad():
        module.weight += torch.arange(6)
    layer = nn.GroupNorm.from_torch(module)
    with torch.no_grad():
        wanted = module(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(layer(X), wanted, atol=3e-6)
    back = layer.to_torch()
    assert type(back) is torch.nn.GroupNorm
    assert back.eps == 1e-3
    assert torch.equal(back.weight, module.weight)
