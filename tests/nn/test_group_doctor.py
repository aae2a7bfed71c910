"""What a diagnosis says at its end."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.nn.group_doctor import doctor


@pytest.mark.parametrize("spread", [True, False])
def test_the_shares_of_groups_and_proposal_are_both_said_or_neither(spread: bool) -> None:
    scales = np.geomspace(1, 50, 8) if spread else np.eye(8)[0]  # one channel of all that varies has nothing to share
    x = np.random.default_rng(2).normal(size=(4, 8, 50)) * scales[:, None]
    found = doctor(x, 2)
    text = str(found)
    assert ("The groups explain" in text) is spread
    assert (f"the proposal explains {found.proposal_share:.0%}." in text) is spread
    assert (f"The groups explain {found.share:.0%} of the spread" in text) is spread
