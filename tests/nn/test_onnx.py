"""ONNX nodes: the standard's own test cases, its reference evaluator, and the way back."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import warnings
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason='needs ONNX: pip install "gridnorm[onnx]"')

from onnx.reference import ReferenceEvaluator

from gridnorm import nn
from gridnorm.errors import OptionError
from gridnorm.nn.onnx import from_node, to_node

FAMILY = ("GroupNormalization", "InstanceNormalization", "LayerNormalization")
TYPES = {
    np.dtype(np.float16): onnx.TensorProto.FLOAT16,
    np.dtype(np.float32): onnx.TensorProto.FLOAT,
    np.dtype(np.float64): onnx.TensorProto.DOUBLE,
}


@pytest.fixture(scope="module")
def standard_cases() -> dict[str, Any]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other operators' cases overflow on purpose
        # Asked for one operator it gives that one's cases ever after.
        made = collect_testcases()
    return {case.name: case for case in made if case.model.graph.node[0].op_type in FAMILY}


def evaluate(node: Any, opset: int, *arrays: Any) -> list[Any]:
    """What ONNX's reference evaluator makes of a node."""

    kinds = [TYPES[arrays[0].dtype], *[onnx.TensorProto.FLOAT] * (len(node.output) - 1)]
    value = onnx.helper.make_tensor_value_info
    inputs = [value(name, TYPES[a.dtype], a.shape) for name, a in zip(node.input, arrays, strict=True)]
    outputs = [value(name, k, [None] * arrays[0].ndim) for name, k in zip(node.output, kinds, strict=True)]
    graph = onnx.helper.make_graph([node], "one", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    if node.op_type != "GroupNormalization" or opset >= 21:  # the checker refuses what is deprecated
        onnx.checker.check_model(model)
    return ReferenceEvaluator(model).run(None, dict(zip(node.input, arrays, strict=True)))


def arrays(shape: tuple[int, ...], size: Any, dtype: Any = np.float32) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=s).astype(dtype) for s in (shape, size, size)]


# The standard's own cases


@pytest.mark.parametrize(("op_type", "least"), list(zip(FAMILY, (2, 2, 10), strict=True)))
def test_standard_cases(op_type: str, least: int, standard_cases: dict[str, Any]) -> None:
    cases = [case for case in standard_cases.values() if case.model.graph.node[0].op_type == op_type]
    assert len(cases) >= least
    for case in cases:
        (opset,) = [entry.version for entry in case.model.opset_import if entry.domain in ("", "ai.onnx")]
        found = from_node(case.model.graph.node[0], opset)
        for inputs, expected in case.data_sets:
            results = found.run(*inputs)
            results = results if isinstance(results, tuple) else (results,)
            for ours, theirs in zip(results, expected, strict=True):
                assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, case.name
                assert np.abs(ours - theirs).max() < 2e-6, case.name


# The reference evaluator


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float16, 4e-3), (np.float64, 1e-5)])
@pytest.mark.parametrize(("opset", "size"), [(18, 3), (20, 3), (21, 6), (23, 6)])
def test_group_normalization_of_each_opset(opset: int, size: int, dtype: Any, tolerance: float) -> None:
    given = arrays((2, 6, 5, 4), size, dtype)
    node = to_node(3, epsilon=0.01, opset=opset)
    (expected,) = evaluate(node, opset, *given)
    y = from_node(node, opset).run(*given)
    # float64: the standard computes the statistics in float32, gridnorm does not.
    assert y.dtype == dtype and np.abs(y - expected).max() < tolerance
    with pytest.raises(OptionError, match="does not fit"):
        from_node(node, opset).run(given[0], np.ones(9 - size, dtype), np.ones(9 - size, dtype))


def test_opset_18_has_a_number_per_group() -> None:
    x, scale, bias = arrays((2, 6, 5), 3)
    y = from_node(to_node(3, opset=18), 18).run(x, scale, bias)
    assert np.array_equal(y, nn.group_norm(x, 3, scale, bias, affine="group"))
    wide = from_node(to_node(3, opset=21), 21).run(x, scale.repeat(2), bias.repeat(2))
    assert np.array_equal(y, wide)


def test_statistics_in_double_precision() -> None:
    given = arrays((2, 6, 50), 6)
    given[0] += 1e4
    node = to_node(2, stash_type=11)
    (expected,) = evaluate(node, 21, *given)
    y = from_node(node, 21).run(*given)
    assert y.dtype == np.float32 and np.abs(y - expected).max() < 1e-5


@pytest.mark.parametrize("axis", [-1, 1, -3])
@pytest.mark.parametrize("outputs", [("Y",), ("Y", "Mean", "InvStdDev")])
def test_layer_normalization(axis: int, outputs: tuple[str, ...]) -> None:
    shape = (2, 3, 4, 5)
    given = arrays(shape, shape[axis:])
    node = to_node(op_type="LayerNormalization", opset=17, axis=axis, epsilon=1e-3, output=outputs)
    results = from_node(node, 17).run(*given)
    results = results if len(outputs) > 1 else (results,)
    for ours, theirs in zip(results, evaluate(node, 17, *given), strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype and np.abs(ours - theirs).max() < 2e-6


def test_layer_normalization_without_bias() -> None:
    x, scale, _ = arrays((2, 3, 4), 4)
    node = to_node(op_type="LayerNormalization", inputs=("X", "scale"))
    assert np.abs(from_node(node, 21).run(x, scale) - evaluate(node, 21, x, scale)[0]).max() < 2e-6


@pytest.mark.parametrize("opset", [6, 22])
def test_instance_normalization(opset: int) -> None:
    given = arrays((2, 3, 4, 5), 3)
    node = to_node(op_type="InstanceNormalization", opset=opset, epsilon=1e-2)
    assert np.abs(from_node(node, opset).run(*given) - evaluate(node, opset, *given)[0]).max() < 2e-6


# There and back


@pytest.mark.parametrize("opset", [18, 19, 20, 21, 22, 23])
@pytest.mark.parametrize("eps", [1e-5, 1e-3, 0.0, 2.5e-7])
def test_round_trip(opset: int, eps: float) -> None:
    node = to_node(4, epsilon=eps, opset=opset, inputs=("a", "b", "c"), output="d", name="norm")
    assert (list(node.input), list(node.output), node.name) == (["a", "b", "c"], ["d"], "norm")
    found = from_node(node, opset)
    assert (found.num_groups, found.eps, found.affine) == (4, eps, "group" if opset < 21 else "channel")
    again = found.to_node(("a", "b", "c"), "d")
    again.name = "norm"
    assert again == node


@pytest.mark.parametrize(("op_type", "opset"), [("LayerNormalization", 17), ("InstanceNormalization", 6)])
def test_round_trip_of_the_limits(op_type: str, opset: int) -> None:
    node = to_node(op_type=op_type, opset=opset, epsilon=1e-4)
    assert from_node(node, opset).to_node() == node


def test_defaults_of_a_node() -> None:
    node = onnx.helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2)
    found = from_node(node, 21)
    assert (found.eps, found.stash_type, found.affine) == (1e-5, 1, "channel")


@pytest.mark.parametrize(
    ("groups", "number"), [([0, 0, 1, 1], 2), ([1, 1, 0, 0], 2), ([[0, 1, 2], [3, 4, 5]], 2), ([5], 1)]
)
def test_labels_that_onnx_can_express(groups: Any, number: int) -> None:
    assert from_node(to_node(groups=groups), 21).num_groups == number


@pytest.mark.parametrize(
    ("groups", "opset"),
    [([0, 1, 0, 1], 21), ([0, 0, 0, 1], 21), ([0, 0, 1, -1], 21), ([0, 1, 1, 0], 21), ([1, 1, 0, 0], 18)],
)
def test_labels_that_onnx_cannot_express(groups: Any, opset: int) -> None:
    with pytest.raises(OptionError, match=r"cannot express these groups.*follow one another.*Gather"):
        to_node(groups=groups, opset=opset)


# Errors


def made(
    op_type: str = "GroupNormalization", inputs: Any = ("x", "s", "b"), domain: str = "", **attributes: Any
) -> Any:
    return onnx.helper.make_node(op_type, list(inputs), ["y"], domain=domain, **attributes)


@pytest.mark.parametrize(
    ("node", "opset", "message"),
    [
        (made("BatchNormalization"), 21, "none of the family; found BatchNormalization"),
        (made(domain="com.microsoft", num_groups=2), 21, "not of the standard operators"),
        (made(num_groups=2), 17, "opset 17 has no GroupNormalization.*18 or later"),
        (made("LayerNormalization"), 16, "17 or later"),
        (made("InstanceNormalization"), 1, "6 or later"),
        (made(), 21, "no num_groups"),
        (made(num_groups=2, stash_type=1), 18, "no such attribute; found stash_type"),
        (made(num_groups=2, axis=1), 21, "no such attribute; found axis"),
        (made(num_groups=2, stash_type=10), 21, "stash_type 10"),
        (made(num_groups=2, epsilon=-1.0), 21, "eps cannot"),
        (made(num_groups=2, inputs=("x", "s")), 21, "inputs of the node are missing"),
        (made(num_groups=2, inputs=("x", "", "b")), 21, "inputs of the node are missing"),
        ("GroupNormalization", 21, "not a node; found str"),
    ],
)
def test_nodes_that_cannot_be_read(node: Any, opset: int, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        from_node(node, opset)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "a number or labels"),
        ({"num_groups": 2, "groups": [0, 1]}, "a number or labels"),
        ({"num_groups": 0}, "whole number"),
        ({"num_groups": 2.0}, "whole number"),
        ({"num_groups": 2, "opset": 17}, "18 or later"),
        ({"num_groups": 2, "opset": 18, "stash_type": 11}, "no stash_type"),
        ({"num_groups": 2, "stash_type": 16}, "stash_type 16"),
        ({"num_groups": 2, "epsilon": -1e-5}, "eps cannot"),
        ({"num_groups": 2, "op_type": "LayerNormalization"}, "has no groups"),
    ],
)
def test_nodes_that_cannot_be_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        to_node(**options)


def test_an_axis_that_x_does_not_have() -> None:
    with pytest.raises(OptionError, match="node's axis"):
        from_node(to_node(op_type="LayerNormalization", axis=3), 21).run(np.ones((2, 3)), np.ones(3))


def test_import_without_onnx_names_the_extra() -> None:
    code = """
    import sys
    sys.modules["onnx"] = None
    try:
        import gridnorm.nn.onnx
    except ImportError as error:
        print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert 'pip install "gridnorm[onnx]"' in done.stdout
