"""Which label a message names."""

from __future__ import annotations

import pytest

from gridnorm.errors import OptionError
from gridnorm.nn.labels import checked_labels


@pytest.mark.parametrize(
    ("labels", "said"),
    [([-2, 0], "-2 for channel 0"), ([0, -1, -2, -3], "-2 for channel 2"), ([-1, 5, -9], "-9 for channel 2")],
)
def test_the_first_label_that_cannot_be_is_named_and_not_one_that_passes_through(labels: list[int], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        checked_labels(labels)
    assert checked_labels([max(label, -1) for label in labels]).min() == -1
