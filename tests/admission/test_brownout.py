"""Answers cost less while too many wait, step by step, visibly, and without flapping."""

from __future__ import annotations

import pytest

from app.backend.admission.brownout import ease, step
from app.backend.errors import Busy
from app.backend.types import Exchange, Query
from tests.admission.house import House, spend

PARAMS = {"retrieval_topk": 5, "context_topk": 100, "max_tokens": 200}
QUERY = Query("And how old?", "demo", (Exchange("How tall?", "330 m."),), PARAMS)


def test_the_rungs_come_one_after_the_other() -> None:
    eased = [ease(level, QUERY) for level in range(5)]
    assert eased[0] == (QUERY, ())
    assert [[cut.code for cut in cuts] for _, cuts in eased[1:4]] == [
        ["load_passages"],
        ["load_passages", "load_rewrite"],
        ["load_passages", "load_rewrite", "load_answer"],
    ]
    query = eased[3][0]
    assert (query.params["context_topk"], query.rewrite, query.params["max_tokens"]) == (3, False, 100)
    assert all(cut.part == "load" and cut.reason.endswith(".") for _, cuts in eased for cut in cuts)


def test_what_changes_nothing_is_not_said() -> None:
    first = Query("How tall?", "demo", (), {"retrieval_topk": 3, "context_topk": 1, "max_tokens": 200})
    assert ease(2, first)[1] == ()


def test_a_wait_between_two_rungs_does_not_flap() -> None:
    level, seen = 0, []
    for wait_s in [11, 9, 11, 8, 10.5, 7.5, 11]:
        level = step(level, wait_s, 40)
        seen.append(level)
    assert seen == [1] * 7
    assert step(1, 6, 40) == 0


@pytest.mark.parametrize(("wait_s", "level"), [(10, 0), (11, 1), (21, 2), (31, 3), (41, 4)])
def test_each_rung_has_a_wait(wait_s: float, level: int) -> None:
    at = 0
    for _ in range(10):
        at = step(at, wait_s, 40)
    assert at == level


def test_the_last_rung_is_refusal_and_the_ladder_is_climbed_down_when_the_rush_is_over() -> None:
    house = House(max_running=1, max_wait_s=60, deadline_s=10_000)
    house.teach(seconds=10)
    spend(house.enter("first"), 100, 1)
    visits = [house.enter(f"user-{n}") for n in range(8)]
    for _ in range(5):
        house.pass_s(0.25)
    assert house.admission.level == 4
    with pytest.raises(Busy, match="Many people"):
        house.enter("late")
    for visit in visits:
        visit.leave()
    for _ in range(5):
        house.pass_s(0.25)
    assert house.admission.level == 0


def test_one_users_rush_is_no_reason_to_ease_the_answers_of_others() -> None:
    house = House(max_running=2, max_wait_s=10)
    house.teach(seconds=10)
    for _ in range(40):
        house.enter("greedy")
    for _ in range(10):
        house.pass_s(0.25)
    assert house.admission.level == 0
