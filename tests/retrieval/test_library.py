"""Which corpora there are and which version of each is open: known without asking the disk, and damage is told."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from app.backend.errors import NotFound, Unavailable
from app.backend.retrieval import corpus as disk
from app.backend.retrieval import library, opened
from app.backend.types import CorpusInfo
from app.settings import RetrievalSettings
from tests.retrieval.conftest import PASSAGES, World, damage

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


async def test_a_folder_that_is_no_corpus_hides_no_newer_version_of_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.build()
    monkeypatch.setattr(library, "LOOK_S", 0.01)
    async with world.retriever() as retriever:
        await retriever.search("bees", corpus="small", top_k=1)
        for name, pointer in (("small (copy)", b"v1"), ("other", b"\xff")):
            (world.corpora / name).mkdir()
            (world.corpora / name / disk.CURRENT).write_bytes(pointer)
        await asyncio.sleep(0.1)
        newer = await asyncio.to_thread(world.build, "small", PASSAGES[:1])
        async with asyncio.timeout(5):
            while [info.version for info in retriever.corpora()] != [newer.version]:
                await retriever.search("apples", corpus="small", top_k=1)
                await asyncio.sleep(0.01)
    assert [info.name for info in world.without_encoder().corpora()] == ["small"]


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


async def test_a_newer_version_that_cannot_be_opened_is_tried_once_and_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.build()
    opens = 0

    def no_room(path: Path, settings: RetrievalSettings) -> None:
        nonlocal opens
        opens += 1
        raise RuntimeError("no room on the GPU")

    async with world.retriever() as retriever:
        await retriever.search("bees", corpus="small", top_k=1)
        monkeypatch.setattr(opened, "open_dense", no_room)
        await asyncio.to_thread(world.build)
        async with asyncio.timeout(5):
            while not retriever.health().detail:
                assert await retriever.search("bees", corpus="small", top_k=1)
                await asyncio.sleep(0.01)
        assert "'small' cannot be opened" in retriever.health().detail
        for query in ("apples", "a hive"):
            assert await retriever.search(query, corpus="small", top_k=1)
    assert opens == 1


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
