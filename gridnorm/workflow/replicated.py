"""Replicate spots of a run: one row for each ID, when the arrays of a table or of a file have been normalized."""

from __future__ import annotations

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.replicates import BY_COLUMN, average_replicates
from gridnorm.errors import OptionError, option_word
from gridnorm.workflow.settings import Settings


def averaged(arrays: ArraySet, settings: Settings) -> ArraySet:
    """The set as ``replicates`` wants it.

    Raises
    ------
    OptionError
        The spots have no IDs.
    """
    row, options = settings.replicating
    if row.statistic is None:
        return arrays
    if BY_COLUMN not in arrays.columns:
        raise OptionError(
            f"{option_word('replicates')} needs the IDs of the spots", found=f"no column {BY_COLUMN}",
            hint=f"Name it with {option_word('columns')} {BY_COLUMN}=…",
        )  # fmt: skip
    return average_replicates(arrays, row, **options)
