"""What the log of a blind answer tells before the vote: not by its numbers either how the answer was made."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.backend.comparing import blind
from app.backend.engines.scripted import ScriptedEngine
from app.backend.events import Done, Queued, Recorded, Started, Step
from app.backend.records import Side
from app.backend.storage import generations as store
from tests.asking import answer
from tests.doubles import running

pytestmark = pytest.mark.anyio

SIDES = [Side("naive"), Side("iterretgen")]


async def test_the_numbers_have_no_gap_and_after_the_start_all_comes_at_once_without_times(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0)) as backend:
        ticket = await backend.comparisons.begin("ann", "How tall?", SIDES, blind=True)
        live = await asyncio.gather(*(answer(backend, g) for g in ticket.generation_ids))
        for generation, log in zip(ticket.generation_ids, live, strict=True):
            assert await answer(backend, generation) == log
            assert [r.seq - log[0].seq for r in log] == list(range(len(log)))
            assert [r.event.kind for r in log] == ["started", "retrieved", "token", "done"]
            assert {r.at_ms for r in log} == {0.0}
            assert isinstance(log[-1].event, Done) and not log[-1].event.timings_ms
            assert [r async for r in backend.events("ann", generation, log[1].seq)] == log[2:]


def test_after_a_crash_the_end_is_above_every_number_that_was_read() -> None:
    crashed = Recorded(store.BROKEN_OFF, 0.0, store.INTERRUPTED)
    place, start = Recorded(7, 1.0, Queued(1, 0.0, "your turn")), Recorded(8, 1.0, Started())
    numbers = {
        tuple(seen.seq for r in on_disk for seen in blind.Log(8).seen(r))
        for on_disk in ([crashed], [place, start, crashed], [place, start, Recorded(9, 2.0, Step("x")), crashed])
    }
    assert numbers == {(store.BROKEN_OFF,)}
