"""Which matrices a set may have, and the titles of their columns."""

from __future__ import annotations

import pytest

from gridnorm.arrays.matrices import INTENSITIES, LEVELS, declared


@pytest.mark.parametrize(
    ("channels", "stage", "names", "titles"),
    [
        (("R", "G"), INTENSITIES, ["R", "G", "Rb", "Gb"], ["R.a", "G.a", "Rb.a", "Gb.a"]),
        (("R", "G"), LEVELS, ["M", "A", "N", "SD"], ["M.a", "A.a", "N.a", "SD.a"]),
        (("E",), INTENSITIES, ["E", "Eb"], ["E.a", "Eb.a"]),
        (("E",), LEVELS, ["E", "N", "SD", "CV"], ["E.a", "N.a", "SD.a", "CV.a"]),
        (
            ("635", "532", "488"),
            LEVELS,
            ["E.635", "E.532", "E.488", *(f"{word}.{nm}" for nm in (635, 532, 488) for word in ("N", "SD", "CV"))],
            ["E.a.635", "E.a.532", "E.a.488"]
            + [f"{word}.a.{nm}" for nm in (635, 532, 488) for word in ("N", "SD", "CV")],
        ),
    ],
)
def test_matrices_by_channels_and_stage(
    channels: tuple[str, ...], stage: str, names: list[str], titles: list[str]
) -> None:
    found = declared(channels, stage)
    assert list(found) == names
    assert [matrix.title("a") for matrix in found.values()] == titles
