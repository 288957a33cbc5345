"""A vLLM server behind a bad network: one more try before the first token, and never two answers in one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.backend.engines.openai import OpenAIEngine
from app.settings import EngineSettings
from tests.api.house import events_of, text_of, until_part
from tests.engines.vllm_double import FakeServer, serving, silent_after_one, well
from tests.fault.house import House, ended_once, house, read_until, until
from tests.fault.proxy import Proxy, Toxics, proxied

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def behind_a_proxy(
    data: Path, server: FakeServer, **groups: dict[str, object]
) -> AsyncIterator[tuple[House, Proxy]]:
    async with serving(server), proxied(server.url) as proxy:
        engine = OpenAIEngine(EngineSettings(kind="openai", urls=(proxy.url,)), poll_s=0.1)
        async with house(data, engine, **groups) as served:
            await until_part(served, "engine", "ready")
            yield served, proxy


async def test_a_reset_before_the_first_token_is_tried_once_more(tmp_path: Path) -> None:
    """Case 35."""
    server = FakeServer(well)
    async with behind_a_proxy(tmp_path, server) as (served, proxy):
        proxy.script = [Toxics(reset_peer=0)]  # for the next new connection: the answers' client has made none yet
        async with asyncio.timeout(30):
            events = await events_of(served.guest, await served.ask())
        assert (ended_once(events).kind, text_of(events)) == ("done", "A tower.")
        assert len(server.requests) == 2


async def test_a_reset_after_the_first_token_ends_the_answer_and_nothing_is_spliced(tmp_path: Path) -> None:
    server = FakeServer(silent_after_one, well)
    async with behind_a_proxy(tmp_path, server) as (served, proxy):
        generation = await served.ask()
        await read_until(served, generation, "token")
        proxy.reset()
        end = ended_once(await events_of(served.guest, generation))
        assert (end.kind, end.data["code"], end.data["answer"]) == ("failed", "unavailable", "A ")
        assert len(server.requests) == 1


@pytest.mark.parametrize("limit", [150, 400])
async def test_a_stream_without_its_end_is_a_failure(tmp_path: Path, limit: int) -> None:
    """Cut off inside the headers, or between two chunks: as quietly as a close can be."""
    server = FakeServer(well)
    async with behind_a_proxy(tmp_path, server) as (served, proxy):
        proxy.script = [Toxics(limit_data=limit), Toxics(limit_data=limit)]
        end = ended_once(await events_of(served.guest, await served.ask()))
        assert (end.kind, end.data["code"]) == ("failed", "unavailable")
        assert "A tower.A" not in end.data["answer"]


async def test_a_server_that_is_down_is_told_within_two_seconds_and_used_again_when_it_is_back(tmp_path: Path) -> None:
    """Case 37."""
    async with behind_a_proxy(tmp_path, FakeServer(well)) as (served, proxy):
        await proxy.down()
        async with asyncio.timeout(2):
            end = ended_once(await events_of(served.guest, await served.ask()))
        assert (end.kind, end.data["code"]) == ("failed", "unavailable")
        await until_part(served, "engine", "down")
        assert (await served.guest.get("/api/conversations")).status_code == 200
        await proxy.up()
        await until_part(served, "engine", "ready")
        assert text_of(await events_of(served.guest, await served.ask())) == "A tower."


async def test_a_server_that_goes_quiet_behind_an_open_connection_is_given_up(tmp_path: Path) -> None:
    server = FakeServer(silent_after_one)
    async with behind_a_proxy(tmp_path, server, generation={"stall_s": 0.3}) as (served, _):
        async with asyncio.timeout(30):
            end = ended_once(await events_of(served.guest, await served.ask()))
        assert (end.kind, end.data["answer"]) == ("failed", "A ")
        await asyncio.wait_for(server.hang_up.wait(), 30)


@pytest.mark.parametrize(
    "toxics", [Toxics(slicer=7), Toxics(latency=0.05), Toxics(bandwidth=20_000), Toxics(slow_close=0.2)]
)
async def test_a_slow_network_changes_no_word(tmp_path: Path, toxics: Toxics) -> None:
    async with behind_a_proxy(tmp_path, FakeServer(well)) as (served, proxy):
        proxy.toxics = toxics
        events = await events_of(served.guest, await served.ask())
        assert (ended_once(events).kind, text_of(events)) == ("done", "A tower.")


async def test_the_stop_of_a_reader_goes_through_to_the_server(tmp_path: Path) -> None:
    server = FakeServer(silent_after_one)
    async with behind_a_proxy(tmp_path, server) as (served, _):
        generation = await served.ask()
        await read_until(served, generation, "token")
        await served.guest.post(f"/api/generations/{generation}/stop")
        await until(server.hang_up.is_set)
