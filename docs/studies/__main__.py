"""``PYTHONPATH=docs python -m studies [NAME …]``: measure studies anew, record them, print their claims."""

from __future__ import annotations

import sys
import time
from importlib import import_module

from studies import STUDIES, lab


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(STUDIES))
    if unknown:
        print(f"no such study: {', '.join(unknown)}; there are: {', '.join(STUDIES)}", file=sys.stderr)
        return 2
    failed = 0
    for name in names or STUDIES:
        study, start = import_module(f"studies.{name}"), time.perf_counter()
        runs = lab.record(study)
        print(f"\n{name} ({time.perf_counter() - start:.0f} s)")
        for claim in study.claims(runs):
            failed += not claim.holds
            print(f"  {'holds' if claim.holds else 'FAILS'}: {claim.text}: {claim.figure}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
