"""Without the retriever an answer says so, or is refused, as configured; nothing else fails with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.backend.errors import Unavailable
from app.backend.retrieval.local import LocalRetriever
from app.backend.retrieval.remote import RemoteRetriever
from app.settings import RetrievalSettings
from tests.api.house import SentEvent, events_of, serving
from tests.fault.house import Shelf, ended_once, house, kinds, scripted, until
from tests.fault.proxy import Toxics, proxied
from tests.retrieval.conftest import World

pytestmark = pytest.mark.anyio
FAULTS = [Unavailable("The retriever is down."), MemoryError(), RuntimeError("CUDA out of memory, at /secret/path")]


def labelled(events: Sequence[SentEvent]) -> str:
    """Why an answer has no sources; fails unless it is one without."""
    end = ended_once(events)
    assert (end.kind, end.data["citations"]) == ("done", [])
    assert "retrieved" not in kinds(events)
    [reason] = [event.data["reason"] for event in events if event.kind == "degraded"]
    assert "without sources" in reason
    assert "secret" not in reason
    return str(reason)


@pytest.mark.parametrize("fault", FAULTS, ids=["down", "out of memory", "out of GPU memory"])
async def test_a_retriever_that_fails_costs_the_sources_and_that_is_said(tmp_path: Path, fault: Exception) -> None:
    """Case 38."""
    shelf = Shelf()
    shelf.fault = fault
    async with house(tmp_path, scripted(["From memory."], ["With sources."]), shelf) as served:
        labelled(await events_of(served.guest, await served.ask(pipeline="naive")))
        shelf.fault = None
        events = await events_of(served.guest, await served.ask(pipeline="naive"))
        assert "retrieved" in kinds(events)
        assert ended_once(events).kind == "done"


@pytest.mark.parametrize(
    ("missing", "method"),
    [
        ("no encoder", "naive"),
        ("another encoder", "naive"),
        ("out of memory", "naive"),
        ("no encoder", "rerank"),
        ("no encoder", "iterretgen"),
    ],
)
async def test_where_only_the_vectors_are_missing_words_find_the_sources_and_that_is_said(
    tmp_path: Path, missing: str, method: str
) -> None:
    world = World(tmp_path)
    world.build()
    retriever = LocalRetriever(world.settings.retrieval, world.corpora, lambda ref: ref, load=lambda *_: world.encoder)
    if missing == "no encoder":
        retriever = world.without_encoder()
    elif missing == "another encoder":
        world.encoder.id = "another"
    else:
        world.encoder.before_batch = out_of_memory
    refusing = {"on_failure": "refuse"}  # there are sources, so nothing is refused
    async with house(tmp_path, scripted(), retriever, retrieval=refusing) as served:
        asked = await served.ask("What do bees collect?", pipeline=method, corpus="small")
        events = await events_of(served.guest, asked)
        assert ended_once(events).kind == "done"
        found = [event.data["passages"] for event in events if event.kind == "retrieved"]
        assert found
        assert all(passages[0]["id"] == "bees" for passages in found)
        said = [event.data for event in events if event.kind == "degraded" and event.data["part"] == "dense"]
        assert len(said) == 1
        assert "by their words alone (BM25)" in said[0]["reason"]
        assert "secret" not in said[0]["reason"]


def out_of_memory() -> None:
    raise RuntimeError("CUDA out of memory, at /secret/path")


async def test_where_nothing_may_be_said_without_sources_the_refusal_is_stated(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.fault = FAULTS[0]
    engine = scripted()
    async with house(tmp_path, engine, shelf, retrieval={"on_failure": "refuse"}) as served:
        end = ended_once(await events_of(served.guest, await served.ask(pipeline="naive")))
        assert (end.kind, end.data["code"]) == ("failed", "unavailable")
        assert "nothing is answered without sources" in end.data["message"]
        assert not engine.calls


async def test_a_search_that_hangs_costs_its_own_time_limit_and_is_cancelled(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.fault = asyncio.Event()
    async with house(tmp_path, scripted(["From memory."]), shelf, retrieval={"timeout_s": 0.3}) as served:
        async with asyncio.timeout(30):
            reason = labelled(await events_of(served.guest, await served.ask(pipeline="naive")))
        assert "0.3 s" in reason
        assert shelf.waiting == 0


async def test_a_search_that_finds_nothing_is_said(tmp_path: Path) -> None:
    async with house(tmp_path, scripted(["From memory."]), Shelf(())) as served:
        assert "Nothing was found" in labelled(await events_of(served.guest, await served.ask(pipeline="naive")))


async def test_an_encoder_out_of_memory_fails_the_batch_and_not_the_thread(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.build()

    def burst() -> None:
        raise MemoryError

    async with world.retriever() as retriever:
        world.encoder.before_batch = burst
        with pytest.raises(Unavailable, match="failed"):
            await retriever.search("apples", corpus="small", top_k=1, retriever="dense")
        world.encoder.before_batch = lambda: None
        assert await retriever.search("apples", corpus="small", top_k=1, retriever="dense")


async def test_an_encoder_that_hangs_is_told_and_nobody_queues_behind_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.build()
    moves = threading.Event()
    world.encoder.before_batch = lambda: moves.wait() and None
    async with world.retriever(world.settings.retrieval.model_copy(update={"timeout_s": 0.2})) as retriever:
        stuck = asyncio.ensure_future(retriever.search("apples", corpus="small", top_k=1, retriever="dense"))
        await until(lambda: retriever.health().state == "down")
        for _ in range(3):
            with pytest.raises(Unavailable, match="hangs"):
                async with asyncio.timeout(30):
                    await retriever.search("bees", corpus="small", top_k=1, retriever="dense")
        assert retriever.waiting == 0
        moves.set()
        assert await stuck
        await until(lambda: retriever.health().state == "ready")
        assert await retriever.search("bees", corpus="small", top_k=1, retriever="dense")


@pytest.mark.parametrize(
    "toxics",
    [Toxics(timeout=60), Toxics(reset_peer=0), Toxics(limit_data=200), Toxics(bandwidth=100)],
    ids=["hangs", "resets", "cuts off", "trickles"],
)
async def test_a_retrieval_server_behind_a_bad_network_costs_the_sources_and_no_more(
    tmp_path: Path, toxics: Toxics
) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    async with serving(tmp_path / "far") as far, proxied(far.url) as proxy:
        settings = {"urls": [proxy.url], "timeout_s": 1.5}
        remote = RemoteRetriever(RetrievalSettings.model_validate(settings))
        engine = scripted(["With sources."], ["From memory."])
        async with house(tmp_path / "near", engine, remote, retrieval=settings) as served:
            await until(lambda: remote.health().state == "ready")
            assert "retrieved" in kinds(await events_of(served.guest, await served.ask(pipeline="naive")))
            proxy.toxics = toxics
            async with asyncio.timeout(50):  # it is told soon after its limit, not never
                labelled(await events_of(served.guest, await served.ask("Once more?", pipeline="naive")))


async def test_a_retrieval_server_that_is_down_is_told_at_once_and_used_again_when_it_is_back(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    async with serving(tmp_path / "far") as far, proxied(far.url) as proxy:
        remote = RemoteRetriever(RetrievalSettings(urls=(proxy.url,)))
        engine = scripted(["From memory."], ["With sources."])
        async with house(tmp_path / "near", engine, remote) as served:
            await until(lambda: remote.health().state == "ready")
            await proxy.down()
            labelled(await events_of(served.guest, await served.ask(pipeline="naive")))
            await proxy.up()
            assert "retrieved" in kinds(await events_of(served.guest, await served.ask("Again?", pipeline="naive")))
