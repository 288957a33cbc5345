"""An answer gives its side away when it names its method, and only then."""

from __future__ import annotations

import pytest

from app.backend.comparing.counting import tells, why_not
from app.backend.pipelines.registry import PIPELINES
from app.backend.records import Column, Comparison
from app.ui import i18n
from tests.comparing.test_differences import generation

TITLES = {name: entry.title for name, entry in PIPELINES.items()}


@pytest.mark.parametrize(
    ("pipeline", "text"),
    [
        ("naive", "As Naive RAG, I found it."),
        ("naive", "The naive pipeline says so."),
        ("direct", "I am the 'direct' method."),
        ("hyde", "With HyDE I imagined it."),
        ("sure", "SuRe names two candidates."),
        ("self-rag", "self-rag judges."),
        ("search-r1", "Search-R1 searched."),
        ("trace", "我用TRACE方法。"),
        ("adaptive", "adaptive方法认为"),
        ("crag", "CRAG checked the passages."),
        ("hyde", "Following HYDE, I imagined it."),
        ("ircot", "This is ircot at work."),
        ("iterretgen", "I did iterretgen, then Iterretgen again."),
        ("recomp-extractive", "RECOMP kept these sentences."),
        ("naive", "我是标准 RAG。"),
        ("naive", "我是标准RAG。"),
        ("direct", "我用的是“直接回答”。"),
        ("direct", "按照直接回答模式，"),
    ],
)
def test_who_names_the_method_tells(pipeline: str, text: str) -> None:
    assert tells(text, pipeline, TITLES.get(pipeline, pipeline))


@pytest.mark.parametrize(
    ("pipeline", "text"),
    [
        ("naive", "A naive reader may think so."),
        ("direct", "Direct sunlight is bright; the direct way is short."),
        ("sure", "Sure, I am sure."),
        ("trace", "There is no trace of it."),
        ("spring", "In spring it rains."),
        ("flare", "A solar flare."),
        ("rerank", "They rerank the list."),
        ("adaptive", "Eyes are adaptive."),
        ("hyde", "Mr Hyde and Dr Jekyll."),
        ("crag", "A crag above the sea."),
        ("direct", "资料不足，无法直接回答这个问题。"),
    ],
)
def test_ordinary_words_tell_nothing(pipeline: str, text: str) -> None:
    assert not tells(text, pipeline, TITLES[pipeline])


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_the_page_calls_a_method_tells(lang: i18n.Lang) -> None:
    for name, title in TITLES.items():
        shown = i18n.known(lang, f"pipeline.{name}", title)
        assert tells(f"“{shown}”", name, title), shown


def judged(question: str, *answers: tuple[str, str], blind: bool = True) -> str:
    columns = tuple(
        Column(letter, generation(pipeline, answer=answer))
        for letter, (pipeline, answer) in zip("abcd", answers, strict=False)
    )
    comparison = Comparison("c", question, blind, False, columns, None, 0.0)
    return why_not(comparison, TITLES, tuple(pipeline for pipeline, _ in answers))


def test_a_name_counts_against_its_own_side_alone_and_not_where_it_was_asked_for() -> None:
    own = ("selfrag", "Self-RAG judges passages.")
    assert judged("What judges?", own, ("naive", "Passages.")) == "Answer A gave itself away: it names its method."
    assert judged("What judges?", own, ("naive", "Passages."), blind=False) == ""
    assert judged("What is Self-RAG?", own, ("naive", "Passages.")) == ""
    assert judged("What judges?", ("naive", "Self-RAG judges."), ("direct", "None.")) == ""
