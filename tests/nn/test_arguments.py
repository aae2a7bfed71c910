"""What nn's functions say to arguments that they cannot use: never NumPy's own errors, and what would do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gridnorm.errors import OptionError
from gridnorm.nn import (
    group_norm,
    group_norm_backward,
    group_norm_double_backward,
    instance_norm,
    instance_norm_backward,
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
)

X = np.random.default_rng(0).normal(size=(2, 6, 4, 3)).astype(np.float32)
_, MEAN, RSTD = group_norm(X, 3, return_stats=True)
READ_ONLY = np.broadcast_to(np.float32(0), X.shape)

FORWARD: list[tuple[dict[str, Any], str]] = [
    ({"num_groups": 4}, "6 channels cannot be cut into 4 groups.*nearest: 3 and 6.*groups="),
    ({}, "6 channels cannot be cut into 32 groups"),
    ({"num_groups": 0}, "num_groups must be at least 1; found 0"),
    ({"num_groups": -1}, "num_groups must be at least 1; found -1"),
    ({"num_groups": 1.5}, "num_groups must be a whole number; found 1.5"),
    ({"num_groups": "3"}, "num_groups must be a whole number; found '3'"),
    ({"num_groups": [3]}, r"num_groups must be a whole number; found \[3\]"),
    ({"num_groups": True}, "num_groups must be a whole number"),
    ({"num_groups": None}, "num_groups must be a whole number; found None. Or give groups="),
    ({"num_groups": 3, "groups": [0] * 6}, "exclude each other"),
    ({"num_groups": 32, "groups": [0] * 6}, "exclude each other; found num_groups 32 and groups"),
    ({"groups": [0] * 5}, "found 5 labels, expected 6"),
    ({"groups": []}, "found 0 labels, expected 6"),
    ({"groups": [-2] + [0] * 5}, "label is negative; found -2"),
    ({"groups": [-2.0] + [0.0] * 5}, "label is negative; found -2"),
    ({"groups": [[0, 1], [2, 6]]}, "group 1 names a channel that x does not have; found 6"),
    ({"groups": [[0, 1], [1, 2]]}, "channel 1 is in two groups"),
    ({"groups": [[0, 0]]}, "channel 0 is in two groups, or twice in one"),
    ({"groups": [[-1]]}, "names a channel that x does not have; found -1"),
    ({"groups": [[0.0, 1.0]]}, "group 0 does not hold channel numbers"),
    ({"groups": [[True, False]]}, "group 0 does not hold channel numbers"),
    ({"groups": [[0, 1], []]}, "group 1 is empty"),
    ({"groups": [[0, 1], 2]}, "mixes labels and arrays"),
    ({"groups": 3}, "groups cannot be of this kind; found int, expected one label per channel"),
    ({"groups": "abcdef"}, "groups cannot be of this kind; found str"),
    ({"groups": dict.fromkeys(range(6))}, "groups cannot be of this kind; found dict"),
    ({"groups": np.zeros((6, 1), int)}, "labels must be one-dimensional"),
    ({"num_groups": 3, "eps": -0.5}, "eps cannot have this value; found -0.5"),
    ({"num_groups": 3, "eps": float("nan")}, "eps cannot have this value; found nan"),
    ({"num_groups": 3, "eps": float("inf")}, "eps cannot have this value; found inf"),
    ({"num_groups": 3, "eps": None}, "eps cannot have this value; found None"),
    ({"num_groups": 3, "eps": "1e-5"}, "eps cannot have this value"),
    ({"num_groups": 3, "channel_axis": 4}, "channel_axis names an axis that x does not have; found 4"),
    ({"num_groups": 3, "channel_axis": -5}, "channel_axis names an axis that x does not have; found -5"),
    ({"num_groups": 3, "channel_axis": 1.0}, "axes must be whole numbers; found channel_axis 1.0"),
    ({"num_groups": 3, "channel_axis": None}, "axes must be whole numbers"),
    (
        {"num_groups": 3, "batch_axes": 0},
        r"axes must be whole numbers; found channel_axis 1, batch_axes 0.*such as \(0,\)",
    ),
    ({"num_groups": 3, "batch_axes": None}, "axes must be whole numbers"),
    ({"num_groups": 3, "batch_axes": (9,)}, "batch_axes names an axis that x does not have; found 9"),
    ({"num_groups": 3, "batch_axes": (0, -4)}, "an axis is named twice"),
    ({"num_groups": 3, "batch_axes": (1,)}, "an axis is named twice"),
    ({"num_groups": 3, "batch_axes": (0, 1, 2, 3)}, "too few axes"),
    ({"num_groups": 3, "affine": "both"}, "affine cannot have this value"),
    ({"num_groups": 3, "weight": np.ones(3)}, r'expected \(6,\), one per channel. affine="group" takes \(3,\)'),
    ({"num_groups": 3, "bias": np.ones(6), "affine": "group"}, r'bias.*expected \(3,\).*affine="channel" takes \(6,\)'),
    ({"num_groups": 3, "weight": 2.0}, r"weight does not fit; found shape \(\)"),
    ({"num_groups": 3, "weight": np.array(["a"] * 6)}, "weight must hold real numbers; found dtype <U1"),
    ({"num_groups": 3, "weight": np.ones(6) * 1j}, "weight must hold real numbers; found dtype complex128"),
    ({"num_groups": 3, "shift": np.ones((2, 1)) * 1j}, "shift must hold real numbers"),
    ({"num_groups": 3, "activation": "tanh"}, "unknown activation; found 'tanh', expected silu, relu, gelu"),
    ({"num_groups": 3, "mask": np.ones(X.shape, int)}, "mask must be boolean.*sample_weight="),
    ({"num_groups": 3, "mask": np.ones((2, 5), bool)}, r"mask does not fit x.*broadcasts to \(2, 6, 4, 3\)"),
    ({"num_groups": 3, "sample_weight": -np.ones(3)}, "neither negative nor infinite; found -1 at index 0, 3 in all"),
    ({"num_groups": 3, "sample_weight": np.array([1, np.inf, 1])}, "neither negative nor infinite; found inf"),
    ({"num_groups": 3, "sample_weight": np.ones((1, 2, 6, 4, 3))}, "sample_weight does not fit x"),
    ({"num_groups": 3, "sample_weight": np.array(["1"] * 3)}, "sample_weight must hold real numbers"),
    ({"num_groups": 3, "residual": X[:1]}, "residual is not like x; found float32"),
    ({"num_groups": 3, "residual": X.astype(np.float64)}, "residual is not like x; found float64"),
    ({"num_groups": 3, "return_residual": True}, "return_residual needs a residual"),
    ({"num_groups": 3, "scale": np.ones(6)}, r"scale does not fit.*\(2, 6\) or \(2, 1\)"),
    ({"num_groups": 3, "out": np.zeros(X.shape)}, "out is not like x; found float64"),
    ({"num_groups": 3, "out": READ_ONLY}, "out cannot be written to; found a read-only array"),
    ({"num_groups": 3, "out": X.tolist()}, "out cannot be written to; found a list"),
]


@pytest.mark.parametrize(("options", "message"), FORWARD)
def test_group_norm(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        group_norm(X, **options)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones(6, np.float32), r"too few axes; found shape \(6,\), expected batch axes \(0,\) and one of channels"),
        (np.ones((2, 6), int), "x must hold floating-point numbers; found dtype int64"),
        (np.ma.masked_array(X, X > 0), r"x is a masked array.*Give x.filled\(0\) and mask=~numpy.ma.getmaskarray"),
        (np.ones((2, 6), complex), "x must hold floating-point numbers; found dtype complex128"),
        (None, "x must hold floating-point numbers"),
        ("text", "x must hold floating-point numbers"),
    ],
)
def test_x(x: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        group_norm(x, 3)


def test_lists_will_do() -> None:
    assert np.array_equal(group_norm(X.astype(float).tolist(), 3, [1.0] * 6), group_norm(X.astype(float), 3))
    assert np.array_equal(instance_norm(X.astype(float).tolist()), instance_norm(X.astype(float)))


LIMITS: list[tuple[Any, dict[str, Any], str]] = [
    (layer_norm, {"num_groups": 3}, "layer_norm has groups of its own.*group_norm takes groups"),
    (layer_norm, {"groups": [0] * 6}, "layer_norm has groups of its own"),
    (instance_norm, {"groups": [0] * 6}, "instance_norm has groups of its own"),
    (instance_norm, {"channel_axis": 7}, "x has no axis of channels"),
    (instance_norm, {"channel_axis": "last"}, "axes must be whole numbers"),
    (
        layer_norm,
        {"normalized_shape": 5},
        r"do not have the normalized shape; found x \(2, 6, 4, 3\), expected \(…, 5\)",
    ),
    (layer_norm, {"normalized_shape": ()}, "expected a shape of one axis or more"),
    (layer_norm, {"normalized_shape": (1, 2, 6, 4, 3)}, "do not have the normalized shape"),
    (layer_norm, {"normalized_shape": "3"}, "no such normalized_shape; found '3'"),
    (layer_norm, {"normalized_shape": 3.0}, "no such normalized_shape; found 3.0"),
    (layer_norm, {"normalized_shape": 3, "weight": np.ones(4)}, r"expected \(3,\), one per value of the normalized"),
    (layer_norm, {"normalized_shape": 3, "channel_axis": -1}, "channel_axis does not go with normalized_shape"),
    (layer_norm, {"normalized_shape": 3, "mask": X[0, 0] > np.zeros((2, 1, 1, 1, 1))}, "mask does not fit x"),
    (layer_norm, {"normalized_shape": 3, "residual": X.reshape(2, 4, 6, 3)}, "residual is not like x"),
    (layer_norm, {"normalized_shape": 3, "out": np.zeros((48, 3), np.float32)}, "out is not like x"),
    (layer_norm, {"normalized_shape": 3, "out": READ_ONLY}, "out cannot be written to"),
]


@pytest.mark.parametrize(("function", "options", "message"), LIMITS)
def test_the_limits(function: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        function(X, **options)


BACKWARD: list[tuple[dict[str, Any], str]] = [
    ({"mean": MEAN[:1]}, r"mean does not fit x and its groups; found \(1, 3\), expected \(2, 3\)"),
    ({"rstd": None}, "rstd does not fit x and its groups"),
    ({"mean": None}, "mean is not what return_stats gave; found None"),
    ({"mean": 1.0}, "mean is not what return_stats gave; found 1.0"),
    ({"num_groups": 2}, r"mean does not fit x and its groups; found \(2, 3\), expected \(2, 2\)"),
    ({"num_groups": 2, "groups": [0] * 6}, "exclude each other"),
    ({"groups": [0] * 6}, r"expected \(2, 1\)"),
    ({"dy": X.astype(float)}, "dy is not like x; found float64"),
    ({"dy": X[:1]}, "dy is not like x"),
    ({"dmean": np.ones(3)}, "dmean does not fit x and its groups"),
    ({"drstd": np.ones((3, 2))}, "drstd does not fit x and its groups"),
    ({"needs": (True, True)}, "needs has the wrong length"),
    ({"weight": np.ones(3)}, "weight does not fit"),
    ({"activation": "tanh"}, "unknown activation"),
    ({"out": READ_ONLY}, "out cannot be written to"),
    ({"out": X[:1].copy()}, "out is not like x"),
]


@pytest.mark.parametrize(("options", "message"), BACKWARD)
def test_group_norm_backward(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        group_norm_backward(**{"dy": X, "x": X, "mean": MEAN, "rstd": RSTD, **options})


def test_backward_of_unequal_groups_without_them() -> None:
    _, mean, rstd = group_norm(X, groups=[0, 1, 2, 3, 3, 3], return_stats=True)
    with pytest.raises(OptionError, match="6 channels cannot be cut into 4 groups.*groups="):
        group_norm_backward(X, X, mean, rstd)


def test_layer_norm_backward() -> None:
    _, mean, rstd = layer_norm(X, 3, return_stats=True)
    for options, message in (
        ({"mean": mean[:1]}, r"mean does not fit x; found \(1, 6, 4\), expected \(2, 6, 4\)"),
        ({"rstd": 1.0}, "rstd does not fit x"),
        ({"dy": X.reshape(2, 4, 6, 3)}, "dy is not like x"),
        ({"dmean": mean[0]}, "dmean does not fit x"),
        ({"out": np.zeros((48, 3), np.float32)}, "out is not like x"),
        ({"groups": [0, 0, 1]}, "layer_norm_backward has groups of its own"),
    ):
        with pytest.raises(OptionError, match=message):
            layer_norm_backward(**{"dy": X, "x": X, "mean": mean, "rstd": rstd, "normalized_shape": 3, **options})


def test_group_norm_double_backward() -> None:
    given = {"ddx": X, "ddweight": None, "ddbias": None, "dy": X, "x": X, "mean": MEAN, "rstd": RSTD}
    for options, message in (
        ({"ddx": X[:1]}, "ddx is not like x"),
        ({"ddweight": np.ones(3)}, "ddweight does not fit"),
        ({"ddbias": np.ones(3)}, "ddbias does not fit"),
        ({"dy": X[0]}, "dy is not like x"),
        ({"mean": None}, "mean is not what return_stats gave"),
    ):
        with pytest.raises(OptionError, match=message):
            group_norm_double_backward(**{**given, **options})


def test_backward_refuses_what_forward_refuses() -> None:
    for function, name in ((layer_norm_backward, "layer_norm_backward"), (instance_norm_backward, "instance_norm")):
        for options in ({"num_groups": 3}, {"groups": [0, 0, 1, 1, 2, 2]}):
            with pytest.raises(OptionError, match=f"{name}.* has groups of its own"):
                function(X, X, MEAN, RSTD, **options)
        # Statistics of three groups are those of another norm.
        with pytest.raises(OptionError, match="mean does not fit x"):
            function(X, X, MEAN, RSTD)
    _, rstd = rms_norm(X, return_stats=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'dmean'"):
        rms_norm_backward(X, X, rstd, dmean=MEAN)
