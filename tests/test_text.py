"""Words and sentences are what search and citations stand on."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.backend.text import is_blank, language, sentences, words


def pieces(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize("text", ["", " \u200b", "\u3164\u115f\uffa0", "\u2800", "\ufe0f\u200d", "\U000e0041"])
def test_what_leaves_no_ink_is_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", ["?", "é", "问", "\U0001fae8", "\U00031350", "\U0002ebf0"])
def test_what_can_be_seen_is_not_blank_also_when_it_is_newer_than_this_python(text: str) -> None:
    assert not is_blank(text)


def test_inflected_words_meet() -> None:
    assert words("running the runs") == words("run RUN")


def test_chinese_is_cut_into_words_not_at_white_space() -> None:
    assert {"防守", "联赛", "排名"} <= set(words("黑豹队的防守只丢了308分，在联赛中排名第六"))


def test_mixed_text_keeps_the_words_of_both_languages() -> None:
    assert {"vllm", "引擎", "0.32"} <= set(words("ｖＬＬＭ引擎的版本是0.32"))


@pytest.mark.parametrize(
    ("one", "other"),
    [("Beyoncé’s", "beyonce"), ("1,000", "1000"), ("U.S.", "US"), ("ＲＡＧ", "rag"), ("the cat is", "cat")],
)
def test_spelling_variants_meet(one: str, other: str) -> None:
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is RAG?", "en"),
        ("什么是检索增强生成？", "zh"),
        ("RAG 是什么？", "zh"),
        ("What does 你好 mean in English?", "en"),
        ("", "en"),
        ("Wie groß ist das Schloß?", "en"),
        ("Что такое RAG?", "other"),
        ("東京タワーはどこにありますか", "other"),
    ],
)
def test_language_is_the_one_most_is_written_in(text: str, expected: str) -> None:
    assert language(text) == expected


def test_english_sentences_survive_abbreviations_numbers_and_initials() -> None:
    text = 'Dr. J. Smith left the U.S. in 1990, e.g. by boat. It took 3.5 days! "Why?" she asked. See [1]. Done.[2] End'
    assert pieces(text) == [
        "Dr. J. Smith left the U.S. in 1990, e.g. by boat.",
        "It took 3.5 days!",
        '"Why?" she asked.',
        "See [1].",
        "Done.[2]",
        "End",
    ]


def test_chinese_sentences_end_without_a_space() -> None:
    assert pieces("黑豹队赢了。真的吗？是的！“好。”完") == ["黑豹队赢了。", "真的吗？", "是的！", "“好。”", "完"]


def test_a_line_break_ends_a_sentence_and_list_numbers_do_not() -> None:
    assert pieces("1. First item\n2. Second item\n\nEnd") == ["1. First item", "2. Second item", "End"]


@given(st.text(alphabet="aB .!?。！\n中1[]\"'…e.g", max_size=60) | st.text(max_size=60))
def test_sentences_cover_every_character_that_is_not_white_space(text: str) -> None:
    spans = sentences(text)
    assert all(a < b for a, b in spans) and all(one[1] <= two[0] for one, two in pairwise(spans))
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
