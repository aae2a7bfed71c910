"""ArraySet: views, conversions, and messages for what it does not have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.arrayset import decoded, of_raw
from gridnorm.arrays.matrices import INTENSITIES, LEVELS, declared
from gridnorm.arrays.stack import stack


@pytest.fixture(scope="module")
def arrays() -> gn.ArraySet:
    return gn.simulate(3, (2, 2), (8, 7), seed=1).arrays


def test_matrices_are_views_of_spots_by_arrays(arrays: gn.ArraySet) -> None:
    assert len(arrays) == 3 and arrays.n_spots == 224
    for name in ("R", "G", "Rb", "Gb"):
        matrix = getattr(arrays, name)
        assert matrix.shape == (224, 3) and matrix.dtype == np.float64
        assert np.shares_memory(matrix, arrays.values[name])
    assert arrays.flags is not None and arrays.flags.shape == arrays.flagged.shape == (224, 3)
    np.testing.assert_array_equal(arrays.flagged, arrays.flags < 0)
    assert arrays.weights is None


def test_what_is_not_there_is_said_with_what_is(arrays: gn.ArraySet) -> None:
    with pytest.raises(
        AttributeError, match=r"no M; they have R, G, Rb, Gb\. Normalize first|no M; they have .*Normalize first"
    ):
        _ = arrays.M
    with pytest.raises(AttributeError, match="no E"):
        _ = arrays.E


def test_spots_are_decoded_text_and_numbers(arrays: gn.ArraySet) -> None:
    frame = arrays.spots
    assert frame["ID"].tolist()[:2] == ["P000001", "P000002"]
    assert frame["Block"].dtype == np.int64 and len(frame) == 224
    assert decoded(np.array(["é".encode(), b"\xff", b""], "S")).tolist() == ["é", "\ufffd", ""]
    assert decoded(np.empty(0, "S1")).tolist() == []


def test_the_frame_is_the_result_table(arrays: gn.ArraySet) -> None:
    result = gn.normalize(arrays, background="half")
    frame = result.to_frame()
    assert list(frame)[:5] == ["Block", "Row", "Column", "ID", "Name"]
    assert list(frame)[5:8] == ["M.array1", "A.array1", "W.array1"]
    np.testing.assert_array_equal(frame["M.array2"], result.M[:, 1])


def test_matrices_are_declared_with_their_titles(arrays: gn.ArraySet) -> None:
    assert declared(("R", "G"), LEVELS)["M"].title("a.b") == "M.a.b"
    assert declared(("635", "532", "594"), LEVELS)["E.635"].title("a") == "E.a.635"
    assert list(declared(("E",), INTENSITIES)) == ["E", "Eb"]
    assert list(arrays.matrices) == ["R", "G", "Rb", "Gb"]
    assert list(gn.normalize(arrays, background="half").matrices) == ["M", "A"]
    with pytest.raises(gn.OptionError, match="do not have as intensities; found M, expected R, G, Rb, Gb"):
        replace(arrays, values={**arrays.values, "M": arrays.values["R"]})


def test_one_channel_that_was_normalized_is_known_as_such() -> None:
    """Raw and normalized one-channel data are both called E: the stage tells, not the name."""
    done = gn.normalize(gn.simulate(1, (2, 2), (8, 7), channels=1, seed=1).arrays, by="print-tip")
    assert done.stage == LEVELS and list(done.values) == ["E"]
    with pytest.raises(gn.OptionError, match="normalized already"):
        gn.normalize(done)


def test_one_array_out_of_many_is_the_array_itself(arrays: gn.ArraySet) -> None:
    raws = [arrays.raw(k) for k in range(len(arrays))]
    for k, raw in enumerate(raws):
        np.testing.assert_array_equal(raw.foreground, [arrays.R[:, k], arrays.G[:, k]])
        assert raw.background is not None
        np.testing.assert_array_equal(raw.background[1], arrays.Gb[:, k])
        assert raw.name == arrays.names[k]
    again = stack([of_raw(raw, name, arrays.layout) for raw, name in zip(raws, arrays.names, strict=True)])
    for name in arrays.values:
        np.testing.assert_array_equal(again.values[name], arrays.values[name])


def test_normalized_arrays_are_not_raw(arrays: gn.ArraySet) -> None:
    with pytest.raises(gn.OptionError, match="normalized already.*raw intensities"):
        gn.normalize(gn.normalize(arrays, background="half"))


def test_sets_of_different_channels_are_refused(arrays: gn.ArraySet) -> None:
    one = gn.simulate(1, (2, 2), (8, 7), channels=1, seed=1).raw(0)
    with pytest.raises(gn.OptionError, match="different channels.*choose with channels"):
        stack([of_raw(arrays.raw(0), "a", None), of_raw(one, "b", None)])
    with pytest.raises(gn.OptionError, match="no arrays"):
        stack([])


def test_history_tells_every_step_with_its_parameters(arrays: gn.ArraySet) -> None:
    assert str(arrays.history) == "nothing done"
    steps = gn.normalize_within(gn.background_correct(arrays, "half", offset=0), method="median").history
    assert [step.operation for step in steps.steps] == ["background_correct", "normalize_within"]
    assert steps.steps[0].parameters == {"method": "half", "offset": 0}
    assert steps.to_list()[1]["parameters"]["method"] == "median"


def test_a_set_without_flags_has_none(arrays: gn.ArraySet) -> None:
    bare = replace(arrays, flag_codes=None)
    assert bare.flags is None and not bare.flagged.any()
    assert gn.normalize(bare, background="half").weights is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"values": {"R": np.ones((3, 224))}}, "matrices are missing; found R, expected R, G, Rb, Gb"),
        ({"values": {}}, "matrices are missing; found none"),
        (
            {"values": {"R": np.ones((3, 224)), "G": np.ones((3, 4))}},
            r"G does not fit the arrays; found shape \(3, 4\)",
        ),
        (
            {"names": ("x",)},
            r"R does not fit the arrays; found shape \(3, 224\), expected \(array, spot\) = \(1, 224\)",
        ),
        ({"names": ("x", "y", "x")}, "two arrays have one name"),
        ({"flag_codes": np.zeros((224, 3), np.int64)}, "flag_codes does not fit the arrays"),
        ({"spot_weights": np.ones(224)}, "spot_weights does not fit the arrays"),
    ],
)
def test_a_set_made_by_hand_is_checked(arrays: gn.ArraySet, change: dict[str, object], says: str) -> None:
    with pytest.raises(gn.OptionError, match=says):
        replace(arrays, **change)  # type: ignore[arg-type]


def test_a_set_is_shown_in_a_line() -> None:
    arrays = gn.simulate(4, (2, 2), (5, 5), seed=1).arrays
    assert repr(arrays) == "<ArraySet: 4 arrays of 100 spots (array1, array2, array3, …); R G Rb Gb>"
    assert repr(arrays.part(0)) == "<ArraySet: 1 array of 100 spots (array1); R G Rb Gb>"
