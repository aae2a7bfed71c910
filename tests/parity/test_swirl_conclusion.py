"""What a user concludes from swirl: the mutated gene is at the top once arrays have one scale."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest
from limma_sets import SETS, files
from moderated import moderated_t

import gridnorm as gn

DYE_SWAP = np.array([-1.0, 1.0, -1.0, 1.0])


def result(shared: Path, **options: object) -> gn.ArraySet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        return gn.normalize(
            files(shared, SETS["swirl"]), gal=str(shared / "data/arrays/bioc_marray/fish.gal.gz"), **options
        )


def test_the_statistic_is_limmas(shared: Path) -> None:
    """limma's eBayes of its own M of these arrays (subtract, print-tip loess)."""
    with gzip.open(shared / "data/golden/peers/limma_fit.tsv.gz", "rt") as handle:
        titles, *lines = handle.read().splitlines()
    limma = np.array([line.split("\t")[titles.split("\t").index("t")] for line in lines], float)
    ours = moderated_t(result(shared, preset="limma").M, DYE_SWAP)
    np.testing.assert_allclose(ours, limma, rtol=1e-6)


@pytest.mark.parametrize(("between", "worst"), [("scale", 5), ("none", 25)])
def test_both_spots_of_the_mutated_gene(shared: Path, between: str, worst: int) -> None:
    done = result(shared, between=between)
    t = np.abs(moderated_t(done.M, DYE_SWAP))
    ranks = np.sort((-t).argsort().argsort()[done.spots["Name"] == "BMP2"] + 1)
    assert ranks[1] <= worst, ranks  # the third spot of that name shows nothing in any analysis
    assert between == "scale" or ranks[0] > 5, "without it they are not at the top"
