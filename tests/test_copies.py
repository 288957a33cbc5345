"""What a copy of an answer says of how it came about: what the link showed, and nothing that was not so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from app.backend.engines.scripted import Crash, Item, ScriptedEngine
from app.backend.events import Copied, Recorded, Searched
from app.backend.records import Generation
from app.backend.service import Backend, Question
from app.ui.render import Renderer, summary
from app.ui.view import fold_all, of_generation
from tests.doubles import running

pytestmark = pytest.mark.anyio

IRCOT: list[list[Item]] = [["It is in Paris. "], ["Paris is in France. "], [" So the answer is: 330 metres"]]


async def copied(backend: Backend) -> tuple[Generation, Generation, list[Recorded]]:
    """The one answer behind a link to Ann's conversation, Bob's copy of it, and the log of that."""
    (line,) = await backend.conversations("ann")
    token = (await backend.shares.publish("ann", line.id)).token
    (shown,) = (await backend.shares.opened(token)).snapshot.answers()
    path = (await backend.conversation("bob", await backend.shares.fork(token, "bob"))).path()
    log = [r async for r in backend.events("bob", path[0].chosen_id)]
    return shown, path[0].chosen, log


async def answered(backend: Backend, pipeline: str) -> list[Recorded]:
    conversation = (await backend.create_conversation("ann")).id
    ticket = await backend.ask("ann", conversation, Question("How tall?", pipeline=pipeline))
    return [r async for r in backend.events("ann", ticket.generation_id)]


@pytest.mark.parametrize(
    ("pipeline", "script"), [("naive", [["330 metres [1]."]]), ("hyde", [["It is tall."]] * 9), ("ircot", IRCOT)]
)
async def test_a_copy_is_what_the_link_showed_to_the_last_figure(
    tmp_path: Path, pipeline: str, script: list[list[Item]]
) -> None:
    async with running(tmp_path, ScriptedEngine(script)) as backend:
        original = await answered(backend, pipeline)
        shown, copy, log = await copied(backend)
        assert replace(copy, id=shown.id, turn_id="") == shown
        assert copy.searches == sum(isinstance(r.event, Searched) for r in original)
        assert replace(fold_all(log), trace=()) == of_generation(shown), "whoever reads the log sees the same"


async def test_the_steps_of_a_copy_are_said_to_be_missing_and_none_are_made_up(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(IRCOT)) as backend:
        original = await answered(backend, "ircot")
        shown, _, log = await copied(backend)
        (first, *_) = log
        assert isinstance(first.event, Copied)
        assert first.event.searches == sum(isinstance(r.event, Searched) for r in original) > 1
        state, renderer = fold_all(log), Renderer(backend.pipelines())
        assert summary(state, "en") == summary(of_generation(shown), "en")
        steps = renderer.steps(state, "en")
        assert steps.count("<li") == 1
        assert "Copied from a link" in steps
        assert "without the steps of the original" in steps
        for made_up in ("It is in Paris", "How tall?", "found", " ms"):
            assert made_up not in steps


async def test_a_copy_of_a_stopped_answer_tells_no_reason(tmp_path: Path) -> None:
    never = asyncio.Event()
    async with running(tmp_path, ScriptedEngine([["one ", never]])) as backend:
        conversation = (await backend.create_conversation("ann")).id
        ticket = await backend.ask("ann", conversation, Question("Well?", pipeline="direct"))
        async for r in backend.events("ann", ticket.generation_id):
            if r.event.kind == "token":
                await backend.stop("ann", ticket.generation_id)
        shown, copy, log = await copied(backend)
        assert replace(copy, id=shown.id, turn_id="") == shown
        assert (log[-1].event.kind, getattr(log[-1].event, "reason", None)) == ("stopped", "")


async def test_a_copy_of_a_failed_answer_has_its_times(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine([["one ", Crash()]])) as backend:
        await answered(backend, "naive")
        shown, copy, _ = await copied(backend)
        assert shown.status == "failed"
        assert shown.timings_ms["total"] > 0
        assert replace(copy, id=shown.id, turn_id="") == shown


async def test_a_copy_of_a_copy_is_still_the_same(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(IRCOT)) as backend:
        await answered(backend, "ircot")
        shown, copy, _ = await copied(backend)
        (line,) = await backend.conversations("bob")
        token = (await backend.shares.publish("bob", line.id)).token
        (again,) = (await backend.shares.opened(token)).snapshot.answers()
        assert again == shown
        assert again.searches == copy.searches
