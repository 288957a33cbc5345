"""Citations: the model's own, those found by agreement, and what is never cited."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.backend.pipelines.citations import cite, without_markers
from app.backend.types import Citation, Passage
from tests.pipelines.doubles import SHELF

PANTHERS = Passage(
    "p1",
    "Super Bowl 50",
    "The Panthers defense gave up just 308 points, ranking sixth in the league. "
    "Kawann Short led the team with 11 sacks.",
    1.0,
    "demo",
)
GAGA = Passage(
    "p2",
    "Super Bowl 50",
    "Lady Gaga performed the national anthem, while Marlee Matlin provided sign language translation. "
    "The halftime show was headlined by the British rock group Coldplay.",
    0.5,
    "demo",
)
BOTH = (PANTHERS, GAGA)


def seen(answer: str, passages: tuple[Passage, ...] = BOTH) -> list[tuple[int, str, str, list[str]]]:
    """(n, by, what it supports, by which text) of each citation."""
    return [
        (c.n, c.by, answer[slice(*c.sentence)], [passages[c.n - 1].text[a:b] for a, b in c.spans])
        for c in cite(answer, passages)
    ]


GAVE_UP = "The Panthers defense gave up just 308 points, ranking sixth in the league."
ANTHEM = "Lady Gaga performed the national anthem, while Marlee Matlin provided sign language translation."


@pytest.mark.parametrize("marker", ["[1]", " [1]", "[1].", " 【1】", "[1]!", ". [1]", ".[1]", " [1, 7]", " [7] [1]"])
def test_the_models_marker_cites_the_sentence_it_belongs_to(marker: str) -> None:
    answer = f"The defense gave up 308 points{marker}"
    assert seen(answer) == [(1, "model", answer, [GAVE_UP])]


def test_a_marker_after_the_full_stop_belongs_to_the_sentence_before_it() -> None:
    answer = "The defense gave up 308 points. [1] Who knows why? Nobody. [2]\n[1] Kawann Short had 11 sacks."
    assert [(n, text) for n, _, text, _ in seen(answer)] == [
        (1, "The defense gave up 308 points. [1]"),
        (2, "Nobody. [2]"),
        (1, "[1] Kawann Short had 11 sacks."),
    ]


def test_each_marker_of_a_sentence_has_its_own_part_of_it() -> None:
    answer = "The defense gave up 308 points [1], and Lady Gaga performed the anthem [2]."
    assert seen(answer) == [
        (1, "model", "The defense gave up 308 points [1]", [GAVE_UP]),
        (2, "model", "and Lady Gaga performed the anthem [2].", [ANTHEM]),
    ]


@pytest.mark.parametrize("markers", ["[1, 2]", "[1][2]", "[1], [2]", "【1】【2】", "[1，2]", "[1、2]"])
def test_markers_that_stand_together_cite_the_same_words(markers: str) -> None:
    answer = f"There was a game {markers}."
    assert [(n, by, text) for n, by, text, _ in seen(answer)] == [(1, "model", answer), (2, "model", answer)]


@pytest.mark.parametrize(
    "answer", ["It was so [3].", "It was so [0].", "It was so [99, 3].", "See [1](http://x).", "[1]"]
)
def test_numbers_of_no_passage_links_and_lone_markers_cite_nothing(answer: str) -> None:
    assert seen(answer) == []


def test_brackets_in_code_are_no_citations() -> None:
    assert seen("Take `argv[1]` and\n```\nx = y[2]\n```\n") == []


def test_a_cited_passage_without_a_word_in_common_is_marked_as_a_whole() -> None:
    assert seen("没有人知道 [2]。") == [(2, "model", "没有人知道 [2]。", [GAGA.text])]


def test_a_sentence_without_marker_is_aligned_to_the_sentences_that_hold_its_words() -> None:
    answer = "I looked it up for you. The Panthers' defense gave up 308 points and ranked sixth. Have a nice day!"
    assert seen(answer) == [
        (1, "alignment", "The Panthers' defense gave up 308 points and ranked sixth.", [GAVE_UP]),
    ]


def test_a_sentence_may_be_in_other_words_for_a_third() -> None:
    assert [n for n, *_ in seen("The Panthers defense allowed merely 308 points and was sixth of the league.")] == [1]


def test_one_sentence_may_rest_on_two_of_a_passage() -> None:
    ((n, by, _, texts),) = seen("The Panthers defense gave up 308 points and Kawann Short led with 11 sacks.")
    assert (n, by, texts) == (1, "alignment", [GAVE_UP, "Kawann Short led the team with 11 sacks."])


@pytest.mark.parametrize(
    "answer",
    [
        "The Panthers defense gave up just 309 points, ranking sixth in the league.",
        "The Panthers defense gave up just 11 points, ranking sixth in the league.",
        "The Panthers defense was admired by everybody who ever saw the league play.",
        "The Broncos defense was the best of all, and it scored more than anybody.",
        "The answer is 1.",
        "Yes.",
        "The passages do not hold the answer.",
        "",
        "   \n\n",
    ],
)
def test_what_a_passage_does_not_say_is_not_aligned(answer: str) -> None:
    assert seen(answer) == []


def test_a_name_alone_is_aligned_where_only_one_place_has_it() -> None:
    assert [(n, by) for n, by, *_ in seen("The answer is: Coldplay.")] == [(2, "alignment")]


def test_chinese_markers_and_sentences() -> None:
    passages = (Passage("z", "月球", "月球绕地球运行。牛顿最早解释了潮汐的成因。", 1.0, "demo"),)
    assert seen("月球围绕地球运行[1]。牛顿最早解释了潮汐的成因。谢谢！", passages) == [
        (1, "model", "月球围绕地球运行[1]。", ["月球绕地球运行。"]),
        (1, "alignment", "牛顿最早解释了潮汐的成因。", ["牛顿最早解释了潮汐的成因。"]),
    ]


def test_markers_can_be_taken_out() -> None:
    assert without_markers("One [1]. Two [1, 2], three【3】. x[0]") == "One. Two, three. x"


TEXT = st.text(max_size=300) | st.lists(
    st.sampled_from(
        [
            "Bees",
            " ",
            "dance",
            ".",
            "[1]",
            "[2, 3]",
            "【2】",
            "\n",
            "```",
            "`",
            "[",
            "]",
            "月球",
            "。",
            "Newton",
            "1687",
            "([1])",
        ]
    ),
    max_size=60,
).map("".join)
PASSAGES = st.lists(st.builds(Passage, st.text(max_size=5), TEXT, TEXT, st.just(1.0), st.just("demo")), max_size=4)


@given(TEXT, PASSAGES | st.just(list(SHELF)))
@settings(max_examples=300, deadline=None)
def test_every_citation_resolves(answer: str, passages: list[Passage]) -> None:
    before = -1
    for citation in cite(answer, passages):
        assert isinstance(citation, Citation)
        passage = passages[citation.n - 1]
        assert citation.passage_id == passage.id
        start, end = citation.sentence
        assert 0 <= start < end <= len(answer)
        assert before <= start
        before = start
        assert list(citation.spans) == sorted(set(citation.spans))
        assert all(0 <= a < b <= len(passage.text) for a, b in citation.spans)
        assert citation.spans or not passage.text


@pytest.mark.parametrize(
    "piece",
    [
        "Bees dance [1]. ",
        "[1]",
        "[1]\n",
        " ",
        "a [2] ",
        "`",
        "[1], ",
        "Mr. ",
        "A. ",
        "Newton explained the tides. ",
        "x",
    ],
)
def test_a_long_answer_takes_little_time(piece: str) -> None:
    answer = (piece * 20_000)[:20_000]
    began = time.process_time()
    cite(answer, SHELF)
    assert time.process_time() - began < 2


def test_a_question_in_the_answer_is_never_called_supported() -> None:
    tea = Passage("t", "绿茶和红茶", "茶树原产于中国西南部，绿茶不发酵，红茶全发酵。", 1.0, "demo")
    assert cite("茶树原产于中国西南部？", [tea]) == ()
    assert cite("茶树原产于中国西南部。", [tea]) != ()
