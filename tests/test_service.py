"""The backend's promises to every door."""

import asyncio
import json
import sqlite3
import threading
import time
from pathlib import Path

import pytest
import sqlite_utils

from app.backend.engines.scripted import Crash, Death, ScriptedEngine, Silence
from app.backend.errors import BadInput, ColloquyError, NotFound, Refused
from app.backend.events import Done, Failed, Queued, Retrieved, Terminal, Token
from app.backend.records import ConversationSummary, Ticket
from app.backend.service import Question
from app.backend.storage import conversations
from app.backend.types import Health
from tests.asking import answer, ask, chat
from tests.doubles import Shelf, running

pytestmark = pytest.mark.anyio


async def test_an_answer_comes_with_its_passages_and_is_found_again(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine([["330 metres [1]."]])) as backend:
        conversation = await chat(backend)
        log = await ask(backend, "How tall is the Eiffel Tower?", conversation)
        assert isinstance(log[-1].event, Done)
        assert any(isinstance(r.event, Retrieved) for r in log)
    async with running(tmp_path, ScriptedEngine()) as tomorrow:
        (turn,) = (await tomorrow.conversation("ann", conversation)).path()
        assert turn.chosen.answer == "330 metres [1]."
        assert turn.chosen.citations[0].passage_id == "p1"
        assert [r.event for r in await answer(tomorrow, turn.chosen_id)] == [r.event for r in log]


async def test_questions_asked_while_the_engine_starts_are_answered_when_it_is_up(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with running(tmp_path, ScriptedEngine([["yes"]], gate=gate)) as backend:
        ticket = await backend.ask("ann", await chat(backend), Question("Are you there?"))
        events = backend.events("ann", ticket.generation_id)
        first = (await anext(events)).event
        assert isinstance(first, Queued)
        assert "engine" in first.reason
        gate.set()
        assert isinstance([r async for r in events][-1].event, Done)


@pytest.mark.parametrize(
    ("question", "error"),
    [
        (Question(""), BadInput),
        (Question("  \n "), BadInput),
        (Question("x" * 1_000_000), BadInput),
        (Question("q", pipeline="nonsense"), BadInput),
        (Question("q", corpus="nonsense"), NotFound),
        (Question("q", params={"temperature": 9.0}), BadInput),
        (Question("q", params={"nonsense": 1}), BadInput),
        (Question("q", parent_id="0" * 32), NotFound),
    ],
)
async def test_a_wrong_question_gets_one_sentence_and_leaves_nothing(
    tmp_path: Path, question: Question, error: type[ColloquyError]
) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        conversation = await chat(backend)
        with pytest.raises(error) as refused:
            await backend.ask("ann", conversation, question)
        assert refused.value.message.count(". ") == 0
        assert len(refused.value.message) < 300
        assert (await backend.conversation("ann", conversation)).turns == ()


async def test_a_stranger_cannot_read_stop_or_continue(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine([["half", Silence()]])) as backend:
        conversation = await chat(backend)
        ticket = await backend.ask("ann", conversation, Question("secret"))
        doors = [
            lambda: backend.conversation("bob", conversation),
            lambda: backend.ask("bob", conversation, Question("mine?")),
            lambda: backend.regenerate("bob", ticket.generation_id),
            lambda: backend.stop("bob", ticket.generation_id),
            lambda: backend.generation("bob", ticket.generation_id),
            lambda: answer(backend, ticket.generation_id, "bob"),
            lambda: backend.delete_conversation("bob", conversation),
        ]
        for door in doors:
            with pytest.raises(NotFound):
                await door()
        assert (await backend.generation("ann", ticket.generation_id)).status in ("queued", "running")
        await backend.stop("ann", ticket.generation_id)


async def test_a_follow_up_is_asked_with_what_was_said_before(tmp_path: Path) -> None:
    shelf = Shelf()
    engine = ScriptedEngine([["330 metres."], ["How old is the Eiffel Tower?"], ["From 1889."]])
    async with running(tmp_path, engine, shelf) as backend:
        conversation = await chat(backend)
        await ask(backend, "How tall is the Eiffel Tower?", conversation)
        await ask(backend, "And how old?", conversation)
        assert shelf.queries == ["How tall is the Eiffel Tower?", "How old is the Eiffel Tower?"]
        prompt = " ".join(m.content for m in engine.calls[-1].messages)
        assert "How tall is the Eiffel Tower?" in prompt
        assert "330 metres." in prompt


async def test_regenerating_keeps_the_other_answers(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine([["one"], ["two"]])) as backend:
        conversation = await chat(backend)
        first = await backend.ask("ann", conversation, Question("Say a number", pipeline="direct"))
        await answer(backend, first.generation_id)
        second = await backend.regenerate("ann", first.generation_id)
        await answer(backend, second.generation_id)
        (turn,) = (await backend.conversation("ann", conversation)).path()
        assert [g.answer for g in turn.generations] == ["one", "two"]
        assert turn.chosen_id == second.generation_id
        await backend.choose_answer("ann", first.generation_id)
        assert (await backend.conversation("ann", conversation)).path()[0].chosen.answer == "one"


@pytest.mark.parametrize("fault", [Crash("The engine is out of memory."), Death()])
async def test_an_engine_that_fails_gives_one_error_and_keeps_the_partial_answer(tmp_path: Path, fault: Crash) -> None:
    async with running(tmp_path, ScriptedEngine([["so far ", fault]])) as backend:
        end = (await ask(backend, "Tell me"))[-1].event
        assert isinstance(end, Failed)
        assert (end.code, end.answer) == ("unavailable", "so far ")


async def test_an_engine_that_is_down_is_told_at_once(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with running(tmp_path, engine) as backend:
        engine.die("The engine died; it is started again.")
        await asyncio.sleep(0.3)
        log = await ask(backend, "Hello?", pipeline="direct")
        assert not [r.event for r in log if isinstance(r.event, Queued) and r.event.eta_s]
        end = log[-1].event
        assert isinstance(end, Failed)
        assert end.code == "unavailable"


async def test_without_the_retriever_the_answer_says_so(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.broken = True
    async with running(tmp_path, ScriptedEngine([["From memory."]]), shelf) as backend:
        log = await ask(backend, "How tall is it?")
        assert [r.event.part for r in log if r.event.kind == "degraded"] == ["retrieval"]
        end = log[-1].event
        assert isinstance(end, Done)
        assert end.citations == ()


async def test_questions_wait_for_a_retriever_that_is_starting(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.state = Health("starting", "loading", time.time(), 20)
    async with running(tmp_path, ScriptedEngine([["yes"]]), shelf) as backend:
        ticket = await backend.ask("ann", await chat(backend), Question("Hello"))
        events = backend.events("ann", ticket.generation_id)
        first = (await anext(events)).event
        assert isinstance(first, Queued)
        assert first.eta_s > 10
        shelf.state = Health("ready", "", time.time())
        assert isinstance([r async for r in events][-1].event, Done)


async def test_eight_at_once_never_mix_their_answers(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(), generation={"max_tokens": 64}) as backend:
        logs = await asyncio.gather(
            *(ask(backend, f"Number {n}?", pipeline="direct" if n % 2 else "naive") for n in range(8))
        )
        for log in logs:
            assert sum(isinstance(r.event, Terminal) for r in log) == 1
            end = log[-1].event
            assert isinstance(end, Done)
            assert end.answer == "".join(r.event.text for r in log if isinstance(r.event, Token))


async def test_a_burst_of_questions_cannot_pass_the_bounds(tmp_path: Path) -> None:
    quotas = {"local": {"queued": 3}}
    engine = ScriptedEngine([[Silence()]] * 20)
    async with running(tmp_path, engine, admission={"max_running": 2}, quotas=quotas) as backend:
        conversation = await chat(backend)
        asked = await asyncio.gather(
            *(backend.ask("ann", conversation, Question("Me!")) for _ in range(20)), return_exceptions=True
        )
        accepted = [ticket for ticket in asked if isinstance(ticket, Ticket)]
        assert len(accepted) in (3, 5)
        assert all(isinstance(other, Refused) for other in asked if other not in accepted)
        await backend.delete_conversation("ann", conversation)


async def test_no_secret_is_written_into_the_database(tmp_path: Path) -> None:
    secret = "sk-very-secret"
    async with running(tmp_path, ScriptedEngine([["yes"]]), engine={"kind": "openai", "api_key": secret}) as backend:
        await ask(backend, "Hello")
    (row,) = sqlite_utils.Database(tmp_path / "colloquy.db").table("settings").rows
    assert json.loads(row["settings"])["engine"]["kind"] == "openai"
    assert secret not in (tmp_path / "colloquy.db").read_bytes().decode("latin-1")


async def test_what_was_deleted_goes_for_good_while_the_server_runs_also_after_a_try_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    purge = conversations.purge

    def fails_once(db: sqlite_utils.Database, before: str) -> None:
        monkeypatch.setattr(conversations, "purge", purge)
        raise ZeroDivisionError

    monkeypatch.setattr("app.backend.tidying.TIDY_S", 0.01)
    async with running(tmp_path, ScriptedEngine()) as backend:
        monkeypatch.setattr(conversations, "purge", fails_once)
        while conversations.purge is not purge:
            await asyncio.sleep(0.01)
        conversation = await chat(backend)
        await ask(backend, "Forget this?", conversation)
        await backend.delete_conversation("ann", conversation)
        monkeypatch.setattr("app.backend.tidying.UNDO_S", 0.0)  # earlier, an empty one would go too
        async with asyncio.timeout(10):
            with sqlite3.connect(tmp_path / "colloquy.db") as db:
                while db.execute("SELECT count(*) FROM turns").fetchone() != (0,):
                    await asyncio.sleep(0.02)
        with pytest.raises(NotFound):
            await backend.restore_conversation("ann", conversation)


async def test_somebody_who_searches_without_end_keeps_nobody_from_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing, gate = conversations.listing, threading.Event()

    def slow(db: sqlite_utils.Database, owner: str, q: str, limit: int) -> tuple[ConversationSummary, ...]:
        if q:
            gate.wait()
        return listing(db, owner, q, limit)

    monkeypatch.setattr(conversations, "listing", slow)
    async with running(tmp_path, ScriptedEngine([["yes"]])) as backend:
        conversation = await chat(backend, "bob")
        searching = [asyncio.ensure_future(backend.conversations("ann", "word")) for _ in range(20)]
        try:
            async with asyncio.timeout(60):
                ticket = await backend.ask("bob", conversation, Question("Are you there?"))
                await answer(backend, ticket.generation_id, "bob")
                assert [line.id for line in await backend.conversations("bob")] == [conversation]
        finally:
            gate.set()
        assert await asyncio.gather(*searching) == [()] * 20
