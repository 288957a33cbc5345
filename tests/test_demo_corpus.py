"""The demo corpus keeps its promises: well formed, bilingual, and its questions can be answered by keyword search.

Nothing of the application is imported: the files must be good FlashRAG data for any program.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import bm25s
import jieba
import pytest
import Stemmer
from bm25s.stopwords import STOPWORDS_EN

DEMO = Path(__file__).resolve().parent.parent / "assets" / "demo"


def _rows(name: str) -> list[dict[str, Any]]:
    with (DEMO / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def passages() -> list[dict[str, Any]]:
    return _rows("corpus.jsonl")


@pytest.fixture(scope="module")
def questions() -> list[dict[str, Any]]:
    return _rows("questions.jsonl")


def _terms(text: str, stemmer: Stemmer.Stemmer) -> list[str]:
    words = [word for word in jieba.cut(text.lower()) if any(c.isalnum() for c in word)]
    return [stemmer.stemWord(word) for word in words if word not in STOPWORDS_EN]


def _ranks(passages: list[dict[str, Any]], questions: list[dict[str, Any]], k: int) -> list[int | None]:
    """The rank of each question's gold passage among the first k, from 1; None where it is missing."""
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25()
    index.index([_terms(p["contents"], stemmer) for p in passages], show_progress=False)
    asked = [_terms(q["question"], stemmer) for q in questions]
    found, _ = index.retrieve(asked, k=k, show_progress=False)
    ranks: list[int | None] = []
    for question, rows in zip(questions, found, strict=True):
        ids = [passages[row]["id"] for row in rows]
        gold = question["metadata"]["gold_passage"]
        ranks.append(ids.index(gold) + 1 if gold in ids else None)
    return ranks


def test_every_passage_has_a_unique_id_a_title_and_a_text(passages: list[dict[str, Any]]) -> None:
    assert [i for i, n in Counter(p["id"] for p in passages).items() if n > 1] == []
    for passage in passages:
        assert isinstance(passage["id"], str)
        assert passage["id"]
        title, _, text = passage["contents"].partition("\n")
        assert title == title.strip() != "", passage["id"]
        assert text == text.strip() != "", passage["id"]
        assert "\n" not in text, passage["id"]
        assert passage["lang"] in {"en", "zh"}, passage["id"]
        assert passage["topic"], passage["id"]


def test_titles_are_unique(passages: list[dict[str, Any]]) -> None:
    titles = Counter(p["contents"].partition("\n")[0] for p in passages)
    assert [t for t, n in titles.items() if n > 1] == []


def test_there_are_at_least_170_passages_and_45_of_them_are_chinese(passages: list[dict[str, Any]]) -> None:
    assert len(passages) >= 170
    assert sum(p["lang"] == "zh" for p in passages) >= 45


def test_the_language_mark_agrees_with_the_text(
    passages: list[dict[str, Any]], questions: list[dict[str, Any]]
) -> None:
    marked = [(p["contents"], p["lang"]) for p in passages] + [
        (q["question"], q["metadata"]["lang"]) for q in questions
    ]
    for text, lang in marked:
        assert any("\u4e00" <= c <= "\u9fff" for c in text) == (lang == "zh"), text


def test_no_passage_is_longer_than_1200_characters(passages: list[dict[str, Any]]) -> None:
    assert [p["id"] for p in passages if len(p["contents"]) > 1200] == []


def test_there_are_at_least_80_questions_with_unique_ids_and_22_are_chinese(questions: list[dict[str, Any]]) -> None:
    assert len(questions) >= 80
    assert sum(q["metadata"]["lang"] == "zh" for q in questions) >= 22
    assert len({q["id"] for q in questions}) == len(questions)
    assert len({q["question"] for q in questions}) == len(questions)


def test_every_gold_passage_exists_and_contains_a_golden_answer(
    passages: list[dict[str, Any]], questions: list[dict[str, Any]]
) -> None:
    texts = {p["id"]: p["contents"].partition("\n")[2] for p in passages}
    for question in questions:
        answers = question["golden_answers"]
        assert all(isinstance(a, str) and a for a in answers), question["id"]
        assert any(a in texts[question["metadata"]["gold_passage"]] for a in answers), question["id"]


@pytest.mark.parametrize(("lang", "wanted"), [("en", 8), ("zh", 6)])
def test_examples_for_the_page_are_short(questions: list[dict[str, Any]], lang: str, wanted: int) -> None:
    examples = [q for q in questions if q["metadata"].get("example") and q["metadata"]["lang"] == lang]
    assert len(examples) >= wanted
    assert len({q["metadata"]["gold_passage"] for q in examples}) == len(examples)
    assert [q["question"] for q in examples if len(q["question"]) > (70 if lang == "en" else 25)] == []


def test_bm25_finds_the_gold_passage_of_every_example_among_the_first_three(
    passages: list[dict[str, Any]], questions: list[dict[str, Any]]
) -> None:
    examples = [q for q in questions if q["metadata"].get("example")]
    ranks = _ranks(passages, examples, k=3)
    assert [q["question"] for q, rank in zip(examples, ranks, strict=True) if rank is None] == []


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_bm25_finds_the_gold_passage_among_the_first_five_for_nine_questions_in_ten(
    passages: list[dict[str, Any]], questions: list[dict[str, Any]], lang: str
) -> None:
    asked = [q for q in questions if q["metadata"]["lang"] == lang]
    ranks = _ranks(passages, asked, k=5)
    hit1 = sum(rank == 1 for rank in ranks) / len(ranks)
    hit5 = sum(rank is not None for rank in ranks) / len(ranks)
    missed = [q["question"] for q, rank in zip(asked, ranks, strict=True) if rank is None]
    assert hit5 >= 0.9, f"{lang}: hit@1 {hit1:.3f}, hit@5 {hit5:.3f}, missed: {missed}"
