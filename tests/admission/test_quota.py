"""How often somebody may ask: by the minute and by the day."""

from __future__ import annotations

import pytest

from app.backend.errors import Refused
from app.settings import Quota
from tests.admission.house import House

TIGHT = Quota(per_minute=3, per_day=5)


def test_a_minute_holds_so_many_questions_and_the_refusal_says_when_it_is_over() -> None:
    house = House(quota=TIGHT)
    for _ in range(3):
        house.enter().leave()
        house.pass_s(10)
    with pytest.raises(Refused) as refused:
        house.enter()
    assert "within a minute" in refused.value.message
    assert 30 <= (refused.value.retry_after_s or 0) <= 36
    assert house.enter("bob")
    house.pass_s(refused.value.retry_after_s or 0)
    house.enter().leave()


def test_a_day_holds_so_many_and_ends_at_midnight() -> None:
    house = House(quota=TIGHT)
    for _ in range(5):
        house.enter().leave()
        house.pass_s(61)
    with pytest.raises(Refused) as refused:
        house.enter()
    assert "today" in refused.value.message
    assert (refused.value.retry_after_s or 0) >= 86_400 - house.clock.at
    house.clock.at = 86_400 + 1
    house.enter().leave()


def test_what_was_asked_before_a_restart_counts() -> None:
    house = House(quota=TIGHT)
    house.admission.seed({"ann": 5}, {})
    with pytest.raises(Refused):
        house.enter("ann")
    assert house.enter("bob")


def test_a_refused_question_does_not_count() -> None:
    house = House(quota=Quota(running=1, queued=0, per_minute=2))
    house.enter()
    for _ in range(5):
        with pytest.raises(Refused, match="waiting"):
            house.enter()
    house.pass_s(61)
    assert house.admission.snapshot().refused == {"queued": 5}
