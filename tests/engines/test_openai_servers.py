"""Which servers the adapter for vLLM servers asks, and what it says when they do not answer."""

from __future__ import annotations

import pytest

from app.backend.engines.openai import OpenAIEngine
from app.backend.errors import BadInput, Unavailable
from app.settings import EngineSettings
from tests.engines.vllm_double import FakeServer, ask, engine_for, silent_after_one, text_of, well

pytestmark = pytest.mark.anyio


def test_it_needs_an_address() -> None:
    with pytest.raises(BadInput, match="--engine-url"):
        OpenAIEngine(EngineSettings(kind="openai"))


async def test_model_and_context_length_come_from_the_server() -> None:
    async with engine_for(FakeServer(well)) as engine:
        assert (engine.health().state, engine.model, engine.context_tokens) == ("ready", "tiny", 2048)


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
