"""What a layout says of where it comes from."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.arrays.layout import infer_layout
from gridnorm.io.formats.gal import BlockRecord


@pytest.mark.parametrize("override", [None, "2x3x4x5"])
@pytest.mark.parametrize("gal", [True, False])
@pytest.mark.parametrize("positions", [True, False])
def test_every_source_that_is_used_is_named_and_no_other(override: str | None, gal: bool, positions: bool) -> None:
    block, row, column = (place.ravel() + 1 for place in np.indices((6, 4, 5)))
    down, across = np.divmod(block - 1, 3)
    x, y = 2000.0 * across + 200.0 * column, 2000.0 * down + 200.0 * row
    records = [BlockRecord(k + 1, 2000.0 * (k % 3), 2000.0 * (k // 3), 100.0, 5, 200.0, 4, 200.0) for k in range(6)]
    layout = infer_layout(
        block, row, column, *((x, y) if positions else ()), override=override, gal_blocks=records if gal else None
    )
    begins = {"--layout 2x3x4x5": override is not None, "block records of the GAL: 2 x 3 blocks": gal}
    begins["X/Y positions: 6 blocks in 2 x 3 places"] = positions
    begins["block numbers only: "] = not (override or gal or positions)
    assert len(layout.evidence) == sum(begins.values()), layout.evidence
    for begin, said in begins.items():
        assert any(text.startswith(begin) for text in layout.evidence) is said, (begin, layout.evidence)
