"""A background method that the package does not know: a share of the background is subtracted, with a floor."""

from __future__ import annotations

import numpy as np

from gridnorm.arrays.background import OFFSET, Background, Channel, Done
from gridnorm.core.option import NUMBER, Option, Range

SHARE = Option("share", NUMBER, 0.5, "Share of the background that is subtracted.", Range(0, 1))


def partly(channel: Channel) -> Done:
    assert channel.background is not None
    left = channel.foreground - channel.options["share"] * channel.background
    low = int((left < 1).sum())
    return Done(np.maximum(left, 1.0), notes=(f"{low} spots were lifted to 1",) if low else ())


PARTLY = Background("partly", partly, "foreground minus a share of the background", (OFFSET, SHARE), True)
