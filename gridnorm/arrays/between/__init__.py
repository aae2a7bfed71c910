"""Methods between arrays: rows ArraySet → ArraySet, together or toward a target that was kept."""

from gridnorm.arrays.between.rows import BETWEEN, Between
from gridnorm.arrays.between.step import normalize_between
from gridnorm.arrays.between.target import BetweenTarget

__all__ = ["BETWEEN", "Between", "BetweenTarget", "normalize_between"]
