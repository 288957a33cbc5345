"""A small server that behaves to the adapter like vLLM's, or misbehaves on request, and an adapter that talks to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from app.backend.engines.openai import OpenAIEngine
from app.backend.types import Delta, Message, Sampling
from app.settings import EngineSettings

ASK = (Message("user", "What is a lighthouse?"),)
Behaviour = Callable[["FakeServer"], AsyncIterator[str]]


class FakeServer:
    """A vLLM server as the adapter sees it; `behaviours` are used up one per request, the last one stays."""

    def __init__(
        self, *behaviours: Behaviour | Response, counts_tokens: bool = True, key: str = "", model: str = "tiny"
    ) -> None:
        self.behaviours = list(behaviours)
        self.counts_tokens = counts_tokens
        self.key = key
        self.model = model
        self.well = True
        self.requests: list[dict[str, object]] = []
        self.begun = asyncio.Event()
        self.hang_up = asyncio.Event()
        self.url = ""
        self.metrics = ""

    async def health(self, request: Request) -> Response:
        return PlainTextResponse("", 200 if self.well else 503)

    async def models(self, request: Request) -> Response:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return PlainTextResponse("", 401)
        return JSONResponse({"data": [{"id": self.model, "max_model_len": 2048}]})

    async def counted(self, request: Request) -> Response:
        return PlainTextResponse(self.metrics)

    async def tokenize(self, request: Request) -> Response:
        return JSONResponse({"count": 42}) if self.counts_tokens else PlainTextResponse("", 404)

    async def chat(self, request: Request) -> Response:
        self.requests.append(await request.json())
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        if isinstance(behaviour, Response):
            return behaviour
        return StreamingResponse(self._guarded(behaviour), media_type="text/event-stream")

    async def _guarded(self, behaviour: Behaviour) -> AsyncIterator[str]:
        self.begun.set()
        try:
            async for event in behaviour(self):
                yield f"data: {event}\n\n"
        finally:
            self.hang_up.set()


def chunk(text: str | None = None, finish: str | None = None, usage: object = None) -> str:
    choices = (
        [] if text is None and finish is None else [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]
    )
    return json.dumps(
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "tiny",
            "choices": choices,
            "usage": usage,
        }
    )


async def well(server: FakeServer) -> AsyncIterator[str]:
    yield chunk("")
    yield chunk("A ")
    yield chunk("tower.")
    yield chunk("", "stop")
    yield chunk(
        usage={
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 8},
        }
    )
    yield "[DONE]"


async def silent(server: FakeServer) -> AsyncIterator[str]:
    await asyncio.Event().wait()
    yield ""


async def silent_after_one(server: FakeServer) -> AsyncIterator[str]:
    yield chunk("A ")
    await asyncio.Event().wait()


async def dies(server: FakeServer) -> AsyncIterator[str]:
    yield chunk("A ")
    raise ConnectionAbortedError


async def reports_an_error(server: FakeServer) -> AsyncIterator[str]:
    yield chunk("A ")
    yield json.dumps({"error": {"message": "EngineCore encountered an issue", "code": 500}})


async def ends_too_early(server: FakeServer) -> AsyncIterator[str]:
    yield chunk("A ")
    yield "[DONE]"


def full() -> Response:
    return JSONResponse({"error": {"message": "queue full"}}, 503, headers={"Retry-After": "7"})


@asynccontextmanager
async def serving(*servers: FakeServer) -> AsyncIterator[None]:
    """The servers on loopback ports of their own."""
    running = []
    for server in servers:
        routes = [
            Route("/health", server.health),
            Route("/v1/models", server.models),
            Route("/metrics", server.counted),
            Route("/tokenize", server.tokenize, methods=["POST"]),
            Route("/v1/chat/completions", server.chat, methods=["POST"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), host="127.0.0.1", port=0, log_level="critical", lifespan="off"
        )
        http = Announcing(config)
        running.append((http, asyncio.create_task(http.serve(sockets=None))))
        await http.up.wait()
        server.url = f"http://127.0.0.1:{http.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield
    finally:
        for http, task in running:
            http.should_exit = http.force_exit = True
            await task


class Announcing(uvicorn.Server):
    """Says when it is up, and leaves the signals of the test run alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    def install_signal_handlers(self) -> None:
        pass


@asynccontextmanager
async def engine_for(*servers: FakeServer, key: str | None = None, poll_s: float = 60) -> AsyncIterator[OpenAIEngine]:
    async with serving(*servers):
        urls = tuple(server.url for server in servers)
        engine = OpenAIEngine(EngineSettings(kind="openai", urls=urls, api_key=key), poll_s=poll_s)
        await engine.start()
        await engine.until(lambda health: "yet" not in health.detail)
        yield engine
        await engine.aclose()


async def text_of(engine: OpenAIEngine) -> str:
    return "".join([delta.text async for delta in ask(engine)])


def ask(engine: OpenAIEngine) -> AsyncGenerator[Delta, None]:
    return engine.stream(ASK, Sampling(20, stop=("END",)), request_id="r1")
