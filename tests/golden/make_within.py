"""Write the two small GPR files that limma and gridnorm are compared on, simulated, with known quirks.

Usage, from the root of the checkout: python tests/golden/make_within.py, then make_within.R beside it. The files stay
in the repository: limma's numbers belong to them, so both are made anew together or not at all.

4 × 4 blocks of 14 × 14 spots, two channels; flags −50 and −100, spots below their background, ``Error`` cells. Columns
that neither program reads are left out, to keep the files small.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from gridnorm import simulate
from gridnorm.io.gpr_write import gpr_blocks, simulated_columns

KEPT = (
    "Block", "Column", "Row", "Name", "ID", "X", "Y", "Dia.", "F635 Median", "F635 Mean", "B635 Median", "F532 Median",
    "F532 Mean", "B532 Median", "Log Ratio (635/532)", "Flags",
)  # fmt: skip


def main() -> None:
    folder = Path(__file__).resolve().parent / "within"
    folder.mkdir(exist_ok=True)
    made = simulate(2, blocks=(4, 4), spots=(14, 14), seed=22)
    for k in range(2):
        columns = simulated_columns(made, k)
        text = b"".join(gpr_blocks({title: columns[title] for title in KEPT}, made.wavelengths))
        # No clock time and no name inside: the same bytes every time.
        (folder / f"simulated{k + 1}.gpr.gz").write_bytes(gzip.compress(text, 9, mtime=0))


if __name__ == "__main__":
    main()
