"""A generation belongs to the server, is written down as it goes, and ends exactly once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from app.backend.errors import Unavailable
from app.backend.events import (
    Degraded,
    Done,
    Event,
    Failed,
    Retrieved,
    Stopped,
    Terminal,
    Token,
)
from app.backend.generations import Live
from app.backend.types import Citation, Passage
from tests.generating import House, Script, collect, text

pytestmark = pytest.mark.anyio


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    await house.generations.drain(0)
    house.database.close()


async def test_every_reader_gets_the_same_log_from_wherever_it_begins(house: House) -> None:
    script = Script()
    live = await house.begin(script)
    early = asyncio.ensure_future(collect(live))
    script.say("Retrieval", " augmented", " generation")
    script.end()
    whole = await early
    assert text(whole) == "Retrieval augmented generation"
    for cut in range(len(whole) + 1):
        assert await collect(live, cut) == whole[cut:]
    assert [r.seq for r in whole] == list(range(1, len(whole) + 1))


async def test_a_reader_ahead_of_the_log_still_gets_the_terminal_event(house: House) -> None:
    script = Script()
    live = await house.begin(script)
    ahead = asyncio.ensure_future(collect(live, 1000))
    script.say("word")
    script.end()
    assert isinstance((await ahead)[-1].event, Done)


async def test_the_terminal_event_is_on_disk_before_anybody_reads_it(house: House) -> None:
    script = Script()
    live = await house.begin(script)
    script.say("word")
    script.end()
    async for recorded in live.read():
        if isinstance(recorded.event, Terminal):
            stored = await house.stored(live)
            assert (stored.status, stored.answer) == ("done", "word")
    assert [r.event for r in await house.log(live)] == [r.event for r in await collect(live)]


async def test_stop_keeps_the_partial_text_and_closes_the_pipeline_once(house: House) -> None:
    script = Script()
    live = await house.begin(script)
    script.say("half")
    async for recorded in live.read():
        if isinstance(recorded.event, Token):
            live.stop("user")
            live.stop("user")
    assert isinstance(recorded.event, Stopped)
    assert (recorded.event.answer, recorded.event.reason) == ("half", "user")
    assert script.closed == 1
    assert (await house.stored(live)).status == "stopped"


async def test_a_stop_before_the_first_step_still_ends_in_one_terminal_event(house: House) -> None:
    live = await house.begin(Script())
    live.stop("user")
    assert [type(r.event) for r in await collect(live)] == [Stopped]


async def test_without_readers_it_is_stopped_after_the_grace_time(tmp_path: Path) -> None:
    house = House(tmp_path, grace_s=0.05)
    script = Script()
    live = await house.begin(script)
    await live.finished.wait()
    stored = await house.stored(live)
    assert stored.status == "stopped"
    assert script.closed == 1
    house.database.close()


async def test_a_reader_that_comes_back_within_the_grace_time_keeps_it_alive(tmp_path: Path) -> None:
    house = House(tmp_path, grace_s=0.2)
    script = Script()
    live = await house.begin(script)
    reader = live.read()
    await anext(reader)
    await reader.aclose()
    again = asyncio.ensure_future(collect(live))
    await asyncio.sleep(0.4)
    script.say("still here")
    script.end()
    assert text(await again) == "still here"
    house.database.close()


@pytest.mark.parametrize(
    ("error", "code"), [(Unavailable("The engine is down."), "unavailable"), (ValueError("/secret/path"), "error")]
)
async def test_an_error_becomes_one_event_without_a_traceback(house: House, error: Exception, code: str) -> None:
    script = Script()
    live = await house.begin(script)
    script.say("so far", error)
    end = (await collect(live))[-1].event
    assert isinstance(end, Failed)
    assert (end.code, end.answer) == (code, "so far")
    assert "secret" not in end.message


async def test_timings_say_how_long_each_stage_took(house: House) -> None:
    script = Script()
    live = await house.begin(script)
    script.say("a")
    script.end()
    end = (await collect(live))[-1].event
    assert isinstance(end, Done)
    assert set(end.timings_ms) == {"queue", "first_token", "decode", "ttft", "total"}
    parts = sum(ms for stage, ms in end.timings_ms.items() if stage not in ("ttft", "total"))
    assert parts == pytest.approx(end.timings_ms["total"], abs=2)
    assert (await house.stored(live)).timings_ms == end.timings_ms


async def test_half_a_character_ends_no_answer_badly(house: House) -> None:
    script = Script()
    live = await house.begin(script)
    live.record(Retrieved((Passage("1", "T", "half \udc00", 1.0, "demo"),), 1.0))
    script.say("so ", "half \ud83d")
    script.end()
    async with asyncio.timeout(5):
        log = await collect(live)
    assert isinstance(log[-1].event, Done) and log[-1].event.answer == text(log) == "so half ?"
    stored = await house.stored(live)
    assert (stored.status, stored.answer, stored.passages[0].text) == ("done", "so half ?", "half ?")
    assert await house.log(live) == log


async def test_an_end_that_cannot_be_written_down_is_a_failure_and_not_a_wait_for_ever(house: House) -> None:
    async def produce(live: Live) -> AsyncGenerator[Event, None]:
        yield Token("Tall [1].")
        yield Done("Tall [1].", (Citation(1, b"no text", ((0, 4),), (0, 9), "model"),))

    live = await house.begin(produce)
    async with asyncio.timeout(5):
        end = (await collect(live))[-1].event
    assert isinstance(end, Failed)
    assert (end.code, end.answer) == ("error", "Tall [1].")


async def test_an_answer_that_is_deleted_while_it_is_written_ends_and_is_forgotten(house: House) -> None:
    script = Script()
    live = await house.begin(script)
    reading = asyncio.ensure_future(collect(live))
    script.say("word")
    while not text(await house.log(live)):
        await asyncio.sleep(0.01)
    live.stop("user")
    await house.database.write(lambda db: db.execute("DELETE FROM conversations"))
    async with asyncio.timeout(30):
        assert [r.event.kind for r in await reading][-2:] == ["token", "stopped"], "and nothing about saving"
        while house.generations.find("ann", live.id):
            await asyncio.sleep(0.01)


async def test_a_finished_generation_is_forgotten_by_the_process(house: House) -> None:
    script = Script()
    live = await house.begin(script)
    assert house.generations.find("ann", live.id) is live
    assert house.generations.find("bob", live.id) is None
    script.end()
    await collect(live)
    await asyncio.sleep(0)
    assert house.generations.find("ann", live.id) is None


async def test_what_was_done_without_is_still_known_after_a_reload(house: House) -> None:
    script = Script()
    live = await house.begin(script)
    live.record(Degraded("retrieval", "The retriever is down."))
    script.end()
    await collect(live)
    assert (await house.stored(live)).degraded == (Degraded("retrieval", "The retriever is down."),)
