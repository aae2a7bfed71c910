"""Messages name options as their reader writes them; records name them in one way on every route."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from damage import Cli, sheet

import gridnorm as gn
from gridnorm.cli import run
from gridnorm.errors import recorded_option, speak_command_line, spoken
from gridnorm.workflow.settings import all_options

PACKAGE = Path(gn.__file__).parent
COMPILER = {"-std=c++17", "--fmad=false"}  # options of nvcc


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Texts of a module, without those that document something."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documenting = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documenting:
            yield node.lineno, node.value


def test_no_message_outside_the_command_line_has_its_words() -> None:
    """What is raised goes through option_word and option_value, what is recorded through recorded_option."""
    modules = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "cli"]
    assert len(modules) > 100
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text!r}"
        for path in modules
        for line, text in literals(path)
        if re.search(r"--[a-z]", text) and text not in COMPILER
    ]
    assert found == []


def test_no_message_of_the_command_line_has_keywords() -> None:
    named = [name for name in all_options() if "_" in name]
    assert "min_group" in named
    found = [
        f"{path.name}:{line}: {text!r}"
        for path in (PACKAGE / "cli").glob("*.py")
        for line, text in literals(path)
        if " " in text and re.search(rf"\b({'|'.join(named)}|gn\.\w+|\w+=True)\b", text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "value", "recorded", "keyword"),
    [
        ("min_group", None, "--min-group", "min_group"),
        ("by", "print-tip", "--by=print-tip", 'by="print-tip"'),
        ("by", "Block,Dia.", "--by=Block,Dia.", 'by="Block,Dia."'),
        ("by", "my column", '--by="my column"', 'by="my column"'),
        ("flags", "exclude:-100,-75", "--flags=exclude:-100,-75", 'flags="exclude:-100,-75"'),
    ],
)  # fmt: skip
def test_a_record_has_one_form_which_either_reader_gets_in_his_words(
    name: str, value: str | None, recorded: str, keyword: str
) -> None:
    text = recorded_option(name, value)
    assert text == recorded
    for frame in ("{}", "a.gpr: Use {}, or look ({}); {} says", "{} makes one group"):
        assert spoken(frame.format(*[text] * 3)) == frame.format(*[keyword] * 3)
    speak_command_line()
    try:
        assert spoken(f"Use {text}") == f"Use {text}"
    finally:
        speak_command_line(False)


def test_names_of_files_are_no_options() -> None:
    for text in ("a--by.gpr: 3 rows", "-- by", "x=--by", "—by", "a.gpr: 1--split"):
        assert spoken(text) == text


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    sheet(bad=0.1).write(tmp_path / "a.gpr")
    rows = "".join(f"g{k % 7}\t{100 + 7 * k}\t{90 + 5 * k}\n" for k in range(30))
    Path("t.tsv").write_text(f"gene\tR\tG\n{rows}")
    return Cli(capsys, tmp_path)


WRONG = [
    {"by": "nothing"}, {"by": ""}, {"span": 7}, {"method": "median", "span": 0.5}, {"min_group": 3, "small_groups": "own"},
    {"flags": "exclude:low"}, {"layout": "8x8"}, {"split": "ID"}, {"weights": "area:1,2"}, {"columns": "R=x"},
    {"small_groups": "error", "min_group": 10000}, {"device": "gpu"}, {"preset": "lima"}, {"spam": 1},
]  # fmt: skip


@pytest.mark.parametrize("options", WRONG, ids=str)
def test_the_same_fault_is_told_in_the_words_of_either_route(cli: Cli, options: dict[str, object]) -> None:
    for file in ("a.gpr", "t.tsv"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", gn.GridnormWarning)
            try:
                gn.normalize(file, **options)
            except gn.GridnormError as error:
                assert not re.search("--[a-z]", str(error))
        words = [part for name, value in options.items() for part in ("--" + name.replace("_", "-"), str(value))]
        said = cli("normalize", file, *words, "-o", "x.tsv", "--force").err
        assert not re.search(r"\b(min_group|small_groups|gn\.\w+|\w+=True|option_word)\b", said), said


def lines(call: object, *given: object, **options: object) -> tuple[set[str], list[str]]:
    """The files that the warnings of a call point at, and what they say."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call(*given, **options)  # type: ignore[operator]
    return {one.filename for one in seen}, [str(one.message) for one in seen]


def test_warnings_point_at_the_line_of_the_caller_and_speak_his_words(cli: Cli) -> None:
    flagged = gn.simulate(1, blocks=(2, 2), spots=(10, 10), bad=0.7, seed=2).arrays
    one = np.ones((1, 2, 1), np.float32)
    Path("copy.gpr").write_bytes(Path("a.gpr").read_bytes())
    frame = pd.DataFrame({"R": [5.0, 6, 7, 9], "G": [4.0, 6, 8, 9]})
    calls = [
        (gn.read, (["a.gpr", "copy.gpr"],), {}),
        (gn.normalize, ("t.tsv",), {}),
        (gn.normalize, (frame,), {"small_groups": "own"}),
        (gn.normalize, (flagged,), {}),
        (gn.normalize_within, (flagged,), {}),
        (
            gn.background_correct,
            (gn.simulate(1, blocks=(2, 2), spots=(12, 12), empty=1.0, changed=0.0, seed=1).arrays,),
            {},
        ),
        (gn.normalize_groups, ([1.0, 2.0, 3.0], ["a", "b", "c"]), {}),
        (gn.nn.group_norm, (one, 2), {}),
        (gn.nn.GroupNorm(2, 2), (one,), {}),
    ]
    for call, given, options in calls:
        files, said = lines(call, *given, **options)
        assert files == {__file__}, (call, said)
        assert not any("--" in text for text in said)


def test_warnings_of_torch_layers_point_at_the_caller_too() -> None:
    torch = pytest.importorskip("torch")
    import gridnorm.nn.torch as layers

    files, said = lines(layers.GroupNorm(2, 2), torch.ones(1, 2, 1))
    assert files == {__file__} and len(said) == 1


def test_what_exists_is_overwritten_on_purpose_only_and_either_route_says_how(cli: Cli) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        gn.write(gn.read("a.gpr"), "x.tsv")
    with pytest.raises(gn.OptionError, match=r"force=True overwrites it"):
        gn.write(gn.read("a.gpr"), "x.tsv")
    assert run(["normalize", "a.gpr", "-o", "x.tsv"]) == 2
