"""Group Normalization and its family on NumPy and CuPy arrays: arbitrary channel groups, exact limits, gradients."""

from gridnorm.nn import groups
from gridnorm.nn.functional import group_norm, instance_norm, layer_norm
from gridnorm.nn.gradients import (
    group_norm_backward,
    group_norm_double_backward,
    instance_norm_backward,
    layer_norm_backward,
)

__all__ = [
    "group_norm",
    "group_norm_backward",
    "group_norm_double_backward",
    "groups",
    "instance_norm",
    "instance_norm_backward",
    "layer_norm",
    "layer_norm_backward",
]
