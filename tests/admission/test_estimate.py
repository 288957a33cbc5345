"""What is foretold is what happens, when people behave as before."""

from __future__ import annotations

import pytest

from app.backend.admission.estimate import Estimator
from app.backend.admission.visit import GOLDEN
from app.backend.types import Usage
from tests.admission.house import House, spend


def learned(output: int = 100, prefill_s: float = 2.0, pace_s: float = 0.1, answers: int = 10) -> Estimator:
    estimator = Estimator()
    for _ in range(answers):
        timings = {
            "queue": 500.0,
            "decode": output * pace_s * 1000,
            "total": 500 + (prefill_s + output * pace_s) * 1000,
        }
        estimator.learn("p", Usage(400, 200, output, 1), timings)
    return estimator


def test_rates_are_those_of_the_answers_that_ended_without_their_wait_and_without_cached_tokens() -> None:
    estimator = learned()
    assert estimator.prefill_s == pytest.approx(2.0 / 200)
    assert estimator.decode_s == pytest.approx(0.1)
    assert estimator.lasts("p", 0.5) == pytest.approx(12.0)


def test_a_pipeline_that_is_new_is_taken_for_the_average_of_the_others() -> None:
    assert learned().lasts("never seen", 0.5) == pytest.approx(12.0)


def test_the_pace_of_now_counts_more_than_that_of_a_while_ago() -> None:
    estimator = learned(pace_s=0.1)
    written = 1
    for second in range(20):
        estimator.watch(float(second), {1: written, 2: written})
        written += 5
    assert estimator.decode_s == pytest.approx(0.2, rel=0.05)


def test_an_answer_that_has_outlived_the_others_is_expected_to_end_soon() -> None:
    estimator = learned(output=100)
    assert estimator.left("p", 0.5, 5.0, 60) == pytest.approx(4.0)
    assert estimator.left("p", 0.5, 50.0, 300) == pytest.approx(0.1)


def test_of_many_that_run_one_is_expected_to_end_soon() -> None:
    estimator = Estimator()
    for output in range(10, 170, 10):
        estimator.learn("p", Usage(100, 0, output, 1), {"decode": output * 100.0, "total": output * 100.0})
    left = [estimator.left("p", number * GOLDEN % 1, 0.0, 0) for number in range(16)]
    assert min(left) <= 2
    assert max(left) >= 14
    assert sum(left) / 16 == pytest.approx(8.5, rel=0.15)


def test_waits_are_shown_longer_when_the_last_ones_were_longer_than_foretold() -> None:
    estimator = Estimator()
    for _ in range(10):
        estimator.waited(10.0, 13.0)
    assert estimator.later == pytest.approx(1.3)


def test_before_its_first_token_only_the_time_it_already_ran_is_taken_off() -> None:
    assert learned().left("p", 0.5, 1.5, 0) == pytest.approx(10.5)


def test_an_answer_that_never_wrote_teaches_nothing() -> None:
    estimator = Estimator()
    for _ in range(10):
        estimator.learn("p", Usage(400, 0, 0, 1), {"total": 9_000.0})
    assert not estimator.known


def test_under_a_steady_load_the_first_time_shown_is_the_time_waited() -> None:
    """Answers of 10 s in 4 slots, and twelve more people who wait."""
    house = House(max_running=4, max_wait_s=1_000)
    house.teach(seconds=10)
    ends: dict[int, float] = {}
    promised: dict[int, tuple[float, float]] = {}
    wrong: list[float] = []
    visits = {}
    for tick in range(400):
        house.pass_s(0.25)
        now = house.clock.at
        for number, visit in list(visits.items()):
            if visit.admitted and number not in ends:
                ends[number] = now + 10
                at, eta = promised[number]
                if eta > 1:
                    wrong.append(abs(eta - (now - at)) / (now - at))
            elif visit.admitted:
                spend(visit, 100, max(1, round(10 * visit.ran_s(now))))
            if ends.get(number, now + 1) <= now:
                visits.pop(number).leave()
        if tick % 4 == 0 and len(visits) < 16:
            visit = house.enter(f"user-{tick}")
            visits[visit.claim.number] = visit
            promised[visit.claim.number] = (now, visit.place.eta_s)
    assert len(wrong) > 10
    assert sorted(wrong)[len(wrong) // 2] < 0.1


def test_a_count_that_the_engine_corrects_downwards_breaks_no_forecast() -> None:
    estimator = learned(pace_s=0.1)
    for second, written in enumerate((432, 430, 380)):
        estimator.watch(float(second), {1: written})
    assert estimator.decode_s >= 0.1
    assert estimator.left("p", 0.5, 1.0, 0) > 0
