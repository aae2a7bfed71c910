"""What a layer keeps for ``backward``."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm import nn


@pytest.mark.parametrize(("out", "copied"), [(None, False), ("another array", False), ("x", True)])
def test_a_layer_copies_x_only_where_the_result_overwrites_it(out: str | None, copied: bool) -> None:
    x = np.random.default_rng(3).normal(size=(3, 6, 4)).astype(np.float32)
    layer = nn.GroupNorm(2, 6)
    layer(x, **{} if out is None else {"out": x if out == "x" else np.empty_like(x)})
    assert layer._seen is not None
    assert np.shares_memory(layer._seen[0], x) is not copied
