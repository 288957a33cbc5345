"""An engine that is slow, silent or dead costs one answer at most, which ends once, keeps its text and says why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.backend.engines.scripted import Crash, Death, Item, ScriptedEngine, Silence
from tests.api.house import SentEvent, error_of, events_of, read_stream, text_of, until_part
from tests.fault.house import ended_once, house, kinds, read_until, scripted

pytestmark = pytest.mark.anyio


async def test_an_engine_that_falls_silent_ends_the_answer_once_and_is_aborted(tmp_path: Path) -> None:
    """Case 34: long before the deadline, and with what was there."""
    engine = scripted(["Half an ", "answer", Silence()])
    async with house(tmp_path, engine, generation={"stall_s": 0.3}) as served:
        async with asyncio.timeout(30):  # far below the deadline
            events = await events_of(served.guest, await served.ask())
        end = ended_once(events)
        assert (end.kind, end.data["code"], end.data["answer"]) == ("failed", "unavailable", "Half an answer")
        assert "silent" in end.data["message"]
        assert (engine.open, engine.aborted) == (0, 1)


async def test_a_slow_engine_is_waited_for_as_long_as_something_comes(tmp_path: Path) -> None:
    ticks = [asyncio.Event() for _ in range(4)]
    engine = scripted([item for tick in ticks for item in (tick, "word ")])
    async with house(tmp_path, engine, generation={"stall_s": 1.5}) as served:
        reading = asyncio.ensure_future(events_of(served.guest, await served.ask()))
        for tick in ticks:
            await asyncio.sleep(0.5)  # together longer than the limit, each far below it
            tick.set()
        assert ended_once(await reading).data["answer"] == "word " * 4


async def test_a_first_start_that_takes_longer_than_an_answer_may_costs_no_question(tmp_path: Path) -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([["At last."]], tokens_per_s=0, gate=gate)
    async with house(tmp_path, engine, generation={"deadline_s": 0.5}) as served:
        generation = await served.ask()
        async with served.guest.stream("GET", f"/api/generations/{generation}/events") as response:
            events = (event async for event in read_stream(response.aiter_lines()) if isinstance(event, SentEvent))
            assert [(await anext(events)).kind for _ in range(2)] == ["queued"] * 2, "one comes in 0.7 s"
            gate.set()
            assert [event.kind async for event in events][-1] == "done"


async def test_an_engine_that_is_silent_from_the_beginning_ends_at_the_deadline(tmp_path: Path) -> None:
    engine = scripted([Silence()])
    async with house(tmp_path, engine, generation={"deadline_s": 0.5, "stall_s": 60}) as served:
        loop = asyncio.get_running_loop()
        began = loop.time()
        end = ended_once(await events_of(served.guest, await served.ask()))
        assert (end.kind, end.data["code"]) == ("failed", "deadline_exceeded")
        assert loop.time() - began < 20, "long before it would count as stalled"
        assert engine.open == 0


@pytest.mark.parametrize(
    ("script", "answer"),
    [([Death()], ""), (["Half"], "Half"), ([Crash("It ran out of memory.")], "")],
    ids=["before its first token", "in the middle", "a crash that it survives"],
)
async def test_an_engine_that_dies_is_told_and_is_used_again_when_it_is_back(
    tmp_path: Path, script: list[Item], answer: str
) -> None:
    """Case 37: no restart of ours is needed."""
    gate = asyncio.Event()
    engine = scripted([*script, gate], ["Back again."])
    async with house(tmp_path, engine) as served:
        generation = await served.ask()
        reading = asyncio.ensure_future(events_of(served.guest, generation))
        if script == ["Half"]:
            await read_until(served, generation, "token")
            engine.die()
        end = ended_once(await reading)
        assert (end.kind, end.data["code"], end.data["answer"]) == ("failed", "unavailable", answer)
        if engine.health().state == "down":
            await until_part(served, "engine", "down")
            async with asyncio.timeout(20):
                refused = ended_once(await events_of(served.guest, await served.ask()))
            assert (refused.kind, refused.data["code"]) == ("failed", "unavailable")
            assert (await served.guest.get("/api/conversations")).status_code == 200
            engine.revive()
            await until_part(served, "engine", "ready")
        assert text_of(await events_of(served.guest, await served.ask())) == "Back again."


async def test_an_engine_that_hangs_in_one_answer_leaves_the_others_alone(tmp_path: Path) -> None:
    """Case 39."""
    async with house(tmp_path, scripted(["stuck", Silence()], ["fine"])) as served:
        stuck = await served.ask()
        assert ended_once(await events_of(served.guest, await served.ask())).data["answer"] == "fine"
        assert (await served.guest.post(f"/api/generations/{stuck}/stop")).status_code == 204
        assert kinds(await events_of(served.guest, stuck))[-1] == "stopped"
        assert error_of(await served.guest.get("/api/generations/none"))["code"] == "not_found"
