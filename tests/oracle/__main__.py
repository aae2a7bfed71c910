"""``python -m tests.oracle --cases 20000 --seed 0``: damage files at random and print what gridnorm gets wrong."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from .judge import judge_all


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    asked.add_argument("--cases", type=int, default=20000)
    asked.add_argument("--seed", type=int, default=0, help="of the first case; the others count on")
    given = asked.parse_args()
    shared = os.environ.get("GRIDNORM_SHARED")
    with tempfile.TemporaryDirectory() as folder:
        return (
            1
            if judge_all(range(given.seed, given.seed + given.cases), Path(shared) if shared else None, Path(folder))
            else 0
        )


sys.exit(main())
