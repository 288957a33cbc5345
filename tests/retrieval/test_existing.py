"""Taking over a corpus with the indexes that FlashRAG built for it: as they are, and out of reach of their owner."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import faiss
import pytest

from app.backend.errors import BadInput, StoreError
from app.backend.retrieval import copies
from app.backend.retrieval import corpus as disk
from app.backend.retrieval.ingest import Report, ingest_index
from tests.retrieval.conftest import PASSAGES, World
from tests.retrieval.test_lexical import as_flashrag_builds

pytestmark = pytest.mark.anyio
CONTENTS = [f"{title}\n{text}" for _, title, text in PASSAGES]


class Existing:
    """A FlashRAG corpus with its indexes, as its own tools leave them."""

    def __init__(self, world: World) -> None:
        self.corpus = world.write("corpus.jsonl", PASSAGES)
        self.index = world.folder / "e5_Flat.index"
        index = faiss.IndexFlatIP(world.encoder.dims)
        index.add(world.encoder.encode_passages(CONTENTS))
        faiss.write_index(index, str(self.index))
        self.bm25 = as_flashrag_builds(world.folder / "bm25", CONTENTS, "en")
        self.world = world

    def ingest(self, **parts: Path | None) -> Report:
        given = {"index": self.index, "bm25": self.bm25, **parts}
        return ingest_index(self.world.settings, "old", self.corpus, open_encoder=lambda: self.world.encoder, **given)


async def test_an_existing_flashrag_index_loads_unchanged(world: World) -> None:
    existing = Existing(world)
    report = existing.ingest()
    assert (report.passages, report.dims) == (4, 32)
    version = disk.current(world.corpora, "old")
    assert (version / disk.DENSE).read_bytes() == existing.index.read_bytes()
    assert (version / disk.PASSAGES).read_bytes() == existing.corpus.read_bytes()
    async with world.retriever() as retriever:
        for way, query in (
            ("bm25", "who runs and collects"),
            ("dense", CONTENTS[1]),
            ("hybrid", "bees collect nectar"),
        ):
            found = await retriever.search(query, corpus="old", top_k=1, retriever=way)
            assert (found[0].id, found[0].title, found[0].text) == PASSAGES[1]


async def test_what_becomes_of_the_originals_does_not_reach_the_corpus(world: World) -> None:
    existing = Existing(world)
    existing.ingest()
    version = disk.current(world.corpora, "old")
    for path in (existing.corpus, existing.index, *filter(Path.is_file, existing.bm25.iterdir())):
        with path.open("r+b") as file:
            file.write(b"something else")
            file.truncate(20)
    disk.check_files(version, disk.read_manifest(version))
    async with world.retriever() as retriever:
        assert (await retriever.search("bees collect nectar", corpus="old", top_k=1))[0].id == "bees"


def test_without_room_for_the_copies_nothing_is_copied(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    existing = Existing(world)
    copied: list[Path] = []
    monkeypatch.setattr(copies, "_share", lambda *_: False)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=1))
    monkeypatch.setattr(shutil, "copyfile", lambda source, _: copied.append(source))
    with pytest.raises(StoreError, match=r"needs .* MiB left; free some"):
        existing.ingest()
    assert copied == []
    assert disk.names(world.corpora) == []


@dataclass(frozen=True)
class Usage:
    free: int


async def test_parts_that_do_not_exist_are_built(world: World) -> None:
    Existing(world).ingest(index=None, bm25=None)
    async with world.retriever() as retriever:
        assert (await retriever.search("熊猫吃什么", corpus="old", top_k=1, retriever="bm25"))[0].id == "panda"
        assert (await retriever.search("bees", corpus="old", top_k=1, retriever="dense"))[0].id == "bees"


def test_parts_that_do_not_belong_together_are_refused(world: World) -> None:
    existing = Existing(world)
    world.write("corpus.jsonl", PASSAGES[:3])
    with pytest.raises(BadInput, match="4 rows, the corpus 3"):
        existing.ingest()
    world.write("corpus.jsonl", PASSAGES)
    world.encoder.dims = 64
    with pytest.raises(BadInput, match=r"vectors of 32 numbers.*64"):
        existing.ingest()
    world.encoder.dims = 32
    world.write("corpus.jsonl", [*PASSAGES[:3], "not json"])
    with pytest.raises(BadInput, match=r"corpus\.jsonl:4"):
        existing.ingest()
    with pytest.raises(BadInput, match=r"none\.index does not exist"):
        existing.ingest(index=world.folder / "none.index")
    with pytest.raises(BadInput, match="is no file"):
        existing.ingest(index=existing.bm25)
    with pytest.raises(BadInput, match="is no folder"):
        existing.ingest(bm25=existing.index)
    other = world.write("other.index", ["no index at all"])
    world.write("corpus.jsonl", PASSAGES)
    with pytest.raises(BadInput, match=r"other\.index is no faiss index"):
        existing.ingest(index=other)
    assert disk.names(world.corpora) == []
