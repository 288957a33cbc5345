"""Who goes next: fair among users, urgent before patient, and nobody waits while there is room."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.backend.admission import Visit
from app.backend.admission.door import SPARE_PART
from app.backend.admission.fair import LANES, Claim, Line
from app.backend.errors import ColloquyError
from app.backend.types import Lane, Usage
from app.settings import Quota
from tests.admission.house import House, spend


def finish(visit: Visit, prompt: int = 100, output: int = 100) -> None:
    spend(visit, prompt, output)
    visit.leave()


def test_who_has_had_less_goes_first_however_many_the_other_has_waiting() -> None:
    house = House(max_running=1)
    first = house.enter("greedy")
    tabs = [house.enter("greedy") for _ in range(10)]
    light = house.enter("light")
    assert light.place.position == 1
    finish(first)
    assert light.admitted
    assert not any(tab.admitted for tab in tabs)


def test_by_arrival_the_greedy_one_goes_first() -> None:
    house = House(max_running=1, order="fifo")
    first = house.enter("greedy")
    tabs = [house.enter("greedy") for _ in range(3)]
    light = house.enter("light", lane="chat")
    assert light.place.position == 4
    finish(first)
    assert tabs[0].admitted


def test_a_long_answer_counts_before_it_ends() -> None:
    house = House(max_running=3)
    long, short, last = house.enter("ann"), house.enter("bob"), house.enter("cat")
    ann, bob = house.enter("ann"), house.enter("bob")
    spend(long, 100, 5_000)
    spend(short, 100, 10)
    finish(last)
    assert (ann.admitted, bob.admitted) == (False, True)


def test_what_was_cached_costs_nothing() -> None:
    house = House(max_running=3)
    reused, fresh, last = house.enter("ann"), house.enter("bob"), house.enter("cat")
    fresh.usage = lambda: Usage(9_000, 0, 10, 1)
    reused.usage = lambda: Usage(9_000, 8_990, 10, 1)
    bob, ann = house.enter("bob"), house.enter("ann")
    finish(last)
    assert (ann.admitted, bob.admitted) == (True, False)


def test_whoever_comes_back_has_saved_nothing_up() -> None:
    house = House(max_running=1)
    visits = [house.enter("busy") for _ in range(21)]
    for visit in visits[:20]:
        finish(visit)
    served = Counter[str]()
    for _ in range(10):
        house.enter("back"), house.enter("busy")
    for _ in range(10):
        (running,) = [s for s in house.admission.snapshot().visits if s.state == "running"]
        served[running.owner] += 1
        finish(house.admission._running[int(running.generation_id.split("-")[1])])
    assert abs(served["busy"] - served["back"]) <= 1


def serve(
    house: House, owners: dict[str, int], rounds: int, draw: random.Random, longest: int
) -> tuple[Counter, float]:
    """Keep everybody waiting; end running answers at random, of random lengths. What each had, and the largest gap."""
    open_ = [house.enter(owner) for owner, tabs in owners.items() for _ in range(tabs)]
    had, gap = Counter[str](), 0.0
    for _ in range(rounds):
        visit = draw.choice([v for v in open_ if v.admitted])
        prompt, output = draw.randrange(longest), draw.randrange(1, longest)
        finish(visit, prompt, output)
        open_.remove(visit)
        owner = visit.claim.owner
        had[owner] += prompt + 2 * output
        open_.append(house.enter(owner))
        service = house.admission.snapshot().service["chat"]
        gap = max(gap, *(abs(service[a] - service[b]) for a, b in pairwise(owners)))
    return had, gap


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 6), st.integers(0, 10_000), st.integers(2, 500))
def test_two_who_keep_waiting_never_get_further_apart_than_what_can_run_at_once(
    slots: int, seed: int, longest: int
) -> None:
    house = House(max_running=slots, max_queued=1_000)
    _, gap = serve(house, {"greedy": 30, "ann": slots + 1}, 150, random.Random(seed), longest)
    most = 3 * max(longest, house.admission._estimator.expected("p").output + 300)
    assert gap <= 2 * slots * most


def test_seven_light_users_beside_a_greedy_one_are_served_alike() -> None:
    house = House(max_running=4)
    owners = {"greedy": 20} | {f"light-{n}": 2 for n in range(7)}
    had, _ = serve(house, owners, 800, random.Random(1), 200)
    jain = sum(had.values()) ** 2 / (len(had) * sum(x * x for x in had.values()))
    assert jain >= 0.98


def test_a_user_of_twice_the_weight_gets_twice_as_much() -> None:
    house = House(
        max_running=4, quotas={"heavy": Quota(running=9, queued=99, per_minute=9_999, per_day=9_999, weight=2)}
    )
    had, _ = serve(house, {"heavy": 10, "ann": 10}, 600, random.Random(2), 200)
    assert had["heavy"] / had["ann"] == pytest.approx(2, rel=0.1)


def test_lower_lanes_wait_but_always_get_a_trickle() -> None:
    def claims(lane: Lane, start: int) -> list[Claim]:
        return [Claim(start + n, f"{lane}-{n}", lane, 1.0, 1) for n in range(100)]

    waiting = claims("experiment", 0) + claims("demo", 100) + claims("compare", 200) + claims("chat", 300)
    line = Line(waiting, {}, {}, {})
    given = [claim.lane for _ in range(90) if (claim := line.next())]
    counts = Counter(given)
    assert counts["chat"] > 2 * counts["compare"] >= 2 * counts["demo"] > 2 * counts["experiment"] >= 16
    for lane, most in (("compare", 6), ("demo", 6), ("experiment", 11)):
        at = [n for n, other in enumerate(given) if other == lane]
        assert max(b - a for a, b in pairwise([-1, *at])) <= most


def test_who_holds_no_slot_finds_a_spare_one_beside_a_greedy_user() -> None:
    house = House(max_running=4)
    tabs = [house.enter("greedy") for _ in range(6)]
    assert sum(tab.admitted for tab in tabs) == 4
    light, other = house.enter("light"), house.enter("other")
    assert (light.admitted, other.admitted) == (True, False)
    finish(tabs[0])
    assert (other.admitted, tabs[4].admitted) == (True, False)
    finish(tabs[1])
    finish(tabs[2])
    assert tabs[4].admitted


def test_whoever_is_kept_from_a_spare_slot_gets_a_free_one() -> None:
    claims = [Claim(1, "greedy", "chat", 1.0, 9), Claim(2, "light", "chat", 2.0, 9)]
    line = Line(claims, {"chat": {"light": 50.0}}, {"greedy": 1}, {})
    spare, free = line.next(newcomers_only=True), line.next()
    assert (spare, free) == (claims[1], claims[0])


class AnyOrder(RuleBasedStateMachine):
    """People come, are answered and go in any order."""

    def __init__(self) -> None:
        super().__init__()
        quotas = {"ann": Quota(running=2, queued=3), "bob": Quota(running=1, queued=2, weight=3)}
        self.house = House(max_running=4, max_queued=6, max_queued_tokens=5_000, quotas=quotas, max_wait_s=5)
        self.visits: list[Visit] = []
        self.shown: dict[Visit, int] = {}
        self.refusals: list[ColloquyError] = []

    @rule(owner=st.sampled_from(["ann", "bob", "cat", "dan"]), lane=st.sampled_from(LANES))
    def come(self, owner: str, lane: Lane) -> None:
        try:
            self.visits.append(self.house.enter(owner, lane=lane, prompt=700))
        except ColloquyError as refused:
            self.refusals.append(refused)

    @precondition(lambda self: self.visits)
    @rule(data=st.data(), output=st.integers(1, 900), seconds=st.floats(0.1, 30))
    def go(self, data: st.DataObject, output: int, seconds: float) -> None:
        visit = data.draw(st.sampled_from(self.visits))
        self.visits.remove(visit)
        if visit.admitted:
            self.house.admission.learn(
                "p", Usage(100, 0, output, 1), {"decode": seconds * 1000, "total": seconds * 1000}
            )
        finish(visit, 100, output)

    @precondition(lambda self: self.visits)
    @rule(data=st.data(), output=st.integers(1, 900))
    def write(self, data: st.DataObject, output: int) -> None:
        spend(data.draw(st.sampled_from(self.visits)), 100, output)

    @rule(seconds=st.floats(0.1, 20))
    def wait(self, seconds: float) -> None:
        self.house.pass_s(seconds)
        gone = self.house.admission
        self.visits = [v for v in self.visits if v.claim.number in gone._waiting or v.claim.number in gone._running]

    @invariant()
    def it_is_bounded(self) -> None:
        queue = self.house.admission.snapshot()
        holds = Counter(s.owner for s in queue.visits if s.state == "running")
        waits = Counter(s.owner for s in queue.visits if s.state == "waiting")
        assert sum(holds.values()) <= 4 + 4 // SPARE_PART
        assert sum(waits.values()) <= 6
        assert queue.queued_tokens <= 5_000
        assert (holds["ann"] <= 2, waits["ann"] <= 3) == (True, True)
        assert (holds["bob"] <= 1, waits["bob"] <= 2) == (True, True)
        assert len(queue.visits) == len(self.visits)

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        queue = self.house.admission.snapshot()
        holds = Counter(s.owner for s in queue.visits if s.state == "running")
        taken = sum(holds.values())
        for standing in queue.visits:
            if standing.state == "waiting":
                limit = {"ann": 2, "bob": 1}.get(standing.owner, 1_000)
                limit = max(1, limit // 2) if standing.lane == "experiment" else limit
                at_limit = holds[standing.owner] >= limit
                assert at_limit or taken >= 4 + (0 if holds[standing.owner] else 4 // SPARE_PART)

    @invariant()
    def every_refusal_says_when_to_come_back(self) -> None:
        assert all(refused.retry_after_s and refused.retry_after_s >= 1 for refused in self.refusals)

    @invariant()
    def no_position_rises(self) -> None:
        for visit in self.visits:
            if not visit.admitted:
                assert 1 <= visit.place.position <= self.shown.get(visit, visit.place.position)
                self.shown[visit] = visit.place.position


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    deadline=None, max_examples=60, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)
