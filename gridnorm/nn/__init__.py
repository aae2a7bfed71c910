"""Group Normalization and its family on NumPy and CuPy arrays: arbitrary channel groups, exact limits, gradients."""

from importlib import import_module
from types import ModuleType

from gridnorm.nn import groups
from gridnorm.nn.batch import batch_norm, batch_norm_backward
from gridnorm.nn.functional import group_norm, instance_norm, layer_norm
from gridnorm.nn.gradients import (
    group_norm_backward,
    instance_norm_backward,
    layer_norm_backward,
)
from gridnorm.nn.layers import GroupNorm
from gridnorm.nn.rms import rms_norm, rms_norm_backward
from gridnorm.nn.second_order import group_norm_double_backward
from gridnorm.nn.segment import segment_norm, segment_norm_backward

__all__ = [
    "GroupNorm",
    "batch_norm",
    "batch_norm_backward",
    "group_norm",
    "group_norm_backward",
    "group_norm_double_backward",
    "groups",
    "instance_norm",
    "instance_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "rms_norm",
    "rms_norm_backward",
    "segment_norm",
    "segment_norm_backward",
]


def __getattr__(name: str) -> ModuleType:
    if name in ("torch", "onnx"):  # of the extras of the same names: loaded when asked for
        return import_module(f"gridnorm.nn.{name}")
    raise AttributeError(f"module 'gridnorm.nn' has no attribute {name!r}")
