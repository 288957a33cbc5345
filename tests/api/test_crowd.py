"""One caller cannot take all the room that others' requests need."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from app.backend.accounts import membership
from app.backend.engines.scripted import Silence
from app.settings import ServerSettings
from tests.api.house import Served, error_of, serving
from tests.api.team import PASSWORD, database, log_in, status

pytestmark = pytest.mark.anyio
BESIDE = ServerSettings(mode="accounts", allow_guests=True)


async def until_let_in(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while await status(client) == 429:
            await asyncio.sleep(0.01)


async def test_who_has_too_many_streams_open_is_told_so_and_others_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.crowd.ONE_PERSONS", 3)
    async with serving(tmp_path, [[Silence()]], doors=BESIDE) as served:
        url = f"/api/generations/{await served.ask()}/events"
        assert await status(served.other) == 200
        async with AsyncExitStack() as tabs:
            for _ in range(2):
                await tabs.enter_async_context(served.guest.stream("GET", url))
            async with served.guest.stream("GET", url):
                refused = await served.guest.get("/api/conversations")
                assert (refused.status_code, error_of(refused)["code"]) == (429, "crowded")
                assert int(refused.headers["retry-after"]) >= 1
                assert await status(served.other) == 200
            await until_let_in(served.guest)


async def test_guests_of_one_network_fill_its_room_and_neither_anothers_nor_that_of_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.crowd.ONE_NETWORKS", 2)
    async with serving(tmp_path, [[Silence()]], doors=BESIDE) as served:
        membership.add(database(served), "Ann", "user", PASSWORD)
        assert (await log_in(served.other)).status_code == 303
        url = f"/api/generations/{await served.ask()}/events"
        async with served.guest.stream("GET", url), served.guest.stream("GET", url):
            async with httpx.AsyncClient(base_url=served.url) as newcomer:
                assert await status(newcomer) == 429
                assert await status(newcomer, **{"x-forwarded-for": "203.0.113.9"}) == 200
            assert await status(served.other) == 200
        await until_let_in(served.guest)


async def test_on_a_machine_that_serves_only_itself_nobody_is_counted(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.crowd.ONE_NETWORKS", 0)
    assert await status(served.guest) == 200
