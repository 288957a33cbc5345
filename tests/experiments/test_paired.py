"""What is said of two ways to answer: right as often as it claims, and nothing from too few questions."""

from __future__ import annotations

import numpy as np
import pytest

from app.backend.batches.records import Asked, Cell, Row
from app.backend.errors import BadInput
from app.backend.experiments.paired import FEWEST, difference, interval
from app.backend.experiments.report import METRICS, report


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(7)
    found = [interval(draw.normal(0.1, 0.4, 40).tolist()) for _ in range(400)]
    covered = sum(one.low <= 0.1 <= one.high for one in found if one)
    assert 0.92 <= covered / 400 <= 0.98


def test_where_there_is_no_difference_a_verdict_is_rare() -> None:
    draw = np.random.default_rng(8)
    pairs = [(draw.random(40), draw.random(40)) for _ in range(300)]
    verdicts = [difference(left.tolist(), right.tolist()).verdict for left, right in pairs]
    assert verdicts.count("open") >= 0.92 * 300


def test_the_verdict_needs_enough_questions_and_an_interval_on_one_side() -> None:
    assert difference([1.0] * (FEWEST - 1), [0.0] * (FEWEST - 1)).verdict == "few"
    assert difference([1.0] * FEWEST, [0.0] * FEWEST).verdict == "left"
    assert difference([0.0] * FEWEST, [1.0] * FEWEST).verdict == "right"
    even = difference([1.0, 0.0] * FEWEST, [0.0, 1.0] * FEWEST)
    assert (even.wins, even.ties, even.losses, even.verdict) == (FEWEST, 0, FEWEST, "open")
    assert difference([], []).interval is None


def cell(answer: str, status: str = "done") -> Cell:
    return Cell("g", status, answer, "", 10.0)  # type: ignore[arg-type]


def test_a_question_counts_where_both_answered_and_markers_of_citations_are_no_words() -> None:
    rows = (
        Row(0, Asked("Capital?", ("Paris",)), "c", (cell("Paris [1]"), cell("Rome"))),
        Row(1, Asked("Capital?", ("Paris",)), "c", (cell("Paris"), cell("", "failed"))),
        Row(2, Asked("No right answer known?"), "c", (cell("Paris"), cell("Rome"))),
        Row(3, Asked("Not asked?", ("Paris",)), "", (None, None)),
    )
    made = report(rows, 2, "em")
    assert [one.scores for one in made.rows] == [(1.0, 0.0), (1.0, None), (None, None), (None, None)]
    [pair] = made.pairs
    assert (pair.positions, pair.difference.values) == ((0,), (1.0,))
    assert [(side.answered, side.failed) for side in made.sides] == [(3, 0), (2, 1)]


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_that_is_offered_can_be_had(metric: str) -> None:
    rows = (Row(0, Asked("Who?", ("Jacques Chirac",)), "c", (cell("Jacques Chirac"), cell(""))),)
    [one] = report(rows, 2, metric).rows
    assert one.scores[0] is not None
    assert one.scores[0] >= (one.scores[1] or 0.0)


def test_an_unknown_metric_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="choose from f1"):
        report((), 2, "beauty")
