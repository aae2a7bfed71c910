"""ONNX nodes of the normalization family, read and written: GroupNormalization, and its two limits.

GroupNormalization has one scale and bias per group in opsets 18 to 20, and one per channel from opset 21.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

try:
    import onnx
except ModuleNotFoundError as error:
    if error.name != "onnx":
        raise
    raise ImportError('gridnorm.nn.onnx needs ONNX; install it with: pip install "gridnorm[onnx]"') from error
import numpy as np

from gridnorm.errors import OptionError
from gridnorm.nn.functional import group_norm, instance_norm, layer_norm
from gridnorm.nn.partition import partition
from gridnorm.nn.settings import check_eps

__all__ = ["Normalization", "from_node", "to_node"]

GROUP, LAYER, INSTANCE = "GroupNormalization", "LayerNormalization", "InstanceNormalization"
_SINCE = {GROUP: 18, LAYER: 17, INSTANCE: 6}
_PER_CHANNEL = 21
_FLOAT, _DOUBLE = 1, 11  # onnx.TensorProto.DataType


@dataclass(frozen=True)
class Normalization:
    """What a node of the family computes.

    Attributes
    ----------
    op_type
        ``GroupNormalization``, ``LayerNormalization`` or ``InstanceNormalization``.
    opset
        Version of the standard operators that the node is of.
    num_groups
        Number of groups; None for the other two.
    eps
        Added to the variance.
    affine
        ``"group"`` for GroupNormalization of opsets 18 to 20, else ``"channel"``.
    axis
        First of the axes that LayerNormalization normalizes over.
    stash_type
        Precision of the statistics: 1 (float) or 11 (double).
    outputs
        Number of outputs: LayerNormalization may also give mean and reciprocal deviation.
    """

    op_type: str
    opset: int
    num_groups: int | None = None
    eps: float = 1e-5
    affine: str = "channel"
    axis: int = -1
    stash_type: int = _FLOAT
    outputs: int = 1

    def run(self, x: Any, scale: Any, bias: Any = None) -> Any:
        """Compute what the node computes, on NumPy or CuPy arrays.

        Returns
        -------
        y
            Like x; a tuple with further outputs of the node, which are float32 (float64 with ``stash_type`` 11).

        Raises
        ------
        OptionError
            For arrays that do not fit the node.
        """
        given = x.astype(np.float64) if self.stash_type == _DOUBLE else x
        if self.op_type == GROUP:
            y = group_norm(given, self.num_groups or 0, scale, bias, self.eps, affine=self.affine)
        elif self.op_type == INSTANCE:
            y = instance_norm(given, scale, bias, self.eps)
        else:
            return self._layer(x, given, scale, bias)
        return y.astype(x.dtype, copy=False)

    def _layer(self, x: Any, given: Any, scale: Any, bias: Any) -> Any:
        if not -x.ndim <= self.axis < x.ndim:
            raise OptionError("x does not have the node's axis", found=f"shape {x.shape}", expected=f"axis {self.axis}")
        axis = self.axis % x.ndim
        shape = x.shape[axis:]
        # The standard lets scale and bias be smaller than what they multiply.
        weight, offset = (None if a is None else np.broadcast_to(a, shape) for a in (scale, bias))
        y, *stats = layer_norm(given, shape, weight, offset, self.eps, return_stats=True)
        kind = np.float64 if self.stash_type == _DOUBLE else np.float32
        kept = tuple(a.reshape(*x.shape[:axis], *(1 for _ in shape)).astype(kind, copy=False) for a in stats)
        results = (y.astype(x.dtype, copy=False), *kept)[: self.outputs]
        return results[0] if self.outputs == 1 else results

    def to_node(self, inputs: Sequence[str] = ("X", "scale", "bias"), output: str | Sequence[str] = "Y") -> Any:
        """The node again; the same as the function ``to_node``."""
        return to_node(
            self.num_groups,
            op_type=self.op_type,
            epsilon=self.eps,
            opset=self.opset,
            axis=self.axis,
            stash_type=self.stash_type,
            inputs=inputs,
            output=output,
        )


def to_node(
    num_groups: int | None = None,
    *,
    groups: Any = None,
    op_type: str = GROUP,
    epsilon: float = 1e-5,
    opset: int = _PER_CHANNEL,
    axis: int = -1,
    inputs: Sequence[str] = ("X", "scale", "bias"),
    output: str | Sequence[str] = "Y",
    name: str | None = None,
    stash_type: int = _FLOAT,
) -> Any:
    """A node that computes a normalization.

    Parameters
    ----------
    num_groups
        Number of equal groups of neighbouring channels, for ``GroupNormalization``.
    groups
        Instead of it one label per channel, if the labels make such groups in ascending order.
    op_type
        ``GroupNormalization``, ``LayerNormalization`` or ``InstanceNormalization``.
    epsilon
        Added to the variance. ONNX stores it in single precision.
    opset
        Version of the standard operators that the model imports. Below 21 ``GroupNormalization`` has one scale and
        bias per group; ONNX calls that form deprecated, and its checker refuses it.
    axis
        First of the axes that ``LayerNormalization`` normalizes over.
    inputs, output, name
        Names of the tensors and of the node.
    stash_type
        Precision of the statistics: 1 (float) or 11 (double). Only 1 exists before opset 21, and for
        ``InstanceNormalization``.

    Returns
    -------
    onnx.NodeProto
        The node.

    Raises
    ------
    OptionError
        For groups that ONNX cannot express, and for an operator that the opset does not have.

    Examples
    --------
    >>> from gridnorm.nn.onnx import from_node, to_node
    >>> node = to_node(8, epsilon=1e-6, opset=18)
    >>> node.op_type, list(node.input)
    ('GroupNormalization', ['X', 'scale', 'bias'])
    >>> found = from_node(node, opset=18)
    >>> found.num_groups, found.eps, found.affine
    (8, 1e-06, 'group')
    """
    _check_operator(op_type, opset)
    _check_stash_type(stash_type)
    attributes: dict[str, Any] = {"epsilon": check_eps(epsilon)}
    if op_type == GROUP:
        attributes["num_groups"] = _number(num_groups, groups, opset)
    elif num_groups is not None or groups is not None:
        raise OptionError(f"{op_type} has no groups", expected="neither num_groups= nor groups=")
    if op_type == LAYER:
        attributes["axis"] = axis
    if "stash_type" in _attributes_of(op_type, opset):
        attributes["stash_type"] = stash_type
    elif stash_type != _FLOAT:
        raise OptionError(f"{op_type} of opset {opset} has no stash_type", found=str(stash_type), expected="1")
    outputs = [output] if isinstance(output, str) else list(output)
    return onnx.helper.make_node(op_type, list(inputs), outputs, name=name, **attributes)


def from_node(node: Any, opset: int) -> Normalization:
    """What a node computes.

    Parameters
    ----------
    node
        ``onnx.NodeProto`` of ``GroupNormalization``, ``LayerNormalization`` or ``InstanceNormalization``.
    opset
        Version of the standard operators that its model imports (``model.opset_import``). It decides what scale and
        bias of ``GroupNormalization`` mean, and the node does not hold it.

    Returns
    -------
    Normalization
        Keywords, and ``run``.

    Raises
    ------
    OptionError
        For other nodes, attributes that the operator lacks, and statistics in half precision.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm.nn.onnx import from_node, to_node
    >>> x = np.arange(8, dtype=np.float32).reshape(1, 4, 2)
    >>> from_node(to_node(2), opset=21).run(x, np.ones(4, np.float32), np.zeros(4, np.float32)).round(2)[0, 0]
    array([-1.34, -0.45], dtype=float32)
    """
    if not isinstance(node, onnx.NodeProto):
        raise OptionError("not a node", found=type(node).__name__, expected="onnx.NodeProto")
    if node.domain not in ("", "ai.onnx"):
        raise OptionError("the node is not of the standard operators", found=f"{node.domain}::{node.op_type}")
    _check_operator(node.op_type, opset)
    known = _attributes_of(node.op_type, opset)
    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if unknown := sorted(given.keys() - known):
        found, expected = ", ".join(unknown), ", ".join(known)
        raise OptionError(f"{node.op_type} of opset {opset} has no such attribute", found=found, expected=expected)
    if node.op_type == GROUP and "num_groups" not in given:
        raise OptionError("the node has no num_groups", found=", ".join(sorted(given)) or "no attribute")
    least, most = (2, 3) if node.op_type == LAYER else (3, 3)
    names = [name for name in node.input if name]
    if not least <= len(names) <= most or names != list(node.input)[: len(names)]:
        raise OptionError("inputs of the node are missing", found=str(list(node.input)), expected="X, scale, bias")
    stash_type = given.get("stash_type", _FLOAT)
    _check_stash_type(stash_type)
    # Single precision holds 1e-5 as 9.99999975e-06; the shortest number it may stand for is what was meant.
    eps = check_eps(float(str(np.float32(given.get("epsilon", 1e-5)))))
    return Normalization(
        node.op_type,
        opset,
        given.get("num_groups"),
        eps,
        "group" if node.op_type == GROUP and opset < _PER_CHANNEL else "channel",
        given.get("axis", -1),
        stash_type,
        len(node.output),
    )


def _check_operator(op_type: str, opset: int) -> None:
    if op_type not in _SINCE:
        raise OptionError("the node is none of the family", found=op_type, expected=", ".join(_SINCE))
    if opset < _SINCE[op_type]:
        raise OptionError(
            f"opset {opset} has no {op_type} that can be read",
            expected=f"{_SINCE[op_type]} or later",
            hint="onnx.version_converter raises a model's opset",
        )


def _check_stash_type(stash_type: int) -> None:
    if stash_type not in (_FLOAT, _DOUBLE):
        raise OptionError(
            "statistics are not computed in this precision",
            found=f"stash_type {stash_type}",
            expected="1 (float) or 11 (double)",
        )


def _attributes_of(op_type: str, opset: int) -> list[str]:
    if op_type == GROUP:
        return ["epsilon", "num_groups", *(["stash_type"] if opset >= _PER_CHANNEL else [])]
    return ["axis", "epsilon", "stash_type"] if op_type == LAYER else ["epsilon"]


def _number(num_groups: int | None, groups: Any, opset: int) -> int:
    """``num_groups``, or the number of groups that labels make, if ONNX can express them."""
    if (num_groups is None) == (groups is None):
        raise OptionError("groups need either a number or labels", expected="one of num_groups= and groups=")
    if groups is None:
        if isinstance(num_groups, bool) or not isinstance(num_groups, int | np.integer) or num_groups < 1:
            raise OptionError("num_groups must be a whole number of at least 1", found=repr(num_groups))
        return int(num_groups)
    part = partition(sum(np.size(one) for one in groups), None, groups)
    steps, sizes = np.diff(part.segments.codes), part.segments.sizes
    # With a number per channel it does not matter which group comes first.
    rising = opset >= _PER_CHANNEL or not (steps < 0).any()
    if (
        part.passed is not None
        or len({*sizes.tolist()}) != 1
        or np.count_nonzero(steps) != part.groups - 1
        or not rising
    ):
        raise OptionError(
            "ONNX cannot express these groups in one node",
            found=f"labels {part.segments.codes.tolist()}"[:60],
            expected="groups of one size, of channels that follow one another",
            hint="Groups of one size can be brought into that order by a Gather node before, and back by one after",
        )
    return part.groups
