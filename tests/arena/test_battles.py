"""From votes to battles, and who has enough of them."""

from __future__ import annotations

from app.backend.arena.battles import Battle, Entry, Filters, fought, ratable, votes_of

A, B, C = Entry("a-method"), Entry("b-method"), Entry("c-method")
COLUMNS = (("a", A), ("b", B), ("c", C))


def battle(vote: str, left: str, right: str, outcome: float = 1.0) -> Battle:
    return Battle(vote, Entry(left), Entry(right), outcome)


def between(left: str, right: str, count: int) -> list[Battle]:
    return [battle(f"{left}-{right}-{n}", left, right, n % 2) for n in range(count)]


def test_the_winner_beat_each_of_the_others_and_these_did_not_meet() -> None:
    assert fought("b", COLUMNS) == ((B, A, 1.0), (B, C, 1.0))


def test_a_tie_and_both_bad_are_half_a_win_for_each_in_every_pair() -> None:
    drawn = ((A, B, 0.5), (A, C, 0.5), (B, C, 0.5))
    assert fought("tie", COLUMNS) == drawn
    assert fought("both_bad", COLUMNS) == drawn


def test_nobody_meets_itself() -> None:
    assert fought("a", (("a", A), ("b", A), ("c", B))) == ((A, B, 1.0),)
    assert fought("tie", (("a", A), ("b", A))) == ()


def test_a_vote_on_many_columns_is_one_vote() -> None:
    battles = [Battle("v", left, right, outcome) for left, right, outcome in fought("a", COLUMNS)]
    assert votes_of(battles) == {"a-method": 1, "b-method": 1, "c-method": 1}


def test_who_has_few_votes_is_not_rated() -> None:
    battles = [*between("a", "b", 10), *between("a", "c", 9)]
    assert ratable(battles) == {"a", "b"}
    assert ratable([*battles, battle("last", "a", "c")]) == {"a", "b", "c"}


def test_votes_against_those_who_are_not_rated_do_not_help() -> None:
    """d has its ten votes against c alone, which has not enough to be rated without them."""
    battles = [*between("a", "b", 20), *between("c", "d", 9), battle("last", "d", "a")]
    assert ratable(battles) == {"a", "b"}


def test_of_groups_that_never_met_the_one_with_most_votes_is_rated() -> None:
    assert ratable([*between("a", "b", 12), *between("c", "d", 15)]) == {"c", "d"}
    assert ratable([*between("a", "b", 12), *between("c", "d", 15), battle("link", "a", "d")]) == {"a", "b", "c", "d"}


def test_without_votes_nobody_is_rated() -> None:
    assert ratable([]) == frozenset()


def test_filters_take_what_they_name() -> None:
    asked = Battle("v", A, B, 1.0, corpus="demo", language="zh", judge="model", blind=False)
    assert Filters().take(asked)
    assert Filters("demo", "zh", "model").take(asked)
    assert not any(f.take(asked) for f in (Filters("other"), Filters("", "en"), Filters("", "", "human")))
    assert not Filters(blind=True).take(asked)
