"""The door before the engine: bounded, honest about the wait, and it says no at once."""

import asyncio

import pytest

from app.backend.admission import Gate
from app.backend.errors import Busy, DeadlineExceeded, Refused
from app.settings import Quota
from tests.admission.house import House, Visitor, settle, spend

pytestmark = pytest.mark.anyio


async def test_questions_asked_while_the_engine_starts_wait_and_are_told_why() -> None:
    house = House(opened=False, max_running=2)
    house.admission.set_gate(Gate(False, "engine starting", 40, "engine_starting"))
    visitors = [Visitor(house.enter()) for _ in range(3)]
    await settle()
    assert [v.told[-1].position for v in visitors] == [1, 2, 3]
    assert (visitors[0].told[-1].reason, visitors[0].told[-1].code) == ("engine starting", "engine_starting")
    assert visitors[0].told[-1].eta_s >= 40
    house.admission.set_gate(Gate(True))
    await settle()
    assert [v.inside.is_set() for v in visitors] == [True, True, False]
    visitors[0].leave.set()
    await settle()
    assert visitors[2].inside.is_set()
    for v in visitors:
        v.leave.set()
    await asyncio.gather(*(v.task for v in visitors))
    assert (house.running, house.waiting) == (0, 0)


async def test_leaving_the_queue_frees_the_place() -> None:
    house = House(max_running=1)
    house.enter()
    waiting = Visitor(house.enter())
    await settle()
    assert house.waiting == 1
    waiting.task.cancel()
    await asyncio.gather(waiting.task, return_exceptions=True)
    assert house.waiting == 0


async def test_cancelled_in_the_moment_of_admission_the_slot_is_given_back() -> None:
    house = House(opened=False, max_running=1)
    visitor = Visitor(house.enter())
    await settle()
    house.admission.set_gate(Gate(True))
    visitor.task.cancel()
    await asyncio.gather(visitor.task, return_exceptions=True)
    assert (house.running, house.waiting) == (0, 0)


async def test_whoever_waits_hears_of_it_every_second_and_of_each_change_at_once() -> None:
    house = House(max_running=1)
    house.teach(seconds=10)
    running = [house.enter("bob")]
    visitor, behind = Visitor(house.enter("ann")), Visitor(house.enter("cat"))
    await settle()
    for _ in range(8):
        house.pass_s(0.25)
        await settle()
    assert [(q.position, q.code, q.n) for q in behind.told] == [(2, "ahead", 1)] * 3
    assert [q.eta_s for q in behind.told] == sorted((q.eta_s for q in behind.told), reverse=True)
    assert behind.told[0].reason == "1 ahead of you"
    house.admission.leave(running[0])
    house.pass_s(0.25)
    await settle()
    assert visitor.inside.is_set()
    assert (behind.told[-1].position, behind.told[-1].code) == (1, "next")
    for v in (visitor, behind):
        v.task.cancel()
    await asyncio.gather(visitor.task, behind.task, return_exceptions=True)


async def test_at_ones_own_limit_one_is_told_so_and_others_go_on() -> None:
    house = House(max_running=8, quotas={"ann": Quota(running=2)})
    visits = [house.enter("ann") for _ in range(3)]
    assert [v.admitted for v in visits] == [True, True, False]
    assert visits[2].place.reason == "you already have 2 running"
    assert (visits[2].place.code, visits[2].place.n) == ("own_running", 2)
    assert house.enter("bob").admitted


async def test_at_ones_own_limit_the_place_among_ones_own_questions_is_told_too() -> None:
    house = House(max_running=3, quotas={"ann": Quota(running=2)})
    ann = [house.enter("ann") for _ in range(2)]
    house.enter("bob")
    for name in ("cat", "dan"):
        house.enter(name)
    ann += [house.enter("ann") for _ in range(2)]
    house.pass_s(0.25)
    assert [v.place.own for v in ann[2:]] == [1, 2]
    assert all(v.place.position > v.place.own for v in ann[2:]), "others go first"


async def test_a_full_queue_refuses_at_once_and_says_when_to_retry() -> None:
    house = House(max_running=1, max_queued=1)
    house.enter(), house.enter()
    with pytest.raises(Busy) as refused:
        house.enter("bob")
    assert refused.value.retry_after_s
    assert refused.value.retry_after_s >= 1
    assert house.admission.snapshot().refused == {"full": 1}


async def test_the_wait_of_long_prompts_is_bounded_too() -> None:
    house = House(max_running=1, max_queued_tokens=3_000)
    house.enter(), house.enter(prompt=2_000)
    with pytest.raises(Busy):
        house.enter("bob", prompt=2_000)
    assert not house.enter("bob").admitted


async def test_one_user_cannot_fill_the_queue() -> None:
    house = House(max_running=1, quota=Quota(queued=2))
    for _ in range(3):
        house.enter("ann")
    with pytest.raises(Refused) as refused:
        house.enter("ann")
    assert refused.value.retry_after_s
    assert not house.enter("bob").admitted


async def test_a_slot_that_is_spare_for_others_is_no_way_around_ones_own_limit() -> None:
    house = House(max_running=4, quota=Quota(running=9, queued=2))
    visits = [house.enter("greedy") for _ in range(6)]
    assert [v.admitted for v in visits] == [True, True, True, True, False, False]
    with pytest.raises(Refused):
        house.enter("greedy")


async def test_retry_times_differ_so_that_the_refused_do_not_come_back_together() -> None:
    house = House(max_running=1, max_queued=0)
    house.teach(seconds=100)
    house.enter()
    times = []
    for _ in range(50):
        with pytest.raises(Busy) as refused:
            house.enter("bob")
        times.append(refused.value.retry_after_s or 0)
    assert 80 <= min(times) < max(times) <= 120
    assert len(set(times)) > 20


async def test_a_question_that_cannot_be_answered_in_time_is_refused_when_it_is_asked() -> None:
    house = House(max_running=1, deadline_s=25)
    house.teach(seconds=10)
    house.enter(), house.enter()
    with pytest.raises(Busy):  # its turn comes in 20 s, but its answer takes 10
        house.enter()
    assert house.waiting == 1


async def test_a_question_that_can_no_longer_be_answered_in_time_is_refused_in_the_queue() -> None:
    house = House(max_running=1, deadline_s=25)
    house.teach(seconds=10)
    spend(house.enter(), 100, 1)
    visitor = Visitor(house.enter("bob"))
    for _ in range(12):
        house.pass_s(1)  # and the running one writes nothing
    await settle()
    with pytest.raises(DeadlineExceeded) as late:
        await visitor.task
    assert late.value.retry_after_s
    assert house.waiting == 0


async def test_nobody_is_refused_on_the_strength_of_a_guess() -> None:
    house = House(max_running=1, deadline_s=0.5)
    visits = [house.enter() for _ in range(5)]
    house.pass_s(0.25)
    assert house.waiting == len(visits) - 1


async def test_a_deadline_is_made_once_when_one_comes_in() -> None:
    house = House(max_running=1, deadline_s=60)
    visit = house.enter()
    house.pass_s(10)
    assert visit.deadline == 1_060
    (standing,) = house.admission.snapshot().visits
    assert (standing.left_s, standing.ran_s, standing.state) == (50, 10, "running")


async def test_who_asks_before_the_first_start_is_through_has_the_whole_time_from_then_on() -> None:
    house = House(opened=False, max_running=1, deadline_s=60)
    visit = house.enter()
    house.pass_s(400)
    (standing,) = house.admission.snapshot().visits
    assert (standing.left_s, standing.waited_s) == (60, 400)
    house.admission.set_gate(Gate(True))
    assert (visit.admitted, visit.deadline) == (True, 1_460)
    house.admission.set_gate(Gate(False, "engine starting", 40, "engine_starting"))
    assert house.enter().deadline == 1_460, "a part that starts again takes its time from everybody's"


async def test_the_deadline_holds_in_the_queue_too() -> None:
    house = House(max_running=1, deadline_s=0.05)
    house.enter()
    waiting = Visitor(house.enter("bob"))
    with pytest.raises(DeadlineExceeded, match="and was stopped"):
        await asyncio.wait_for(waiting.task, 30)
    assert house.waiting == 0


async def test_operators_see_who_waits_who_runs_and_how_much() -> None:
    house = House(max_running=1)
    spend(house.enter("ann"), 120, 30)
    house.enter("bob", lane="compare")
    queue = house.admission.snapshot()
    assert [(s.owner, s.state, s.position, s.tokens) for s in queue.visits] == [
        ("ann", "running", 0, 30),
        ("bob", "waiting", 1, 0),
    ]
    assert queue.waiting == {"chat": 0, "compare": 1, "demo": 0, "experiment": 0}
    assert (queue.admitted, queue.level) == (1, 0)
    assert queue.queued_tokens > 0


async def test_after_everybody_has_gone_nothing_of_them_is_left() -> None:
    house = House(max_running=2)
    for n in range(50):
        visit = house.enter(f"user-{n}")
        spend(visit, 100, 100)
        visit.leave()
    house.pass_s(100)
    assert house.admission.snapshot().service == {"chat": {}, "compare": {}, "demo": {}, "experiment": {}}
    assert house.admission._asked._of_minute == {}
