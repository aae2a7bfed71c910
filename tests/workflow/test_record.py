"""One set to disk: the table and its record, together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from damage import gal_of, sheet

import gridnorm as gn
from gridnorm.io.atomic import Output
from gridnorm.workflow.record import extra_inputs, put_set
from gridnorm.workflow.settings import make_settings


def test_table_and_sidecar_appear_together_and_agree(tmp_path: Path) -> None:
    done = gn.normalize(gn.simulate(2, (2, 2), (8, 7), seed=1).arrays, background="half")
    with Output() as files:
        record, lines = put_set(
            done, str(tmp_path / "x.tsv"), files, precision=4, form="tsv", beside=str(tmp_path / "r")
        )
        assert not (tmp_path / "x.tsv").exists()
    titles = (tmp_path / "x.tsv").read_text().splitlines()[0].split("\t")
    plain = json.loads((tmp_path / "r").read_bytes())
    assert plain["output"] == {"file": "x.tsv", "rows": 224, "columns": titles, "precision": 4}
    assert [one["name"] for one in plain["arrays"]] == [line.name for line in lines] == list(done.names)
    assert record.head["parameters"]["background"] == "half"


def test_no_sidecar_where_none_is_asked_for(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    done = gn.normalize(gn.simulate(1, (2, 2), (8, 7), seed=1).arrays, background="half")
    with Output() as files:
        put_set(done, "-", files, precision=6, form="tsv", beside=None)
    assert list(tmp_path.iterdir()) == []
    assert capsysbinary.readouterr().out.startswith(b"Block\tRow\tColumn")


def test_a_gal_is_an_input_too(tmp_path: Path) -> None:
    gal = gal_of(sheet(), tmp_path / "print.gal")
    (digest,) = extra_inputs(make_settings({"gal": str(gal)}))
    assert (digest.name, digest.size) == ("print.gal", gal.stat().st_size)
    assert extra_inputs(make_settings({})) == []
