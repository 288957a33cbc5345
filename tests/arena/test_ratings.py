"""The ratings are right: they find what is there, and say how well they know it."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from app.backend.arena.battles import Battle, Entry, fought
from app.backend.arena.ratings import MEAN, POINTS, Ratings, rate
from tests.arena.worlds import PLAIN, Style, World, named, points

STRENGTHS = (1.0, 0.6, 0.2, -0.2, -0.6, -1.0)


def found(ratings: Ratings) -> dict[str, float]:
    return {r.contender: r.rating for r in ratings.contenders}


def covered(seed: int, times: int, each: int, *, ties: float = 0.0, worth: Style = PLAIN) -> float:
    """How often an interval held the truth, over all contenders of `times` worlds with `each` votes on every pair."""
    truth, hits = points(STRENGTHS), []
    for n in range(times):
        ratings = rate(World(STRENGTHS, seed + n, ties=ties, worth=worth).round_robin(each), style=worth != PLAIN)
        hits += [r.low <= truth[r.contender] <= r.high for r in ratings.contenders]
    assert len(hits) == times * len(STRENGTHS)
    return float(np.mean(hits))


def test_a_known_ranking_is_recovered() -> None:
    ratings = rate(World(STRENGTHS, 1).round_robin(400))
    assert [r.contender for r in ratings.contenders] == [named(n) for n in range(6)]
    for name, truth in points(STRENGTHS).items():
        assert found(ratings)[name] == pytest.approx(truth, abs=30)
    assert [(r.rank, r.last) for r in ratings.contenders] == [(n, n) for n in range(1, 7)]


@pytest.mark.process
@pytest.mark.parametrize(("each", "ties"), [(5, 0.0), (20, 0.3)])
def test_the_interval_of_95_percent_covers_the_truth_in_93_to_97_percent(each: int, ties: float) -> None:
    """400 worlds of six contenders: 2,400 intervals, whose share has a standard error of about half a percent."""
    assert 0.93 <= covered(7, 400, each, ties=ties) <= 0.97


@pytest.mark.process
def test_with_style_control_the_interval_covers_as_well() -> None:
    assert 0.93 <= covered(11, 80, 15, worth=(1.5, -0.5, 0.3)) <= 0.97


def test_more_votes_make_the_interval_narrower_as_the_root_of_their_number() -> None:
    wide, narrow = (
        np.mean([r.high - r.low for r in rate(World(STRENGTHS, 3).round_robin(n)).contenders]) for n in (25, 100)
    )
    assert wide / narrow == pytest.approx(2, rel=0.15)


def test_ties_are_half_a_win_for_each() -> None:
    """Two wins and two losses say what four ties say about who is better, and less about how sure that is."""
    a, b = Entry("a"), Entry("b")
    tied = rate([Battle(str(n), a, b, 0.5) for n in range(40)])
    split = rate([Battle(str(n), a, b, float(n % 2)) for n in range(40)])
    assert found(tied) == pytest.approx({"a": MEAN, "b": MEAN}, abs=1e-6)
    assert found(split) == pytest.approx(found(tied), abs=1e-6)
    assert width(tied) < width(split)
    won = rate([Battle(str(n), a, b, 1.0 if n < 20 else 0.5) for n in range(40)])
    assert odds(won) == pytest.approx(3, rel=0.2)


def odds(ratings: Ratings) -> float:
    """Of the best against the last."""
    return math.exp((ratings.contenders[0].rating - ratings.contenders[-1].rating) / POINTS)


def width(ratings: Ratings) -> float:
    return sum(r.high - r.low for r in ratings.contenders)


def test_the_scale_is_that_of_chess() -> None:
    a, b = Entry("a"), Entry("b")
    ratings = rate([Battle(str(n), a, b, float(n % 11 != 0)) for n in range(1100)])
    assert ratings.contenders[0].rating - ratings.contenders[1].rating == pytest.approx(400, abs=8)
    assert sum(found(ratings).values()) == pytest.approx(2 * MEAN)


def test_who_has_won_all_has_a_finite_rating_and_a_wide_interval() -> None:
    battles = [Battle(f"{n}", Entry("best"), Entry(f"c{n % 2}"), 1.0) for n in range(30)]
    battles += [Battle(f"x{n}", Entry("c0"), Entry("c1"), float(n % 2)) for n in range(30)]
    best = rate(battles).contenders[0]
    assert best.contender == "best"
    assert MEAN + 200 < best.rating < MEAN + 800
    assert best.high - best.low > 250
    assert best.low > MEAN
    assert best.high < MEAN + 1500


def test_a_vote_on_four_answers_is_drawn_as_one() -> None:
    """Three battles of one vote say less than three battles of three votes."""
    names = [Entry(f"c{n}") for n in range(4)]
    chance = random.Random(5)
    together, apart = [], []
    for vote in range(120):
        columns = tuple(zip("abcd", chance.sample(names, 4), strict=True))
        battles = fought(chance.choice("abcd"), columns)
        together += [Battle(f"{vote}", *b) for b in battles]
        apart += [Battle(f"{vote}-{n}", *b) for n, b in enumerate(battles)]
    assert found(rate(together)) == pytest.approx(found(rate(apart)))
    assert width(rate(together)) > 1.15 * width(rate(apart))


def test_the_same_battles_give_the_same_ratings_whatever_their_order_and_sides() -> None:
    battles = World(STRENGTHS, 9).round_robin(15)
    turned = [replace(b, left=b.right, right=b.left, outcome=1 - b.outcome) for b in reversed(battles)]
    for style in (False, True):
        one, other = rate(battles, style=style), rate(turned, style=style)
        assert [r.contender for r in one.contenders] == [r.contender for r in other.contenders]
        assert found(one) == pytest.approx(found(other), abs=1e-3)
        assert width(one) == pytest.approx(width(other), rel=0.1)
    assert rate(battles) == rate(battles)


def test_style_control_finds_a_liking_for_long_answers_and_takes_it_out() -> None:
    """c5, the weakest, writes four times as much as the others, and voters like length."""
    world = World(STRENGTHS, 21, worth=(3.0, 0.0, 0.0))
    world.length[5] = 4.0
    battles = world.round_robin(200)
    truth = points(STRENGTHS)["c5"]
    plain, controlled = rate(battles), rate(battles, style=True)
    assert found(plain)["c5"] > truth + 100
    assert found(controlled)["c5"] == pytest.approx(truth, abs=45)
    effects = {e.style: e for e in controlled.effects}
    assert effects["chars"].low > 0
    assert effects["citations"].low < 0 < effects["citations"].high
    assert effects["ms"].low < 0 < effects["ms"].high
    assert not plain.effects


def test_a_style_that_never_differs_does_no_harm() -> None:
    battles = [
        replace(b, left=Entry(b.left.contender), right=Entry(b.right.contender))
        for b in World(STRENGTHS, 4).round_robin(20)
    ]
    assert found(rate(battles, style=True)) == pytest.approx(found(rate(battles)), abs=1e-3)


def test_a_rank_counts_those_whose_interval_lies_wholly_above() -> None:
    ratings = rate(World((2.0, 1.9, 0.0, -0.1), 2).round_robin(60)).contenders
    for r in ratings:
        assert r.rank == 1 + sum(other.low > r.high for other in ratings)
        assert r.last == len(ratings) - sum(other.high < r.low for other in ratings)
    assert [(r.rank, r.last) for r in ratings] == [(1, 2), (1, 2), (3, 4), (3, 4)]


def test_below_two_that_can_be_rated_there_are_no_ratings() -> None:
    assert rate([]) == Ratings()
    assert rate(World((0.0, 0.0), 1).round_robin(9)) == Ratings()
    assert len(rate(World((0.0, 0.0), 1).round_robin(10)).contenders) == 2
