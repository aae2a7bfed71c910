"""Background kooperberg as a run has it: columns of each file, and what is said and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import Cli, Sheet, sheet, table

import gridnorm as gn
from gridnorm.arrays.background import correct
from gridnorm.arrays.kooperberg.channel import COLUMNS, FULL_SCALE, signal
from gridnorm.errors import GridnormError, GridnormWarning, OptionError

TITLES = ("F635 SD", "B635 SD", "B635 Mean", "F532 SD", "B532 SD", "B532 Mean", "F Pixels", "B Pixels")


def with_sds(given: Sheet, seed: int) -> Sheet:
    """A sheet with every column that kooperberg looks at."""
    rng = np.random.default_rng(seed)
    titles, rows = list(given.titles), [list(row) for row in given.rows]
    for title in TITLES:
        low, high = (40, 400) if "Pixels" in title else (60, 80) if "Mean" in title else (15, 90)
        cells = rng.integers(low, high, len(rows)).tolist()
        if title in titles:
            for row, cell in zip(rows, cells, strict=True):
                row[titles.index(title)] = str(cell)
        else:
            titles.append(title)
            for row, cell in zip(rows, cells, strict=True):
                row.append(str(cell))
    return replace(given, titles=titles, rows=rows)


def numbers(n: int = 24) -> tuple[Any, Any, dict[str, Any]]:
    rng = np.random.default_rng(5)
    block, row, column = (p.ravel() for p in np.meshgrid([1, 2], np.arange(1, 5), np.arange(1, 4), indexing="ij"))
    columns = dict(zip(COLUMNS[:3], (block, row, column), strict=True))
    columns |= {COLUMNS[3]: rng.uniform(20, 60, n), COLUMNS[4]: rng.uniform(20, 60, n)}
    columns |= {COLUMNS[5]: rng.normal(100, 5, n), COLUMNS[6]: np.full(n, 80.0), COLUMNS[7]: np.full(n, 300.0)}
    return rng.uniform(90, 400, n), rng.normal(100, 3, n), columns


OPTIONS = {"neighbours": "grid", "quadrature": "exact"}


def test_order_scale_and_missing_cells() -> None:
    f, b, columns = numbers()
    plain = signal(f, b, columns, OPTIONS)
    assert plain.notes == () and (plain.values > 0).all()
    order = np.random.default_rng(0).permutation(f.size)
    mixed = signal(f[order], b[order], {k: v[order] for k, v in columns.items()}, OPTIONS).values
    np.testing.assert_allclose(mixed, plain.values[order], rtol=1e-11)
    holed = {**columns, COLUMNS[3]: np.where(np.arange(24) == 2, np.nan, columns[COLUMNS[3]])}
    found = signal(f, b, holed, OPTIONS)
    assert np.flatnonzero(np.isnan(found.values)).tolist() == [2]
    assert found.notes == ("kooperberg: 1 spots lack a standard deviation or pixels and are missing",)


@pytest.mark.parametrize(("foreground", "missing"), [(FULL_SCALE + 90, False), (FULL_SCALE + 110, True)])
def test_no_signal_is_above_full_scale(foreground: float, missing: bool) -> None:
    f, b, columns = numbers()
    f[0], b[0] = foreground, 100
    found = signal(f, b, columns, OPTIONS)
    assert bool(np.isnan(found.values[0])) is missing
    assert found.notes == (("kooperberg: 1 spots have a signal above 65536 and are missing",) if missing else ())


@pytest.mark.parametrize("change", ["foreground", "spread"])
def test_what_has_no_posterior_keeps_its_foreground(change: str) -> None:
    f, b, columns = numbers()
    if change == "foreground":
        f[3] = 0
    else:
        columns[COLUMNS[4]][3] = 0
    found = signal(f, b, columns, OPTIONS)
    assert found.values[3] == f[3]
    assert found.notes == (
        "kooperberg: 1 spots keep their foreground: it is not above 0, or the background has no spread",
    )


def files(folder: Path) -> list[Path]:
    return [with_sds(sheet(k), k).write(folder / f"{name}.gpr") for k, name in enumerate("ab")]


def test_every_file_has_its_own_spreads(tmp_path: Path) -> None:
    both = gn.normalize(files(tmp_path), background="kooperberg", method="none", flags="ignore")
    assert not {*TITLES} & {*both.columns}, "spreads of one array are no columns of all"
    for k in range(2):
        given = with_sds(sheet(k), k)
        cells = {title: given.cells(title) for title in given.titles}
        fore, below = (
            np.array([[float(c) for c in cells[f"{kind}{nm} {what}"]] for nm in ("635", "532")])
            for kind, what in (("F", "Mean"), ("B", "Median"))
        )
        seen = [
            {t: np.array([float(c) for c in cells[t.replace("{nm}", nm)]]) for t in COLUMNS} for nm in ("635", "532")
        ]
        r, g = correct(fore, below, "kooperberg", columns=seen).values
        np.testing.assert_allclose(both.M[:, k], np.log2(r / g), rtol=1e-9, atol=1e-12)


def test_parts_and_other_row_orders_keep_their_spreads(tmp_path: Path) -> None:
    one, _ = files(tmp_path)
    whole = gn.normalize(one, background="kooperberg", method="none", flags="ignore", neighbours="none")
    with pytest.warns(GridnormWarning, match="parts by block"):
        parts = gn.normalize(
            one, background="kooperberg", method="none", flags="ignore", neighbours="none", split="block"
        )
    block = whole.spots["Block"].to_numpy()
    np.testing.assert_array_equal(parts.M[:, 0][~np.isnan(parts.M[:, 0])], whole.M[block == 1, 0])


def test_a_set_that_was_read_has_none_and_says_what_to_do(tmp_path: Path) -> None:
    arrays = gn.read(files(tmp_path))
    for call in (gn.background_correct, lambda given, name: gn.normalize(given, background=name)):
        with pytest.raises(OptionError) as caught:
            call(arrays, "kooperberg")
        assert 'use gn.normalize(paths, background="kooperberg")' in str(caught.value)


def test_a_file_without_the_columns_is_named_with_them(tmp_path: Path) -> None:
    given = with_sds(sheet(0), 0)
    at = given.titles.index("B532 SD")
    hurt = replace(given, titles=[*given.titles[:at], "other", *given.titles[at + 1 :]])
    with pytest.raises(GridnormError) as caught:
        gn.normalize(hurt.write(tmp_path / "a.gpr"), background="kooperberg")
    assert "a.gpr" in str(caught.value) and "no B532 SD" in str(caught.value)
    assert "Export them, too, or use another background, such as normexp" in str(caught.value)


def test_from_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    one, two = files(tmp_path)
    out = tmp_path / "out.tsv"
    done = Cli(capsys, tmp_path)("normalize", one, two, "--background", "kooperberg", "--method", "median", "-o", out)
    assert done.code == 0, done.err
    wanted = gn.normalize([one, two], background="kooperberg", method="median")
    np.testing.assert_allclose([float(c or "nan") for c in table(out)["M.b"]], wanted.M[:, 1], rtol=0, atol=6e-7)
