"""Spots of one ID become one row: which values, which spots count, what is told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gridnorm as gn
from gridnorm.arrays.replicates import REPLICATES_TABLE, Replicates, average_replicates
from gridnorm.errors import OptionError


def of_levels(m: Any, ids: list[str], weights: Any = None, channels: int = 2, **columns: Any) -> gn.ArraySet:
    """A set from values (spot, array)."""
    m = np.asarray(m, float)
    values = {"M": m.T, "A": m.T + 10} if channels == 2 else {"E": m.T}
    return gn.ArraySet(
        names=tuple(f"a{k}" for k in range(m.shape[1])), channels=("R", "G") if channels == 2 else ("E",),
        values=values, stage="levels", spot_weights=None if weights is None else np.asarray(weights, float).T,
        columns={"ID": np.array([i.encode() for i in ids], "S8"), **columns},
    )  # fmt: skip


NAN = float("nan")


def test_the_mean_is_limmas_avereps() -> None:
    """Values of limma 3.54.1: NaN left out, rows as IDs first appear, M and A alike."""
    m = [[1, 7], [2, NAN], [NAN, 9], [4, NAN], [5, NAN], [6, 12]]
    done = average_replicates(of_levels(m, ["b", "a", "b", "c", "a", "c"]))
    np.testing.assert_array_equal(done.M, [[1, 8], [3.5, NAN], [5, 12]])
    np.testing.assert_array_equal(done.A, [[11, 18], [13.5, NAN], [15, 22]])
    assert done.columns["ID"].tolist() == [b"b", b"a", b"c"] and done.weights is None
    np.testing.assert_array_equal(done.values["N"].T, [[1, 2], [2, 0], [2, 1]])


def test_spots_of_weight_0_count_only_where_there_are_no_others() -> None:
    done = average_replicates(
        of_levels([[1], [3], [8], [2], [4]], ["a", "a", "a", "b", "b"], [[1], [0.5], [0], [0], [0]])
    )
    np.testing.assert_array_equal(done.M[:, 0], [2, 3])
    assert done.weights is not None
    np.testing.assert_array_equal(done.weights[:, 0], [0.75, 0])
    np.testing.assert_array_equal(done.values["N"][0], [2, 2])


def test_a_missing_value_keeps_the_weight_it_had() -> None:
    done = average_replicates(of_levels([[NAN], [NAN], [3]], ["a", "a", "b"]))
    assert done.weights is None and np.isnan(done.M[0, 0]) and done.values["N"][0, 0] == 0


def test_the_order_of_rows_and_numbers_are_those_of_pandas() -> None:
    rng = np.random.default_rng(1)
    ids = [f"g{k}" for k in rng.integers(0, 40, 200)]
    m = rng.normal(size=(200, 3))
    m[rng.random(m.shape) < 0.2] = NAN
    arrays = of_levels(m, ids)
    for method in ("mean", "median"):
        done = average_replicates(arrays, method)
        expected = pd.DataFrame(m).groupby(ids, sort=False).agg(method)
        np.testing.assert_allclose(done.M, expected.to_numpy(), rtol=1e-12, atol=1e-15)
        assert [i.decode() for i in done.columns["ID"]] == list(expected.index)
        np.testing.assert_allclose(
            done.values["SD"].T, pd.DataFrame(m).groupby(ids, sort=False).std().to_numpy(), rtol=1e-9, atol=1e-12
        )


def test_one_channel_has_the_cv_of_intensities() -> None:
    e = np.log2([[100.0], [200], [400], [1e300]])
    done = average_replicates(of_levels(e, ["a", "a", "a", "b"], channels=1))
    plain = np.array([100.0, 200, 400])
    assert done.values["CV"][0, 0] == pytest.approx(plain.std(ddof=1) / plain.mean(), rel=1e-12)
    assert done.values["SD"][0, 0] == pytest.approx(1)
    assert np.isnan(done.values["CV"][0, 1]) and np.isnan(done.values["SD"][0, 1])
    assert "CV" not in average_replicates(of_levels(e, list("aabb"))).values


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([1, 2, 9], [1, 2]),  # the two nearest
        ([1, 8, 9], [8, 9]),
        ([1, 5, 9], [1, 5]),  # equally near: the lower ones
        ([1, 9], [1, 9]),
        ([4], [4]),
        ([1, 7, 8, 9], [7, 8, 9]),  # of four three, of six four
        ([9, 1, 3, 2, 4, 20], [1, 2, 3, 4]),
        ([1, 2, NAN, 9], [1, 2]),
        ([3, 3, 3], [3, 3, 3]),
    ],
)
def test_best_2_of_3_takes_those_that_agree_best(values: list[float], kept: list[float]) -> None:
    done = average_replicates(of_levels(np.array([values]).T, ["a"] * len(values)), "best2of3")
    assert done.M[0, 0] == pytest.approx(np.mean(kept))
    assert done.A[0, 0] == pytest.approx(np.mean(kept) + 10)
    assert done.values["N"][0, 0] == len(kept)


def test_best_2_of_3_of_many_ids_and_arrays_is_that_of_each_alone() -> None:
    rng = np.random.default_rng(5)
    ids = [f"g{k}" for k in rng.integers(0, 30, 120)]
    m, w = rng.normal(size=(120, 2)), np.ones((120, 2))
    w[rng.random(w.shape) < 0.2] = 0
    done = average_replicates(of_levels(m, ids, w), "best2of3")
    for row, name in enumerate(done.columns["ID"]):
        mine = [k for k, one in enumerate(ids) if one.encode() == name]
        for j in range(2):
            alone = average_replicates(of_levels(m[mine, j : j + 1], ["a"] * len(mine), w[mine, j : j + 1]), "best2of3")
            assert done.M[row, j] == pytest.approx(alone.M[0, 0], rel=1e-12)


@pytest.mark.parametrize(("cv", "kept"), [(0.39, 2), (0.41, 3)])
def test_replicates_that_agree_are_all_taken(cv: float, kept: int) -> None:
    e = np.log2([[100.0], [100], [190]])  # their CV: 0.3997; 0.2 is the default
    arrays = of_levels(e, ["a"] * 3, channels=1)
    assert average_replicates(arrays, "best2of3", replicates_cv=cv).values["N"][0, 0] == kept
    near = of_levels(np.log2([[100.0], [100], [140]]), ["a"] * 3, channels=1)  # 0.204
    assert average_replicates(near, "best2of3").values["N"][0, 0] == 2
    nearer = of_levels(np.log2([[100.0], [100], [139]]), ["a"] * 3, channels=1)  # 0.199
    assert average_replicates(nearer, "best2of3").values["N"][0, 0] == 3


def test_spots_without_an_id_and_types_apart_stay() -> None:
    types = np.array([b"gene", b"gene", b"buffer", b"buffer", b"gene"])
    arrays = of_levels([[1], [3], [5], [7], [9]], ["a", "a", "c", "c", ""], SpotType=types)
    arrays = replace(arrays, columns={**arrays.columns, "ID": np.array([b"a", b"a", b"c", b"c", b""])})
    assert average_replicates(arrays).M[:, 0].tolist() == [2, 6, 9]
    assert average_replicates(arrays, apart=["buffer"]).M[:, 0].tolist() == [2, 5, 7, 9]
    blank = of_levels([[1], [3], [5]], ["", "", "a"])
    assert average_replicates(blank).M[:, 0].tolist() == [1, 3, 5]
    numbers = replace(blank, columns={"ID": np.array([NAN, NAN, 2.0])})
    assert average_replicates(numbers).M[:, 0].tolist() == [1, 3, 5]
    with pytest.raises(OptionError, match="no column SpotType"):
        average_replicates(blank, apart=["x"])


def test_places_are_those_of_the_first_spot_and_other_cells_those_that_all_share() -> None:
    columns = {
        "Block": np.array([2, 1, 1, 1]), "Name": np.array([b"x", b"x", b"y", b"z"]),
        "Plate": np.array([1, 2, 3, 3]), "pH": np.array([1.0, NAN, 3.0, 3.0]),
    }  # fmt: skip
    done = average_replicates(of_levels([[1], [2], [3], [4]], ["a", "a", "b", "b"], **columns))
    assert done.columns["Block"].tolist() == [2, 1]
    assert done.columns["Name"].tolist() == [b"x", b""]
    np.testing.assert_array_equal(done.columns["Plate"], [NAN, 3])
    np.testing.assert_array_equal(done.columns["pH"], [NAN, 3])
    assert done.warnings == (
        "replicates: spots of one ID differ in Name of 1, Plate of 1, pH of 1 rows; those cells are empty",
    )


def test_history_record_and_fits_follow(tmp_path: Any) -> None:
    result = gn.normalize(gn.simulate(2, (2, 2), (8, 8), bad=0.1, seed=1).arrays)
    twice = replace(result, columns={**result.columns, "ID": result.columns["ID"][:128].repeat(2)})
    done = average_replicates(twice, "best2of3", replicates_cv=0.1)
    assert done.n_spots == 128
    assert done.history.steps[-1].operation == "average_replicates"
    expected = {"replicates": "best2of3", "replicates_by": "ID", "replicates_cv": 0.1}
    assert dict(done.record(1).history.steps[-1].parameters) == expected
    told = done.record(0).replicates
    assert told is not None and told["spots"] == 256 and told["rows"] == 128 and 0 < told["median_SD"] < 2
    assert done.fits[0].values.shape == done.fits[0].start.shape == (1, 128)
    assert done.part(1).n_spots == 128 and done.flags is not None and done.flags.shape == (128, 2)
    gn.write(done, tmp_path / "o.tsv")
    record = json.loads((tmp_path / "o.tsv.gridnorm.json").read_text())
    assert record["arrays"][0]["replicates"] == told and record["output"]["rows"] == 128
    assert list(pd.read_csv(tmp_path / "o.tsv", sep="\t").filter(like="array1")) == [
        f"{m}.array1" for m in ("M", "A", "N", "SD", "W")
    ]
    assert average_replicates(twice, "keep") is twice


def test_rows_that_an_array_lacks_stay_absent() -> None:
    arrays = replace(
        of_levels([[1, NAN], [2, NAN], [3, 4]], ["a", "a", "b"]), absent=np.array([[0, 0, 0], [1, 1, 0]], bool)
    )
    done = average_replicates(arrays)
    assert done.absent is not None and done.absent.tolist() == [[False, False], [True, False]]
    assert done.weights is None
    weighted = replace(arrays, spot_weights=np.array([[1, 0.5, 1], [NAN, NAN, 1]]))
    np.testing.assert_array_equal(average_replicates(weighted).spot_weights, [[0.75, 1], [NAN, 1]])


def test_flags_stay_where_all_spots_have_one() -> None:
    arrays = replace(of_levels([[1], [2], [3], [4]], ["a", "a", "b", "b"]), flag_codes=np.array([[-50, 0, -100, -50]]))
    assert average_replicates(arrays).flags.tolist() == [[0], [-100]]  # type: ignore[union-attr]


def test_several_channels_have_their_own() -> None:
    raw = gn.simulate(1, (2, 2), (8, 8), channels=1, seed=1).arrays
    values = {"E.635": np.arange(4.0)[None], "E.532": np.array([[1.0, NAN, 2, 3]]), "E.594": np.ones((1, 4))}
    arrays = replace(
        of_levels([[1], [2], [3], [4]], list("aabb")), channels=("635", "532", "594"), values=values,
        columns={"ID": np.array([b"a", b"a", b"b", b"b"])},
    )  # fmt: skip
    done = average_replicates(arrays)
    assert list(done.values)[:6] == ["E.635", "E.532", "E.594", "N.635", "SD.635", "CV.635"]
    assert done.values["N.532"].tolist() == [[1, 2]] and done.values["N.635"].tolist() == [[2, 2]]
    with pytest.raises(OptionError, match="Normalize first"):
        average_replicates(raw)


def test_what_cannot_be_is_refused() -> None:
    arrays = of_levels([[1], [2]], ["a", "b"])
    with pytest.raises(OptionError, match="unknown replicates method; found 'meen'.*Did you mean mean"):
        average_replicates(arrays, "meen")
    with pytest.raises(OptionError, match="names no column"):
        average_replicates(arrays, by="Probe")
    with pytest.raises(OptionError, match="averaged already"):
        average_replicates(average_replicates(arrays))
    with pytest.raises(OptionError, match="replicates_cv has no meaning for replicates mean"):
        average_replicates(arrays, replicates_cv=0.1)


def test_a_row_of_ones_own() -> None:
    lowest = Replicates("lowest", "moments", "the smallest", lambda v, s, use, o: use & (v == v.min()))
    assert average_replicates(of_levels([[1], [2]], ["a", "a"]), lowest).M[0, 0] == 1
    assert set(REPLICATES_TABLE) == {"keep", "mean", "median", "best2of3"}


def test_types_that_stay_apart_are_words_that_are_known() -> None:
    types = np.array([b"Spike", b"Spike", b"gene", b"gene"])
    arrays = of_levels([[1], [2], [3], [4]], ["a", "a", "b", "b"], SpotType=types)
    for apart in ("spike", ["Spike"], ("SPIKE",)):
        assert average_replicates(arrays, apart=apart).n_spots == 3
    with pytest.raises(OptionError, match="apart names a type that no spot has; found 'spyke'.*Did you mean Spike"):
        average_replicates(arrays, apart="spyke")
    with pytest.raises(OptionError, match="by names the column of what spots share; found a list"):
        average_replicates(arrays, by=["ID"])  # type: ignore[arg-type]


def test_spots_that_were_not_found_are_in_the_mean() -> None:
    """Without them the mean of dim spots is that of those that noise has lifted."""
    arrays = gn.normalize(gn.simulate(1, blocks=(2, 2), spots=(12, 12), bad=0.1, not_found=0.3, seed=2).arrays)
    twice = replace(arrays, columns={"ID": np.arange(arrays.n_spots) // 2})
    done, codes = average_replicates(twice), arrays.flags[:, 0].reshape(-1, 2)
    m = arrays.M[:, 0].reshape(-1, 2)
    lost = (codes == -50).any(axis=1) & (codes != -100).all(axis=1)
    assert lost.any() and (codes == -100).any()
    np.testing.assert_allclose(done.M[lost, 0], m[lost].mean(axis=1))
    half = (codes == -50).sum(axis=1) == 1
    np.testing.assert_array_equal(done.weights[lost & half, 0], 0.5)
    bad = (codes == -100).sum(axis=1) == 1
    np.testing.assert_allclose(done.M[bad, 0], m[bad][codes[bad] != -100])


def test_a_column_that_is_not_there_is_no_grouping_either() -> None:
    with pytest.raises(OptionError, match=r"^by names no column; found 'print-tip', expected a spot column\. "):
        average_replicates(of_levels([[1], [2]], ["a", "b"]), by="print-tip")
