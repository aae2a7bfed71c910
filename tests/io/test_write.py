from __future__ import annotations

import csv
import gzip
import io
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridnorm.errors import OptionError, OutputError
from gridnorm.io import fixed
from gridnorm.io.write import form_of, table_blocks, write_table


def plain(value: float, decimals: int) -> str:
    """The reference: Python's own correctly rounded text, without a minus before zero."""
    if math.isnan(value):
        return ""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text


def cells(values: np.ndarray, decimals: int) -> list[str]:
    block = fixed.join([fixed.decimal_words(np.asarray(values, float).reshape(-1, 1), decimals, b"")])
    return block.decode().split("\n")[:-1]


HARD = [
    0.0, -0.0, 0.5, 1.5, 2.5, -1e-12, 5e-324, -5e-7, 5e-7, 1.5e-6, 0.9999995, 0.99999949999, 9.9999999, 99.99999999,
    999.9999999, 9999.9999999, -999.9999996, 999999999.9999999, 1e9, -1e9, 1e15, 1e16, 1.7976931348623157e308, math.nan,
    math.inf, -math.inf, 123456789.123456789, 0.1, 0.3, 2.675, 1.005,
]  # fmt: skip


@pytest.mark.parametrize("decimals", range(16))
def test_every_cell_is_what_python_formats(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    random = [rng.normal(0, scale, 300) for scale in (1e-9, 1e-3, 1.0, 20.0, 500.0, 1e5, 1e8, 1e12)]
    halves = (2 * rng.integers(0, 10**6, 300) + 1) / 2 / 10.0 ** min(decimals, 9)  # next to a tie
    values = np.concatenate([*random, halves, HARD])
    assert cells(values, decimals) == [plain(value, decimals) for value in values.tolist()]


@given(st.lists(st.floats(), min_size=1, max_size=30), st.integers(0, 15))
@settings(max_examples=200, deadline=None)
def test_any_float_is_formatted_exactly(values: list[float], decimals: int) -> None:
    assert cells(np.array(values), decimals) == [plain(value, decimals) for value in values]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_any_integer_is_written_whole(values: list[int]) -> None:
    block = fixed.join([fixed.integer_words(np.array(values, np.int64), b"")])
    assert [int(cell) for cell in block.split()] == values


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_full_precision_reads_back_the_same(values: list[float]) -> None:
    text = b"".join(table_blocks({}, {"x": np.array(values)}, precision="full"))
    assert [float(cell) for cell in text.split(b"\n")[1:-1]] == values


TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12)


@given(st.lists(st.tuples(TEXT, TEXT, st.integers(-5, 10**6)), min_size=1, max_size=12), st.sampled_from([b"\t", b","]))
@settings(max_examples=200, deadline=None)
def test_any_text_reads_back_through_a_csv_reader(rows: list[tuple[str, str, int]], delimiter: bytes) -> None:
    names = np.array([row[0].encode() for row in rows], dtype="S")
    texts = np.array([row[1] for row in rows], dtype=object)
    prefix = {"Na\tme": names, "b": texts, "n": np.array([row[2] for row in rows])}
    text = b"".join(table_blocks(prefix, {"M": np.arange(len(rows)) / 4}, delimiter=delimiter)).decode()
    read = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter.decode()))
    assert read[0] == ["Na\tme", "b", "n", "M"]
    assert read[1:] == [[a, b, str(n), f"{k / 4:.6f}"] for k, (a, b, n) in enumerate(rows)]


def table(rows: int = 1000, columns: int = 3) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    prefix = {
        "Block": np.arange(rows) // 100 + 1,
        "X": np.where(np.arange(rows) % 7 == 0, np.nan, 10.0 * np.arange(rows)),
        "ID": np.array([f"gene{k} µ" for k in range(rows)], dtype=object),
    }
    numbers = {f"M.{k}": rng.normal(0, 3, rows) for k in range(columns)}
    numbers["M.0"][5] = np.nan
    return prefix, numbers


def test_block_borders_leave_no_trace(tmp_path: Path) -> None:
    prefix, numbers = table(20000, 2)
    write_table(tmp_path / "a.tsv", prefix, numbers)
    lines = (tmp_path / "a.tsv").read_text(encoding="utf-8").split("\n")
    assert lines[0] == "Block\tX\tID\tM.0\tM.1" and lines[-1] == "" and len(lines) == 20002
    expected = [
        f"{k // 100 + 1}\t{'' if k % 7 == 0 else 10 * k}\tgene{k} µ\t{plain(m, 6)}\t{plain(n, 6)}"
        for k, (m, n) in enumerate(zip(numbers["M.0"].tolist(), numbers["M.1"].tolist(), strict=True))
    ]
    assert lines[1:-1] == expected


def test_kept_numbers_are_written_as_they_stood(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", {"SNR": np.array([1.5, np.nan, -0.0, 3.0])}, {})
    assert (tmp_path / "a.csv").read_text() == "SNR\n1.5\n\n0\n3\n"


def test_gzip_gives_the_same_bytes_every_time_and_the_same_table(tmp_path: Path) -> None:
    prefix, numbers = table()
    write_table(tmp_path / "a.tsv", prefix, numbers)
    write_table(tmp_path / "one.tsv.gz", prefix, numbers)
    write_table(tmp_path / "other.TSV.GZ", prefix, numbers)
    packed = (tmp_path / "one.tsv.gz").read_bytes()
    assert packed == (tmp_path / "other.TSV.GZ").read_bytes()
    assert packed[4:8] == b"\0\0\0\0" and packed[3] == 0  # no time, no name
    assert gzip.decompress(packed) == (tmp_path / "a.tsv").read_bytes()


def test_parquet_keeps_names_types_doubles_and_missing_values(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    prefix, numbers = table()
    write_table(tmp_path / "a.parquet", prefix, numbers)
    read = pq.read_table(tmp_path / "a.parquet")
    assert read.column_names == ["Block", "X", "ID", "M.0", "M.1", "M.2"]
    assert read["ID"].to_pylist() == prefix["ID"].tolist()
    assert read["M.0"].null_count == 1 and read["M.0"][5].as_py() is None
    np.testing.assert_array_equal(read["M.1"].to_numpy(), numbers["M.1"])


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OutputError, match=r'pip install "gridnorm\[parquet\]"'):
        write_table(tmp_path / "a.parquet", *table())
    assert list(tmp_path.iterdir()) == []


def test_a_dash_writes_to_standard_output(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    write_table("-", {"ID": np.array([b"x"])}, {"M": np.array([-2.5])}, precision=1)
    assert capsysbinary.readouterr().out == b"ID\tM\nx\t-2.5\n"


def test_a_table_without_rows_has_its_titles(tmp_path: Path) -> None:
    write_table(tmp_path / "a.tsv", {"ID": np.empty(0, "S4")}, {"M": np.empty(0)})
    assert (tmp_path / "a.tsv").read_bytes() == b"ID\tM\n"


@pytest.mark.parametrize(
    ("name", "precision", "message"),
    [("a.doc", 6, r"a\.doc: the suffix"), ("a.tsv", 16, "precision"), ("a.tsv", -1, "precision"), ("a", 6, "suffix")],
)
def test_wrong_options_are_usage_errors_and_write_nothing(
    tmp_path: Path, name: str, precision: int, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        write_table(tmp_path / name, *table(), precision=precision)
    assert list(tmp_path.iterdir()) == []


def test_equal_titles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="same title"):
        write_table(tmp_path / "a.tsv", {"M.a": np.arange(2)}, {"M.a": np.zeros(2)})


def test_a_form_overrules_the_suffix() -> None:
    assert form_of("a.txt", "csv") == "csv"
    assert form_of("x/.gridnorm.csv.gz") == "csv.gz"
    with pytest.raises(OptionError, match="unknown table format"):
        form_of("a.tsv", "xls")


@pytest.mark.parametrize("form", ["tsv", "csv", "tsv.gz"])
def test_a_table_of_no_rows_has_its_titles(form: str, tmp_path: Path) -> None:
    empty: dict[str, np.ndarray] = {
        "Block": np.empty(0, np.int64),
        "ID": np.empty(0, "S1"),
        "Name": np.empty(0, object),
    }
    write_table(tmp_path / f"x.{form}", empty, {"M.a": np.empty(0)})
    data = (tmp_path / f"x.{form}").read_bytes()
    text = gzip.decompress(data) if form.endswith("gz") else data
    assert text == b"Block,ID,Name,M.a\n".replace(b",", b"," if form == "csv" else b"\t")


@pytest.mark.parametrize("precision", [2, "full"])
def test_whole_numbers_are_written_whole_wherever_they_stand(precision: int | str) -> None:
    n, m = np.array([3, -12]), np.array([0.5, np.nan])
    for columns, expected in (
        ({"N": n, "M": m}, "N,M\n3,0.5\n-12,\n"),
        ({"M": m, "N": n, "N2": n, "A": m}, "M,N,N2,A\n0.5,3,3,0.5\n,-12,-12,\n"),
    ):
        text = b"".join(table_blocks({}, columns, delimiter=b",", precision=precision)).decode()  # type: ignore[arg-type]
        assert text.replace("0.50", "0.5") == expected
