"""A link is used: looked at live, copied, asked once more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.errors import BadField, NotFound, Refused
from app.backend.events import Done, Stopped, Terminal, Token
from app.backend.service import Question
from app.backend.shares.service import COPIES
from tests.doubles import Shelf, running
from tests.sharing import talk

pytestmark = pytest.mark.anyio


async def test_a_copy_is_the_visitors_own_and_neither_changes_the_other(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine([["330 metres [1]."], ["Later."], ["Mine."]])) as backend:
        conversation = await talk(backend, "How tall?", owner="ann")
        token = (await backend.shares.publish("ann", conversation)).token
        before = await backend.conversation("ann", conversation)
        copy = await backend.shares.fork(token, "bob")
        turn = (await backend.conversation("bob", copy)).path()[0]
        assert (turn.question, turn.chosen.answer, turn.chosen.status) == ("How tall?", "330 metres [1].", "done")
        assert turn.chosen.passages == before.path()[0].chosen.passages
        assert turn.chosen.citations == before.path()[0].chosen.citations
        ends = [r.event for r in [r async for r in backend.events("bob", turn.chosen_id)]]
        assert isinstance(ends[-1], Done)
        assert [isinstance(e, Terminal) for e in ends].count(True) == 1
        ticket = await backend.ask("bob", copy, Question("And now?"))
        [r async for r in backend.events("bob", ticket.generation_id)]
        assert await backend.conversation("ann", conversation) == before
        await backend.delete_conversation("ann", conversation)
        assert len((await backend.conversation("bob", copy)).path()) == 2
        with pytest.raises(NotFound):
            await backend.conversation("ann", copy)


async def test_copies_are_bounded(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        token = (await backend.shares.publish("ann", await talk(backend, "One?"))).token
        for n in range(COPIES):  # as somebody else each time, from one address
            await backend.shares.fork(token, f"guest-{n}", "203.0.113.7")
        with pytest.raises(Refused):
            await backend.shares.fork(token, "guest-new", "203.0.113.7")


async def test_run_again_asks_the_same_in_the_same_way_as_the_visitor(tmp_path: Path) -> None:
    shelf = Shelf()
    async with running(tmp_path, ScriptedEngine(), shelf) as backend:
        conversation = (await backend.create_conversation("ann")).id
        for question in ("First?", "Second?"):
            asked = Question(question, params={"retrieval_topk": 2, "temperature": 0.5})
            ticket = await backend.ask("ann", conversation, asked)
            [r async for r in backend.events("ann", ticket.generation_id)]
        token = (await backend.shares.publish("ann", conversation)).token
        shown = (await backend.shares.opened(token)).snapshot
        rerun = await backend.shares.again(token, "2", "bob")
        [r async for r in backend.events("bob", rerun.generation_id)]
        then, now = shown.find("2")[1], await backend.generation("bob", rerun.generation_id)
        for name in ("pipeline", "params", "corpus", "corpus_version", "seed", "model"):
            assert getattr(then, name) == getattr(now, name)
        path = (await backend.conversation("bob", rerun.conversation_id)).path()
        assert [t.question for t in path] == ["First?", "Second?"]
        change = await backend.shares.change(token, "2", "bob", rerun.generation_id)
        assert change.differs == ()
        with pytest.raises(NotFound):
            await backend.shares.change(token, "2", "eve", rerun.generation_id)


async def test_running_again_says_that_the_corpus_is_gone_not_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf()
    async with running(tmp_path, ScriptedEngine(), shelf) as backend:
        token = (await backend.shares.publish("ann", await talk(backend, "One?"))).token
        monkeypatch.setattr(shelf, "corpora", lambda: ())
        with pytest.raises(BadField, match="no corpus 'shelf'") as refused:
            await backend.shares.again(token, "1", "bob")
        assert refused.value.reason == "share_again"


async def test_a_running_answer_is_watched_as_it_is_written_and_shows_its_end_later(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with running(tmp_path, ScriptedEngine([["one ", gate, "two"]])) as backend:
        conversation = (await backend.create_conversation("ann")).id
        ticket = await backend.ask("ann", conversation, Question("Well?", pipeline="direct"))
        token = (await backend.shares.publish("ann", conversation)).token
        assert set((await backend.shares.opened(token)).live) == {"1"}
        seen = []
        async for recorded in backend.shares.watch(token, "1"):
            seen.append(recorded.event)
            if isinstance(recorded.event, Token):
                gate.set()
        assert "".join(e.text for e in seen if isinstance(e, Token)) == "one two"
        assert isinstance(seen[-1], Done)
        opened = await backend.shares.opened(token)
        assert (opened.live, opened.snapshot.answers()[0].answer) == ({}, "one two")
        assert ticket.generation_id not in repr(seen)


async def test_a_spectator_does_not_keep_an_abandoned_answer_alive(tmp_path: Path) -> None:
    never = asyncio.Event()
    async with running(tmp_path, ScriptedEngine([["one ", never]]), generation={"grace_s": 0.3}) as backend:
        conversation = (await backend.create_conversation("ann")).id
        await backend.ask("ann", conversation, Question("Well?", pipeline="direct"))
        token = (await backend.shares.publish("ann", conversation)).token
        async with asyncio.timeout(5):
            last = [r.event async for r in backend.shares.watch(token, "1")][-1]
        assert isinstance(last, Stopped)
        assert last.reason == "abandoned"


async def test_revoking_ends_the_watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.backend.shares.service.LOOK_AGAIN_S", 0.0)
    gate = asyncio.Event()
    async with running(tmp_path, ScriptedEngine([["one ", gate, "two"]])) as backend:
        conversation = (await backend.create_conversation("ann")).id
        await backend.ask("ann", conversation, Question("Well?", pipeline="direct"))
        published = await backend.shares.publish("ann", conversation)
        watching = backend.shares.watch(published.token, "1")
        while not isinstance((await anext(watching)).event, Token):
            pass
        await backend.shares.revoke("ann", published.share.id)
        gate.set()
        with pytest.raises(NotFound):
            await anext(watching)
