"""The claims that gridnorm stands on, as small executed studies: a script and a page each.

``PYTHONPATH=docs python -m studies NAME …`` measures anew and records; ``lab`` says how a study is made.
"""

from __future__ import annotations

STUDIES = (
    "one_dial",
    "squash",
    "contrast",
    "bottleneck",
    "lottery_tickets",
)  # in the order of the index
