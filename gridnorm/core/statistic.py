"""A statistic: a row that says how something is learnt about each group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gridnorm.core.option import Option


class Statistic(NamedTuple):
    """One row: how it is fitted, and what it needs.

    ``fit(backend, view, segments, arguments, options)`` gives the number of values, int64 (batch, segment), and the
    payload; where it pools groups itself also their source and shares, as a ``Fit`` has them. ``view`` is
    (batch, item, width), ``arguments`` holds ``weights`` and ``use`` (batch, item) or None, and ``covariate``
    (batch, item, k). ``covariates`` is k, the numbers that each item has to bring.
    """

    name: str
    fit: Callable[..., tuple[Any, ...]]
    payload: Any
    options: tuple[Option, ...] = ()
    covariates: int = 0
    takes_weights: bool = True
    summary: str = ""
    source: str = ""
