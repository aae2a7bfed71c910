"""How far groups differ: shares of variance and their tests, real differences, alternatives, and the tightest groups.

One module a question, and each says what it asks of the items. Names are resolved on first use: the path of
``normalize`` needs one of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridnorm.core.spread.cuts import tightest
    from gridnorm.core.spread.difference import Difference, differences, real_difference
    from gridnorm.core.spread.given import whole_number
    from gridnorm.core.spread.permutation import permutation_test
    from gridnorm.core.spread.ranking import Rank, rank_among
    from gridnorm.core.spread.shares import FTest, Shares, f_test, share_explained, variance_shares

__all__ = [
    "Difference",
    "FTest",
    "Rank",
    "Shares",
    "differences",
    "f_test",
    "permutation_test",
    "rank_among",
    "real_difference",
    "share_explained",
    "tightest",
    "variance_shares",
    "whole_number",
]
_HOMES = {
    "cuts": ("tightest",),
    "difference": ("Difference", "differences", "real_difference"),
    "given": ("whole_number",),
    "permutation": ("permutation_test",),
    "ranking": ("Rank", "rank_among"),
    "shares": ("FTest", "Shares", "f_test", "share_explained", "variance_shares"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
