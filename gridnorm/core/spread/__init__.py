"""How far groups differ: shares of variance and their tests, real differences, alternatives, and the tightest groups.

One module a question, and each says what it asks of the items.
"""

from gridnorm.core.spread.difference import Difference, differences, real_difference
from gridnorm.core.spread.given import whole_number
from gridnorm.core.spread.permutation import permutation_test
from gridnorm.core.spread.ranking import rank_among
from gridnorm.core.spread.shares import FTest, adjusted_share, chance_share, f_test, share_explained
from gridnorm.core.spread.tightest import tightest

__all__ = [
    "Difference",
    "FTest",
    "adjusted_share",
    "chance_share",
    "differences",
    "f_test",
    "permutation_test",
    "rank_among",
    "real_difference",
    "share_explained",
    "tightest",
    "whole_number",
]
