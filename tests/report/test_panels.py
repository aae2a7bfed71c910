"""What a picture needs of each array."""

from __future__ import annotations

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.errors import OptionError
from gridnorm.report.panels import _title, panels_of


def test_two_channels_are_one_panel_an_array_one_channel_has_no_covariate() -> None:
    done = gn.normalize(gn.simulate(2, (2, 2), (8, 7), seed=1).arrays, background="half")
    panels = panels_of(done)
    assert [panel.name for panel in panels] == list(done.names)
    for k, panel in enumerate(panels):
        np.testing.assert_array_equal(panel.values, done.M[:, k])
        np.testing.assert_array_equal(panel.covariate, done.A[:, k])
        np.testing.assert_array_equal(panel.before, done.fits[k].before[0])
        assert (panel.noun, panel.method, panel.segments.n_segments) == ("print-tip", "loess", 4)
        assert panel.use.all() == (done.weights is None)
    single = gn.normalize(gn.simulate(1, (2, 2), (8, 7), channels=1, seed=1).arrays, by="print-tip", background="none")
    assert panels_of(single)[0].covariate is None


def test_groups_are_called_as_asked_and_crossed_ones_groups() -> None:
    arrays = gn.simulate(1, (2, 2), (8, 7), seed=1).arrays
    done = gn.normalize(arrays, background="half", by="Block,Row", method="median", min_group=0)
    assert panels_of(done)[0].noun == "group"
    assert panels_of(done, by="tip")[0].noun == "tip"


def test_spots_of_weight_zero_are_not_behind_the_curves() -> None:
    done = gn.normalize(gn.simulate(1, (2, 2), (8, 7), seed=1, bad=0.2).arrays, background="half")
    (panel,) = panels_of(done)
    assert done.flags is not None and (done.flags == -50).any() and (done.weights[done.flags < 0] == 0).all()
    np.testing.assert_array_equal(panel.use, done.flags[:, 0] != -100)  # those not found are, as in the fit
    named = gn.normalize(gn.simulate(1, (2, 2), (8, 7), seed=1).arrays, background="half", flags="exclude:-50")
    np.testing.assert_array_equal(panels_of(named)[0].use, named.weights[:, 0] > 0)


def test_what_is_not_normalized_or_nothing_is_refused() -> None:
    with pytest.raises(OptionError, match="have not been normalized within arrays"):
        panels_of(gn.simulate(1, (2, 2), (8, 7)).arrays)
    with pytest.raises(OptionError, match="at least one normalized array"):
        panels_of([])


def test_an_image_without_a_wavelength_is_called_a_channel() -> None:
    assert _title("a", "M", ("635", "532")) == "a"
    assert [_title("a", f"E.{w}", ("635", "532", "")) for w in ("635", "3")] == ["a (635 nm)", "a (channel 3)"]


def test_after_a_method_between_arrays_the_panel_shows_what_came_out_of_both() -> None:
    raw = gn.simulate(3, (2, 2), (9, 9), seed=1).arrays
    for by, between in (("print-tip", "quantile"), ("print-tip", "scale")):
        done = gn.normalize(raw, background="half", by=by, between=between)
        for k, panel in enumerate(panels_of(done)):
            np.testing.assert_array_equal(panel.values, done.M[:, k])
            medians = [
                np.nanmedian(done.M[(np.asarray(done.columns["Block"]) == g) & panel.use, k]) for g in (1, 2, 3, 4)
            ]
            np.testing.assert_allclose(panel.after, medians, rtol=1e-12)
            np.testing.assert_array_equal(panel.before, done.fits[k].before[0])
            assert panel.between == between


def test_spots_whose_type_keeps_them_out_of_the_fit_are_pale() -> None:
    raw = gn.simulate(1, (2, 2), (9, 9), bad=0, not_found=0, seed=1).arrays
    types = np.resize(np.array([b"gene"] * 2 + [b"control"]), raw.n_spots)
    typed = gn.ArraySet(**{f: getattr(raw, f) for f in ("names", "channels", "values", "layout", "stage")}, columns={**raw.columns, "SpotType": types})  # fmt: skip
    for given, out in (({"exclude_types": "control"}, b"control"), ({"fit_types": "control"}, b"gene")):
        done = gn.normalize(typed, background="none", method="median", min_group=0, **given)
        np.testing.assert_array_equal(panels_of(done)[0].use, types != out)
