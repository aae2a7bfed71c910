"""What a weight may be: a finite number of 0 or more, of which many can be summed in single precision too."""

from __future__ import annotations

from typing import Any

import numpy as np

from gridnorm.errors import OptionError

LARGEST_WEIGHT = 1e30  # 1e8 of them add up to 1e38, which float32 still holds
EXPECTED = f"finite numbers from 0 to {LARGEST_WEIGHT:g}; NaN leaves one out"


def check_weights(weights: Any, name: str = "weights") -> None:
    """Refuse weights that are no weights; NaN, which means that there is none, is one.

    Parameters
    ----------
    weights
        Numbers of any shape, on any engine.
    name
        What messages call them.

    Raises
    ------
    OptionError
        Negative, infinite or absurdly large weights; the message counts them and names the first.
    """
    wrong = (weights < 0) | (weights > LARGEST_WEIGHT)
    if not bool(wrong.any()):
        return
    flat = wrong.reshape(-1)
    first, count = int(flat.argmax()), int(flat.sum())
    place = tuple(int(i) for i in np.unravel_index(first, wrong.shape))
    where = place[0] if len(place) == 1 else place
    found = f"{float(weights.reshape(-1)[first]):g} at index {where}" + (f", {count} in all" if count > 1 else "")
    raise OptionError(f"{name} must be neither negative nor infinite", found=found, expected=EXPECTED)
