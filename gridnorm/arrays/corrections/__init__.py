"""Corrections of intensities: what follows the background and comes before logarithms."""

from gridnorm.arrays.corrections.correction import Correction, Done, Intensities
from gridnorm.arrays.corrections.rows import CORRECTIONS

__all__ = ["CORRECTIONS", "Correction", "Done", "Intensities"]
