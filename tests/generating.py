"""Generations without the rest of the backend: a pipeline under the test's control, and a database of its own."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from app.backend.events import (
    Done,
    Event,
    Recorded,
    Started,
    Step,
    Token,
)
from app.backend.generations import Generations, Live, Produce
from app.backend.records import Generation
from app.backend.storage import conversations
from app.backend.storage import generations as store
from app.backend.storage.database import Database

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

    async def begin(self, script: Produce, owner: str = "ann") -> Live:
        conversation = await self.database.write(lambda db: conversations.create(db, owner))
        begun = await self.database.write(
            lambda db: store.add_turn(db, owner, conversation.id, None, "What is RAG?", PLAN, 8)
        )
        return self.generations.start(owner, begun.generation_id, script)

    async def stored(self, live: Live) -> Generation:
        return await self.database.read(lambda db: store.get(db, live.owner, live.id))

    async def log(self, live: Live) -> list[Recorded]:
        return await self.database.read(lambda db: store.log(db, live.owner, live.id, 0))


async def collect(live: Live, after: int = 0) -> list[Recorded]:
    return [recorded async for recorded in live.read(after)]


def text(recorded: list[Recorded]) -> str:
    return "".join(r.event.text for r in recorded if isinstance(r.event, Token))
