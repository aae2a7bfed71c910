"""Functions that take the options of rows show them: signature, documentation, and a word for a slip of the pen."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.background import BACKGROUNDS
from gridnorm.arrays.corrections.rows import CORRECTIONS
from gridnorm.arrays.grouping import GROUPINGS
from gridnorm.arrays.simulate import OPTIONS
from gridnorm.arrays.within import method_options
from gridnorm.core.methods import METHODS
from gridnorm.core.option import NUMBER, TEXT, Option
from gridnorm.core.option.signature import default_words, shows
from gridnorm.workflow.inspect import inspect_options
from gridnorm.workflow.settings import all_options, row_options

ARRAYS = gn.simulate(1, (2, 2), (8, 7), seed=1).arrays
TAKEN: dict[str, set[str]] = {
    "read": {
        "align", "layout", "gal", "keep", "controls", "flag_table", "split", "preset", *row_options("format"),
    },
    "normalize": set(all_options()),
    "inspect": inspect_options(),
    "background_correct": set(BACKGROUNDS.options()),
    "normalize_within": {
        option.name for row in METHODS.values() for option in method_options(row)
    } | set(GROUPINGS.options()),
    "normalize_groups": set(METHODS.options()),
    "simulate": {option.name for option in OPTIONS},
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_every_option_is_a_keyword_with_its_default_and_documented(name: str) -> None:
    function = getattr(gn, name)
    shown = inspect.signature(function).parameters
    assert TAKEN[name] <= shown.keys()
    assert not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in shown.values())
    text = inspect.getdoc(function) or ""
    said = text.partition("\nReturns\n")[0]
    for option in TAKEN[name]:
        assert shown[option].kind is inspect.Parameter.KEYWORD_ONLY or option in ("weights", "covariate", "use")
        assert f"\n{option} : " in said or f"\n{option}\n" in said, option
    assert "**options" not in text and "{rows}" not in text
    assert name in pydoc.render_doc(function)


def test_defaults_are_those_of_the_rows() -> None:
    shown = inspect.signature(gn.normalize).parameters
    found = {name: shown[name].default for name in ("span", "iterations", "flags", "align", "by", "method")}
    assert found == {
        "span": 0.3, "iterations": 4, "flags": "exclude", "align": "strict", "by": "print-tip", "method": "auto",
    }  # fmt: skip
    # What rows differ about is auto, which may be given; the documentation says what it means.
    assert (shown["offset"].default, shown["min_group"].default) == ("auto", None)
    assert "Default: auto with normexp, 16 with nec, else 0." in " ".join((gn.normalize.__doc__ or "").split())


@pytest.mark.parametrize("name", ["normalize", "normalize_within", "background_correct"])
def test_a_default_may_be_given_where_nothing_else_is(name: str) -> None:
    """What is shown can be typed: with the row that takes it, the result is the same."""
    function = getattr(gn, name)
    base: dict[str, Any] = {"background_correct": {"method": "normexp"}}.get(name, {"method": "loess"})
    shown = inspect.signature(function).parameters
    arrays = gn.background_correct(ARRAYS) if name == "normalize_within" else ARRAYS
    expected = function(arrays, **base)
    for option in TAKEN[name] - {
        "method",
        "background",
        "preset",
        *row_options("format"),
        "align",
        "layout",
        "gal",
        "keep",
        "controls",
        "flag_table",
        "between",
        "target",
        *row_options("between"),
        *(  # of rows of their own, which none of these take
            option.name
            for table in (BACKGROUNDS, CORRECTIONS)
            for row in table.values()
            for option in row.options
            if option not in BACKGROUNDS["normexp"].options
        ),
        "merge_scans",  # of files
        "replicates",  # like method; what its rows take the default one does not
        *row_options("replicates"),
        *(
            option.name
            for row in METHODS.values()
            for option in method_options(row)
            if option not in method_options(METHODS["loess"])
        ),
    }:
        done = function(arrays, **base, **{option: shown[option].default})
        for matrix in expected.values:
            np.testing.assert_array_equal(done.values[matrix], expected.values[matrix])


@pytest.mark.parametrize(
    ("call", "near"),
    [
        (lambda: gn.normalize(ARRAYS, spn=0.5), "span"),
        (lambda: gn.read("a.gpr", aling="id"), "align"),
        (lambda: gn.inspect("a.gpr", colums="R=x"), "columns"),
        (lambda: gn.background_correct(ARRAYS, "half", ofset=3), "offset"),
        (lambda: gn.normalize_within(ARRAYS, flgs="drop"), "flags"),
        (lambda: gn.normalize_within(ARRAYS, wheights="none"), "weights"),
        (lambda: gn.normalize_groups([1.0, 2.0], ["a", "a"], smal_groups="own"), "small_groups"),
        (lambda: gn.normalize_groups([1.0, 2.0], ["a", "a"], "loess", [1, 2], spn=1), "span"),
        (lambda: gn.simulate(1, sed=3), "seed"),
    ],
)
def test_an_unknown_keyword_is_refused_with_the_nearest(call: Any, near: str) -> None:
    with pytest.raises(gn.OptionError, match=rf"Did you mean {near}\?"):
        call()


def test_an_option_that_a_row_does_not_take_is_refused_on_every_way() -> None:
    for call in (gn.normalize, gn.normalize_within):
        with pytest.raises(gn.OptionError, match="span has no meaning for method median"):
            call(ARRAYS, method="median", span=0.5)
    with pytest.raises(gn.OptionError, match="normexp_method has no meaning for background half"):
        gn.background_correct(ARRAYS, "half", normexp_method="mle")
    with pytest.raises(gn.OptionError, match="span has no meaning for method median"):
        gn.normalize_groups([1.0, 2.0], ["a", "a"], span=0.5)
    with pytest.raises(gn.OptionError, match="by has no meaning for reading"):
        gn.read("a.gpr", by="Block")


def test_names_of_the_package_and_of_a_set_are_public_and_there() -> None:
    assert not [name for name in dir(gn) if name[0] == "_" and name != "__version__"]
    assert all(hasattr(gn, name) for name in dir(gn) if name != "nn")
    raw, done = dir(ARRAYS), dir(gn.normalize(ARRAYS))
    assert not [name for name in (*raw, *done) if name[0] == "_"]
    assert {"R", "Gb", "shape", "to_frame"} <= set(raw) and not {"M", "A", "E"} & set(raw)
    assert {"M", "A", "fits"} <= set(done) and not {"R", "Rb", "E"} & set(done)
    assert all(hasattr(ARRAYS, name) for name in raw)


def test_options_of_one_name_are_shown_once_and_own_parameters_stay() -> None:
    span = Option("span", NUMBER, 0.3, "Share.")

    @shows([span, span._replace(default=0.4), Option("mode", TEXT, "a", "How.", choices=("a", "b"))])
    def smooth(values: Any, mode: str = "b", **options: Any) -> None:
        """Smooth.

        Parameters
        ----------
        values
            Numbers.
        **options
        """

    assert str(inspect.signature(smooth)) == "(values: 'Any', mode: 'str' = 'b', *, span: 'float' = 0.3) -> 'None'"
    rows = [("x", (span,)), ("y", (span._replace(default=0.4),)), ("z", (span,))]
    assert default_words(rows)(span) == "0.4 with y, else 0.3"


def test_norms_show_the_keywords_that_they_hand_on() -> None:
    for name in gn.nn.__all__:
        value = getattr(gn.nn, name)
        if inspect.isfunction(value):
            assert not [one for one in inspect.signature(value).parameters.values() if one.kind is one.VAR_KEYWORD], (
                name
            )
    layer = inspect.signature(gn.nn.layer_norm).parameters
    assert "mask" in layer and "groups" not in layer and layer["eps"].default == 1e-5
    rms = inspect.signature(gn.nn.rms_norm).parameters
    assert {"num_groups", "groups", "scale"} <= rms.keys() and "center" not in rms
    assert "dmean" not in inspect.signature(gn.nn.rms_norm_backward).parameters
