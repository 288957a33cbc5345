"""Which rewritten questions are believed."""

from __future__ import annotations

import pytest

from app.backend.pipelines.rewriting import accepted
from app.backend.types import Exchange

HISTORY = (
    Exchange("Who was Martin Luther?", "Martin Luther was a German priest."),
    Exchange("What is the capital of Australia?", "The capital of Australia is Canberra."),
)
ASKED = "How many people live there?"


@pytest.mark.parametrize(
    ("question", "written", "text"),
    [
        (ASKED, "How many people live in Canberra?", "How many people live in Canberra?"),
        (ASKED, ' "How many people live in Canberra?"', "How many people live in Canberra?"),
        (ASKED, "Rewritten question: How many people live in Canberra?", "How many people live in Canberra?"),
        ("他是谁？", "马丁·路德（Martin Luther）是谁？", "马丁·路德（Martin Luther）是谁？"),
        ("When did Napoleon Bonaparte die?", "When did Napoleon Bonaparte die?", "When did Napoleon Bonaparte die?"),
        ("When did Napoleon Bonaparte die?", "", "When did Napoleon Bonaparte die?"),
        ("What is BM25?", "", "What is BM25?"),
        ("Who was Chopin?", "The capital is Canberra.", "Who was Chopin?"),
        ("什么是检索？", "", "什么是检索？"),
        ("How does HyDE work and when does it help?", "", "How does HyDE work and when does it help?"),
        ("Who was Marie Curie, and what did she find?", "", "Who was Marie Curie, and what did she find?"),
    ],
)
def test_a_question_that_stands_alone_is_searched_for(question: str, written: str, text: str) -> None:
    history = (Exchange("马丁·路德（Martin Luther）做了什么？", "他写了书。"),) if "他" in question else HISTORY
    assert accepted(written, question, history) == text


@pytest.mark.parametrize(
    "written",
    [
        "",
        "   \n",
        "How many people live there?",
        "how many people live there",
        "The capital of Australia is Canberra.",
        "What is the capital of Australia?",
        "Many people live in Canberra, the capital of Australia.",
        "How many people live in the beautiful sunny mountain city of Springfield Illinois?",
        "How many people live in Canberra, Australia? " * 20 + "?",
        "�" * 50,
    ],
)
def test_junk_is_replaced_by_the_question_after_the_last_one(written: str) -> None:
    assert accepted(written, ASKED, HISTORY) == f"What is the capital of Australia? {ASKED}"


@pytest.mark.parametrize(
    "question",
    [
        "How does it work and when does HyDE help?",
        "Does HyDE help it and is it fast?",
        "When did Napoleon leave it?",
        "Is HyDE fast and better than that one?",
        "What should I read and is it long?",
        "What did Romeo and Juliet tell him?",
        "And why does it use HyDE?",
    ],
)
def test_a_word_that_stands_for_nothing_named_before_it_points_at_what_was_said(question: str) -> None:
    assert accepted("", question, HISTORY) == f"What is the capital of Australia? {question}"


@pytest.mark.parametrize(
    "question", ["What is the population?", "Who is it?", "Where is that?", "Why?", "首都是什么？"]
)
def test_a_short_question_about_what_was_said_is_searched_for_with_it(question: str) -> None:
    assert accepted("", question, HISTORY) == f"What is the capital of Australia? {question}"
