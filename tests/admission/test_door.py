"""The door before the engine: bounded, in order, and honest about the wait."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from app.backend.admission import Admission, Gate
from app.backend.errors import Busy, Refused
from app.backend.events import Queued
from app.settings import AdmissionSettings, Quota

pytestmark = pytest.mark.anyio


class Visitor:
    """Somebody who waits for a slot and holds it until told to leave."""

    def __init__(self, admission: Admission, owner: str = "ann") -> None:
        self.told: list[Queued] = []
        self.inside = asyncio.Event()
        self.leave = asyncio.Event()
        self.visit = admission.enter(owner)
        self.task = asyncio.create_task(self._visit())

    async def _visit(self) -> None:
        async with self.visit.slot(self.told.append):
            self.inside.set()
            await self.leave.wait()


def opened(queued: int = 8, **limits: int) -> Admission:
    admission = Admission(AdmissionSettings(**limits), lambda owner: Quota(queued=queued))
    admission.set_gate(Gate(True))
    return admission


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_questions_asked_while_the_engine_starts_wait_and_are_told_why() -> None:
    admission = Admission(AdmissionSettings(max_running=2), lambda owner: Quota())
    admission.set_gate(Gate(False, "engine starting", 40))
    visitors = [Visitor(admission) for _ in range(3)]
    await settle()
    assert [v.told[-1].position for v in visitors] == [1, 2, 3]
    assert visitors[0].told[-1].reason == "engine starting"
    assert visitors[0].told[-1].eta_s >= 40
    admission.set_gate(Gate(True))
    await settle()
    assert [v.inside.is_set() for v in visitors] == [True, True, False]
    visitors[0].leave.set()
    await settle()
    assert visitors[2].inside.is_set()
    for v in visitors:
        v.leave.set()
    await asyncio.gather(*(v.task for v in visitors))
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_place_only_ever_moves_forward() -> None:
    admission = opened(max_running=1)
    visitors = [Visitor(admission) for _ in range(5)]
    await settle()
    visitors[2].task.cancel()
    for v in visitors:
        v.leave.set()
    await asyncio.gather(*(v.task for v in visitors), return_exceptions=True)
    for v in visitors:
        positions = [q.position for q in v.told]
        assert positions == sorted(positions, reverse=True)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_leaving_the_queue_frees_the_place() -> None:
    admission = opened(max_running=1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(admission.enter("ann").slot(lambda q: None))
        waiting = Visitor(admission)
        await settle()
        waiting.task.cancel()
        await asyncio.gather(waiting.task, return_exceptions=True)
        assert admission.waiting == 0


async def test_cancelled_in_the_moment_of_admission_the_slot_is_given_back() -> None:
    admission = Admission(AdmissionSettings(max_running=1), lambda owner: Quota())
    visitor = Visitor(admission)
    await settle()
    admission.set_gate(Gate(True))
    visitor.task.cancel()
    await asyncio.gather(visitor.task, return_exceptions=True)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_full_queue_refuses_at_once_and_says_when_to_retry() -> None:
    admission = opened(max_running=1, max_queued=1)
    visitors = [Visitor(admission), Visitor(admission)]
    await settle()
    with pytest.raises(Busy) as refused:
        admission.enter("bob")
    assert refused.value.retry_after_s
    for v in visitors:
        v.task.cancel()
    await asyncio.gather(*(v.task for v in visitors), return_exceptions=True)


async def test_one_user_cannot_fill_the_queue() -> None:
    admission = opened(max_running=1, queued=2)
    visitors = [Visitor(admission) for _ in range(3)]
    await settle()
    with pytest.raises(Refused):
        admission.enter("ann")
    assert admission.enter("bob").place.position == 3
    for v in visitors:
        v.task.cancel()
    await asyncio.gather(*(v.task for v in visitors), return_exceptions=True)


async def test_a_burst_cannot_slip_past_the_bounds_before_anybody_waits() -> None:
    admission = opened(max_running=1, queued=3)
    visits = [admission.enter("ann") for _ in range(4)]
    with pytest.raises(Refused) as refused:
        admission.enter("ann")
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s >= 1
    for visit in visits:
        visit.leave()
        visit.leave()
    assert (admission.running, admission.waiting) == (0, 0)


async def test_whoever_waits_hears_how_the_time_goes_by() -> None:
    admission = Admission(AdmissionSettings(), lambda owner: Quota())
    admission.set_gate(Gate(False, "engine starting", 40))
    visitor = Visitor(admission)
    await settle()
    admission.set_gate(Gate(False, "engine starting", 39))
    await settle()
    assert [q.eta_s for q in visitor.told] == [40, 39]
    visitor.task.cancel()
    await asyncio.gather(visitor.task, return_exceptions=True)
