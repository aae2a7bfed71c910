"""Print order and plates on real arrays against limma: numbers that were kept, and limma itself where R is here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from limma_sets import SETS, files
from printed import WAYS, has_limma, live

import gridnorm as gn

# What a slide must have for limma's printer layout to be that of its file: every block and spot.
NAMES = ("swirl", "doelan_demo")


@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
def test_swirl_has_limmas_sums(shared: Path) -> None:
    """The raw intensities of four arrays, one trend of both channels: sums and first values to the digits kept."""
    net = gn.background_correct(gn.read(files(shared, SETS["swirl"])), "none")
    logs = np.log2(gn.correct_intensities(net, "print-order").R)
    assert logs.sum() == pytest.approx(389154.76, abs=0.005)
    assert (logs**2).sum() == pytest.approx(4594562.7, abs=0.05)
    np.testing.assert_allclose(logs[0], [14.069413, 13.724255, 11.749702, 14.162863], rtol=0, atol=6e-7)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
@pytest.mark.parametrize("name", NAMES)
def test_real_arrays_are_corrected_as_by_limma(shared: Path, name: str, tmp_path: Path) -> None:
    if not has_limma():
        pytest.skip("no Rscript with limma on the path")
    # One array of each: R's direct loess takes seconds for a channel.
    net = gn.background_correct(gn.read(files(shared, SETS[name])[:1]), "none")
    layout = net.layout
    assert layout is not None and layout.complete, "limma's rows would be those of other spots"
    size = f"{layout.grid_rows}x{layout.grid_columns}x{layout.spot_rows}x{layout.spot_columns}"
    expected = live(net.R, net.G, size, tmp_path)
    for row, separate, start in WAYS:
        done = gn.correct_intensities(net, row, separate_channels=separate, order_start=start)
        for k, ours in enumerate((done.R, done.G)):
            limma = expected[row, separate, start][k]
            known = np.isfinite(limma)
            assert known.mean() > 0.9
            # Sums over thousands of spots in another order.
            np.testing.assert_allclose(np.log2(ours[known]), np.log2(limma[known]), rtol=0, atol=1e-10)
        lost = ~np.isfinite(expected[row, separate, start][0] * expected[row, separate, start][1])
        with np.errstate(invalid="ignore"):
            assert np.array_equal(lost, ~((done.R > 0) & (done.G > 0))), "M is missing where limma's is"
