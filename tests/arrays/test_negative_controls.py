"""Background nec: the model's background is that of negative controls, as in limma; what cannot be is refused."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import Cli, sheet

import gridnorm as gn
from gridnorm.arrays.background import correct
from gridnorm.arrays.negative_controls import model
from gridnorm.errors import FitError, OptionError

GOLDEN = Path(__file__).parents[1] / "golden" / "nec.tsv"
TYPES = np.array([b"negative"] * 4 + [b"gene"] * 3)
X = np.array([8.0, 9.0, 11.0, 12.0, 100.0, 200.0, 300.0])


def golden() -> dict[str, Any]:
    with GOLDEN.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    numbers = {k: np.array([np.nan if r[k] == "NA" else float(r[k]) for r in rows]) for k in rows[0] if k != "SpotType"}
    return numbers | {"SpotType": np.array([row["SpotType"].encode() for row in rows])}


@pytest.mark.parametrize("name", ["plain", "robust", "alone"])
def test_limmas_numbers(name: str) -> None:
    g = golden()
    fore, below = np.stack([g["E1"], g["E2"]]), np.stack([g["Eb1"], g["Eb2"]])
    columns = [{"SpotType": g["SpotType"]}] * 2
    back = None if name == "alone" else below
    found = correct(fore, back, "nec", columns=columns, robust=name == "robust")
    np.testing.assert_allclose(found.values, np.stack([g[f"{name}1"], g[f"{name}2"]]), rtol=1e-10)
    assert found.offsets == (16.0, 16.0)


def found_by(x: Any = X, types: Any = TYPES, **options: Any) -> Any:
    return correct(np.array([x]), None, "nec", columns=[{"SpotType": np.asarray(types)}], **options)


def test_the_model_is_that_of_the_negative_controls() -> None:
    fit, notes = model(X, {"SpotType": TYPES}, {"robust": False})
    assert (fit.mu, notes) == (10.0, ())
    np.testing.assert_allclose([fit.sigma, fit.alpha], [np.std(X[:4], ddof=1), 190], rtol=1e-12)


@pytest.mark.parametrize("robust", [False, True])
def test_order_scale_and_missing_spots(robust: bool) -> None:
    values = found_by(robust=robust, offset=0).values
    assert (values > 0).all()
    turned = found_by(X[::-1], TYPES[::-1], robust=robust, offset=0).values[:, ::-1]
    np.testing.assert_allclose(turned, values, rtol=1e-12)
    np.testing.assert_allclose(found_by(8 * X, robust=robust, offset=0).values, 8 * values, rtol=1e-12)
    holed = found_by([*X, np.nan], [*TYPES, b"negative"], robust=robust, offset=0).values
    np.testing.assert_array_equal(holed, [[*values[0], np.nan]])


def test_types_by_name_and_any_case() -> None:
    same = found_by(types=np.char.replace(TYPES, b"negative", b"NEGATIVE-2")).values
    np.testing.assert_array_equal(same, found_by().values)
    named = found_by(types=np.char.replace(TYPES, b"negative", b"buffer"), negative_type=("Buffer",)).values
    np.testing.assert_array_equal(named, found_by().values)


@pytest.mark.parametrize(("mean", "alpha"), [(19.0, 10.0), (20.0, 10.0), (21.0, 11.0)])
def test_the_mean_signal_is_10_at_least(mean: float, alpha: float) -> None:
    fit, _ = model(np.array([*X[:4], mean, mean, mean]), {"SpotType": TYPES}, {"robust": False})
    np.testing.assert_allclose(fit.alpha, alpha, rtol=1e-12)


def test_robust_leaves_out_what_has_no_logarithm_and_says_so() -> None:
    found = found_by([-1.0, *X[1:]], robust=True)
    assert found.notes == (
        "row 1: nec: 1 negative controls are not above 0 and have no logarithm; they are not in its model",
    )


@pytest.mark.parametrize(
    ("x", "types", "options", "error", "words"),
    [
        (X, TYPES == b"", {}, FitError, "no spot is a negative control"),
        (X, np.char.replace(TYPES, b"negative", b"buffer"), {}, FitError, "types buffer, gene"),
        (X, TYPES, {"negative_type": ("blank",)}, OptionError, "names a type that no spot has"),
        ([np.nan] * 3 + [1, 2, 3, 4], TYPES, {}, FitError, "1 with an intensity"),
        ([5.0] * 4 + [1, 2, 3], TYPES, {}, FitError, "4 with an intensity, all alike"),
        ([-1.0, -2.0, -3.0, 4.0, 5.0, 6.0, 7.0], TYPES, {"robust": True}, FitError, "1 with an intensity above 0"),
        ([5.0, 5.0, 5.0, 9.0, 5.0, 6.0, 7.0], TYPES, {"robust": True}, FitError, "more than half of them alike"),
        ([np.nan] * 7, TYPES, {}, FitError, "no spot but negative controls has an intensity"),
        (X, np.array([b"negative"] * 7), {}, FitError, "no spot but negative controls"),
    ],
)
def test_what_has_no_model_is_named(x: Any, types: Any, options: Any, error: Any, words: str) -> None:
    with pytest.raises(error) as caught:
        found_by(x, types, **options)
    assert words in str(caught.value)


def test_a_set_has_the_model_in_its_record() -> None:
    arrays = gn.simulate(2, blocks=(2, 2), spots=(8, 8), seed=1).arrays
    with pytest.raises(FitError, match="no column SpotType"):
        gn.background_correct(arrays, "nec")
    types = np.where(np.arange(arrays.n_spots) % 5 == 0, b"Negative", b"gene")
    done = gn.background_correct(replace(arrays, columns={**arrays.columns, "SpotType": types}), "nec")
    models = done.record(1).models
    assert models is not None and models["G"]["offset"] == 16 and models["G"]["sigma"] > 0
    net = arrays.G[:, 1] - arrays.Gb[:, 1]
    np.testing.assert_allclose(models["G"]["mu"], np.nanmean(net[types == b"Negative"]), rtol=1e-8)


def test_from_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cli, file = Cli(capsys, tmp_path), sheet().write(tmp_path / "a.gpr")
    ids = gn.read(file).spots["ID"].tolist()
    rows = "".join(f"negative\t{name}\n" for name in ids[::9])
    (tmp_path / "types.txt").write_text("SpotType\tID\ngene\t*\n" + rows)
    given = ["--background", "nec", "--controls", str(tmp_path / "types.txt"), "--method", "median", "--robust"]
    done = cli("normalize", str(file), *given, "-o", str(tmp_path / "out.tsv"))
    assert done.code == 0, done.err
    assert len((tmp_path / "out.tsv").read_text().splitlines()) == len(ids) + 1
