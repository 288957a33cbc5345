"""Several engines: a question or a column may name one, and whatever happens to it happens there alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.errors import NotFound
from app.backend.events import Done, Started, Stopped, Token
from app.backend.pipelines.registry import create_registry
from app.backend.records import Side
from app.backend.service import Backend, Question
from app.backend.storage.database import Database
from tests.asking import answer, ask, chat
from tests.doubles import Shelf, settings
from tests.engines.vllm_double import FakeServer, silent_after_one, well
from tests.several_engines import compared, models, otherwise, two

pytestmark = pytest.mark.anyio


async def test_a_question_is_answered_by_the_engine_it_names_which_is_written_down(tmp_path: Path) -> None:
    main, large = FakeServer(well), FakeServer(otherwise, key="k2", model="big")
    async with two(tmp_path, main, large, server={"host": "0.0.0.0", "allow_guests": True}) as backend:
        done = (await ask(backend, "What is it?", pipeline="direct", engine="large"))[-1].event
        assert isinstance(done, Done)
        assert (done.answer, done.usage.engine_calls, done.usage.engine_ms > 0) == ("A lighthouse.", 1, True)
        assert (models(main), models(large)) == ([], ["big"])
        assert large.requests[0]["cache_salt"]
        (line,) = await backend.conversations("ann")
        (turn,) = (await backend.conversation("ann", line.id)).turns
        assert (turn.chosen.engine, turn.chosen.model) == ("large", "big")
        again = await backend.regenerate("ann", turn.chosen.id)
        await answer(backend, again.generation_id)
        assert (await backend.generation("ann", again.generation_id)).engine == "large"
        shared = await backend.shares.publish("ann", line.id)
        (shown,) = (await backend.shares.opened(shared.token)).snapshot.answers()
        assert (shown.engine, shown.model) == ("large", "big")
        copied = await backend.conversation("bob", await backend.shares.fork(shared.token, "bob"))
        assert copied.turns[0].chosen.engine == "large"


async def test_columns_on_two_engines_are_two_contenders_and_one_is_run_again_where_it_was(tmp_path: Path) -> None:
    main, large = FakeServer(well), FakeServer(otherwise, model="big")
    async with two(tmp_path, main, large) as backend:
        made = await compared(backend, Side("naive"), Side("naive", engine="large"))
        assert [column.generation.answer for column in made.columns] == ["A tower.", "A lighthouse."]
        assert (models(main), models(large)) == (["tiny"], ["big"])
        vote = (await backend.comparisons.vote("ann", made.id, "b")).vote
        assert vote is not None
        assert (vote.counted, vote.why_not) == (True, "")
        ticket = await backend.comparisons.again("ann", made.id, "b")
        await answer(backend, ticket.generation_id)
        assert (models(main), models(large)) == (["tiny"], ["big", "big"])


async def test_before_the_vote_a_blind_comparison_does_not_tell_its_engines(tmp_path: Path) -> None:
    async with two(tmp_path, FakeServer(well), FakeServer(otherwise, model="big")) as backend:
        sides = [Side("direct"), Side("direct", engine="large")]
        ticket = await backend.comparisons.begin("ann", "What is it?", sides, blind=True)
        await asyncio.gather(*(answer(backend, generation) for generation in ticket.generation_ids))
        hidden = await backend.comparisons.get("ann", ticket.comparison_id)
        assert {(c.generation.engine, c.generation.model, c.generation.usage.engine_ms) for c in hidden.columns} == {
            ("", "", 0.0)
        }
        shown = await backend.comparisons.vote("ann", ticket.comparison_id, "tie")
        assert {column.generation.engine for column in shown.columns} == {"", "large"}


async def test_an_engine_that_cannot_be_reached_fails_its_own_column_with_a_sentence(tmp_path: Path) -> None:
    async with two(tmp_path, FakeServer(well), FakeServer(otherwise, model="big")) as backend:
        made = await compared(backend, Side("direct"), Side("direct", engine="gone"), Side("direct", engine="large"))
        assert [column.generation.status for column in made.columns] == ["done", "failed", "done"]
        failed = made.columns[1].generation
        assert failed.error_code == "unavailable"
        assert failed.error_message.startswith(
            "The engine gone cannot be used now. The engine's server does not answer"
        )
        assert backend.engine_health().state == "ready"


async def test_a_named_engine_that_dies_in_an_answer_ends_that_answer_alone(tmp_path: Path) -> None:
    large = FakeServer(silent_after_one, model="big")
    async with two(tmp_path, FakeServer(well), large, generation={"stall_s": 0.3}) as backend:
        made = await compared(backend, Side("direct"), Side("direct", engine="large"))
        assert [column.generation.status for column in made.columns] == ["done", "failed"]
        assert made.columns[1].generation.answer == "A "


async def test_a_stop_goes_through_to_the_engine_that_was_named(tmp_path: Path) -> None:
    large = FakeServer(silent_after_one, model="big")
    async with two(tmp_path, FakeServer(well), large) as backend:
        ticket = await backend.ask("ann", await chat(backend), Question("Who?", "direct", engine="large"))
        events = backend.events("ann", ticket.generation_id)
        while not isinstance((await anext(events)).event, Token):
            pass
        await backend.stop("ann", ticket.generation_id)
        assert isinstance([r async for r in events][-1].event, Stopped)
        await asyncio.wait_for(large.hang_up.wait(), 30)


async def test_an_unknown_engine_is_refused_with_those_there_are_and_nothing_is_stored(tmp_path: Path) -> None:
    async with two(tmp_path, FakeServer(well), FakeServer(well)) as backend:
        with pytest.raises(NotFound, match="'huge'; name large or gone, or none for the main one"):
            await compared(backend, Side("direct"), Side("direct", engine="huge"))
        assert await backend.conversations("ann") == ()


async def test_a_question_for_an_engine_that_starts_waits_for_it(tmp_path: Path) -> None:
    gate = asyncio.Event()
    late = ScriptedEngine([["There."]], tokens_per_s=0, gate=gate)
    chosen, registry = settings(tmp_path), create_registry(settings(tmp_path))
    backend = Backend(
        chosen, Database(tmp_path / "colloquy.db"), ScriptedEngine(), Shelf(), registry, named={"late": late}
    )
    await backend.open()
    await backend.start()
    try:
        ticket = await backend.ask("ann", await chat(backend), Question("Who?", "direct", engine="late"))
        events = backend.events("ann", ticket.generation_id)
        while not isinstance((await anext(events)).event, Started):
            pass
        gate.set()
        assert [r.event.answer async for r in events if isinstance(r.event, Done)] == ["There."]
    finally:
        await backend.aclose()
