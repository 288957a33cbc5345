"""A generation belongs to the server, is written down as it goes, and ends exactly once."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from app.backend.errors import StoreError, Unavailable
from app.backend.events import (
    Degraded,
    Done,
    Event,
    Failed,
    Queued,
    Recorded,
    Retrieved,
    Started,
    Step,
    Stopped,
    Terminal,
    Token,
)
from app.backend.generations import SAVE_EVERY_S, Generations, Live
from app.backend.records import Generation
from app.backend.storage import conversations
from app.backend.storage import generations as store
from app.backend.storage.database import Database
from app.backend.types import Passage
from app.backend.unfinished import cited

pytestmark = pytest.mark.anyio
PLAN = store.Plan("direct", "", {}, "scripted", "{}")


class Script:
    """A pipeline under the test's control: it says a word for every `say`, and ends at `end`."""

    def __init__(self) -> None:
        self.words: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.closed = 0

    async def __call__(self, live: Live) -> AsyncGenerator[Event, None]:
        said = ""
        try:
            yield Started()
            yield Step("generate")
            while (word := await self.words.get()) is not None:
                if isinstance(word, Exception):
                    raise word
                said += word
                yield Token(word)
            yield Done(said)
        finally:
            self.closed += 1

    def say(self, *words: str | Exception) -> None:
        for word in words:
            self.words.put_nowait(word)

    def end(self) -> None:
        self.words.put_nowait(None)


class House:
    def __init__(self, path: Path, grace_s: float = 60) -> None:
        self.database = Database(path / "colloquy.db")
        self.database.open()
        self.generations = Generations(self.database, grace_s=grace_s)

    async def begin(self, script: Script, owner: str = "ann") -> Live:
        conversation = await self.database.write(lambda db: conversations.create(db, owner))
        begun = await self.database.write(
            lambda db: store.add_turn(db, owner, conversation.id, None, "What is RAG?", PLAN, 8)
        )
        return self.generations.start(owner, begun.generation_id, script)

    async def stored(self, live: Live) -> Generation:
        return await self.database.read(lambda db: store.get(db, live.owner, live.id))

    async def log(self, live: Live) -> list[Recorded]:
        return await self.database.read(lambda db: store.log(db, live.owner, live.id, 0))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    await house.generations.drain(0)
    house.database.close()


async def collect(live: Live, after: int = 0) -> list[Recorded]:
    return [recorded async for recorded in live.read(after)]


def text(recorded: list[Recorded]) -> str:
    return "".join(r.event.text for r in recorded if isinstance(r.event, Token))


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


async def test_after_a_crash_it_is_marked_interrupted_with_its_partial_text(tmp_path: Path) -> None:
    house = House(tmp_path)
    script = Script()
    live = await house.begin(script)
    live.record(Queued(1, 0.0, "your turn"))
    live.record(Retrieved((Passage("p1", "T", "A partial answer is kept.", 1.0, "demo"),), 1.0))
    script.say("partial ", "answer")
    async for recorded in live.read():
        if isinstance(recorded.event, Token) and recorded.event.text == "answer":
            break
    while text(await house.log(live)) != "partial answer":
        await asyncio.sleep(0.01)
    copy = tmp_path / "after-crash"
    copy.mkdir()
    with sqlite3.connect(tmp_path / "colloquy.db") as old, sqlite3.connect(copy / "colloquy.db") as new:
        old.backup(new)
    after = House(copy)
    assert await after.database.write(lambda db: store.recover(db, cited)) == 1
    stored = await after.stored(live)
    assert (stored.status, stored.answer, stored.error_code) == ("interrupted", "partial answer", "interrupted")
    end = (await after.log(live))[-1].event
    assert isinstance(end, Failed)
    assert [c.passage_id for c in end.citations] == ["p1"]
    assert stored.citations == end.citations
    assert await after.database.write(lambda db: store.recover(db, cited)) == 0
    for h in (house, after):
        await h.generations.drain(0)
        h.database.close()


@pytest.mark.parametrize("waiting", [True, False])
async def test_after_a_crash_whoever_read_on_gets_the_end_once_from_every_number(tmp_path: Path, waiting: bool) -> None:
    house = House(tmp_path)
    script = Script()
    live = await house.begin(script)
    if waiting:
        live.record(Queued(1, 0.0, "your turn"))
    else:
        script.say("a", "b", "c")
    heard = []
    async for recorded in live.read():
        heard.append(recorded.seq)
        if isinstance(recorded.event, Queued) or recorded.event == Token("c"):
            break
    copy = tmp_path / "after-crash"
    copy.mkdir()
    with sqlite3.connect(tmp_path / "colloquy.db") as old, sqlite3.connect(copy / "colloquy.db") as new:
        old.backup(new)
    after = House(copy)
    await after.database.write(lambda db: store.recover(db, cited))
    (*_, end) = await after.log(live)
    for number in heard:
        rest = await after.database.read(lambda db, n=number: store.log(db, "ann", live.id, n))
        assert rest[-1] == end, number
        assert rest.count(end) == 1
    assert not await after.database.read(lambda db: store.log(db, "ann", live.id, end.seq))
    for h in (house, after):
        await h.generations.drain(0)
        h.database.close()


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


class Full(Database):
    """A disk that is full until `room` is made."""

    room = False

    async def write(self, change, *, patient=False):
        if not self.room:
            raise StoreError("The disk is full.")
        return await super().write(change, patient=patient)


async def test_an_answer_that_could_not_be_saved_is_saved_when_there_is_room_again(tmp_path: Path) -> None:
    house = House(tmp_path)
    script = Script()
    full = Full(tmp_path / "colloquy.db")
    full.open()
    conversation = await house.database.write(lambda db: conversations.create(db, "ann"))
    begun = await house.database.write(lambda db: store.add_turn(db, "ann", conversation.id, None, "?", PLAN, 8))
    generations = Generations(full, grace_s=60)
    live = generations.start("ann", begun.generation_id, script)
    script.say("precious")
    script.end()
    seen = await collect(live)
    assert isinstance(seen[-1].event, Done)
    assert [r.event.part for r in seen if isinstance(r.event, Degraded)] == ["log"]
    assert generations.find("ann", live.id) is live
    full.room = True
    while generations.find("ann", live.id):
        await asyncio.sleep(0.05)
    assert (await house.stored(live)).answer == "precious"
    assert [r.event for r in await house.log(live)] == [r.event for r in seen]
    full.close()
    house.database.close()


async def test_a_running_answer_is_written_down_as_it_goes_but_not_with_a_commit_for_every_token(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    clock = asyncio.get_running_loop().time
    append = store.append
    monkeypatch.setattr(store, "append", lambda db, gid, events: (commits.append(len(events)), append(db, gid, events)))
    script = Script()
    live = await house.begin(script)
    began = clock()
    reading = aiter(live.read())
    for n in range(100):
        script.say(f"word{n} ")
        while not isinstance((await anext(reading)).event, Token):
            pass
        await house.database.write(lambda db: None)  # the writer has time for one commit a token
    async with asyncio.timeout(30):
        while not text(await house.log(live)).endswith("word99 "):
            await asyncio.sleep(0.01)
    assert len(commits) <= 2 + (clock() - began) / SAVE_EVERY_S
    script.end()
    assert isinstance((await anext(reading)).event, Done)
