"""The normal + exponential model of intensities: fit and posterior signal.

An observed intensity is background ``B ~ N(mu, sigma**2)`` plus signal ``S ~ Exp(mean alpha)``. `fit` estimates
``(mu, log sigma, log alpha)``; `signal` replaces each intensity by ``E[S | B + S]``, which is always positive.

Sources: Silver, Ritchie & Smyth, Biostatistics 10 (2009); Ritchie et al., Bioinformatics 23 (2007);
Nelder & Mead, Computer Journal 7 (1965). Peer: limma's ``normexp.fit`` and ``normexp.signal``.
"""

from __future__ import annotations

from gridnorm.arrays.normexp.model import METHODS, NormexpFit, fit, signal

__all__ = ["METHODS", "NormexpFit", "fit", "signal"]
