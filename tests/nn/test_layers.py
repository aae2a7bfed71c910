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


@pytest.mark.parametrize("wanted", [{}, {"return_stats": True}, {"return_residual": True}])
def test_residuals_and_statistics(wanted: dict[str, bool]) -> None:
    layer, added = nn.GroupNorm(2, 6), RNG.normal(size=X.shape).astype(np.float32)
    expected = nn.group_norm(X, 2, residual=added, return_stats=True, return_residual=True)
    found = layer(X, residual=added, **wanted)
    kept = [0] + [1, 2] * ("return_stats" in wanted) + [3] * ("return_residual" in wanted)
    for one, other in zip(found if wanted else [found], (expected[k] for k in kept), strict=True):
        np.testing.assert_array_equal(one, other)
    dx = layer.backward(X)
    np.testing.assert_array_equal(dx, nn.group_norm_backward(X, expected[3], *expected[1:3])[0])
    np.testing.assert_array_equal(layer.grads["residual"], dx)
    with pytest.raises(OptionError, match="return_residual needs a residual"):
        layer(X, return_residual=True)


@pytest.mark.parametrize("options", [{}, {"residual": X.copy()}])
def test_a_result_in_place_of_x_leaves_backward_what_it_needs(options: dict[str, Any]) -> None:
    layer, x = nn.GroupNorm(2, 6), X.copy()
    layer(X, **options)
    wanted = layer.backward(X)
    assert layer(x, out=x, **options) is x
    np.testing.assert_array_equal(layer.backward(X), wanted)
    room = np.zeros(X.size + 1, np.float32)
    shifted = room[1:].reshape(X.shape)
    shifted[...] = X
    layer(shifted, out=room[:-1].reshape(X.shape), **options)
    np.testing.assert_array_equal(layer.backward(X), wanted)


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
    with pytest.raises(OptionError, match="x has other channels than the layer; found 4 along axis 1, expected 6"):
        nn.GroupNorm(2, 6, affine=False)(X.transpose(0, 2, 1).tolist())


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


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("bridge", [False, True])
def test_torch_keeps_dtype_and_axes(dtype: str, bridge: bool) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if bridge:
        from gridnorm.nn.torch import GroupNorm

        axes = {"channel_axis": -1, "batch_axes": (0, 1)}
        module = GroupNorm(3, 6, dtype=getattr(torch, dtype), activation="silu", **axes)
    else:
        module = torch.nn.GroupNorm(3, 6, dtype=getattr(torch, dtype))
    with torch.no_grad():
        module.weight += 1 / (3 + torch.arange(6))
    layer = nn.GroupNorm.from_torch(module)
    # NumPy has no bfloat16 of its own; float32 holds it.
    assert layer.weight.dtype == layer.bias.dtype == ("float32" if dtype == "bfloat16" else dtype)
    np.testing.assert_array_equal(layer.weight, module.weight.detach().double().numpy())
    assert (layer.channel_axis, layer.batch_axes) == ((-1, (0, 1)) if bridge else (1, (0,)))
    back = layer.to_torch()
    assert type(back) is type(module)
    assert back.weight.dtype == back.bias.dtype == (torch.float32 if dtype == "bfloat16" else module.weight.dtype)
    assert torch.equal(back.weight.double(), module.weight.double())
    if bridge:
        assert (back.channel_axis, back.batch_axes) == (-1, (0, 1))


def test_parameters_of_bfloat16_reach_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    module = nn.GroupNorm(3, 6, dtype=bfloat16).to_torch()
    assert module.weight.dtype == torch.bfloat16
    layer = nn.GroupNorm(groups=[0, 1, 0, 1], channel_axis=-1)
    assert nn.GroupNorm.from_torch(layer.to_torch()).channel_axis == -1
    assert nn.GroupNorm.from_torch(nn.GroupNorm(2, 4, affine=False).to_torch()).weight is None


def test_a_layer_keeps_what_backward_needs_where_the_result_overwrites_it() -> None:
    layer, dy = nn.GroupNorm(2, 6), RNG.normal(size=X.shape).astype(np.float32)
    x = X.copy()
    layer(x, scale=x[:, :, 0].copy())
    wanted = [layer.backward(dy), *layer.grads.values()]
    layer(x, scale=x[:, :, 0], out=x)
    found = [layer.backward(dy), *layer.grads.values()]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_layer_refuses_what_it_was_made_with_and_forgets_a_call_that_failed() -> None:
    labels = [0, 1, 0, 1, 0, 1]
    layer = nn.GroupNorm(groups=labels)
    wanted = layer(X)
    labels[0] = 7
    np.testing.assert_array_equal(layer(X), wanted)
    with pytest.raises(TypeError, match=r"GroupNorm\.forward\(\) got an unexpected keyword argument 'groups'"):
        layer(X, groups=labels)
    with pytest.raises(OptionError, match="backward comes after forward"):
        layer.backward(X)


@pytest.mark.parametrize(("out", "copied"), [(None, False), ("another array", False), ("x", True)])
def test_a_layer_copies_x_only_where_the_result_overwrites_it(out: str | None, copied: bool) -> None:
    x = np.random.default_rng(3).normal(size=(3, 6, 4)).astype(np.float32)
    layer = nn.GroupNorm(2, 6)
    layer(x, **{} if out is None else {"out": x if out == "x" else np.empty_like(x)})
    assert layer._seen is not None
    assert np.shares_memory(layer._seen[0], x) is not copied
