"""CPU time, wall time and peak memory of one command, as JSON: measure.py OUT.json COMMAND...

A process of its own, without NumPy: the kernel counts the memory of the parent at the fork into the peak of the child,
so that whoever starts the measured command must be small.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main(out: str, command: list[str]) -> int:
    started = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    with open(out, "w", encoding="utf-8") as handle:
        json.dump({"cpu": used.ru_utime + used.ru_stime, "wall": wall, "peak": peak, "code": code}, handle)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
