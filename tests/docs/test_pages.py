"""Every command and every Python snippet of the documentation runs."""

from __future__ import annotations

import re
import shlex
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from gridnorm.cli import run

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PRINTED = ("control-spots", "flags-and-weights", "replicates")  # pages that show behind a print what it prints
RUNNING = [page for page in PAGES if _BLOCK.search(page.read_text(encoding="utf-8"))]


def arguments(line: str) -> list[str]:
    """Of a shell line that calls gridnorm, patterns filled in as a shell does it."""
    words = shlex.split(line)
    assert words[0] == "gridnorm", line
    return [part for word in words[1:] for part in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]


def test_there_are_snippets_to_run() -> None:
    assert len(RUNNING) >= 8


@pytest.mark.filterwarnings("default::gridnorm.GridnormWarning")
@pytest.mark.parametrize("page", RUNNING, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_snippets_of_a_page_run_in_their_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text(encoding="utf-8")
    if "--figure" in "".join(code for language, code in _BLOCK.findall(text) if language == "sh"):
        pytest.importorskip("matplotlib")
    shutil.copytree(CHECKOUT / "example_data", tmp_path / "example_data")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for language, code in _BLOCK.findall(text):
        if language == "python":
            with redirect_stdout(StringIO()) as printed:
                exec(compile(code, page.name, "exec"), names)
            if page.stem in PRINTED:
                shown = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
                assert [line for line in printed.getvalue().splitlines() if line in shown] == shown
            continue
        for line in filter(None, map(str.strip, code.splitlines())):
            assert run(arguments(line)) == 0, line


_TEXT = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["tutorial.md", "how-to/layout.md"])
def test_what_pages_show_of_a_run_is_what_it_says(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(CHECKOUT / "example_data", tmp_path / "example_data")
    monkeypatch.chdir(tmp_path)
    assert run(["inspect", "example_data/slide1.gpr"]) == 0
    assert run(["normalize", *map(str, sorted(Path("example_data").glob("*.gpr"))), "--by", "print-tip"]) == 0
    said = {line.strip() for stream in capsys.readouterr() for line in stream.splitlines()}
    shown = [
        line.strip() for text in _TEXT.findall((DOCS / page).read_text(encoding="utf-8")) for line in text.splitlines()
    ]
    ours = [
        line
        for line in shown
        if line.startswith(("format ", "channel ", "spots ", "layout ", "because ", "variance ", "slide1 "))
    ]
    assert len(ours) >= 2 and set(ours) <= said


def test_the_table_of_the_page_on_split_is_what_the_run_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "how-to" / "split.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for line in _BLOCK.findall(page)[0][1].splitlines():
        assert run([*arguments(line), "-q"] if "normalize" in line else arguments(line)) == 0
    shown = _TEXT.findall(page)[0].splitlines()[1].split()
    with open("by-serum.tsv", encoding="utf-8") as file:
        written = file.read().splitlines()[1].split()
    assert shown[-1] == "…" and len(shown) > 8 and shown[:-1] == written[: len(shown) - 1]


def test_the_page_on_python_shows_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(CHECKOUT / "example_data", tmp_path / "example_data")
    monkeypatch.chdir(tmp_path)
    code = "".join(found for _, found in _BLOCK.findall((DOCS / "how-to" / "python.md").read_text(encoding="utf-8")))
    exec(compile(code, "python.md", "exec"), {"__name__": "page"})
    shown = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert len(shown) >= 9 and capsys.readouterr().out.splitlines() == shown


def test_pages_name_no_place_outside_the_project() -> None:
    own = [*PAGES, *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"))]
    for page in own:
        assert not re.search(r"/(home|work|tmp|opt|root)/", page.read_text(encoding="utf-8")), page


def test_every_decision_is_in_the_index() -> None:
    index = (DOCS / "decisions" / "index.md").read_text(encoding="utf-8")
    pages = sorted(path.stem for path in (DOCS / "decisions").glob("[0-9]*.md"))
    assert pages == re.findall(r"^\d{4}-[a-z0-9-]+$", index, flags=re.MULTILINE)
    assert [int(page[:4]) for page in pages] == list(range(1, len(pages) + 1))


def test_an_extra_stands_in_quotes_wherever_it_is_to_be_installed() -> None:
    """Shells such as zsh take brackets for a pattern."""
    texts = [*PAGES, CHECKOUT / "README.md", *(CHECKOUT / "gridnorm").rglob("*.py")]
    found = [path.name for path in texts if re.search(r"pip install gridnorm\[", path.read_text(encoding="utf-8"))]
    assert found == []
