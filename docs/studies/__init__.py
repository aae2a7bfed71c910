"""The claims that gridnorm stands on, as small executed studies: a script and a page each.

``PYTHONPATH=docs python -m studies NAME …`` measures anew and records; ``lab`` says how a study is made.
"""

from __future__ import annotations

# In the order of the index, each with the place of the claim among its claims whose figure tells most.
TELLING = {
    "batch_statistics": 2,
    "one_dial": 0,
    "squash": 4,
    "gradients": 3,
    "contrast": 3,
    "u_net": 4,
    "lottery_tickets": 2,
    "width": 5,
    "symmetry": 3,
    "small_batches": 3,
    "print_tips": 0,
    "two_worlds": 4,
}
STUDIES = tuple(TELLING)
