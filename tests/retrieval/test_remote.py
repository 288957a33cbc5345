"""Another server's retriever behaves like one in this process."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from app.backend.errors import Busy, DenseUnavailable, NotFound, Unavailable
from app.backend.retrieval import remote
from app.backend.retrieval.remote import RemoteRetriever
from app.backend.types import CorpusInfo, Passage
from app.settings import RetrievalSettings

pytestmark = pytest.mark.anyio
HIT = {"id": "bees", "title": "Bees", "text": "Bees hum.", "score": 0.5}
CORPUS = {"name": "small", "passages": 4, "version": "v1", "languages": ["en"], "description": "few"}

_STATES = {True: "starting", False: "ready"}


class Server:
    """Answers like `POST /v1/retrieve` and `GET /api/corpora`; `answer` and `listed` may be replaced.

    Hosts named dead* are down.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, object] | None]] = []
        self.loading = False
        self.answer: Callable[[], httpx.Response] = lambda: httpx.Response(200, json={"results": [[HIT]]})
        self.listed: Callable[[], httpx.Response] = lambda: httpx.Response(200, json={"corpora": [CORPUS]})

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.url.host, request.url.path, body))
        if request.url.host.startswith("dead"):
            raise httpx.ConnectError("refused")
        if request.url.path == "/readyz":
            return httpx.Response(503 if self.loading else 200, json={"retriever": _STATES[self.loading]})
        return self.listed() if request.method == "GET" else self.answer()


@asynccontextmanager
async def connected(server: Server, *hosts: str) -> AsyncIterator[RemoteRetriever]:
    settings = RetrievalSettings(urls=tuple(f"http://{host}/" for host in hosts or ("one",)))
    retriever = RemoteRetriever(settings, httpx.MockTransport(server))
    await retriever.start()
    try:
        while retriever.health().state == "starting":
            await asyncio.sleep(0)
        yield retriever
    finally:
        await retriever.aclose()


async def test_vectors_and_ranks_arrive_as_they_were_sent() -> None:
    server = Server()
    first, second = Passage("a", "A", "x", 0.9, "small"), Passage("b", "B", "y", 0.8, "small")
    async with connected(server) as retriever:
        server.answer = lambda: httpx.Response(200, json={"data": [{"index": 0, "embedding": [0.6, 0.8]}]})
        assert await retriever.embed(["bees"]) == ((0.6, 0.8),)
        ranks = [{"index": 1, "relevance_score": 2.0}, {"index": 0, "relevance_score": 1.0}]
        server.answer = lambda: httpx.Response(200, json={"results": ranks})
        assert await retriever.rerank("bees", [first, second]) == (
            replace(second, score=2.0),
            replace(first, score=1.0),
        )
        assert server.asked[-1] == ("one", "/v1/rerank", {"query": "bees", "documents": ["A\nx", "B\ny"]})


async def test_passages_and_corpora_arrive_as_they_were_sent() -> None:
    server = Server()
    async with connected(server) as retriever:
        found = await retriever.search("bees", corpus="small", top_k=3, retriever="bm25")
        assert found == (Passage("bees", "Bees", "Bees hum.", 0.5, "small"),)
        assert server.asked[-1] == (
            "one", "/v1/retrieve", {"query": "bees", "corpus": "small", "top_k": 3, "retriever": "bm25"},
        )  # fmt: skip
        await retriever.search("bees", corpus="small", top_k=3, cache_salt="pepper")
        assert (server.asked[-1][2] or {})["cache_salt"] == "pepper"
        assert retriever.corpora() == (CorpusInfo("small", 4, "v1", ("en",), "few"),)
        assert retriever.health().state == "ready"
    assert retriever.health().state == "stopped"


async def test_the_servers_are_asked_in_turn_and_a_dead_one_is_passed_over() -> None:
    server = Server()
    async with connected(server, "dead", "two") as retriever:
        for _ in range(3):
            assert await retriever.search("bees", corpus="small", top_k=1)
        assert {host for host, path, _ in server.asked if path == "/v1/retrieve"} == {"dead", "two"}


async def test_when_all_are_dead_it_says_so() -> None:
    async with connected(Server(), "dead") as retriever:
        assert retriever.health().state == "down"
        with pytest.raises(Unavailable, match="can't be reached"):
            await retriever.search("bees", corpus="small", top_k=1)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [("not_found", 404, NotFound), ("busy", 503, Busy), ("dense_unavailable", 503, DenseUnavailable)],
)
async def test_a_refusal_is_raised_as_its_own_and_not_tried_again(
    code: str, status: int, kind: type[Exception]
) -> None:
    server = Server()
    refusal = {"error": {"code": code, "message": "No.", "retry_after_s": 2.5, "id": "x"}}
    server.answer = lambda: httpx.Response(status, json=refusal)
    async with connected(server) as retriever:
        with pytest.raises(kind, match="No") as refused:
            await retriever.search("bees", corpus="small", top_k=1)
        assert refused.value.retry_after_s == 2.5
    assert sum(path == "/v1/retrieve" for _, path, _ in server.asked) == 1


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b'{"results": []}', b'{"results": [[{}]]}'])
async def test_nonsense_is_unavailable(content: bytes) -> None:
    server = Server()
    server.answer = lambda: httpx.Response(200, content=content)
    async with connected(server) as retriever:
        with pytest.raises(Unavailable):
            await retriever.search("bees", corpus="small", top_k=1)


async def test_a_server_that_still_loads_is_starting_until_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_RETRY_S", 0)
    server = Server()
    server.loading = True
    retriever = RemoteRetriever(RetrievalSettings(urls=("http://one",)), httpx.MockTransport(server))
    await retriever.start()
    while not retriever.corpora() or "loading" not in retriever.health().detail:
        await asyncio.sleep(0)
    assert retriever.health().state == "starting"
    server.loading = False
    while retriever.health().state == "starting":
        await asyncio.sleep(0)
    assert retriever.health().state == "ready"
    await retriever.aclose()


async def test_one_answer_that_nobody_foresaw_is_not_the_last_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "_REFRESH_S", 0)
    server, corpora = Server(), json.dumps({"corpora": [CORPUS | {"passages": math.inf}]})
    server.listed = lambda: httpx.Response(200, content=corpora)
    async with asyncio.timeout(5), connected(server) as retriever:
        assert retriever.health().state == "down"
        server.listed = lambda: httpx.Response(200, json={"corpora": [CORPUS]})
        while retriever.health().state != "ready":
            await asyncio.sleep(0)
        assert [info.name for info in retriever.corpora()] == ["small"]
