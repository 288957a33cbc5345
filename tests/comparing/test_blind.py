"""What the log of a blind answer tells before the vote: not by its numbers either how the answer was made."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.events import Token
from app.backend.records import Side
from tests.asking import answer
from tests.doubles import running

pytestmark = pytest.mark.anyio

SIDES = [Side("naive"), Side("iterretgen")]


async def test_the_numbers_have_no_gap_and_all_passages_come_at_once_before_the_end(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0)) as backend:
        ticket = await backend.comparisons.begin("ann", "How tall?", SIDES, blind=True)
        live = await asyncio.gather(*(answer(backend, g) for g in ticket.generation_ids))
        for generation, log in zip(ticket.generation_ids, live, strict=True):
            assert await answer(backend, generation) == log
            assert [r.seq - log[0].seq for r in log] == list(range(len(log)))
            kinds = [r.event.kind for r in log if not isinstance(r.event, Token)]
            assert kinds == ["started", "retrieved", "done"]
            assert log[-2].event.kind == "retrieved"
            assert [r async for r in backend.events("ann", generation, log[1].seq)] == log[2:]
