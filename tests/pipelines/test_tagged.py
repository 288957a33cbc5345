"""Text with tags, read while it is written."""

from __future__ import annotations

import pytest

from app.backend.pipelines.tagged import Reader, Tags, boxed

TAGS = Tags(query=("<search>", "</search>"), documents=("<information>", "</information>"))


def read(*deltas: str) -> list[tuple[str, str]]:
    reader = Reader(TAGS.marks)
    told = [item for delta in deltas for item in reader.feed(delta)]
    return [*told, *reader.end()]


def test_a_tag_cut_anywhere_is_found_and_no_part_of_it_is_told() -> None:
    text = "<think> I think. </think>\n<search> who? </search>"
    for cut in range(len(text)):
        told = read(text[:cut], text[cut:])
        assert "".join(piece for mark, piece in told if mark == "<think>") == "I think."
        assert "".join(piece for mark, piece in told if mark == "<search>") == "who?"
        assert {mark for mark, _ in told} == {"<think>", "<search>"}


def test_text_is_told_as_soon_as_it_can_be_no_tag() -> None:
    reader = Reader(TAGS.marks)
    assert list(reader.feed(" 1 <")) == [("", "1")]
    assert list(reader.feed(" 2 ")) == [("", " < 2")]
    assert list(reader.feed("<th")) == []
    assert list(reader.feed("e")) == [("", " <the")]
    assert list(reader.end()) == []


def test_the_words_are_those_after_the_last_tag() -> None:
    reader = Reader(TAGS.marks)
    list(reader.feed("<think> a </think> It is b. "))
    assert (reader.mark, reader.words) == ("</think>", "It is b.")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{1687}.", "1687"),
        (r"\boxed{a} no, \boxed{\text{Isaac Newton}}", "Isaac Newton"),
        (r"\boxed{never closed", ""),
        ("1687", ""),
    ],
)
def test_the_last_box_holds_the_answer(text: str, answer: str) -> None:
    assert boxed(text) == answer
