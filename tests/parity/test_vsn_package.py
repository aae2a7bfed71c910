"""vsn against the package of its authors, on the net channels of four arrays: its numbers, and the likelihood at ours."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridnorm.core.across import vsn
from gridnorm.core.across.entries import Given
from gridnorm.core.across.vsn.likelihood import Rows
from gridnorm.core.across.vsn.rounds import Trim, best
from gridnorm.core.engines import backend_for
from gridnorm.core.segments import Segments

OPTIONS = {option.name: option.default for option in vsn.OPTIONS}
NAMES = [f"{channel}{k}" for channel in "GR" for k in range(1, 5)]


def given(y: np.ndarray) -> Given:
    return Given(backend_for(y), NAMES)


def learn(y: np.ndarray, segments: Segments, **options: Any) -> Any:
    return vsn.learn(y, segments, given(y), {**OPTIONS, **options})


def table(path: Path) -> dict[str, np.ndarray]:
    with gzip.open(path, "rt") as lines:
        titles = next(csv.reader(lines, delimiter="\t"))
        return dict(zip(titles, np.loadtxt(lines, delimiter="\t").T, strict=True))


@pytest.fixture(scope="module")
def swirl(shared: Path) -> dict[str, Any]:
    """Net channels of four arrays, and what vsn2 makes of them: values, coefficients and variance, by strata."""
    folder = shared / "data" / "golden"
    raw, values = table(folder / "limma" / "swirl" / "raw.tsv.gz"), table(folder / "peers" / "vsn.tsv.gz")
    out: dict[str, Any] = {"y": np.array([raw[f"a{n[1]}.{n[0]}"] - raw[f"a{n[1]}.{n[0]}b"] for n in NAMES])}
    for words in map(str.split, (folder / "peers" / "vsn.txt").read_text().splitlines()):
        if words[0] == "strata":
            found: dict[str, Any] = {"variance": float(words[3]), "hoffset": np.array(words[5:], float), "pairs": []}
            out[words[1]] = found
            found["values"] = np.array([values[f"{n}.{words[1]}"] for n in NAMES])
        elif words[0].isdigit():
            found["pairs"].append([float(words[2]), float(words[3])])
    for strata, groups in (("one", 1), ("tip", 16)):
        pairs = np.array(out[strata].pop("pairs")).reshape(groups, len(NAMES), 2)
        out[strata]["curves"] = vsn.Curves(pairs[:, :, 0].T, pairs[:, :, 1].T)
        out[strata]["segments"] = Segments.uniform(out["y"].shape[1], groups)
    return out


def likelihood(y: np.ndarray, segments: Segments, curves: vsn.Curves, kept: np.ndarray) -> float:
    """Logarithm of the profile likelihood of kept items, up to a constant."""
    codes = segments.codes[kept]
    factor, offset = curves.factor[:, codes], curves.offset[:, codes]
    z = np.exp(factor) * y[:, kept] + offset
    residuals = np.arcsinh(z) - np.arcsinh(z).mean(axis=0)
    return float((factor - 0.5 * np.log1p(z * z)).sum() - 0.5 * z.size * np.log((residuals**2).sum()))


def kept_by(y: np.ndarray, segments: Segments, curves: vsn.Curves, trim: Trim) -> np.ndarray:
    kept = np.zeros(y.shape[1], bool)
    for g in range(segments.n_segments):
        items = segments.order[segments.offsets[g] : segments.offsets[g + 1]]
        offset, factor = curves.offset[:, g], curves.factor[:, g]
        rows = Rows(y[:, items], None, np.zeros(len(y)), np.ones(len(y)))
        kept[items] = best(rows, np.concatenate([offset * np.exp(-factor), factor]), trim)
    return kept


@pytest.mark.parametrize("strata", ["one", "tip"])
def test_the_packages_coefficients_give_its_values(swirl: dict[str, Any], strata: str) -> None:
    peer, y = swirl[strata], swirl["y"]
    shift = 1 + peer["curves"].factor.mean(axis=0) / np.log(2)
    np.testing.assert_allclose(shift, peer["hoffset"], rtol=1e-14)
    done = vsn.transform(y.copy(), peer["segments"], peer["curves"], shift, given(y))
    np.testing.assert_allclose(done, peer["values"], rtol=1e-13)


def test_the_packages_variance_is_that_of_the_items_which_its_rule_keeps(swirl: dict[str, Any]) -> None:
    """So its rule is known: five slices by mean, in each the 90 % of the least variance, and all of the dimmest."""
    peer, y = swirl["one"], swirl["y"]
    kept = kept_by(y, peer["segments"], peer["curves"], Trim(0.9, whole=1))
    z = np.exp(peer["curves"].factor) * y[:, kept] + peer["curves"].offset
    assert np.arcsinh(z).var(axis=0).mean() == pytest.approx(peer["variance"], rel=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize(("strata", "least"), [("one", 330), ("tip", 1500)])
def test_under_the_packages_rule_the_likelihood_is_greater_than_where_it_stopped(
    swirl: dict[str, Any], strata: str, least: float
) -> None:
    """Its stopping rule (a step that gains 1e-8 of the likelihood, 0.008) ends the search long before the optimum.

    That is why its values are not met more closely than here: dim ones differ by up to 0.7 (strata: 2.5), and the same
    search from other starts ends as far from its result (0.07 to 2.9).
    """
    peer, y = swirl[strata], swirl["y"]
    curves, target = learn(y, peer["segments"], vsn_trim="bright")
    for kept in (kept_by(y, peer["segments"], it, Trim(0.9, whole=1)) for it in (peer["curves"], curves)):
        ours, theirs = (likelihood(y, peer["segments"], it, kept) for it in (curves, peer["curves"]))
        assert ours > theirs + least
    done = vsn.transform(y.copy(), peer["segments"], curves, target.shift, given(y))
    assert np.median(np.abs(done - peer["values"])) < 0.06
    # Factors beside those of the other entries, which zero and scale of a stratum do not touch.
    ours, theirs = (it.factor - it.factor.mean(axis=0) for it in (curves, peer["curves"]))
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > (0.99 if strata == "one" else 0.8)


@pytest.mark.slow
@pytest.mark.parametrize("strata", ["one", "tip"])
def test_over_all_items_the_likelihood_is_not_less_than_the_packages(swirl: dict[str, Any], strata: str) -> None:
    peer, y = swirl[strata], swirl["y"]
    everything = np.ones(y.shape[1], bool)
    ours, theirs = (
        likelihood(y, peer["segments"], it, everything) for it in (learn(y, peer["segments"])[0], peer["curves"])
    )
    assert ours > theirs + 100
