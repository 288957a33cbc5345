"""Retrieval over HTTP: our shape, and Search-R1's exactly as its clients read it."""

import asyncio
import threading
from pathlib import Path

import httpx
import pytest

from app.backend.types import Passage
from app.server import create_retrieval_app
from app.settings import ServerSettings, Settings
from tests.api.house import Served, Shelf, error_of, on_loopback, serving

pytestmark = pytest.mark.anyio


async def test_one_query_and_several_give_one_list_each_best_first(served: Served) -> None:
    one = (await served.guest.post("/v1/retrieve", json={"query": "rain", "corpus": "demo", "top_k": 2})).json()
    assert one == {
        "results": [
            [
                {"id": "p1", "title": "Title 1", "text": "rain is told\nin passage 1.", "score": 1.0},
                {"id": "p2", "title": "Title 2", "text": "rain is told\nin passage 2.", "score": 0.5},
            ]
        ]
    }
    many = (await served.guest.post("/v1/retrieve", json={"queries": ["rain", "snow", "rain"], "top_k": 1})).json()
    assert [[result["text"].split()[0] for result in row] for row in many["results"]] == [["rain"], ["snow"], ["rain"]]


async def test_search_r1_gets_its_own_shape_with_and_without_scores(served: Served) -> None:
    asked = {"queries": ["rain", "snow"], "topk": 3, "return_scores": True}
    scored = (await served.guest.post("/retrieve", json=asked)).json()
    assert set(scored) == {"result"}
    assert [len(row) for row in scored["result"]] == [3, 3]
    for row in scored["result"]:
        for entry in row:
            assert set(entry) == {"document", "score"}
            title, text = entry["document"]["contents"].split("\n", 1)  # as its clients take it apart
            assert (title, text) == (entry["document"]["title"], entry["document"]["text"])
    plain = (await served.guest.post("/retrieve", json={"queries": ["rain"], "topk": 1})).json()
    [[document]] = plain["result"]
    assert document["contents"] == "Title 1\nrain is told\nin passage 1."


@pytest.mark.parametrize("scores", [True, False])
async def test_a_step_of_search_r1s_training_is_answered_whatever_its_models_wrote(
    served: Served, scores: bool
) -> None:
    asked = {"topk": 1, "return_scores": scores}
    nobody = await served.guest.post("/retrieve", json={"queries": [], **asked})  # sent when no model searched
    assert (nobody.status_code, nobody.json()) == (200, {"result": []})
    strange = ["rain", "", " \n", "snow " * 5_000, "snow"]
    found = (await served.guest.post("/retrieve", json={"queries": strange, **asked})).json()["result"]
    assert [len(row) for row in found] == [1, 0, 0, 1, 1]
    last = found[-1][0]["document"] if scores else found[-1][0]
    assert last["text"].startswith("snow")


async def test_search_r1s_topk_may_be_left_out_or_null(served: Served) -> None:
    for fields in ({}, {"topk": None}, {"topk": 0}):
        answer = (await served.guest.post("/retrieve", json={"queries": ["rain"], **fields})).json()
        assert len(answer["result"][0]) == 4  # the default is five, the corpus has four


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 422),
        ({"query": "x", "queries": ["y"]}, 422),
        ({"queries": []}, 422),
        ({"query": "x", "top_k": 0}, 422),
        ({"query": "x", "topk": 3}, 422),
        ({"query": "x", "top_k": 101}, 422),
        ({"query": "x", "retriever": "psychic"}, 422),
        ({"query": "x" * 8001}, 422),
        ({"query": "x", "corpus": "no-such"}, 404),
    ],
)
async def test_a_wrong_request_is_one_sentence(served: Served, asked: dict[str, object], status: int) -> None:
    response = await served.guest.post("/v1/retrieve", json=asked)
    assert response.status_code == status
    error_of(response)


@pytest.mark.parametrize(("path", "k"), [("/v1/retrieve", "top_k"), ("/retrieve", "topk")])
async def test_one_request_asks_for_no_more_passages_than_can_be_sent_quickly(
    served: Served, path: str, k: str
) -> None:
    queries = ["rain"] * 4096
    assert (await served.guest.post(path, json={"queries": queries, k: 5})).status_code == 200
    refused = await served.guest.post(path, json={"queries": queries, k: 6})
    assert (refused.status_code, error_of(refused)["code"]) == (422, "bad_input")
    assert "20,480" in error_of(refused)["message"]


@pytest.mark.parametrize(
    ("path", "asked"), [("/v1/retrieve", {}), ("/retrieve", {}), ("/retrieve", {"return_scores": True})]
)
async def test_answers_are_written_beside_the_loop_that_carries_the_streams(
    served: Served, monkeypatch: pytest.MonkeyPatch, path: str, asked: dict[str, bool]
) -> None:
    readers: set[int] = set()

    class Watched(Passage):
        def __getattribute__(self, name: str) -> object:
            if name == "text":
                readers.add(threading.get_ident())
            return super().__getattribute__(name)

    async def search(query: str, **how: object) -> tuple[Passage, ...]:
        return (Watched("p1", "Title", "text", 1.0, "demo"),)

    monkeypatch.setattr(served.retriever, "search", search)
    assert (await served.guest.post(path, json={"queries": ["rain"], **asked})).status_code == 200
    assert readers
    assert threading.get_ident() not in readers


async def test_queries_of_one_request_wait_together(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived, all_here, search = [], asyncio.Event(), served.retriever.search

    async def together(query: str, **how: object):
        arrived.append(query)
        if len(arrived) == 3:
            all_here.set()
        await asyncio.wait_for(all_here.wait(), 30)
        return await search(query, **how)

    monkeypatch.setattr(served.retriever, "search", together)
    answer = await served.guest.post("/v1/retrieve", json={"queries": ["a", "b", "c"]})
    assert answer.status_code == 200


async def test_a_caller_is_spared_no_search_by_another_s_whatever_salt_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, doors=ServerSettings(hosts=("here.test",), allow_guests=True)) as served:
        salts: list[str | None] = []

        async def search(query: str, *, cache_salt: str | None = None, **how: object) -> tuple[Passage, ...]:
            salts.append(cache_salt)
            return ()

        monkeypatch.setattr(served.retriever, "search", search)
        for client in (served.guest, served.other):
            await client.get("/api/corpora")
        for client in (served.guest, served.guest, served.other):
            await client.post("/v1/retrieve", json={"query": "rain"})
        mine, again, theirs = salts
        assert mine == again
        assert mine not in (None, theirs)
        await served.other.post("/v1/retrieve", json={"query": "rain", "cache_salt": mine})
        await served.other.post("/retrieve", json={"queries": ["rain"]})
        assert salts[3] not in (mine, theirs)
        assert salts[4] == theirs


async def test_passages_are_reranked_on_request(served: Served) -> None:
    answer = await served.guest.post("/v1/retrieve", json={"query": "rain", "top_k": 3, "rerank": True})
    assert [hit["id"] for hit in answer.json()["results"][0]] == ["p3", "p2", "p1"]


async def test_texts_are_ranked_and_embedded_in_the_shapes_that_clients_know(served: Served) -> None:
    ranked = await served.guest.post("/v1/rerank", json={"query": "rain", "documents": ["a", "b"]})
    assert ranked.json() == {"results": [{"index": 1, "relevance_score": 0.0}, {"index": 0, "relevance_score": -1.0}]}
    vectors = await served.guest.post("/v1/embeddings", json={"input": ["a", "b"]})
    assert vectors.json()["data"][1] == {"index": 1, "embedding": [1.0, 0.0]}


async def test_trainers_need_no_cookie(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url) as client:
        assert (await client.post("/retrieve", json={"queries": ["rain"]})).status_code == 200


async def test_the_stand_alone_service_serves_retrieval_and_health_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.backend.retrieval.create_retriever", lambda settings, registry: Shelf())
    app = create_retrieval_app(Settings(data=tmp_path))
    async with on_loopback(app) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.post("/retrieve", json={"queries": ["rain"]})).json()["result"][0]
        assert (await client.post("/v1/retrieve", json={"query": "rain"})).status_code == 200
        assert (await client.get("/readyz")).json()["retriever"] == "ready"
        assert 'colloquy_part_ready{part="retriever"} 1.0' in (await client.get("/metrics")).text
        for path in ("/", "/api/conversations", "/no-such"):
            response = await client.get(path)
            assert (response.status_code, error_of(response)["code"]) == (404, "not_found")
            assert "set-cookie" not in response.headers


class Slow:
    """Stands before the retriever's methods: notes each call, and lets it through when told to."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.inside, self.most = 0, 0, 0
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        for name in ("search", "embed", "rerank"):
            monkeypatch.setattr(served.retriever, name, self._before(getattr(served.retriever, name)))

    def _before(self, method):
        async def call(first, *rest, **how):
            if first == "chat":
                return await method(first, *rest, **how)
            self.calls, self.inside = self.calls + 1, self.inside + 1
            self.most = max(self.most, self.inside)
            self.begun.set()
            try:
                await self.go_on.wait()
                return await method(first, *rest, **how)
            finally:
                self.inside -= 1

        return call


BULK = [
    ("/v1/embeddings", {"input": ["rain"] * 4096}, 1),
    ("/v1/rerank", {"query": "rain", "documents": ["a"] * 1000}, 1),
    ("/v1/retrieve", {"queries": ["rain"] * 4096}, 64),
    ("/retrieve", {"queries": ["rain"] * 4096}, 64),
]


@pytest.mark.parametrize(("path", "asked", "calls"), BULK)
async def test_bulk_requests_of_everybody_wait_outside_and_a_search_does_not(
    served: Served, monkeypatch: pytest.MonkeyPatch, path: str, asked: dict[str, object], calls: int
) -> None:
    slow = Slow(served, monkeypatch)
    bulk = [asyncio.ensure_future(served.guest.post(path, json=asked)) for _ in range(4)]
    async with asyncio.timeout(30):
        while slow.inside < 2 * calls:
            await asyncio.sleep(0.01)
    search = await served.other.post("/v1/retrieve", json={"query": "chat"})
    assert search.status_code == 200
    assert not any(request.done() for request in bulk)
    slow.go_on.set()
    assert [(await request).status_code for request in bulk] == [200] * 4
    assert slow.most == 2 * calls


@pytest.mark.parametrize(("path", "asked", "calls"), BULK)
async def test_a_bulk_request_ends_when_its_client_has_left(
    served: Served, monkeypatch: pytest.MonkeyPatch, path: str, asked: dict[str, object], calls: int
) -> None:
    slow = Slow(served, monkeypatch)
    async with httpx.AsyncClient(base_url=served.url) as client:
        abandoned = asyncio.ensure_future(client.post(path, json=asked))
        await slow.begun.wait()
        abandoned.cancel()
        await asyncio.gather(abandoned, return_exceptions=True)
    await served.guest.get("/healthz")  # the server has seen the other line closed
    slow.go_on.set()
    last = await served.guest.post("/v1/embeddings", json={"input": ["rain"] * 33})  # behind whatever goes on
    assert last.status_code == 200
    assert slow.calls == calls + 3


async def test_ranks_are_of_all_documents_and_vectors_in_the_order_of_the_texts(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def embed(texts):
        return tuple((float(text),) for text in texts)

    async def rerank(query, passages):
        return tuple(Passage(p.id, "", "", float(p.text), "") for p in reversed(passages))

    monkeypatch.setattr(served.retriever, "embed", embed)
    monkeypatch.setattr(served.retriever, "rerank", rerank)
    numbers = [str(n * 37 % 101) for n in range(100)]
    vectors = (await served.guest.post("/v1/embeddings", json={"input": numbers})).json()["data"]
    assert [row["embedding"] for row in vectors] == [[float(number)] for number in numbers]
    ranked = (await served.guest.post("/v1/rerank", json={"query": "x", "documents": numbers})).json()["results"]
    assert [numbers[row["index"]] for row in ranked] == sorted(numbers, key=int, reverse=True)
