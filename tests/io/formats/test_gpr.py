"""GPR files of every kind: real ones against limma and their manifest, damaged ones against what must be said."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.errors import FormatError, OptionError
from gridnorm.io.formats import gpr
from gridnorm.io.text import Text, load, load_head

TITLES = ["Block", "Column", "Row", "Name", "ID", "X", "Y", "F635 Median", "F635 Mean", "B635", "B635 Median"]
TITLES += ["F532 Median", "F532 Mean", "B532", "B532 Median", "Log Ratio (635/532)", "Flags"]
HEADER = {"Type": "GenePix Results 3", "Wavelengths": "635\t532", "NormalizationMethod": "None"}


def row(block: object, column: object, line: object, **cells: object) -> dict[str, object]:
    base = dict(zip(TITLES, [block, column, line, "n", f"id{line}.{column}", 10, 20], strict=False))
    base |= {"F635 Median": 90, "F635 Mean": 100, "B635": 9, "B635 Median": 10}
    base |= {"F532 Median": 190, "F532 Mean": 200, "B532": 19, "B532 Median": 20}
    base |= {"Log Ratio (635/532)": "Error", "Flags": 0}
    return base | {title.replace("_", " "): cell for title, cell in cells.items()}


FOUR = [row(1, 1, 1), row(1, 2, 1), row(1, 1, 2), row(1, 2, 2)]


def text(
    rows: Sequence[dict[str, object]] = FOUR,
    titles: Sequence[str] = TITLES,
    header: dict[str, str] = HEADER,
    end: str = "\r\n",
    **changes: str,
) -> Text:
    lines = ["ATF\t1.0", f"{changes.get('records', len(header))}\t{changes.get('columns', len(titles))}"]
    lines += [f'"{key}={value}"' for key, value in header.items()]
    lines.append("\t".join(f'"{title}"' for title in titles))
    lines += ["\t".join(str(cells.get(title, 0)) for title in titles) for cells in rows]
    return Text("a.gpr", (end.join(lines) + end).encode(), "utf-8", (), 0, "")


def read(source: Text, *, extra: tuple[str, ...] = (), keys_only: bool = False, **settings: object) -> RawArray:
    return gpr.read(source, ReadOptions(settings, extra, keys_only))


def manifest(shared: Path, kind: str) -> list[dict[str, str]]:
    with (shared / "data/arrays/MANIFEST.tsv").open(newline="") as file:
        return [r for r in csv.DictReader(file, delimiter="\t") if r["format"].startswith(kind)]


def golden(shared: Path, name: str) -> tuple[list[str], dict[str, np.ndarray]]:
    """Files of a set of limma's results, and its raw values by column."""
    folder = shared / "data/golden/limma" / name
    info = (folder / "info.txt").read_text().splitlines()
    files = [
        line.split(" = ", 1)[1].strip() for line in info if line[:1] == "a" and line[1:2].isdigit() and " = " in line
    ]
    with gzip.open(folder / "raw.tsv.gz", "rt") as file:
        titles = file.readline().split()
        values = np.array([[float(v.replace("NA", "nan")) for v in line.split("\t")] for line in file])
    return files, dict(zip(titles, values.T, strict=True))


# Files whose reader has something to say, and what.
WARNED = {
    "BRB001.txt.gz": "F635 Median was taken",
    "KK2-06.txt.gz": "F635 Median was taken",
    "3_0_6_mod.gpr.gz": "123 is no wavelength of a scanner",
    "4_1_1_x.bad.gpr.gz": "lines 6560 and 6561",
}


def test_every_real_file_reads_as_its_manifest_says(shared: Path) -> None:
    entries = manifest(shared, "GPR")
    assert len(entries) > 50
    for entry in entries:
        path = shared / "data/arrays" / entry["path"]
        head = load_head(path)
        assert gpr.sniff(head, {}), path
        raw = gpr.read(load(path), ReadOptions())
        assert f"GPR {raw.version}" == entry["format"], path
        assert raw.n_spots == int(entry["spots"]), path
        assert raw.flags is not None
        assert Counter(raw.flags.tolist()) == {
            int(f): int(n) for f, n in (x.split(":") for x in entry["flags"].split())
        }
        assert np.unique(raw.spots["Block"]).size == int(entry["blocks"]), path
        scanned = [w for w in entry["channels"].split(",") if int(w) > 99]
        assert sorted(raw.wavelengths, key=int) == sorted(scanned, key=int), path
        assert raw.channels == (("R", "G") if len(scanned) == 2 else ("E",))
        assert gpr.head(head, {}).channels == raw.channels
        assert len(raw.columns) == int(entry["columns"].split(", ")[1].split()[0]), path
        assert (raw.missing, raw.infinite) == (0, 0), path
        assert raw.background is not None
        assert np.isfinite(raw.foreground).all()
        assert np.isfinite(raw.background).all()
        said = WARNED.get(path.name)
        assert len(raw.warnings) == (said is not None), raw.warnings
        assert said is None or said in raw.warnings[0]
        assert all(w.startswith(f"{path.name}:") for w in raw.warnings)


@pytest.mark.parametrize(
    ("name", "foreground"),
    [
        ("aroma_gpr123", "mean"),
        ("aroma_gpr123_median", "median"),
        ("caarray_mm", "mean"),
        ("caarray_versions", "mean"),
        ("doelan_demo", "mean"),
        ("geworkbench_ras7_cut", "mean"),
        ("paa_dummy", "mean"),
        ("pepdat", "median"),
    ],
)
def test_raw_values_are_those_of_limma(shared: Path, name: str, foreground: str) -> None:
    files, values = golden(shared, name)
    assert files
    for j, file in enumerate(files, 1):
        path = shared / "data/arrays" / file
        raw = gpr.read(
            load(path if path.exists() else path.with_name(path.name + ".gz")), ReadOptions({"foreground": foreground})
        )
        for key in ("Block", "Row", "Column"):
            np.testing.assert_array_equal(raw.spots[key], values[key.lower()])
        assert raw.background is not None
        for k, channel in enumerate(raw.channels):
            # Whole numbers below 2**53: equal, not close.
            np.testing.assert_array_equal(raw.foreground[k], values[f"a{j}.{channel}"])
            np.testing.assert_array_equal(raw.background[k], values[f"a{j}.{channel}b"])


def test_the_two_channels_and_what_was_taken() -> None:
    raw = read(text())
    assert (raw.name, raw.format, raw.version) == ("a.gpr", "GPR", "GenePix Results 3")
    assert (raw.channels, raw.wavelengths) == (("R", "G"), ("635", "532"))
    assert raw.foreground[:, 0].tolist() == [100.0, 200.0]
    assert raw.background is not None
    assert raw.background[:, 0].tolist() == [10.0, 20.0]
    assert raw.taken == (("R", "F635 Mean"), ("Rb", "B635 Median"), ("G", "F532 Mean"), ("Gb", "B532 Median"))
    assert raw.warnings == ()
    assert raw.columns == tuple(TITLES)
    assert raw.header["Wavelengths"] == "635\t532"
    assert raw.spots["Row"].tolist() == [1, 1, 2, 2]
    assert raw.spots["ID"].tolist() == [b"id1.1", b"id1.2", b"id2.1", b"id2.2"]


def test_r_is_the_longer_wavelength_whatever_the_order_in_the_file() -> None:
    swapped = [t.replace("635", "x").replace("532", "635").replace("x", "532") for t in TITLES]
    raw = read(text(titles=swapped, header=HEADER | {"Wavelengths": "532\t635"}))
    assert raw.wavelengths == ("635", "532")
    assert raw.taken[0] == ("R", "F635 Mean")


def test_channels_say_which_wavelength_is_r() -> None:
    raw = read(text(), channels=("532", "635"))
    assert (raw.channels, raw.wavelengths) == (("R", "G"), ("532", "635"))
    assert raw.foreground[:, 0].tolist() == [200.0, 100.0]
    assert read(text(), channels=("532 nm",)).channels == ("E",)


def test_a_wavelength_that_is_not_there_is_an_error_that_lists_those_that_are() -> None:
    with pytest.raises(FormatError, match=r"a\.gpr:\d+: there is no wavelength 594; found 635, 532, expected 635, 594"):
        read(text(), channels=("635", "594"))


def test_options_that_cannot_be_are_usage_errors() -> None:
    with pytest.raises(OptionError, match="twice"):
        read(text(), channels=("635", "635"))
    with pytest.raises(OptionError, match="foreground; found 'mode', expected mean, median"):
        read(text(), foreground="mode")


@pytest.mark.parametrize("count", [3, 4])
def test_three_and_four_wavelengths_are_channels_by_name(count: int) -> None:
    more = ["594", "488"][: count - 2]
    titles = TITLES + [t for w in more for t in (f"F{w} Mean", f"B{w} Median")]
    rows = [r | {f"F{w} Mean": 7 for w in more} for r in FOUR]
    raw = read(text(rows, titles, HEADER | {"Wavelengths": "\t".join(["635", "532", *more])}))
    assert raw.channels == raw.wavelengths == ("635", "532", *more)
    assert raw.taken[-1] == (f"{more[-1]}b", f"B{more[-1]} Median")
    two = read(text(rows, titles), channels=("594", "532"))
    assert (two.channels, two.foreground[:, 0].tolist()) == (("R", "G"), [7.0, 200.0])


def test_zero_filled_place_holders_are_no_channels_and_lit_ones_are() -> None:
    titles = [*TITLES, "F3 Mean", "F3 Median", "B3 Median"]
    assert read(text(titles=titles)).channels == ("R", "G")
    lit = [*FOUR[:3], FOUR[3] | {"F3 Mean": 1}]
    assert read(text(lit, titles)).channels == ("635", "532", "3")


def test_a_wavelength_outside_the_record_counts_if_it_has_light() -> None:
    header = HEADER | {"Wavelengths": "635"}
    assert read(text(header=header)).channels == ("R", "G")
    dark = [r | {"F532 Mean": 0, "F532 Median": 0} for r in FOUR]
    assert read(text(dark, header=header)).wavelengths == ("635",)


def test_a_wavelength_record_that_fits_no_column_is_not_believed() -> None:
    assert read(text(header=HEADER | {"Wavelengths": "700\t800"})).wavelengths == ("635", "532")


def test_foreground_median_on_request_and_where_there_is_no_mean() -> None:
    raw = read(text(), foreground="median")
    assert (raw.foreground[0, 0], raw.warnings) == (90.0, ())
    without = [t for t in TITLES if not t.endswith("Mean")]
    raw = read(text(titles=without))
    assert raw.foreground[:, 0].tolist() == [90.0, 190.0]
    assert raw.warnings == ("a.gpr:6: there is no column F635 Mean, F532 Mean; F635 Median, F532 Median was taken",)


def test_both_channels_take_the_same_measure_if_they_can() -> None:
    raw = read(text(titles=[t for t in TITLES if t != "F532 Mean"]))
    assert dict(raw.taken)["R"] == "F635 Median"
    assert len(raw.warnings) == 1


def test_a_file_without_intensities_says_so() -> None:
    with pytest.raises(FormatError, match="no intensity to read"):
        read(text(titles=["Block", "Column", "Row", "ID", "F635 Median - B635"]))


@pytest.mark.parametrize(("gone", "taken"), [(("B635 Median",), "B635"), (("B635 Median", "B635"), "B635 Mean")])
def test_a_missing_background_median_is_replaced_with_a_warning(gone: tuple[str, ...], taken: str) -> None:
    raw = read(text(titles=[t for t in [*TITLES, "B635 Mean"] if t not in gone]))
    assert dict(raw.taken)["Rb"] == taken
    assert raw.warnings == (f"a.gpr:6: there is no column B635 Median; {taken} was taken",)


def test_without_a_background_of_every_channel_there_is_none() -> None:
    raw = read(text(titles=[t for t in TITLES if not t.startswith("B532")]))
    assert raw.background is None
    assert raw.taken == (("R", "F635 Mean"), ("G", "F532 Mean"))
    assert "no background" in raw.warnings[0]


def test_keys_only_leaves_out_what_later_files_do_not_need() -> None:
    assert set(read(text(), keys_only=True).spots) == {"Block", "Row", "Column", "ID"}
    assert set(read(text()).spots) == {"Block", "Row", "Column", "ID", "Name", "X", "Y"}


def test_extra_columns_are_numbers_if_every_cell_is() -> None:
    rows = [r | {"Batch": b} for r, b in zip(FOUR, ["1", "2.5", "Error", "7"], strict=True)]
    raw = read(text(rows, [*TITLES, "Batch"]), extra=("Batch", "Name", "Block"))
    np.testing.assert_array_equal(raw.spots["Batch"], [1, 2.5, np.nan, 7])
    assert raw.spots["Name"].dtype.kind == "S"
    assert raw.spots["Block"].dtype == np.int64
    assert raw.missing == 0
    with pytest.raises(FormatError, match=r"no column 'Bach'; found columns Block, .*Batch"):
        read(text(rows, [*TITLES, "Batch"]), extra=("Bach",))


def test_missing_and_infinite_intensities_are_counted_apart() -> None:
    raw = read(
        text([row(1, 1, 1, F635_Mean="Error", B635_Median=""), row(1, 2, 1, F532_Mean="Inf", X="NA"), row(1, 3, 1)])
    )
    assert (raw.missing, raw.infinite) == (2, 1)
    assert np.isnan(raw.foreground).sum() == 2


def test_the_kind_of_ratio_and_saturation_change_nothing() -> None:
    raw = read(text([row(1, 1, 1, F635_Mean=65535)], header=HEADER | {"RatioFormulations": "W2/W1 (532/635)"}))
    assert raw.foreground[:, 0].tolist() == [65535.0, 200.0]
    assert raw.warnings == ()


def test_rows_out_of_order_stay_in_file_order() -> None:
    raw = read(text([row(2, 1, 1), row(1, 2, 1), row(1, 1, 1)]))
    assert raw.spots["Block"].tolist() == [2, 1, 1]
    assert raw.spots["Column"].tolist() == [1, 2, 1]
    assert raw.warnings == ()


def test_repeated_positions_are_kept_and_named() -> None:
    raw = read(text([row(1, 1, 1), row(1, 2, 1), row(1, 1, 1), row(1, 2, 1)]))
    assert raw.n_spots == 4
    assert raw.warnings == (
        "a.gpr:9: 2 rows repeat the position of an earlier row; all were kept "
        "(first: block 1, row 1, column 1, lines 7 and 9)",
    )


@pytest.mark.parametrize("key", ["Block", "Row", "Column"])
@pytest.mark.parametrize(("cell", "found"), [("1.5", "1.5"), ("", "a missing value"), ("Error", "a missing value")])
def test_a_place_that_is_no_whole_number_is_an_error(key: str, cell: str, found: str) -> None:
    with pytest.raises(
        FormatError, match=rf"a\.gpr:8: column '{key}' needs a whole number in every row; found {found}"
    ):
        read(text([FOUR[0], FOUR[1] | {key: cell}, FOUR[2]]))


def test_a_place_that_is_text_is_an_error() -> None:
    with pytest.raises(FormatError, match=r"a\.gpr:8: column 'Block' holds text.*found 'A'"):
        read(text([FOUR[0], FOUR[1] | {"Block": "A"}]))


def test_empty_flags_are_zero_with_a_warning_and_broken_ones_an_error() -> None:
    raw = read(text([row(1, 1, 1, Flags=-50), row(1, 2, 1, Flags="")]))
    assert raw.flags is not None
    assert raw.flags.tolist() == [-50, 0]
    assert raw.warnings == ("a.gpr:8: 1 empty cells of column 'Flags' were taken as 0 (unflagged)",)
    with pytest.raises(FormatError, match=r"a\.gpr:7: column 'Flags'"):
        read(text([row(1, 1, 1, Flags=0.5)]))
    assert read(text(titles=[t for t in TITLES if t != "Flags"])).flags is None


@pytest.mark.parametrize(
    "change",
    [{"NormalizationMethod": "Global"}, {"NormalizationFactors": "1.13\t1"}, {"NormalizationFactors": "1\t0.9"}],
)
def test_normalisation_by_genepix_is_named(change: dict[str, str]) -> None:
    (warning,) = read(text(header=HEADER | change)).warnings
    assert warning.startswith("a.gpr: GenePix normalised these data")


@pytest.mark.parametrize(
    "change",
    [{"NormalizationFactors": "1\t1"}, {"NormalizationFactors": ""}, {"NormalizationFactor:RatioOfMedians": "0.95"}],
)
def test_factors_that_only_report_are_no_normalisation(change: dict[str, str]) -> None:
    assert read(text(header=HEADER | change)).warnings == ()


@pytest.mark.parametrize("records", ["2", "9", "100000", "x", ""])
def test_titles_are_found_where_the_header_count_is_wrong(records: str) -> None:
    raw = read(text(records=records))
    assert raw.n_spots == 4
    assert raw.header["Type"] == "GenePix Results 3"
    if records.isdigit():
        assert raw.warnings == (
            f"a.gpr:6: the header declares {records} records and has 3; the column titles were found here",
        )


def test_a_wrong_column_count_does_not_matter() -> None:
    assert read(text(columns="3")).warnings == ()


def test_a_missing_atf_line_is_named() -> None:
    source = text()
    at = source.data.index(b'"Block"')
    source = source._replace(data=source.data[at:])
    assert gpr.sniff(source, {})
    raw = read(source)
    assert raw.n_spots == 4
    assert raw.warnings == ("a.gpr:1: the file does not begin with an ATF line; the column titles were found here",)


def test_a_file_without_titles_is_an_error() -> None:
    with pytest.raises(FormatError, match=r"a\.gpr: no line holds the column titles.*Block, Column, Row"):
        read(Text("a.gpr", b'ATF\t1.0\n1\t2\n"Type=GenePix Results 3"\n', "ascii", (), 0, ""))


def test_a_header_alone_has_no_rows() -> None:
    with pytest.raises(FormatError, match=r"a\.gpr:7: the table has no rows"):
        read(text([]))


def test_saving_from_excel_changes_nothing() -> None:
    plain = read(text())
    lines = text().data.decode().replace('"Wavelengths=635\t532"', "WAVE").replace('"', "").split("\r\n")
    pad = "\t" * (len(TITLES) - 1)
    padded = [
        line.replace("WAVE", '"Wavelengths=635\t532"') + (pad if i < 5 else "") for i, line in enumerate(lines[:-1])
    ]
    raw = read(Text("a.gpr", ("\r\n".join(padded) + "\r\n" + pad + "\r\n").encode(), "ascii", (), 0, ""))
    assert raw.header == plain.header
    assert raw.warnings == ()
    np.testing.assert_array_equal(raw.foreground, plain.foreground)
    assert raw.spots["ID"].tolist() == plain.spots["ID"].tolist()


def test_a_gpr_saved_as_csv_is_read() -> None:
    lines = text().data.decode().replace('"', "").splitlines()
    lines = [line.replace("\t", ",") for line in lines if not line.startswith("Wave")]
    lines[1] = "2," + str(len(TITLES)) + ",,,"
    source = Text("a.gpr", "\n".join(lines).encode(), "ascii", (), 0, "")
    assert gpr.sniff(source, {})
    raw = read(source)
    assert (raw.n_spots, raw.header["Type"], raw.warnings) == (4, "GenePix Results 3", ())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_change_nothing(tmp_path: Path, encoding: str, end: str) -> None:
    source = text([r | {"Name": "R² µ"} for r in FOUR], [*TITLES, "Rgn R² (635/532)"], end=end)
    path = tmp_path / "a.gpr"
    path.write_bytes(source.data.decode().encode(encoding))
    assert gpr.sniff(load_head(path), {})
    raw = gpr.read(load(path), ReadOptions())
    assert raw.columns[-1] == "Rgn R² (635/532)"
    assert raw.spots["Name"][0].decode() == "R² µ"
    assert raw.foreground[:, 3].tolist() == [100.0, 200.0]
    assert len(raw.warnings) == (end == "\r")


@pytest.mark.parametrize("name", ['5" primer', '"open', "O'Neill", "#1", "a,b", "NA", " edge ", "1-Oct"])
def test_names_survive_as_they_are(name: str) -> None:
    raw = read(text([row(1, 1, 1, Name=name), row(1, 2, 1)]))
    assert raw.spots["Name"].tolist() == [name.encode(), b"n"]
    assert raw.n_spots == 2


@pytest.mark.parametrize("kept", range(1, len(TITLES)))
def test_a_cut_file_is_an_error_not_a_short_array(kept: int) -> None:
    *whole, last = text().data.removesuffix(b"\r\n").split(b"\r\n")
    cut = b"\r\n".join([*whole, b"\t".join(last.split(b"\t")[:kept])])
    with pytest.raises(
        FormatError, match=rf"a\.gpr:10: the file looks cut off: .*found {kept} cells, expected 17 cells"
    ):
        read(Text("a.gpr", cut, "ascii", (), 0, ""))


def test_a_decimal_comma_in_an_intensity_is_named() -> None:
    raw = read(text([row(1, 1, 1, F635_Mean="100,25"), row(1, 2, 1, F635_Mean="0,5")]))
    assert raw.foreground[0].tolist() == [100.25, 0.5]
    assert raw.warnings[0].startswith("a.gpr:7: 2 numbers have a decimal comma")
    with pytest.raises(FormatError, match=r"a\.gpr:7: .*thousands"):
        read(text([row(1, 1, 1, F635_Mean="1,234")]))


def test_doubled_titles_are_named() -> None:
    raw = read(text(titles=[*TITLES, "F635 Mean"]))
    assert raw.warnings == ("a.gpr:6: column 'F635 Mean' comes twice; the first one was taken",)


def test_header_values_keep_equal_signs_and_lose_stray_quotes() -> None:
    header = HEADER | {"Comment": 'a=b "c"', "Filters": "\t", "Barcode": ""}
    raw = read(text(header=header))
    assert raw.header["Comment"] == 'a=b "c'
    assert raw.header["Barcode"] == ""
    assert raw.header["Filters"] == "\t"


def test_other_files_are_not_taken_for_gpr(shared: Path) -> None:
    with (shared / "data/arrays/MANIFEST.tsv").open(newline="") as file:
        others = [r["path"] for r in csv.DictReader(file, delimiter="\t") if not r["format"].startswith("GPR")]
    assert others
    for path in others:
        assert not gpr.sniff(load_head(shared / "data/arrays" / path), {}), path


OTHER_BACKGROUND = (("Rb", "B635"), ("Gb", "B532"))
SUBTRACTED = [title for title in TITLES if title[:1] not in "FB" or title in ("Block", "Flags")]
SUBTRACTED += ["F635 Median - B635", "F532 Median - B532"]


def test_columns_that_are_named_come_before_those_of_the_format() -> None:
    raw = read(text(), columns=OTHER_BACKGROUND)
    assert raw.taken == (("R", "F635 Mean"), ("Rb", "B635"), ("G", "F532 Mean"), ("Gb", "B532"))
    assert raw.background is not None and raw.background[:, 0].tolist() == [9, 19] and raw.warnings == ()
    assert raw.settings["columns"] == OTHER_BACKGROUND and raw.wavelengths == ("635", "532")
    raw = read(text(), columns="G=F532 Median,Gb=B532,Name=ID")
    assert raw.taken == (("R", "F635 Mean"), ("Rb", "B635 Median"), ("G", "F532 Median"), ("Gb", "B532"))
    assert raw.spots["Name"].tolist() == raw.spots["ID"].tolist()
    one = read(text(), columns={"E": "F532 Median", "Eb": "B532"})
    assert (one.channels, one.wavelengths, one.foreground[0, 0]) == (("E",), ("532",), 190)
    assert gpr.head(text(), {"columns": "E=F532 Median"}).channels == ("E",)


def test_a_foreground_that_is_named_without_a_background_has_none_and_says_so() -> None:
    raw = read(text(), columns="R=F635 Median,G=F532 Median")
    assert raw.background is None
    assert raw.warnings == ("a.gpr:6: the columns option names no background (Rb, Gb); the array has none",)
    raw = read(text(), columns="R=F635 Mean,Rb=B635", foreground="median")
    assert raw.taken[2] == ("G", "F532 Median")
    assert raw.warnings == ("a.gpr:6: foreground median does not count for R, which columns names",)


def test_a_file_with_subtracted_columns_only_says_how_they_are_taken() -> None:
    rows = [cells | {"F635 Median - B635": 81, "F532 Median - B532": 171} for cells in FOUR]
    only = text(rows, SUBTRACTED)
    with pytest.raises(
        FormatError, match="no intensity to read.*Take what is left above the background with"
    ) as caught:
        read(only)
    given = str(caught.value).partition('"')[2].rstrip('"')
    assert given == "R=F635 Median - B635,G=F532 Median - B532"
    raw = read(only, columns=given)
    assert (raw.foreground[:, 0].tolist(), raw.background, raw.warnings) == ([81, 171], None, ())
    assert raw.wavelengths == ("635", "532")


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"columns": "Rb=b635"}, FormatError, r"a\.gpr:6: there is no column 'b635'; found columns Block.*Did you mean B635"),
        ({"columns": "Eb=B635"}, OptionError, "columns names columns of E; found Eb, and wavelengths 635, 532 in the file"),
        ({"columns": "E=B635,Rb=B532"}, OptionError, "columns mixes one and two channels"),
        ({"columns": "E=F635 Mean", "channels": "635"}, OptionError, "channels and columns both say what the channels are"),
    ],
)  # fmt: skip
def test_columns_that_fit_no_gpr_are_refused(settings: dict[str, str], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        read(text(), **settings)


@pytest.mark.parametrize(("number", "nm"), [("3", ""), ("99", ""), ("100", "100")])
def test_an_image_without_a_wavelength_is_a_channel_of_that_number(number: str, nm: str) -> None:
    more = {f"F{number} Mean": 500, f"B{number} Median": 40}
    header = HEADER | {"Wavelengths": f"635\t532\t{number}"}
    raw = read(text([cells | more for cells in FOUR], [*TITLES, *more], header))
    assert (raw.channels, raw.wavelengths) == (("635", "532", number), ("635", "532", nm))


def test_error_cells_of_an_intensity_are_missing_and_said_once() -> None:
    bad = [row(1, 1, 1), row(1, 2, 1, F635_Mean="Error"), row(1, 1, 2, F635_Mean='"Error"', F532_Mean="#N/A")]
    raw = read(text([*bad, row(1, 2, 2, F532_Mean="NA")]))
    assert raw.missing == 4
    assert raw.warnings == (
        "a.gpr:8: 3 cells hold an error and no number (2 of column 'F635 Mean' and 1 of column 'F532 Mean'; first: "
        "Error); they are missing",
    )
