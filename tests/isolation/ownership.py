"""Two people's browsers before one server, and what each of them knows of it: what the state machine checks by."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from app.backend.engines.scripted import ScriptedEngine
from app.backend.pipelines.registry import create_registry
from app.backend.service import Backend
from app.backend.storage.database import Database
from app.backend.types import Delta, Message, Sampling
from app.server import create_app
from app.ui.pages import shared
from app.ui.public import PublicRenderer
from tests.api.house import Shelf, a_page
from tests.doubles import settings

HOLD = "hold on"


class HoldingEngine(ScriptedEngine):
    """Repeats the question; where that says so, the answer does not come to its end by itself."""

    def __init__(self) -> None:
        super().__init__(tokens_per_s=0)
        self.let_go = asyncio.Event()

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        answer = super().stream(messages, sampling, request_id=request_id, cache_salt=cache_salt)
        async with aclosing(answer) as deltas:
            async for delta in deltas:
                yield delta
                if HOLD in messages[-1].content:
                    await self.let_go.wait()


@dataclass
class Talk:
    """A conversation as its owner knows it."""

    id: str
    title: str = ""
    pinned: bool = False
    deleted: bool = False
    turns: list[str] = field(default_factory=list)
    generations: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


@dataclass
class Person:
    """A browser with its cookie. All that this person writes has `mark` in it."""

    mark: str
    http: httpx.AsyncClient
    portal: BlockingPortal
    talks: list[Talk] = field(default_factory=list)
    comparisons: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)
    written: int = 0

    def send(self, method: str, path: str, json: object = None, **fields: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            async with asyncio.timeout(60):  # a stream that has no end would be waited for
                return await self.http.request(method, path, json=json, **fields)

        return self.portal.call(send)

    def writes(self, *words: str) -> str:
        self.written += 1
        return " ".join((f"{self.mark}{self.written}", *words))

    def own(self, *, deleted: bool) -> list[Talk]:
        return [talk for talk in self.talks if talk.deleted is deleted]

    def ids(self) -> set[str]:
        talks = {name for talk in self.talks for name in (talk.id, *talk.turns, *talk.generations)}
        return talks | {*self.comparisons, *self.columns, *self.batches}


class TwoPeople:
    """A server for two, in a thread of its own. Nothing is written while no request is under way."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(TemporaryDirectory()))
        chosen = settings(folder, generation={"grace_s": 600}, server={"default_corpus": "demo"})
        self.engine = HoldingEngine()
        database = Database(folder / "colloquy.db")
        backend = Backend(chosen, database, self.engine, Shelf(), create_registry(chosen))

        def mount(app: FastAPI) -> None:
            a_page(app)
            shared.add(app, backend, PublicRenderer(backend.pipelines()), "0", chosen.server)

        self.app = create_app(chosen, backend=backend, mount=mount)
        portal = self._stack.enter_context(start_blocking_portal())
        self._stack.enter_context(portal.wrap_async_context_manager(self.app.router.lifespan_context(self.app)))
        portal.call(self._opened)
        self.ann, self.bob, self.cy = (self._arrive(portal, mark) for mark in ("annswords", "bobswords", "cyswords"))
        self.links: list[Any] = []
        self._db = sqlite3.connect(f"file:{folder / 'colloquy.db'}?mode=ro", uri=True, check_same_thread=False)
        self._stack.callback(self._db.close)
        self._portal = portal

    async def _opened(self) -> None:
        """Until the pages are there: before that, each address shows the start page."""
        transport = httpx.ASGITransport(self.app)
        async with asyncio.timeout(60), httpx.AsyncClient(transport=transport, base_url="http://localhost") as nobody:
            while (await nobody.get("/readyz")).json()["interface"] != "ready":
                await asyncio.sleep(0.005)

    def _arrive(self, portal: BlockingPortal, mark: str) -> Person:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://localhost", timeout=60)
        return Person(mark, self._stack.enter_context(portal.wrap_async_context_manager(client)), portal)

    def settle(self, person: Person, generation_id: str, *, held: bool) -> None:
        """Until an answer is on disk, or as much of it as there will be."""

        async def settled() -> None:
            while not self._rows("SELECT 1 FROM events WHERE generation_id = ? AND kind = 'token'", generation_id):
                await asyncio.sleep(0.002)

        if held:
            self._portal.call(settled)
        else:
            person.send("GET", f"/api/generations/{generation_id}/events").raise_for_status()

    def everything(self) -> list[str]:
        """The whole database."""
        return list(self._db.iterdump())

    def _rows(self, sql: str, *values: str) -> list[Any]:
        return self._db.execute(sql, values).fetchall()

    def close(self) -> None:
        self._portal.call(self.engine.let_go.set)
        self._stack.close()
