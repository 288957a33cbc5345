"""A whole server on a loopback port in the test's own event loop, with the scripted engine and a small retriever."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.responses import HTMLResponse

from app.backend.engines.scripted import Item, ScriptedEngine
from app.backend.errors import NotFound
from app.backend.pipelines.registry import create_registry
from app.backend.service import Backend
from app.backend.storage.database import Database
from app.backend.types import CorpusInfo, Health, Passage, RetrieverName
from app.hosting import server
from app.server import create_app
from app.settings import EngineSettings, GenerationSettings, ServerSettings, Settings
from app.startup import address, listen


class Shelf:
    """A retriever over four passages; the n-th best has the score 1/n."""

    def __init__(self) -> None:
        self.health_now = Health("stopped")

    async def start(self) -> None:
        self.health_now = Health("ready", "", time.time())

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        if corpus != "demo":
            raise NotFound(f"There is no corpus {corpus!r}; there is demo.")
        found = [
            Passage(f"p{n}", f"Title {n}", f"{query} is told\nin passage {n}.", 1 / n, corpus) for n in range(1, 5)
        ]
        return tuple(found[:top_k])

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        return tuple((1.0, 0.0) for _ in texts)

    async def rerank(self, query: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
        """The other way round, scored by place."""
        return tuple(replace(passage, score=float(-n)) for n, passage in enumerate(reversed(passages)))

    def corpora(self) -> tuple[CorpusInfo, ...]:
        return (CorpusInfo("demo", 4, "v1", ("en",), "Four passages"),)

    def health(self) -> Health:
        return self.health_now

    async def aclose(self) -> None:
        self.health_now = Health("stopped")


@dataclass(frozen=True)
class Served:
    """A running server, its parts, and clients that keep their cookies like a browser."""

    url: str
    app: FastAPI
    engine: ScriptedEngine
    retriever: Shelf
    data: Path
    guest: httpx.AsyncClient
    other: httpx.AsyncClient
    backend: Backend

    async def ask(self, question: str = "What is RAG?", **fields: object) -> str:
        """A new conversation with one question to the `direct` pipeline; the generation's id."""
        conversation = (await self.guest.post("/api/conversations")).json()["id"]
        asked = {"question": question, "pipeline": "direct", **fields}
        answer = await self.guest.post(f"/api/conversations/{conversation}/ask", json=asked)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["generation_id"])


@dataclass(frozen=True)
class SentEvent:
    id: int
    kind: str
    data: Mapping[str, Any]


async def read_stream(lines: AsyncIterator[str]) -> AsyncGenerator[SentEvent | str, None]:
    """What comes over an event stream: events, and comments as they are."""
    fields: dict[str, str] = {}
    async for line in lines:
        if line.startswith(":"):
            yield line
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields:
            yield SentEvent(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}
        else:
            fields = {}


async def events_of(
    client: httpx.AsyncClient, generation_id: str, after: int = 0, headers: Mapping[str, str] | None = None
) -> list[SentEvent]:
    """The stream to its end, without comments."""
    url = f"/api/generations/{generation_id}/events?after={after}"
    async with client.stream("GET", url, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [event async for event in read_stream(response.aiter_lines()) if isinstance(event, SentEvent)]


def text_of(events: Sequence[SentEvent]) -> str:
    return "".join(event.data["text"] for event in events if event.kind == "token")


def a_page(app: FastAPI) -> None:
    """Stands for the interface."""

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse("<p>The interface.</p>")


@asynccontextmanager
async def serving(
    data: Path,
    script: Sequence[Sequence[Item]] = (),
    *,
    grace_s: float = 60,
    mount: Callable[[FastAPI], None] = a_page,
    gate: asyncio.Event | None = None,
    doors: ServerSettings | None = None,
    **groups: object,
) -> AsyncIterator[Served]:
    """Serve a fresh backend; it is ready for questions when this gives it. `groups` are more settings, as in YAML."""
    settings = Settings.model_validate(
        {
            "data": data,
            "engine": EngineSettings(kind="scripted"),
            "generation": GenerationSettings(grace_s=grace_s),
            "server": doors or ServerSettings(),
            **groups,
        }
    )
    engine, retriever = ScriptedEngine(script, tokens_per_s=0, gate=gate), Shelf()
    backend = Backend(settings, Database(data / "colloquy.db"), engine, retriever, create_registry(settings))
    app = create_app(settings, backend=backend, mount=mount)
    async with (
        on_loopback(app) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as guest,
        httpx.AsyncClient(base_url=url, timeout=30) as other,
    ):
        yield Served(url, app, engine, retriever, data, guest, other, backend)


@asynccontextmanager
async def on_loopback(app: FastAPI) -> AsyncIterator[str]:
    """Run an application as the program does, on any free port."""
    listener, opened = listen("127.0.0.1", 0), asyncio.Event()
    running = server(app, opened=opened.set)
    async with app.router.lifespan_context(app):
        task = asyncio.create_task(running.serve(sockets=[listener]))
        await opened.wait()
        try:
            yield address(listener)
        finally:
            running.should_exit = True
            await task


async def until_part(served: Served, part: str, state: str) -> None:
    async with asyncio.timeout(30):
        while (await served.guest.get("/readyz")).json()[part] != state:
            await asyncio.sleep(0.02)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error in the one shape; fails when it is any other."""
    body = response.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"code", "message", "retry_after_s", "id"}
    assert error["message"].endswith(".")
    assert error["id"]
    return error
