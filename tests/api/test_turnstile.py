"""A flood of retrieval requests is refused in time, and the searches of answers go in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.api.turnstile import BESIDE_CHATS
from app.backend.types import Passage
from app.settings import ServerSettings
from tests.api.house import Served, error_of, events_of, serving

pytestmark = pytest.mark.anyio
REQUESTS = [
    ("/v1/retrieve", {"query": "flood"}),
    ("/v1/retrieve", {"queries": ["flood", "flood"]}),
    ("/retrieve", {"queries": ["flood"]}),
    ("/v1/embeddings", {"input": ["flood"]}),
    ("/v1/rerank", {"query": "flood", "documents": ["a"]}),
]


class Held:
    """The retriever's methods wait for `go` when they are part of the flood; `searching` and `most` count those."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.searching, self.most = asyncio.Event(), 0, 0
        for name in ("search", "embed", "rerank"):
            monkeypatch.setattr(served.retriever, name, self._before(getattr(served.retriever, name)))

    def _before(self, method):
        async def call(first, *rest, **how) -> tuple[Passage, ...]:
            if "flood" in first:
                self.searching += 1
                self.most = max(self.most, self.searching)
                try:
                    await self.go.wait()
                finally:
                    self.searching -= 1
            return await method(first, *rest, **how)

        return call


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Served]:
    """Guests from elsewhere come in; a proxy says from where."""
    doors = ServerSettings(mode="accounts", allow_guests=True)
    async with serving(tmp_path, doors=doors) as served:
        yield served


@pytest.mark.parametrize(("path", "asked"), REQUESTS)
async def test_guests_of_one_network_have_so_many_requests_inside_and_no_more(
    office: Served, monkeypatch: pytest.MonkeyPatch, path: str, asked: dict[str, object]
) -> None:
    held = Held(office, monkeypatch)
    async with httpx.AsyncClient(base_url=office.url, limits=httpx.Limits(max_connections=None), timeout=60) as many:
        flood = [asyncio.ensure_future(many.post(path, json=asked)) for _ in range(BESIDE_CHATS.caller + 5)]
        refused = []
        for done in asyncio.as_completed(flood):
            refused.append(await done)
            if len(refused) == 5:
                break
        assert [answer.status_code for answer in refused] == [429] * 5
        assert error_of(refused[0])["retry_after_s"] >= 1
        assert int(refused[0].headers["retry-after"]) >= 1
        assert 'colloquy_refusals_total{reason="retrieval"} 5.0' in office.backend.telemetry.render().decode()
        held.go.set()
        answers = [(await request).status_code for request in flood]
        assert sorted(answers) == [200] * BESIDE_CHATS.caller + [429] * 5
        assert held.most <= BESIDE_CHATS.searching
        assert (await many.post(path, json=asked)).status_code == 200, "who has left is not counted"


async def test_an_answer_searches_while_a_flood_waits(office: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(office, monkeypatch)
    async with httpx.AsyncClient(base_url=office.url, limits=httpx.Limits(max_connections=None), timeout=60) as many:
        flood = [asyncio.ensure_future(many.post("/v1/retrieve", json={"query": "flood"})) for _ in range(32)]
        generation = await office.ask("What is RAG?", pipeline="naive")
        events = await events_of(office.guest, generation)
        assert {"retrieved", "done"} <= {event.kind for event in events}
        assert not any(request.done() for request in flood)
        held.go.set()
        await asyncio.gather(*flood)


async def test_all_callers_together_are_bounded_and_told_to_come_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(served, monkeypatch)  # whoever sits at the machine: each request is a new guest's
    async with httpx.AsyncClient(base_url=served.url, limits=httpx.Limits(max_connections=None), timeout=60) as many:
        count = BESIDE_CHATS.everybody
        flood = [asyncio.ensure_future(post_as_stranger(many)) for _ in range(count + 3)]
        refused = []
        for done in asyncio.as_completed(flood):
            refused.append(await done)
            if len(refused) == 3:
                break
        assert [answer.status_code for answer in refused] == [503] * 3
        assert int(refused[0].headers["retry-after"]) >= 1
        held.go.set()
        assert sorted([(await request).status_code for request in flood]) == [200] * count + [503] * 3


async def post_as_stranger(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/v1/retrieve", json={"query": "flood"}, headers={"cookie": ""})
