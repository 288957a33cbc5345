"""The admission as people meet it: through the backend, with the scripted engine."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import sqlite_utils

from app.backend.admission import Admission
from app.backend.engines.scripted import ScriptedEngine, Silence
from app.backend.errors import Refused
from app.backend.events import Degraded, Done, Event, Failed, Queued, Retrieved, Step, Stopped, Token
from app.backend.records import Ticket
from app.backend.service import Backend, Question
from app.backend.types import Health, Passage, RetrieverName
from tests.doubles import PASSAGES, Shelf, running

pytestmark = pytest.mark.anyio


async def ask(backend: Backend, owner: str = "ann", **fields: object) -> Ticket:
    fields = {"text": "How tall is it?", "pipeline": "direct"} | fields
    conversation = (await backend.create_conversation(owner)).id
    return await backend.ask(owner, conversation, Question(**fields))  # type: ignore[arg-type]


async def log(backend: Backend, ticket: Ticket, owner: str = "ann", after: int = 0) -> list[Event]:
    return [r.event async for r in backend.events(owner, ticket.generation_id, after)]


class SlowShelf(Shelf):
    """A search that never comes back."""

    waiting = 0

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        self.queries.append(query)
        self.waiting += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting -= 1
        return PASSAGES


class Prefilling(ScriptedEngine):
    """Takes its time over the prompt."""

    async def _cached(self, *args: object) -> int:
        await asyncio.Event().wait()
        return 0


async def reach(backend: Backend, stage: str, ticket: Ticket) -> None:
    """Read until the generation is in the stage."""
    kinds = {"queued": Queued, "retrieving": Step, "prefilling": Step, "decoding": Token}
    async for recorded in backend.events("ann", ticket.generation_id):
        if isinstance(recorded.event, kinds[stage]):
            return


STAGES = ["queued", "retrieving", "prefilling", "decoding"]


def house(stage: str, folder: Path, **groups: dict[str, object]):
    """A backend in which a question gets stuck in the stage."""
    engine = Prefilling() if stage == "prefilling" else ScriptedEngine([["half", Silence()]])
    shelf = SlowShelf() if stage == "retrieving" else Shelf()
    return running(folder, engine, shelf, admission={"max_running": 1}, **groups), engine


@pytest.mark.parametrize("stage", STAGES)
async def test_a_stop_takes_effect_at_once_wherever_the_question_is(tmp_path: Path, stage: str) -> None:
    opening, engine = house(stage, tmp_path)
    async with opening as backend:
        if stage == "queued":
            first = await ask(backend)
            await reach(backend, "decoding", first)
        ticket = await ask(backend, pipeline="naive" if stage == "retrieving" else "direct")
        await reach(backend, stage, ticket)
        before = (engine.open, sum(backend.queue().running.values()))
        began = time.monotonic()
        await backend.stop("ann", ticket.generation_id)
        last = (await log(backend, ticket))[-1]
        assert time.monotonic() - began < 5, "nothing is waited for, though all stands still"
        assert isinstance(last, Stopped)
        queue = backend.queue()
        assert ticket.generation_id not in [s.generation_id for s in queue.visits]
        if stage != "queued":
            assert (engine.open, sum(queue.running.values())) == (0, 0)
        else:
            assert (engine.open, sum(queue.running.values())) == before
            await backend.stop("ann", first.generation_id)


@pytest.mark.parametrize("stage", STAGES)
async def test_what_nobody_reads_gives_its_place_back_after_the_grace_time(tmp_path: Path, stage: str) -> None:
    opening, engine = house(stage, tmp_path, generation={"grace_s": 0.2})
    async with opening as backend:
        reader = None
        if stage == "queued":
            first = await ask(backend)
            reader = asyncio.ensure_future(log(backend, first))
            await reach(backend, "decoding", first)
        began = time.monotonic()
        ticket = await ask(backend, pipeline="naive" if stage == "retrieving" else "direct")
        await reach(backend, stage, ticket)
        while ticket.generation_id in [s.generation_id for s in backend.queue().visits]:
            await asyncio.sleep(0.01)
        assert 0.2 <= time.monotonic() - began < 30
        assert engine.open == (1 if reader else 0)
        if reader:
            await backend.stop("ann", first.generation_id)
            await reader


async def test_a_wait_is_in_the_stored_log_once_however_long_it_was(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with running(tmp_path, ScriptedEngine([["one"]], gate=gate)) as backend:
        ticket = await ask(backend)
        seen: list[Queued] = []
        events = backend.events("ann", ticket.generation_id)
        async for recorded in events:
            if isinstance(recorded.event, Queued):
                seen.append(recorded.event)
            if len(seen) == 3:
                gate.set()
        assert {q.code for q in seen} == {"engine_starting"}
        numbers = [r.seq async for r in backend.events("ann", ticket.generation_id)]
        assert numbers == sorted(set(numbers))
    (place, started, *_), *_ = [list(sqlite_utils.Database(tmp_path / "colloquy.db").table("events").rows)]
    assert (place["kind"], started["kind"]) == ("queued", "started")
    assert place["seq"] > 1
    assert json.loads(place["data"]) == asdict(seen[-1])


async def test_a_reader_who_comes_back_while_waiting_gets_only_what_is_new(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with running(tmp_path, ScriptedEngine([["one"]], gate=gate)) as backend:
        ticket = await ask(backend)
        first = backend.events("ann", ticket.generation_id)
        last = await anext(first)
        last = await anext(first)
        again = backend.events("ann", ticket.generation_id, last.seq)
        newer = await anext(again)
        assert newer.seq > last.seq
        gate.set()
        assert isinstance([r async for r in again][-1].event, Done)
        await first.aclose()


async def test_the_receipt_and_the_events_tell_place_and_time(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine([[Silence()]] * 5), admission={"max_running": 1}) as backend:
        first = await ask(backend)
        tickets = [await ask(backend, f"user-{n}") for n in range(3)]
        assert (first.position, first.eta_s) == (1, 0.0)
        assert [t.position for t in tickets] == [1, 2, 3]
        assert 0 < tickets[0].eta_s < tickets[1].eta_s < tickets[2].eta_s
        events = backend.events("user-2", tickets[2].generation_id)
        place = (await anext(events)).event
        assert isinstance(place, Queued)
        assert (place.position, place.reason, place.code, place.n) == (3, "2 ahead of you", "ahead", 2)
        await events.aclose()
        for owner, ticket in [("ann", first), *((f"user-{n}", t) for n, t in enumerate(tickets))]:
            await backend.stop(owner, ticket.generation_id)


async def test_the_deadline_is_one_for_queue_retrieval_and_engine(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine([["half", Silence()]]), generation={"deadline_s": 1.5}) as backend:
        began = time.monotonic()
        last = (await log(backend, await ask(backend)))[-1]
        assert isinstance(last, Failed)
        assert (last.code, last.answer) == ("deadline_exceeded", "half")
        assert 1.5 <= time.monotonic() - began < 30, "not its own limit of each part"


async def test_a_question_whose_turn_would_come_too_late_fails_in_the_queue(tmp_path: Path) -> None:
    script = [["word "] * 30] * 4 + [["half", Silence()]]
    limits = {"admission": {"max_running": 1}, "generation": {"deadline_s": 2.0}}
    async with running(tmp_path, ScriptedEngine(script, tokens_per_s=200), **limits) as backend:
        for _ in range(4):
            await log(backend, await ask(backend))
        people = {owner: (await backend.create_conversation(owner)).id for owner in ("ann", "bob")}

        async def asked(owner: str) -> Event:
            ticket = await backend.ask(owner, people[owner], Question("How tall is it?", "direct"))
            return (await log(backend, ticket, owner))[-1]

        both = [asyncio.ensure_future(asked(owner)) for owner in people]
        [late], [stuck] = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        last = await late
        assert isinstance(last, Failed)
        assert (last.code, last.answer) == ("deadline_exceeded", "")
        assert "Its turn" in last.message
        assert isinstance(await stuck, Failed)


@pytest.mark.parametrize("pipeline", ["naive", "direct"])
async def test_at_the_deadline_the_call_that_is_under_way_is_cancelled(tmp_path: Path, pipeline: str) -> None:
    shelf, engine = SlowShelf(), ScriptedEngine([[Silence()]])
    async with running(tmp_path, engine, shelf, generation={"deadline_s": 0.5}) as backend:
        last = (await log(backend, await ask(backend, pipeline=pipeline)))[-1]
        assert isinstance(last, Failed)
        assert (last.code, last.message[-16:]) == ("deadline_exceeded", "and was stopped.")
        assert (shelf.queries != [], engine.aborted) == ((True, 0) if pipeline == "naive" else (False, 1))
        assert (shelf.waiting, engine.open) == (0, 0)


async def test_the_days_quota_survives_a_restart(tmp_path: Path) -> None:
    quotas = {"local": {"per_day": 2}}
    async with running(tmp_path, ScriptedEngine([["one"], ["two"]]), quotas=quotas) as backend:
        for _ in range(2):
            await log(backend, await ask(backend))
    async with running(tmp_path, ScriptedEngine(), quotas=quotas) as tomorrow:
        with pytest.raises(Refused, match="today"):
            await ask(tomorrow)
        await log(tomorrow, await ask(tomorrow, "bob"), "bob")


async def test_a_rush_is_answered_with_less_and_says_so(tmp_path: Path) -> None:
    shelf = Shelf()
    engine = ScriptedEngine([["From 1889."]] * 4)
    async with running(tmp_path, engine, shelf) as backend:
        conversation = (await backend.create_conversation("ann")).id
        question = Question("And how old?", params={"retrieval_topk": 3, "max_tokens": 100})
        await log(backend, await backend.ask("ann", conversation, question))
        backend._admission._level = 3
        for chore in backend._chores:
            chore.cancel()
        eased = await log(backend, await backend.ask("ann", conversation, question))
        cuts = [e.code for e in eased if isinstance(e, Degraded) and e.part == "load"]
        assert cuts == ["load_passages", "load_rewrite", "load_answer"]
        assert engine.calls[-1].sampling.max_tokens == 50
        assert len(engine.calls) == 2
        (found,) = [e for e in eased if isinstance(e, Retrieved)]
        assert len(found.passages) == 3
        assert PASSAGES[2].text not in " ".join(m.content for m in engine.calls[-1].messages)
        experiment = await log(backend, await ask(backend, lane="experiment"))
        assert not [e for e in experiment if isinstance(e, Degraded) and e.part == "load"]


async def test_a_crash_while_waiting_leaves_an_end_for_readers_who_had_read_further(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with running(tmp_path, ScriptedEngine(gate=gate)) as backend:
        ticket = await ask(backend)
        await anext(backend.events("ann", ticket.generation_id))
        copy = tmp_path / "crashed"
        copy.mkdir()
        sqlite_utils.Database(tmp_path / "colloquy.db").execute(f"VACUUM INTO '{copy / 'colloquy.db'}'")
        await backend.stop("ann", ticket.generation_id)
    async with running(copy, ScriptedEngine()) as after:
        (end,) = await log(after, ticket, after=36)
        assert isinstance(end, Failed)
        assert end.code == "interrupted"


async def test_one_look_at_the_queue_that_fails_keeps_nobody_waiting_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()

    def fails_once(admission: Admission) -> None:
        monkeypatch.undo()
        failed.set()
        raise ZeroDivisionError

    shelf = Shelf()
    shelf.state = Health("starting")
    async with running(tmp_path, ScriptedEngine([["Tall."]]), shelf) as backend:
        ticket = await ask(backend)
        monkeypatch.setattr(Admission, "tick", fails_once)
        async with asyncio.timeout(10):
            await failed.wait()
            shelf.state = Health("ready", "", time.time())
            assert isinstance((await log(backend, ticket))[-1], Done)
