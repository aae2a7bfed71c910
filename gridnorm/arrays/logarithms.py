"""Logarithms of corrected intensities: what is normalized within arrays."""

from __future__ import annotations

import numpy as np

from gridnorm.arrays.raw import FloatArray


def to_log_ratio(red: FloatArray, green: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """``M = log2 R - log2 G`` and ``A = (log2 R + log2 G) / 2``, and how many intensities were not positive.

    Intensities of zero or less have no logarithm: M and A of their spot are NaN. Each is counted once, so a spot
    with both channels dark counts twice; intensities that were missing already do not count. Any shape.

    Examples
    --------
    >>> import numpy as np
    >>> to_log_ratio(np.array([8.0, -1.0]), np.array([2.0, 4.0]))
    (array([ 2., nan]), array([ 2., nan]), 1)
    """
    log_red, dark_red = to_log(red)
    log_green, dark_green = to_log(green)
    return log_red - log_green, (log_red + log_green) / 2, dark_red + dark_green


def to_log(intensity: FloatArray) -> tuple[FloatArray, int]:
    """``log2`` of corrected intensities, NaN where they are zero or less, and how many were; any shape."""
    dark = intensity <= 0
    return np.log2(np.where(dark, np.nan, intensity)), int(dark.sum())


def to_levels(channels: tuple[str, ...], intensity: FloatArray) -> tuple[FloatArray, FloatArray | None, int]:
    """What is normalized, (row, spot): M with A as covariate for R and G, else log2 of each channel.

    The third entry counts the intensities that were not positive.
    """
    if channels == ("R", "G"):
        m, a, n_bad = to_log_ratio(intensity[0], intensity[1])
        return m[None, :], a[None, :], n_bad
    values, n_bad = to_log(intensity)
    return values, None, n_bad
