"""Search by words finds what the demo questions ask for, in both languages."""

from __future__ import annotations

import json

import bm25s
import numpy as np
import pytest

from app.backend.retrieval.lexical import LexicalIndex, open_lexical
from app.backend.retrieval.lexical_writer import LexicalWriter
from app.backend.text import words
from app.settings import ASSETS

Pairs = list[tuple[str, int]]


def demo(name: str) -> list[dict]:
    return [json.loads(line) for line in (ASSETS / "demo" / name).read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def contents() -> list[str]:
    return [passage["contents"] for passage in demo("corpus.jsonl")]


@pytest.fixture(scope="module")
def index(contents: list[str], tmp_path_factory: pytest.TempPathFactory) -> LexicalIndex:
    folder = tmp_path_factory.mktemp("demo") / "bm25"
    with LexicalWriter(folder) as writer:
        for text in contents:
            writer.add(text)
        writer.write()
    return open_lexical(folder)


def questions(language: str) -> Pairs:
    rows = {passage["id"]: row for row, passage in enumerate(demo("corpus.jsonl"))}
    asked = [question for question in demo("questions.jsonl") if question["metadata"]["lang"] == language]
    assert len(asked) >= 20
    return [(question["question"], rows[question["metadata"]["gold_passage"]]) for question in asked]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nearly_every_demo_question_finds_its_passage_by_words(index: LexicalIndex, language: str) -> None:
    pairs = questions(language)
    found = [gold in [row for row, _ in index.search(question, 5)] for question, gold in pairs]
    assert sum(found) / len(found) >= 0.9


@pytest.mark.parametrize(
    ("question", "gold"),
    [("What is BM25?", "ret-bm25"), ("What is RAG?", "rag-what"), ("What is the idea behind HyDE?", "rag-hyde")],
)
def test_no_passage_that_quotes_a_question_of_the_readme_is_found_for_it(
    index: LexicalIndex, contents: list[str], question: str, gold: str
) -> None:
    assert question in (ASSETS.parent / "README.md").read_text("utf-8")
    found = [row for row, _ in index.search(question, 3)]
    assert gold in [demo("corpus.jsonl")[row]["id"] for row in found]
    assert not [row for row in found if question in contents[row]]


def test_chinese_split_at_white_space_would_find_next_to_nothing(contents: list[str], index: LexicalIndex) -> None:
    def first(scores: np.ndarray) -> int:
        return int(np.argmax(scores))

    plain = bm25s.BM25()
    plain.index([text.lower().split() for text in contents], show_progress=False)
    pairs = questions("zh")
    by_space = sum(first(plain.get_scores(question.lower().split())) == gold for question, gold in pairs)
    by_words = sum(index.search(question, 1)[0][0] == gold for question, gold in pairs)
    assert by_space < 0.35 * by_words


def test_the_scores_are_those_bm25s_gives_to_the_same_words(contents: list[str], index: LexicalIndex) -> None:
    plain = bm25s.BM25()
    plain.index([words(text) for text in contents], show_progress=False)
    for question, _ in questions("en")[:10] + questions("zh")[:10]:
        scores = plain.get_scores(words(question))
        for row, score in index.search(question, 5):
            assert score == pytest.approx(scores[row], rel=1e-5)
