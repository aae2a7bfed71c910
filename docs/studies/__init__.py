"""The claims that gridnorm stands on, as small executed studies: a script and a page each.

``PYTHONPATH=docs python -m studies NAME …`` measures anew and records; ``lab`` says how a study is made.
"""

from __future__ import annotations

STUDIES = (
    "batch_statistics",
    "one_dial",
    "squash",
    "gradients",
    "contrast",
    "u_net",
    "lottery_tickets",
    "width",
    "symmetry",
    "small_batches",
    "print_tips",
    "two_worlds",
)  # in the order of the index
