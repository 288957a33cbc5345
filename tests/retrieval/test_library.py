"""Which corpora there are: known without asking the disk, and no older than a second."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from app.backend.retrieval import corpus as disk
from app.backend.retrieval import library
from tests.retrieval.conftest import PASSAGES, World

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
