"""Settings that are no arrays: functions and layers, on arrays and tensors, refuse the same before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gridnorm import nn
from gridnorm.errors import OptionError
from gridnorm.nn import settings


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (settings.check_eps, -1, "eps cannot have this value; found -1"),
        (settings.check_eps, float("nan"), "eps cannot have this value; found nan"),
        (settings.check_eps, "1", "eps cannot have this value; found '1'"),
        (settings.check_activation, "tanh", "unknown activation; found 'tanh', expected silu, relu, gelu"),
        (settings.check_activation, abs, "unknown activation; found <built-in function abs>"),
        (settings.check_activation, ["silu"], r"unknown activation; found \['silu'\]"),
        (settings.check_affine, True, 'affine cannot have this value; found True, expected "channel" or "group"'),
        (settings.check_affine_of_layer, None, "affine cannot have this value; found None"),
        (settings.check_number_of_channels, 3.5, "num_channels must be a whole number; found 3.5"),
        (settings.check_number_of_channels, "3", "num_channels must be a whole number; found '3'"),
        (settings.check_number_of_channels, True, "num_channels must be a whole number; found True"),
        (settings.check_number_of_channels, -1, "num_channels must be a whole number; found -1"),
        (settings.check_dtype_of_parameters, int, "parameters must be floating-point numbers; found dtype int64"),
        (
            settings.check_dtype_of_parameters,
            complex,
            "parameters must be floating-point numbers; found dtype complex128",
        ),
        (
            lambda axes: settings.whole_axes(1, axes),
            0,
            "axes must be whole numbers; found channel_axis 1, batch_axes 0",
        ),
        (lambda axis: settings.whole_axes(axis, (0,)), 1.0, "axes must be whole numbers; found channel_axis 1.0"),
    ],
)
def test_what_a_setting_cannot_be(check: Any, value: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check(value)


def test_what_a_setting_can_be() -> None:
    assert settings.check_eps(0) == 0.0 and settings.check_eps(np.float32(0.5)) == 0.5
    assert settings.check_activation(None) is None and settings.check_activation("gelu") == "gelu"
    assert settings.check_affine_of_layer(1) is True and settings.check_affine_of_layer("group") == "group"
    assert settings.check_number_of_channels(np.int64(0)) == 0
    assert settings.check_dtype_of_parameters("float16") == np.float16
    assert settings.whole_axes(np.int64(-1), np.array([0, 1])) == (-1, (0, 1))


WRONG: list[dict[str, Any]] = [
    {"activation": "tanh"},
    {"activation": abs},
    {"channel_axis": 1.0},
    {"batch_axes": 0},
    {"eps": -1.0},
    {"affine": "both"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: next(iter(wrong)))
@pytest.mark.parametrize("tensors", [False, True])
def test_a_layer_says_it_when_it_is_made_and_a_function_when_it_is_called(wrong: dict[str, Any], tensors: bool) -> None:
    layer: Any = nn.GroupNorm
    function: Any = nn.group_norm
    x: Any = np.ones((2, 4, 3))
    if tensors:
        torch = pytest.importorskip("torch", reason='needs PyTorch: pip install "gridnorm[torch]"')
        from gridnorm.nn import torch as bridge

        layer, function, x = bridge.GroupNorm, bridge.group_norm, torch.ones(2, 4, 3)
    for call in (lambda: layer(2, 4, **wrong), lambda: function(x, 2, **wrong)):
        with pytest.raises(OptionError, match="cannot have this value|unknown activation|axes must be"):
            call()
