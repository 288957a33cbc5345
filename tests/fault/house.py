"""A whole server on a loopback port around parts that fail, and short ways to ask it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.backend.engines.scripted import Item, ScriptedEngine
from app.backend.pipelines.registry import create_registry
from app.backend.protocols import Engine, Retriever
from app.backend.service import Backend
from app.backend.storage.database import Database
from app.backend.types import CorpusInfo, Health, Passage, RetrieverName
from app.server import create_app
from app.settings import Settings
from tests.api.house import SentEvent, Served, a_page, on_loopback, read_stream

PASSAGE = Passage("p1", "Lighthouses", "A lighthouse warns ships at night.", 1.0, "demo")


class Shelf:
    """Fits `protocols.Retriever`. `fault` is what a search does instead of finding its passages."""

    def __init__(self, passages: Sequence[Passage] = (PASSAGE,)) -> None:
        self.passages = tuple(passages)
        self.fault: Exception | asyncio.Event | None = None
        self.waiting = 0
        self.state = Health("ready", "", time.time())

    async def start(self) -> None: ...

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        if isinstance(self.fault, Exception):
            raise self.fault
        if isinstance(self.fault, asyncio.Event):
            self.waiting += 1
            try:
                await self.fault.wait()
            finally:
                self.waiting -= 1
        return self.passages[:top_k]

    def corpora(self) -> tuple[CorpusInfo, ...]:
        return (CorpusInfo("demo", len(self.passages), "1"),)

    def health(self) -> Health:
        return self.state

    async def aclose(self) -> None: ...


def scripted(*script: Sequence[Item]) -> ScriptedEngine:
    return ScriptedEngine(script, tokens_per_s=0)


@dataclass(frozen=True)
class House(Served):
    database: Database


@asynccontextmanager
async def house(
    data: Path, engine: Engine, retriever: Retriever | None = None, /, **groups: dict[str, object]
) -> AsyncIterator[House]:
    """Serve; `groups` are settings, such as `generation={"stall_s": 1}`."""
    settings = Settings.model_validate({"data": data, "engine": {"kind": "scripted"}, **groups})
    shelf = retriever or Shelf()
    database = Database(data / "colloquy.db")
    backend = Backend(settings, database, engine, shelf, create_registry(settings))
    app = create_app(settings, backend=backend, mount=a_page)
    async with (
        on_loopback(app) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as guest,
        httpx.AsyncClient(base_url=url, timeout=30) as other,
    ):
        yield House(
            url=url,
            app=app,
            engine=engine,
            retriever=shelf,
            data=data,
            guest=guest,
            other=other,
            backend=backend,
            database=database,
        )


async def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for what has no event of its own."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


async def read_until(served: Served, generation: str, kind: str) -> list[SentEvent]:
    """The events up to the first of this kind; then the reader leaves."""
    events: list[SentEvent] = []
    async with served.guest.stream("GET", f"/api/generations/{generation}/events") as response:
        async for event in read_stream(response.aiter_lines()):
            if isinstance(event, SentEvent):
                events.append(event)
                if event.kind == kind:
                    return events
    raise AssertionError(f"no {kind} in {[event.kind for event in events]}")


def kinds(events: Sequence[SentEvent]) -> list[str]:
    return [event.kind for event in events]


def ended_once(events: Sequence[SentEvent]) -> SentEvent:
    """The terminal event; fails unless it is the only one, and the last."""
    terminal = [event for event in events if event.kind in ("done", "stopped", "failed")]
    assert terminal == [events[-1]]
    return terminal[0]
