"""Arrays with known truth, and what can go wrong with real ones as options."""

from __future__ import annotations

from gridnorm.arrays.simulate.options import OPTIONS
from gridnorm.arrays.simulate.simulated import Simulated, simulate

__all__ = ["OPTIONS", "Simulated", "simulate"]
