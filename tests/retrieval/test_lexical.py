"""A query is cut exactly as its index was, ours or FlashRAG's."""

from __future__ import annotations

from pathlib import Path

import bm25s
import pytest
import Stemmer

from app.backend.errors import BadInput
from app.backend.retrieval.lexical import RULES, LexicalIndex, open_lexical
from app.backend.retrieval.lexical_writer import LexicalWriter
from tests.retrieval.conftest import PASSAGES

CONTENTS = [f"{title}\n{text}" for _, title, text in PASSAGES]


def build(folder: Path, texts: list[str]) -> LexicalIndex:
    with LexicalWriter(folder) as writer:
        for text in texts:
            writer.add(text)
        writer.write()
    return open_lexical(folder)


def as_flashrag_builds(folder: Path, texts: list[str], language: str) -> Path:
    """The steps of FlashRAG's index builder."""
    stemmer = Stemmer.Stemmer("english") if language == "en" else None
    tokenizer = bm25s.tokenization.Tokenizer(stopwords=language, stemmer=stemmer)
    index = bm25s.BM25(corpus=texts)
    index.index(tokenizer.tokenize(texts, return_as="tuple", show_progress=False), show_progress=False)
    index.save(folder, corpus=None, show_progress=False)
    tokenizer.save_vocab(folder)
    tokenizer.save_stopwords(folder)
    return folder


def rows(index: LexicalIndex, query: str) -> list[int]:
    return [row for row, _ in index.search(query, 10)]


def test_an_inflected_query_finds_the_stem(tmp_path: Path) -> None:
    assert rows(build(tmp_path / "bm25", CONTENTS), "who runs and collects") == [1]


def test_chinese_is_found_by_its_words(tmp_path: Path) -> None:
    index = build(tmp_path / "bm25", CONTENTS)
    assert rows(index, "熊猫吃什么？")[0] == 2
    assert rows(index, "从北京到上海要多久")[0] == 3


def test_a_query_without_a_known_word_finds_nothing(tmp_path: Path) -> None:
    index = build(tmp_path / "bm25", CONTENTS)
    assert rows(index, "zyzzyva") == [] and rows(index, "?!") == []


def test_equal_scores_stand_in_the_order_of_their_rows_also_where_the_list_is_cut(tmp_path: Path) -> None:
    index = build(tmp_path / "bm25", ["same words"] * 50 + ["other"])
    assert [row for row, _ in index.search("words", 7)] == list(range(7))


def test_passages_without_words_can_be_indexed(tmp_path: Path) -> None:
    assert rows(build(tmp_path / "bm25", ["?!", "..."]), "anything") == []


def test_nothing_is_left_of_the_words_that_waited_on_disk(tmp_path: Path) -> None:
    build(tmp_path / "bm25", CONTENTS)
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_english_folder_of_flashrag_is_queried_with_its_stemmer(tmp_path: Path) -> None:
    index = open_lexical(as_flashrag_builds(tmp_path / "bm25", CONTENTS, "en"))
    assert index.rows == 4
    assert rows(index, "who runs and collects") == [1]
    assert rows(index, "the") == []


def test_a_chinese_folder_of_flashrag_is_queried_without_a_stemmer(tmp_path: Path) -> None:
    index = open_lexical(as_flashrag_builds(tmp_path / "bm25", [*CONTENTS[2:], "running 测试"], "zh"))
    assert rows(index, "主要吃竹子") == [0]
    assert rows(index, "running") == [2] and rows(index, "run") == []


def test_queries_do_not_grow_an_index_of_flashrag(tmp_path: Path) -> None:
    folder = as_flashrag_builds(tmp_path / "bm25", CONTENTS, "en")
    index = open_lexical(folder)
    before = [index.search("apples", 5)]
    for number in range(50):
        index.search(f"unseen{number}", 5)
    assert [index.search("apples", 5)] == before


@pytest.mark.parametrize("damage", ["vocab.index.json", "data.csc.index.npy", RULES])
def test_a_folder_that_is_no_index_is_refused_in_one_sentence(tmp_path: Path, damage: str) -> None:
    build(tmp_path / "bm25", CONTENTS)
    (tmp_path / "bm25" / damage).write_bytes(b"\x80\x04junk")
    with pytest.raises(BadInput, match="build the corpus again"):
        open_lexical(tmp_path / "bm25")


def test_an_index_built_with_other_word_rules_is_refused(tmp_path: Path) -> None:
    build(tmp_path / "bm25", CONTENTS)
    (tmp_path / "bm25" / RULES).write_text('{"rules": "words-0"}')
    with pytest.raises(BadInput, match="words-0"):
        open_lexical(tmp_path / "bm25")
