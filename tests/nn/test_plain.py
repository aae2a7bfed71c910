"""Masks and places of arrays: nothing is lost between what is given and what is computed on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from backends import EVERY, Backend

from gridnorm import nn
from gridnorm.errors import OptionError

X = np.random.default_rng(7).normal(size=(2, 4, 5))
MASKED = np.ma.masked_array([0, 0, 1, 1], [True, False, False, False])


def load(weight: Any) -> None:
    nn.GroupNorm(2, 4).load_state_dict({"weight": weight, "bias": np.zeros(4)})


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: nn.group_norm(X, groups=MASKED), "groups"),
        (lambda: nn.group_norm(X, groups=[MASKED[1:2], np.array([2, 3])]), "group 0"),
        (lambda: nn.GroupNorm(groups=MASKED), "groups"),
        (lambda: nn.segment_norm(X[0], MASKED), "groups"),
        (lambda: nn.segment_norm(X[0], ptr=np.ma.masked_array([0, 2, 4])), "ptr"),
        (lambda: nn.groups.pruned(MASKED, [0, 1]), "labels"),
        (lambda: nn.groups.pruned([0, 0, 1, 1], MASKED > 0), "kept"),
        (lambda: nn.groups.from_permutation(MASKED), "permutation 0"),
        (lambda: nn.groups.doctor(np.ma.masked_array(X, X > 1), [0, 0, 1, 1]), "x"),
        (lambda: load(MASKED), "weight"),
        (lambda: nn.batch_norm(X, np.ma.zeros(4), np.ones(4), training=True), "running_mean"),
        (lambda: nn.group_norm(X, 2, out=np.ma.masked_array(X.copy())), "out"),
    ],
)
def test_a_mask_is_not_lost(call: Callable[[], Any], name: str) -> None:
    with pytest.raises(OptionError, match=f"{name} is a masked array, and its mask would be lost"):
        call()


@pytest.mark.parametrize("name", ["out", "residual", "dy", "drstd", "running_var"])
@pytest.mark.parametrize("backend", EVERY[2:3], indirect=True)
def test_an_array_of_another_library_is_neither_copied_nor_written_to_a_copy(backend: Backend, name: str) -> None:
    x, here, four = backend.asarray(X), np.zeros_like(X), backend.asarray(np.ones(4))
    y, mean, rstd = nn.group_norm(x, 2, return_stats=True)
    calls: dict[str, Callable[[], Any]] = {
        "out": lambda: nn.group_norm(x, 2, out=here),
        "residual": lambda: nn.group_norm(x, 2, residual=here),
        "dy": lambda: nn.group_norm_backward(here, x, mean, rstd),
        "drstd": lambda: nn.group_norm_backward(y, x, mean, rstd, drstd=np.zeros((2, 2))),
        "running_var": lambda: nn.batch_norm(x, four, np.ones(4), training=True),
    }
    with pytest.raises(OptionError, match="arrays of different libraries cannot be mixed"):
        calls[name]()
    assert not here.any()
