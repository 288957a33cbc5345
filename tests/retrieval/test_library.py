"""Which corpora there are and which version of each is open: known without asking the disk, and damage is told."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from pathlib import Path

import pytest

from app.backend.errors import NotFound, Unavailable
from app.backend.retrieval import corpus as disk
from app.backend.retrieval import library, loading
from app.backend.retrieval.ingest import ensure_demo
from app.backend.retrieval.library import Demo
from app.backend.retrieval.local import LoadEncoder, LocalRetriever
from app.backend.types import CorpusInfo, RetrieverName
from tests.retrieval.conftest import PASSAGES, CountingEncoder, World, running

pytestmark = pytest.mark.anyio


async def test_no_question_and_no_search_reads_the_disk_on_the_event_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.build()
    readers: list[int] = []

    def watched(read):
        def call(*arguments):
            readers.append(threading.get_ident())
            return read(*arguments)

        return call

    async with world.retriever() as retriever:
        await retriever.search("bees", corpus="small", top_k=1)
        for name in ("names", "current", "read_manifest"):
            monkeypatch.setattr(disk, name, watched(getattr(disk, name)))
        monkeypatch.setattr(library, "LOOK_S", 0.01)
        assert [info.name for info in retriever.corpora()] == ["small"]
        await retriever.search("apples", corpus="small", top_k=1)
        await asyncio.to_thread(world.build, "later", PASSAGES[:1])
        while [info.name for info in retriever.corpora()] != ["later", "small"]:
            await asyncio.sleep(0.01)
        assert (await retriever.search("apples", corpus="later", top_k=1))[0].id == "apples"
    assert readers
    assert threading.get_ident() not in readers


async def test_a_manifest_that_cannot_be_read_is_told_once_and_the_other_corpora_are_listed(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.build()
    broken = world.corpora / "broken" / world.build("broken").version / disk.MANIFEST
    broken.write_text("{")
    monkeypatch.setattr(library, "LOOK_S", 0.001)
    looks = 0
    names = disk.names

    def counted(folder: Path) -> list[str]:
        nonlocal looks
        looks += 1
        return names(folder)

    monkeypatch.setattr(disk, "names", counted)
    async with world.retriever() as retriever:
        while looks < 4:
            await asyncio.sleep(0.01)
        assert [info.name for info in retriever.corpora()] == ["small"]
    assert len([r for r in caplog.records if "broken is left out" in r.getMessage()]) == 1


async def test_a_newer_version_takes_over_without_failing_a_search(world: World) -> None:
    world.build(lines=[("old", "Old", "common words")])
    async with world.retriever() as retriever:
        await retriever.search("common words", corpus="small", top_k=1)
        await asyncio.to_thread(world.build, "small", [("new", "New", "common words")])
        seen = set()
        while "new" not in seen:
            seen.add((await retriever.search("common words", corpus="small", top_k=1, retriever="bm25"))[0].id)
            await asyncio.sleep(0)
        assert (await retriever.search("common words", corpus="small", top_k=1))[0].id == "new"
        assert {info.passages for info in retriever.corpora()} == {1}


async def test_a_corpus_that_appears_while_running_is_found(world: World) -> None:
    async with world.retriever() as retriever:
        with pytest.raises(NotFound):
            await retriever.search("bees", corpus="small", top_k=1)
        await asyncio.to_thread(world.build)
        assert (await retriever.search("bees", corpus="small", top_k=1))[0].id == "bees"


async def test_corpora_are_known_before_anything_is_loaded(world: World) -> None:
    report = world.build()
    retriever = world.without_encoder()
    expected = CorpusInfo("small", 4, report.version, ("en", "zh"), "")
    assert retriever.corpora() == (expected,)
    assert retriever.health().state == "starting"


def damage(path: Path, at: float = 0.5) -> None:
    """One byte is not what it was."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * at) if at > 0 else int(at)] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("file", [disk.PASSAGES, disk.DENSE, f"{disk.LEXICAL}/data.csc.index.npy"])
async def test_a_damaged_file_is_named_with_the_fix_and_other_corpora_work(world: World, file: str) -> None:
    world.build()
    world.build("other")
    path = disk.current(world.corpora, "small") / file
    damage(path)
    async with world.retriever() as retriever:
        with pytest.raises(Unavailable, match=f"{file} is damaged.*ingest --corpus small"):
            await retriever.search("bees", corpus="small", top_k=1)
        assert await retriever.search("bees", corpus="other", top_k=1)
        assert "small" in retriever.health().detail and str(world.folder) not in retriever.health().detail
        assert [info.name for info in retriever.corpora()] == ["other"]
        await asyncio.to_thread(world.build)
        assert await retriever.search("bees", corpus="small", top_k=1)
        assert "damaged" not in retriever.health().detail


@pytest.mark.parametrize("at", [0, 0.5, -1], ids=["first", "middle", "last"])
async def test_a_huge_file_is_known_by_blocks_all_over_it(
    world: World, monkeypatch: pytest.MonkeyPatch, at: float
) -> None:
    monkeypatch.setattr(disk, "_HASHED_UP_TO", 0)
    monkeypatch.setattr(disk, "_SAMPLES", 3)
    monkeypatch.setattr(disk, "_SAMPLE_BYTES", 8)
    world.build()
    path = disk.current(world.corpora, "small") / disk.DENSE
    damage(path, at)
    async with world.retriever() as retriever:
        with pytest.raises(Unavailable, match=r"dense\.index is damaged"):
            await retriever.search("bees", corpus="small", top_k=1)
    damage(path, at)  # the byte is what it was
    async with world.retriever() as retriever:
        assert await retriever.search("bees", corpus="small", top_k=1)


async def test_a_manifest_from_before_huge_files_were_sampled_still_loads(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_HASHED_UP_TO", 0)
    world.build()
    file = disk.current(world.corpora, "small") / disk.MANIFEST
    manifest = json.loads(file.read_text())
    assert all(mark.pop("sampled") for mark in manifest["files"].values())
    file.write_text(json.dumps(manifest))
    async with world.retriever() as retriever:
        assert await retriever.search("bees", corpus="small", top_k=1)


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
