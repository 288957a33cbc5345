"""What is said to differ between answers is what differs."""

from __future__ import annotations

import itertools
import time

from hypothesis import given
from hypothesis import strategies as st

from app.backend.comparing import compare_answers, compare_params, compare_passages, contender, contenders
from app.backend.records import Generation
from app.backend.types import Citation, Passage


def passages(ids: str) -> list[Passage]:
    return [Passage(name, name.upper(), f"About {name}.", 1.0, "shelf") for name in ids]


def generation(pipeline: str = "naive", **fields: object) -> Generation:
    known = {"id": "g", "turn_id": "t", "pipeline": pipeline, "corpus": "shelf", "params": {}, "model": "m"}
    return Generation(**{**known, "status": "done", "created_at": 0.0, **fields})  # type: ignore[arg-type]


def test_passages_are_aligned_by_rank() -> None:
    rows = compare_passages([passages("abc"), passages("acbd")])
    assert [(row.passage.id, row.ranks, row.change) for row in rows] == [
        ("a", (1, 1), "same"),
        ("b", (2, 3), "moved"),
        ("c", (3, 2), "moved"),
        ("d", (None, 4), "only"),
    ]
    assert [row.moved for row in rows] == [(0, 0), (0, -1), (0, 1), (None, 0)]


def test_of_three_columns_a_passage_may_be_in_some() -> None:
    rows = compare_passages([passages("ab"), passages("b"), []])
    assert [(row.passage.id, row.change) for row in rows] == [("a", "only"), ("b", "some")]
    assert rows[1].moved == (0, 1, None)


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), min_size=2, max_size=4))
def test_each_passage_has_one_row_and_each_column_its_ranks(columns: list[list[str]]) -> None:
    rows = compare_passages([passages("".join(ids)) for ids in columns])
    assert len({row.passage.id for row in rows}) == len(rows)
    for at, ids in enumerate(columns):
        assert {row.ranks[at]: row.passage.id for row in rows if row.ranks[at]} == dict(enumerate(ids, 1))


def said(*answers: str) -> list[tuple[tuple[str | None, ...], str]]:
    rows = compare_answers([(answer, ()) for answer in answers])
    return [(tuple(cell and cell.text for cell in row.cells), row.change) for row in rows]


def test_sentences_are_aligned_and_told_apart() -> None:
    assert said(
        "The tower is 330 metres tall [1]. It stands in Paris. Many visit it.",
        "The tower is 330 metres tall [2]. It stands in Paris, France. It was built in 1889.",
    ) == [
        (("The tower is 330 metres tall [1].", "The tower is 330 metres tall [2]."), "same"),
        (("It stands in Paris.", "It stands in Paris, France."), "changed"),
        (("Many visit it.", None), "only"),
        ((None, "It was built in 1889."), "only"),
    ]


def test_chinese_sentences_are_aligned_too() -> None:
    assert said("长城很长。它在中国。", "长城非常长。它是古代建筑。它在中国。") == [
        (("长城很长。", "长城非常长。"), "changed"),
        ((None, "它是古代建筑。"), "only"),
        (("它在中国。", "它在中国。"), "same"),
    ]


def test_three_answers_share_rows() -> None:
    assert said("It rains often.", "", "It rains very often. Bring a coat.") == [
        (("It rains often.", None, "It rains very often."), "changed"),
        ((None, None, "Bring a coat."), "only"),
    ]
    assert said("It rains.", "", "It rains [1].") == [(("It rains.", None, "It rains [1]."), "same")]
    assert said("It rains.", "") == [(("It rains.", None), "only")]


def test_a_sentence_that_stands_at_another_place_is_not_said_by_one_alone() -> None:
    assert said("It rains. They sing.", "They sing. It rains.") == [
        (("It rains.", None), "moved"),
        (("They sing.", "They sing."), "same"),
        ((None, "It rains."), "moved"),
    ]
    rows = compare_answers([(text, ()) for text in ("It rains. They sing.", "They sing. It rains.", "They sing. Why?")])
    assert [(row.change, set(row.elsewhere)) for row in rows if row.change != "same"] == [
        ("moved", {1}),
        ("moved", {0}),
        ("only", set()),
    ]


def test_who_says_a_thing_twice_says_it_the_second_time_alone() -> None:
    assert [change for _, change in said("It rains. It rains.", "It rains.")] == ["same", "only"]


def test_a_sentence_names_the_passages_it_rests_on() -> None:
    answer = "It is tall [2][1]. It is old."
    cited = (Citation(2, "b", (), (0, 17), "model"), Citation(1, "a", (), (0, 17), "model"))
    (first, second) = compare_answers([(answer, cited), ("It is tall.", ())])
    assert [cell and cell.cites for cell in first.cells] == [(1, 2), ()]
    assert [cell and cell.cites for cell in second.cells] == [(), None]


SENTENCES = st.lists(
    st.sampled_from(["It rains.", "It rains often.", "It snows!", "下雨了。", "Who knows?"]), max_size=6
)


@given(st.lists(SENTENCES, min_size=2, max_size=4))
def test_every_sentence_stands_in_one_cell_in_its_order(columns: list[list[str]]) -> None:
    rows = compare_answers([(" ".join(sentences), ()) for sentences in columns])
    for at, sentences in enumerate(columns):
        assert [cell.text for row in rows if (cell := row.cells[at])] == sentences
    assert all(any(row.cells) for row in rows)


def test_answers_of_any_length_are_compared_soon() -> None:
    long = " ".join(f"Sentence {n} tells of the number {n * n}." for n in range(3000))
    began = time.monotonic()
    rows = compare_answers([(long, ()), (long[30:], ())])
    assert time.monotonic() - began < 10
    whole = [cell for row in rows if (cell := row.cells[0])]
    assert whole[-1].span[1] == len(long)


def test_parameters_are_aligned_by_name() -> None:
    rows = compare_params(
        [generation("direct", params={"temperature": 0.0}), generation(params={"retrieval_topk": 5, "temperature": 0})]
    )
    assert [(row.name, row.values, row.differs) for row in rows] == [
        ("pipeline", ("direct", "naive"), True),
        ("corpus", ("shelf", "shelf"), False),
        ("model", ("m", "m"), False),
        ("temperature", (0.0, 0), False),
        ("retrieval_topk", (None, 5), True),
    ]


def test_a_contender_is_a_method_with_the_parameters_that_differ_from_its_own() -> None:
    defaults = {"temperature": 0.0, "retrieval_topk": 5}
    assert contender("naive", {"temperature": 0.0, "retrieval_topk": 5}, defaults) == "naive"
    named = [
        contender("naive", dict(params), defaults)
        for params in itertools.permutations([("temperature", 0.7), ("retrieval_topk", 3)])
    ]
    assert named == ["naive(retrieval_topk=3, temperature=0.7)"] * 2


def test_engines_are_aligned_when_one_was_named() -> None:
    rows = compare_params([generation(), generation(engine="large", model="big")])
    assert [(row.name, row.values, row.differs) for row in rows[2:]] == [
        ("engine", ("main", "large"), True),
        ("model", ("m", "big"), True),
    ]


def named(*columns: Generation) -> tuple[str, ...]:
    return contenders(columns, lambda made: {})


def test_columns_that_only_differ_in_corpus_or_engine_are_different_contenders() -> None:
    here, there = (generation(corpus=name, corpus_version="1") for name in ("wiki", "news"))
    big = generation(engine="large", model="big", params={"top_p": 0.5})
    small = generation(params={"top_p": 0.5})
    assert named(here, there) == ("naive@wiki", "naive@news")
    assert named(small, big) == ("naive@m(top_p=0.5)", "naive@big(top_p=0.5)")
    assert named(generation(), generation(engine="twin")) == ("naive@main", "naive@twin")
    assert named(here, there, generation("direct", corpus="wiki")) == ("naive@wiki", "naive@news", "direct")


def test_columns_that_differ_in_nothing_or_in_a_corpus_they_do_not_search_are_one_contender() -> None:
    assert named(generation(), generation(seed=3)) == ("naive", "naive")
    assert named(generation("direct", corpus="wiki"), generation("direct", corpus="news")) == ("direct", "direct")
