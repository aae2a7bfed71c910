"""Messages of one kind are said once: what is alike, what is not, and what is left to say."""

from __future__ import annotations

import pytest

from gridnorm.cli.gather import (
    LONGEST,
    LONGEST_QUOTE,
    MOST_KINDS,
    Message,
    failed,
    gathered,
    of_failures,
    of_skipped,
    of_warnings,
)
from gridnorm.errors import FormatError, LayoutError, OptionError


def said(*texts: str, names: tuple[str, ...] = ()) -> list[str]:
    return gathered("warning: ", of_warnings(texts, names), verbose=False)


def test_equal_messages_of_many_files_are_one_with_names_and_a_count() -> None:
    many = [f"s{k}.gpr: 2 spots are not in a.gpr; they have rows of their own" for k in range(12)]
    (line,) = said(*many)
    assert line == "warning: s0.gpr, s1.gpr, s2.gpr and 9 more: 2 spots are not in a.gpr; they have rows of their own"
    assert said(*many[:2]) == ["warning: s0.gpr, s1.gpr: 2 spots are not in a.gpr; they have rows of their own"]


def test_what_differs_in_numbers_names_and_quoted_text_is_one_kind() -> None:
    alike = [
        "a.gpr: 3 spots of 'red one' are missing (1.5, 20%)",
        "b.gpr: 12 spots of 'blue' are missing (.2, 7%)",
        "c.gpr:9: 1 spots of 'x y z' are missing (1e-9, 0%)",
    ]
    assert said(*alike) == [f"warning: {alike[0]} (likewise b.gpr, c.gpr:9)"]
    twins = [
        "b.gpr: same content as a.gpr: arrays b and a are one",
        "c.gpr: same content as b.gpr: arrays c and b are one",
    ]
    assert len(said(*twins, names=("a", "b", "c", "a.gpr"))) == 1
    lists = ["a.gpr: no spot of group P1, P2 can be used", "b.gpr: no spot of group P1, P2, P3 and 7 more can be used"]
    assert len(said(*lists)) == 1


def test_what_differs_in_words_is_not() -> None:
    different = [
        "a.gpr: the file has no X",
        "b.gpr: the file has no Y",
        "b.gpr: the GAL's is used",
        "it's said of none",
    ]
    assert said(*different) == [f"warning: {text}" for text in different]


def test_one_file_that_says_the_same_of_many_things_is_counted() -> None:
    lines = [f"a.gpr: {n} of {n + 9} cells are empty" for n in range(5)]
    assert said(*lines) == ["warning: a.gpr: 0 of 9 cells are empty (4 more like it)"]
    assert said("a.gpr: x", "a.gpr: x") == ["warning: a.gpr: x"]


def test_many_kinds_are_cut_and_counted_and_verbose_says_every_one() -> None:
    words = [chr(97 + k) * 3 for k in range(MOST_KINDS + 1)]
    texts = [f"{file}.gpr: {word}" for word in words for file in "xy"]
    assert len(said(*texts[: 2 * MOST_KINDS])) == MOST_KINDS
    lines = said(*texts)
    assert len(lines) == MOST_KINDS - 1
    assert lines[-1] == "warning: 6 more of 3 kinds; -v shows all"
    assert gathered("warning: ", of_warnings(texts), verbose=True) == [f"warning: {text}" for text in texts]
    assert said() == []


def test_five_hundred_arrays_of_three_warnings_are_three_lines() -> None:
    kinds = ("{} spots are missing", "same barcode {} as another", "no spot of group {} can be used")
    texts = [f"slide{k}.gpr: {kind.format(k)}" for k in range(500) for kind in kinds]
    assert len(said(*texts)) == 3


def test_errors_of_one_class_sentence_and_remedy_are_one_kind() -> None:
    lost = [
        (f"x{k}.gpr", FormatError("cannot be read", file=f"x{k}.gpr", hint=f"Named in t.txt:{k}")) for k in range(9)
    ]
    (line,) = gathered("failed: ", of_failures(lost), verbose=False)
    assert line == "failed: x0.gpr: cannot be read. Named in t.txt:0 (likewise x1.gpr, x2.gpr, x3.gpr and 5 more)"
    other = [*lost, ("y.gpr", OptionError("cannot be read")), ("z.gpr", FormatError("cut off", line=3, file="z.gpr"))]
    assert [str(message.where) for message in of_failures(other)][-2:] == ["y.gpr", "z.gpr:3"]
    assert len(gathered("failed: ", of_failures(other), verbose=False)) == 3
    assert gathered("failed: ", of_failures(lost), verbose=True) == [f"failed: {error}" for _, error in lost]


def test_files_of_another_print_are_told_where_they_can_go() -> None:
    hint = 'Leave the file out, or join on purpose with align="id"'
    apart = [(name, LayoutError("another print run", file=name, found=name * 2, hint=hint)) for name in ("a", "b", "c")]
    assert failed(apart, verbose=False) == [
        f"failed: a: another print run; found aa. {hint} (likewise b, c)",
        "hint: -o FOLDER/ gives every file a table of its own, whatever spots it has",
    ]
    assert len(failed([("a", LayoutError("a contradiction", file="a"))], verbose=False)) == 1
    assert failed([], verbose=False) == []


def test_files_that_were_skipped_are_gathered_by_reason() -> None:
    found = of_skipped([("a.txt", "not an array file"), ("b.txt", "not an array file"), ("c", "the file is empty")])
    assert gathered("skipped ", found, verbose=False) == [
        "skipped a.txt, b.txt: not an array file",
        "skipped c: the file is empty",
    ]


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1])
def test_what_files_make_very_long_is_cut(length: int) -> None:
    (line,) = said("a.gpr: " + "x" * length)
    assert line == "warning: a.gpr: " + "x" * LONGEST + ("… (-v shows all)" if length > LONGEST else "")
    quote = "y" * (LONGEST_QUOTE - 1 + length - LONGEST)
    (line,) = said(f"a.gpr: found '{quote}' and '{'z' * LONGEST}'. Do this")
    assert (
        line
        == f"warning: a.gpr: found '{quote[: 58 + (length == LONGEST)]}{'…' * (length > LONGEST)}' and '{'z' * 58}…'. Do this"
    )


def test_paths_and_ids_are_not_cut() -> None:
    text = f"a.gpr: not found in {'/deep' * 80} nor in {'/far' * 80}. Correct the table"
    assert said(text) == [f"warning: {text}"]
    text = "a.gpr: another print run; found " + ", ".join(["'a quite long identifier'"] * 20) + ". Leave the file out"
    assert said(text) == [f"warning: {text}"]


def test_a_message_without_a_subject_is_itself() -> None:
    assert str(Message("", "all is lost", "")) == "all is lost"
    assert said("all is lost") == ["warning: all is lost"]
