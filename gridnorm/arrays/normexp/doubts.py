"""Where the model is not there in a channel, in words.

Options are named in one way on every route (`recorded_option`): the sentences go into the sidecar, which is the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.normexp.model import NormexpFit
from gridnorm.errors import recorded_option

FloatArray = NDArray[np.float64]

_SUBTRACT = recorded_option("background", "subtract")
MOST = 0.5  # a fit is doubted where more than this share of the signals is below the offset or the noise


class Doubt(NamedTuple):
    """A doubt that several channels of an array may raise: what is said once, and the figure of this channel."""

    text: str
    figure: str


def doubts_of(fit: NormexpFit, signal: FloatArray, offset: float, automatic: bool) -> tuple[Doubt, ...]:
    """Whether the model is not there in this channel, or most of what it found is flattened."""
    if fit.alpha < fit.sigma:
        return (
            Doubt(
                "normexp cannot tell signal from background: the mean signal is less than the noise, and the corrected "
                f"intensities are flattened. Use {_SUBTRACT} or {recorded_option('background', 'none')}",
                f"mean signal {fit.alpha:.4g}, noise {fit.sigma:.4g}, background {fit.mu:.4g}",
            ),
        )
    floor = max(offset, fit.sigma)
    known = signal[~np.isnan(signal)]
    below = int(np.count_nonzero(known < floor)) / known.size
    if below <= MOST:
        return ()
    if offset >= fit.sigma and not automatic:
        use = recorded_option("offset", "auto")
        what = f"normexp: most signals are smaller than the offset, which flattens them. Use {use} or 0"
    else:
        what = (
            "normexp: most signals are smaller than the noise of the darkest spots, which flattens them. "
            f"Compare with {_SUBTRACT}"
        )
    return (Doubt(what, f"{below:.0%} below {floor:.4g}"),)
