"""What a generation has said is on the disk, and stays what it was through crashes and full disks."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.backend.errors import StoreError
from app.backend.events import (
    Degraded,
    Done,
    Failed,
    Queued,
    Retrieved,
    Token,
)
from app.backend.generations import SAVE_EVERY_S, Generations
from app.backend.storage import conversations
from app.backend.storage import generations as store
from app.backend.storage.database import Database
from app.backend.types import Passage
from app.backend.unfinished import cited
from tests.generating import PLAN, House, Script, collect, text

pytestmark = pytest.mark.anyio


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    await house.generations.drain(0)
    house.database.close()


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
