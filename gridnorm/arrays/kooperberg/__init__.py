"""The signal of each spot as the mean of what it can be, given how its pixels spread (Kooperberg et al. 2002).

Foreground and background of a spot are means of pixels, so each has an error that the image software tells: the
standard deviation of the pixels over the root of their number. The true signal, at least 0 above a true background of
at least 0, has a distribution given the two; its mean is the corrected intensity. Pixels beside one another are not
independent, so their errors are multiplied by one number for the channel, which neighbouring backgrounds tell.

Peer: limma's ``kooperberg``.
"""

from __future__ import annotations

from gridnorm.arrays.kooperberg.channel import COLUMNS, MEASURES, NEIGHBOURS, PLACES, QUADRATURE, Signal, signal

__all__ = ["COLUMNS", "MEASURES", "NEIGHBOURS", "PLACES", "QUADRATURE", "Signal", "signal"]
