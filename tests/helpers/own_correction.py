"""A correction that the package does not know: what spots carry over from the one printed before is taken off."""

from __future__ import annotations

import numpy as np

from gridnorm.arrays.corrections import Correction, Done, Intensities
from gridnorm.core.option import NUMBER, Option, Range

CARRIED = Option("carried", NUMBER, 0.02, "Share of the spot before that a pin carries over.", Range(0, 1))


def carry_over(given: Intensities) -> Done:
    block, values = np.asarray(given.columns["Block"]), given.values
    before = np.concatenate([values[:, :1], values[:, :-1]], axis=1)
    same = np.concatenate([[False], block[1:] == block[:-1]])
    out = np.where(same, values - given.options["carried"] * before, values)
    return Done(out, (f"{int((out <= 0).sum())} intensities were carried over whole",))


CARRY_OVER = Correction("carry-over", carry_over, "less a share of the spot before", (CARRIED,), needs=("layout",))
