"""The demo corpus is built when it is missing, and what somebody else built is left alone."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from app.backend.errors import NotFound, Unavailable
from app.backend.retrieval import corpus as disk
from app.backend.retrieval import loading
from app.backend.retrieval.ingest import ensure_demo
from app.backend.retrieval.library import Demo
from app.backend.retrieval.local import LoadEncoder, LocalRetriever
from app.backend.types import CorpusInfo, RetrieverName
from tests.retrieval.conftest import PASSAGES, CountingEncoder, World, damage, running

pytestmark = pytest.mark.anyio


def demo_retriever(
    world: World, lines: list[tuple[str, str, str]] = PASSAGES, load: LoadEncoder | None = None
) -> LocalRetriever:
    file = world.write("demo-corpus.jsonl", lines)
    info = CorpusInfo("demo", len(lines), "", ("en", "zh"), "a demo")
    demo = Demo(info, lambda encoder, tell: ensure_demo(world.settings, "demo", file, encoder, tell))
    return LocalRetriever(
        world.settings.retrieval, world.corpora, lambda ref: ref, demo=demo, load=load or (lambda *_: world.encoder)
    )


async def test_the_demo_corpus_is_known_at_once_and_a_question_waits_for_it(world: World) -> None:
    async with running(demo_retriever(world)) as retriever:
        assert [(info.name, info.passages) for info in retriever.corpora()] == [("demo", 4)]
        assert retriever.health().state == "starting"
        assert (await retriever.search("bees", corpus="demo", top_k=1))[0].id == "bees"
        assert retriever.health().state == "ready"


async def test_a_demo_corpus_that_cannot_be_built_says_so_and_the_other_corpora_work(world: World) -> None:
    def fails(passages: list[str]) -> None:
        raise RuntimeError("CUDA out of memory")

    world.build()
    world.encoder.encode_passages = fails
    async with running(demo_retriever(world)) as retriever:
        with pytest.raises(NotFound):
            await retriever.search("bees", corpus="demo", top_k=1)
        async with asyncio.timeout(10):
            while retriever.health().state == "starting":
                await asyncio.sleep(0.01)
        assert "demo corpus could not be built" in retriever.health().detail
        assert (await retriever.search("bees", corpus="small", top_k=1, retriever="bm25"))[0].id == "bees"


async def test_the_demo_corpus_is_built_once_and_again_when_its_file_or_encoder_changes(world: World) -> None:
    async def version(lines: list[tuple[str, str, str]]) -> str:
        async with running(demo_retriever(world, lines)) as retriever:
            await retriever.search("bees", corpus="demo", top_k=1)
            return retriever.corpora()[0].version

    first = await version(PASSAGES)
    assert await version(PASSAGES) == first
    second = await version(PASSAGES[:2])
    assert second != first
    world.encoder.id = "better"
    assert await version(PASSAGES[:2]) != second


async def test_the_demo_corpus_keeps_its_vectors_while_the_encoder_is_away_and_gets_some_when_it_comes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "PAUSE_S", 0)
    back = threading.Event()

    def load(*_: object) -> CountingEncoder:
        if not back.is_set():
            raise Unavailable("The hub cannot be reached.")
        return world.encoder

    async def search(retriever: LocalRetriever, way: RetrieverName) -> str:
        return (await retriever.search("bees", corpus="demo", top_k=1, retriever=way))[0].id

    async with running(demo_retriever(world, load=load)) as retriever:
        assert await search(retriever, "bm25") == "bees"
        without = disk.current(world.corpora, "demo")
        assert not (without / disk.DENSE).exists()
        back.set()
        async with asyncio.timeout(30):
            while retriever.corpora()[0].version == without.name:
                await asyncio.sleep(0.01)
        assert await search(retriever, "hybrid") == "bees"
    back.clear()
    kept = disk.current(world.corpora, "demo")
    async with running(demo_retriever(world, load=load)) as retriever:
        assert await search(retriever, "bm25") == "bees"
    assert disk.current(world.corpora, "demo") == kept


async def test_a_corpus_somebody_else_built_under_the_demos_name_is_left_alone(world: World) -> None:
    version = world.build("demo", PASSAGES[:1]).version
    async with running(demo_retriever(world)) as retriever:
        await retriever.search("apples", corpus="demo", top_k=1)
        assert retriever.corpora()[0].version == version


@pytest.mark.parametrize("file", [disk.PASSAGES, disk.OFFSETS, f"{disk.LEXICAL}/data.csc.index.npy"])
async def test_a_damaged_demo_corpus_is_built_again(world: World, file: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running(demo_retriever(world)) as retriever:
        await retriever.search("bees", corpus="demo", top_k=1)
    damage(disk.current(world.corpora, "demo") / file)
    caplog.set_level(logging.INFO, logger="app")
    async with running(demo_retriever(world)) as retriever:
        assert (await retriever.search("bees", corpus="demo", top_k=1))[0].id == "bees"
        await settled(retriever)
        assert retriever.health().state == "ready"
    [said] = [record for record in caplog.records if "demo" in record.message]
    assert f"{file} is damaged" in said.message and said.exc_info is None


async def test_a_damaged_corpus_somebody_else_built_under_the_demos_name_is_refused_with_the_reason(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    version = world.build("demo").version
    damage(disk.current(world.corpora, "demo") / disk.PASSAGES)
    async with running(demo_retriever(world)) as retriever:
        for _ in range(2):
            with pytest.raises(Unavailable, match="is damaged"):
                await retriever.search("bees", corpus="demo", top_k=1)
        await settled(retriever)
        assert "is damaged" in retriever.health().detail
    assert disk.current(world.corpora, "demo").name == version
    [said] = [record for record in caplog.records if "demo" in record.message]
    assert said.exc_info is None


async def settled(retriever: LocalRetriever) -> None:
    """Until the encoder, which loads beside the searches by words, is up or has failed."""
    while retriever.health().state == "starting":
        await asyncio.sleep(0.01)
