"""The figures and pictures of the page that compares."""

from __future__ import annotations

import pytest

from app.backend.comparing import compare_answers, compare_passages
from app.backend.types import Passage, Usage
from app.ui.columns import ROW_PX, bars, change, figures, ranks, wording
from app.ui.view import ViewState


def passage(name: str) -> Passage:
    return Passage(name, f"Title {name}", f"Text of {name}.", 1.0, "shelf")


A, B, C, D = (passage(name) for name in "abcd")


def test_the_first_word_comes_after_all_that_was_not_writing() -> None:
    spent = {"queue": 100.0, "retrieve": 50.0, "first_token": 200.0, "decode": 600.0, "cite": 50.0, "total": 1000.0}
    told = figures(ViewState(phase="done", timings_ms=spent, usage=Usage(300, 0, 40, 1, 780.0)))
    assert told is not None
    assert (told.first_ms, told.total_ms, told.engine_ms) == (350.0, 1000.0, 780.0)
    assert (told.read, told.written, told.calls) == (300, 40, 1)


def test_a_method_that_writes_in_stages_of_its_own_tells_its_first_word_too() -> None:
    told = figures(ViewState(phase="done", timings_ms={"look_ahead": 900.0, "ttft": 120.0, "total": 1000.0}))
    assert told is not None
    assert told.first_ms == 120.0


def test_an_answer_without_a_first_word_has_no_time_of_it() -> None:
    told = figures(ViewState(phase="done", timings_ms={"branch": 900.0, "total": 1000.0}))
    assert told is not None
    assert told.first_ms is None


def test_an_answer_from_before_costs_were_measured_says_nothing_of_them() -> None:
    told = figures(ViewState(phase="done", timings_ms={"decode": 900.0, "total": 1000.0}, usage=Usage(300, 0, 40, 1)))
    assert told is not None
    assert told.engine_ms is None


@pytest.mark.parametrize("spent", [{}, {"total": 1000.0}])
def test_what_a_blind_comparison_hides_has_no_figures(spent: dict[str, float]) -> None:
    assert figures(ViewState(phase="done", timings_ms=spent)) is None


def test_the_longest_bar_is_full_and_the_least_is_the_best() -> None:
    assert [(bar.width, bar.best) for bar in bars([100, 50, None])] == [(100, False), (50, True), (0, False)]
    assert [bar.best for bar in bars([50, 50])] == [False, False]
    assert [bar.width for bar in bars([0, 0])] == [0, 0]


def test_a_passage_has_the_same_row_in_every_list_and_a_line_between_them() -> None:
    drawn = ranks(compare_passages([[A, B, C], [B, A, D]]), [frozenset({1}), frozenset()])
    left, right = drawn.lists
    assert [(place.title, place.rank, place.cited) for place in left] == [
        ("Title a", 1, True),
        ("Title b", 2, False),
        ("Title c", 3, False),
    ]
    assert {place.title: place.row for place in left}["Title b"] == right[0].row
    assert [(place.change, place.moved) for place in right] == [("moved", 1), ("moved", -1), ("only", 0)]
    assert sorted(line.change for line in drawn.lines[0]) == ["down", "up"]
    assert drawn.height == 3 * ROW_PX


def test_a_column_that_did_not_search_has_an_empty_list_and_no_lines() -> None:
    drawn = ranks(compare_passages([[A, B], []]), [frozenset(), frozenset()])
    assert drawn.lists[1] == ()
    assert drawn.lines == ((),)


def test_only_the_words_that_differ_are_marked_and_marks_of_citation_are_gone() -> None:
    answers = [("The tower is 330 metres tall [1].", ()), ("The tower is 300 metres high [2].", ())]
    (row,) = compare_answers(answers)
    left, right = wording(row)
    assert left is not None
    assert right is not None
    assert [text for text, new in left if new] == ["330", "tall"]
    assert [text for text, new in right if new] == ["300", "high"]
    assert "".join(text for text, _ in left) == "The tower is 330 metres tall."


def test_what_some_say_in_the_same_words_is_not_said_in_other_words() -> None:
    rows = compare_answers([("It is tall.", ()), ("It is tall.", ()), ("Nobody knows that.", ())])
    assert [change(row) for row in rows] == ["some", "only"]
    rows = compare_answers([("It is tall.", ()), ("It is tall.", ())])
    assert [change(row) for row in rows] == ["same"]
