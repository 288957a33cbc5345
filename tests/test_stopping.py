"""How an answer ends early: stopped, left alone, deleted, or the server shuts down; the engine is free each time."""

import asyncio
import threading
from pathlib import Path

import pytest

from app.backend.engines.scripted import Crash, ScriptedEngine, Silence
from app.backend.errors import Unavailable
from app.backend.events import Done, Failed, Stopped, Token
from app.backend.service import Question
from tests.asking import answer, ask, chat
from tests.doubles import PASSAGES, running

pytestmark = pytest.mark.anyio


async def test_stopping_frees_the_engine_and_keeps_the_partial_answer(tmp_path: Path) -> None:
    engine = ScriptedEngine([["half of it", Silence()]])
    async with running(tmp_path, engine) as backend:
        ticket = await backend.ask("ann", await chat(backend), Question("Tell me"))
        async for recorded in backend.events("ann", ticket.generation_id):
            if isinstance(recorded.event, Token):
                await backend.stop("ann", ticket.generation_id)
        assert isinstance(recorded.event, Stopped)
        assert recorded.event.answer == "half of it"
        assert recorded.event.usage.completion_tokens == 3
        assert recorded.event.usage.engine_calls == 1
        assert engine.open == 0
        await backend.stop("ann", ticket.generation_id)


@pytest.mark.parametrize("ends", [Silence(), Crash("The engine died.")])
async def test_what_was_written_of_an_unfinished_answer_is_cited_live_and_later(
    tmp_path: Path, ends: Silence | Crash
) -> None:
    written = "The Eiffel Tower is 330 metres tall [1]. The Great Wall was built over many centuries."
    engine = ScriptedEngine([[written, ends]])
    async with running(tmp_path, engine) as backend:
        ticket = await backend.ask("ann", await chat(backend), Question("How tall?"))
        async for recorded in backend.events("ann", ticket.generation_id):
            if isinstance(recorded.event, Token) and isinstance(ends, Silence):
                await backend.stop("ann", ticket.generation_id)
        end = recorded.event
        assert isinstance(end, Stopped | Failed)
        model, aligned = end.citations
        assert (model.n, model.by, PASSAGES[0].text[slice(*model.spans[0])]) == (
            1,
            "model",
            "The Eiffel Tower is 330 metres tall.",
        )
        assert (aligned.passage_id, aligned.by) == ("p2", "alignment")
        stored = await backend.generation("ann", ticket.generation_id)
        assert stored.citations == end.citations
        assert (await answer(backend, ticket.generation_id))[-1].event == end


async def test_an_unfinished_answer_cites_no_passage_that_the_model_was_not_given(tmp_path: Path) -> None:
    written = "The Eiffel Tower is 330 metres tall [1]. The Great Wall was built over many centuries [2]."
    engine = ScriptedEngine([[written, Crash("The engine died.")]])
    async with running(tmp_path, engine, retrieval={"context_k": 1}) as backend:
        end = (await ask(backend, "How tall?"))[-1].event
        assert isinstance(end, Failed)
        assert [citation.n for citation in end.citations] == [1]


async def test_nobody_reading_frees_the_engine_after_the_grace_time(tmp_path: Path) -> None:
    engine = ScriptedEngine([["half", Silence()]])
    async with running(tmp_path, engine, generation={"grace_s": 0.1}) as backend:
        ticket = await backend.ask("ann", await chat(backend), Question("Tell me"))
        async for recorded in backend.events("ann", ticket.generation_id):
            if isinstance(recorded.event, Token):
                break
        while (await backend.generation("ann", ticket.generation_id)).status == "running":
            await asyncio.sleep(0.02)
        assert (await backend.generation("ann", ticket.generation_id)).answer == "half"
        assert engine.open == 0


async def test_deleting_a_conversation_stops_what_runs_in_it(tmp_path: Path) -> None:
    engine = ScriptedEngine([["half", Silence()]])
    async with running(tmp_path, engine) as backend:
        conversation = await chat(backend)
        ticket = await backend.ask("ann", conversation, Question("Tell me"))
        events = backend.events("ann", ticket.generation_id)
        async for recorded in events:
            if isinstance(recorded.event, Token):
                await backend.delete_conversation("ann", conversation)
        assert isinstance(recorded.event, Stopped)
        assert engine.open == 0
        await backend.restore_conversation("ann", conversation)
        assert (await backend.conversation("ann", conversation)).path()[0].chosen.answer == "half"


async def test_questions_that_race_a_deletion_do_not_run_on(tmp_path: Path) -> None:
    engine = ScriptedEngine([[Silence()]] * 20)
    async with running(tmp_path, engine) as backend:
        conversation = await chat(backend)
        asks = [backend.ask("ann", conversation, Question("Me!")) for _ in range(5)]
        await asyncio.gather(
            *asks[:3], backend.delete_conversation("ann", conversation), *asks[3:], return_exceptions=True
        )
        await backend.restore_conversation("ann", conversation)
        turns = (await backend.conversation("ann", conversation)).turns
        for turn in turns:
            assert isinstance((await answer(backend, turn.chosen_id))[-1].event, Stopped)
        assert engine.open == 0


async def test_shutting_down_refuses_new_questions_and_ends_the_running_ones(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with running(tmp_path, ScriptedEngine([["almost ", gate, "done"]])) as backend:
        conversation = await chat(backend)
        ticket = await backend.ask("ann", conversation, Question("Tell me"))
        reader = backend.events("ann", ticket.generation_id)
        await anext(reader)
        closing = asyncio.ensure_future(backend.aclose())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await backend.ask("ann", conversation, Question("One more"))
        gate.set()
        await closing
        end = [r async for r in reader][-1].event
        assert isinstance(end, Done)
        assert end.answer == "almost done"


async def test_shutting_down_does_not_wait_for_what_has_not_begun(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(gate=asyncio.Event())) as backend:
        ticket = await backend.ask("ann", await chat(backend), Question("Tell me"))
        reader = backend.events("ann", ticket.generation_id)
        await anext(reader)
        await asyncio.wait_for(backend.aclose(), 5)
        end = [r async for r in reader][-1].event
        assert isinstance(end, Stopped)
        assert end.reason == "shutdown"


async def test_a_question_that_is_being_stored_when_the_server_shuts_down_is_ended_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.backend.service.DRAIN_S", 0.5)
    held = threading.Event()
    async with running(tmp_path, ScriptedEngine([[Silence()]])) as backend:
        conversation = await chat(backend)
        holding = asyncio.ensure_future(backend._database.write(lambda db: held.wait(5)))
        asking = asyncio.ensure_future(backend.ask("ann", conversation, Question("Quickly!")))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(backend.aclose())
        asyncio.get_running_loop().call_later(0.1, held.set)
        ticket = await asking
        await asyncio.gather(holding, closing)
    async with running(tmp_path, ScriptedEngine()) as tomorrow:
        assert (await tomorrow.generation("ann", ticket.generation_id)).status == "stopped"
