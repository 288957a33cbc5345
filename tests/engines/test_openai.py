"""One answer through the adapter for vLLM servers: its deltas, its end, and what breaks it off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.responses import JSONResponse

from app.backend.errors import BadInput, Unavailable
from app.backend.types import Sampling, Usage
from tests.engines.vllm_double import (
    ASK,
    Behaviour,
    FakeServer,
    ask,
    chunk,
    dies,
    ends_too_early,
    engine_for,
    full,
    reports_an_error,
    silent_after_one,
    text_of,
    well,
)

pytestmark = pytest.mark.anyio


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
        await asyncio.wait_for(server.hang_up.wait(), 30)


async def test_cancelling_the_reader_hangs_up() -> None:
    server = FakeServer(silent_after_one)
    async with engine_for(server) as engine:
        reader = asyncio.create_task(text_of(engine))
        await server.begun.wait()
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await asyncio.wait_for(server.hang_up.wait(), 30)


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


@pytest.mark.parametrize(
    "event",
    [
        chunk(usage={"prompt_tokens": -5, "completion_tokens": 3}),
        chunk(usage={"prompt_tokens": 5, "completion_tokens": 1e30}),
        chunk(usage={"prompt_tokens": 5, "completion_tokens": 10**40}),
        chunk(usage="many"),
        '{"choices": [{"index": 0, "delta": {"content": {"a": 1}}}]}',
        '{"choices": null}',
        "[1, 2]",
    ],
)
async def test_a_server_that_answers_with_what_is_no_chunk_fails_in_one_sentence(event: str) -> None:
    async def behaviour(server: FakeServer) -> AsyncIterator[str]:
        yield chunk("A ")
        yield event
        yield chunk("tower.", "stop")

    async with engine_for(FakeServer(behaviour)) as engine:
        stream = ask(engine)
        assert (await anext(stream)).text == "A "
        with pytest.raises(Unavailable, match="failed while it answered"):
            await anext(stream)


async def test_a_server_that_leaves_out_counts_is_believed() -> None:
    async def behaviour(server: FakeServer) -> AsyncIterator[str]:
        yield chunk("A ", "stop")
        yield chunk(usage={"prompt_tokens": 5, "completion_tokens": None, "prompt_tokens_details": {}})

    async with engine_for(FakeServer(behaviour)) as engine:
        deltas = [delta async for delta in ask(engine)]
    assert deltas[-1].usage == Usage(5, 0, 0, 1)


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
