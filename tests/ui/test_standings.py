"""The pictures of the leaderboard stay in their boxes, whatever the votes are."""

from __future__ import annotations

import math

import pytest

from app.backend.arena.board import Board, Row, Score
from app.backend.arena.ratings import Rating
from app.ui.standings import Name, name_of, standings


def row(name: str, rating: float, low: float, high: float, ms: float = 1000, slow: float = 2000) -> Row:
    return Row(Rating(name, rating, low, high, 1, 2), 20, Score(10, 0, 10), ms, slow, frontier=True)


def board(*rows: Row) -> Board:
    cells = {("a", "b"): Score(9, 0, 1), ("b", "a"): Score(1, 0, 9)}
    return Board(rows, (), cells, (), 20)


@pytest.mark.parametrize(
    "rows",
    [
        (row("a", 1100, 1000, 1300), row("b", 900, 700, 1000)),
        (row("a", 1000, 1000, 1000, 0, 0), row("b", 1000, 1000, 1000, 0, 0)),
        (row("a", 5000, 1000, 9000, 1, 1e6), row("b", -3000, -9000, 1000, 3, 4)),
    ],
)
def test_all_that_is_drawn_lies_in_its_box(rows: tuple[Row, ...]) -> None:
    drawn = standings(board(*rows), {})
    places = [p for line in drawn.lines for p in (line.low, line.at, line.high)]
    places += [p for dot in drawn.chart.dots for p in (dot.x, dot.slow, dot.top, dot.y, dot.bottom)]
    places += [tick.at for ticks in (drawn.axis, drawn.chart.across, drawn.chart.up) for tick in ticks]
    assert all(0 <= place <= 100 and math.isfinite(place) for place in places)
    assert all(line.low <= line.at <= line.high for line in drawn.lines)
    assert 1 <= len(drawn.axis) <= 8
    assert len(drawn.chart.across) <= 8


def test_nothing_is_drawn_of_nobody() -> None:
    drawn = standings(Board(), {})
    assert drawn.lines == ()
    assert drawn.chart.dots == ()
    assert drawn.squares == ()


def test_a_square_has_the_colour_of_who_won() -> None:
    drawn = standings(board(row("a", 1100, 1000, 1200), row("b", 900, 800, 1000)), {})
    ((own, won), (lost, _)) = drawn.squares
    assert own.score is None
    assert (won.one, won.other, won.wins) == ("a", "b", True)
    assert (lost.wins, lost.heat) == (False, won.heat)
    assert won.heat > 0


def test_names_on_the_chart_lie_over_no_other_name_or_dot() -> None:
    near = [row(f"method {n}", 1000 + n, 990, 1010, 1000 + n) for n in range(6)]
    apart = [row("one", 1100, 1050, 1150, 8000, 9000), row("two", 900, 850, 950, 500, 600)]
    assert sum(dot.labelled for dot in standings(board(*near), {}).chart.dots) <= 1
    assert all(dot.labelled for dot in standings(board(*apart), {}).chart.dots)


def test_a_contender_is_named_by_its_method_and_what_is_set() -> None:
    assert name_of("naive(top_k=3, retriever=dense)", {}) == Name("naive", "top_k=3, retriever=dense", "naive")
    assert name_of("gone", {}) == Name("gone", "", "gone")
    assert name_of("naive@wiki(top_k=3)", {}) == Name("naive", "wiki, top_k=3", "naive")
    assert name_of("naive@Qwen/Qwen3-8B", {}) == Name("naive", "Qwen/Qwen3-8B", "naive")
