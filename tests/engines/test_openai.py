"""What the adapter for vLLM servers promises, against a small server that misbehaves on request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from app.backend.engines.openai import OpenAIEngine
from app.backend.errors import BadInput, Unavailable
from app.backend.types import Delta, Message, Sampling, Usage
from app.settings import EngineSettings

pytestmark = pytest.mark.anyio

ASK = (Message("user", "What is a lighthouse?"),)
Behaviour = Callable[["FakeServer"], AsyncIterator[str]]


class FakeServer:
    """A vLLM server as the adapter sees it; `behaviours` are used up one per request, the last one stays."""

    def __init__(self, *behaviours: Behaviour | Response, counts_tokens: bool = True, key: str = "") -> None:
        self.behaviours = list(behaviours)
        self.counts_tokens = counts_tokens
        self.key = key
        self.well = True
        self.requests: list[dict[str, object]] = []
        self.begun = asyncio.Event()
        self.hang_up = asyncio.Event()
        self.url = ""

    async def health(self, request: Request) -> Response:
        return PlainTextResponse("", 200 if self.well else 503)

    async def models(self, request: Request) -> Response:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return PlainTextResponse("", 401)
        return JSONResponse({"data": [{"id": "tiny", "max_model_len": 2048}]})

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
    yield
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


def test_it_needs_an_address() -> None:
    with pytest.raises(BadInput, match="--engine-url"):
        OpenAIEngine(EngineSettings(kind="openai"))


async def test_model_and_context_length_come_from_the_server() -> None:
    async with engine_for(FakeServer(well)) as engine:
        assert (engine.health().state, engine.model, engine.context_tokens) == ("ready", "tiny", 2048)


async def test_deltas_stream_and_the_last_one_has_the_usage() -> None:
    server = FakeServer(well)
    async with engine_for(server) as engine:
        deltas = [delta async for delta in ask(engine)]
    assert [delta.text for delta in deltas] == ["A ", "tower.", ""]
    assert (deltas[-1].finish, deltas[-1].usage) == ("stop", Usage(9, 8, 3, 1))
    sent = server.requests[0]
    assert (sent["model"], sent["max_tokens"], sent["temperature"], sent["stop"]) == ("tiny", 20, 0.0, ["END"])


async def test_a_salt_is_sent_along_and_without_one_nothing_is() -> None:
    server = FakeServer(well)
    async with engine_for(server) as engine:
        async for _ in engine.stream(ASK, Sampling(20), request_id="r1", cache_salt="pepper"):
            pass
        assert await text_of(engine) == "A tower."
    assert [request.get("cache_salt", "none") for request in server.requests] == ["pepper", "none"]


async def test_closing_the_stream_hangs_up() -> None:
    server = FakeServer(silent_after_one)
    async with engine_for(server) as engine:
        stream = ask(engine)
        await anext(stream)
        await stream.aclose()
        await asyncio.wait_for(server.hang_up.wait(), 5)


async def test_cancelling_the_reader_hangs_up() -> None:
    server = FakeServer(silent_after_one)
    async with engine_for(server) as engine:
        reader = asyncio.create_task(text_of(engine))
        await server.begun.wait()
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await asyncio.wait_for(server.hang_up.wait(), 5)


async def test_a_full_server_is_asked_once_more_and_then_reported_with_its_wait() -> None:
    server = FakeServer(full())
    async with engine_for(server) as engine:
        with pytest.raises(Unavailable, match="overloaded") as caught:
            await text_of(engine)
    assert caught.value.retry_after_s == 7
    assert len(server.requests) == 2


async def test_a_server_that_was_full_for_a_moment_answers() -> None:
    async with engine_for(FakeServer(full(), well)) as engine:
        assert await text_of(engine) == "A tower."


@pytest.mark.parametrize("behaviour", [dies, reports_an_error, ends_too_early])
async def test_an_answer_that_breaks_off_is_not_asked_for_again(behaviour: Behaviour) -> None:
    server = FakeServer(behaviour)
    async with engine_for(server) as engine:
        stream = ask(engine)
        assert (await anext(stream)).text == "A "
        with pytest.raises(Unavailable):
            await anext(stream)
    assert len(server.requests) == 1


async def test_a_refused_request_is_bad_input_without_the_servers_words() -> None:
    refusal = JSONResponse({"error": {"message": "maximum context length is 2048, /srv/secret"}}, 400)
    server = FakeServer(refusal)
    async with engine_for(server) as engine:
        with pytest.raises(BadInput, match="too long") as caught:
            await text_of(engine)
    assert "secret" not in caught.value.message
    assert len(server.requests) == 1


async def test_tokens_are_counted_by_the_server_or_estimated() -> None:
    async with engine_for(FakeServer(well)) as engine:
        assert await engine.count_tokens(ASK) == 42
    async with engine_for(FakeServer(well, counts_tokens=False)) as engine:
        assert 5 <= await engine.count_tokens(ASK) <= 30


async def test_the_server_that_owes_least_is_asked() -> None:
    one, two = FakeServer(silent_after_one), FakeServer(silent_after_one)
    async with engine_for(one, two) as engine:
        streams = [ask(engine) for _ in range(4)]
        for stream in streams:
            await anext(stream)
        assert (len(one.requests), len(two.requests)) == (2, 2)
        for stream in streams:
            await stream.aclose()


async def test_a_sick_server_is_skipped_and_said_so() -> None:
    sick, fine = FakeServer(well), FakeServer(well)
    sick.well = False
    async with engine_for(sick, fine) as engine:
        assert await text_of(engine) == "A tower."
        assert (engine.health().state, engine.health().detail) == ("ready", "1 of 2 engine servers do not answer.")
    assert not sick.requests


async def test_a_server_that_goes_and_comes_back_is_noticed() -> None:
    server = FakeServer(well)
    async with engine_for(server, poll_s=0.01) as engine:
        server.well = False
        await engine.until(lambda health: health.state == "down")
        with pytest.raises(Unavailable):
            await text_of(engine)
        server.well = True
        await engine.until(lambda health: health.state == "ready")
        assert await text_of(engine) == "A tower."


async def test_the_key_is_sent_and_its_refusal_explained() -> None:
    async with engine_for(FakeServer(well, key="k1"), key="k1") as engine:
        assert engine.health().state == "ready"
    async with engine_for(FakeServer(well, key="k1"), key="wrong") as engine:
        assert "engine.api_key" in engine.health().detail


async def test_an_address_that_nobody_listens_on_is_one_sentence() -> None:
    engine = OpenAIEngine(EngineSettings(kind="openai", urls=("http://127.0.0.1:9/v1",), start_expected_s=0.001))
    await engine.start()
    health = await engine.until(lambda health: health.state == "down")
    assert "does not answer" in health.detail
    with pytest.raises(Unavailable, match="does not answer"):
        await text_of(engine)
    await engine.aclose()
    assert engine.health().state == "stopped"
