"""A small world to search: a folder for data, an encoder that counts its calls, and corpora built from a few lines."""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from app.backend.errors import Unavailable
from app.backend.retrieval.ingest import Report, corpora_folder, ingest
from app.backend.retrieval.local import LocalRetriever
from app.settings import RetrievalSettings, Settings

if TYPE_CHECKING:
    from app.backend.retrieval.encoder import Vectors

PASSAGES = [
    ("apples", "Apples", "Apples grow on trees and are picked in autumn."),
    ("bees", "Bees", "Bees were running a hive and collected nectar."),
    ("panda", "熊猫", "大熊猫生活在中国四川的竹林里，主要吃竹子。"),
    ("train", "高铁", "高速列车从北京开往上海，全程大约四个半小时。"),
]


class CountingEncoder:
    """Vectors from hashed words. `batches` are the queries it was given together; `poison` in one makes it fail."""

    def __init__(self, dims: int = 32, name: str = "counting") -> None:
        self.id = name
        self.dims = dims
        self.batches: list[list[str]] = []
        self.before_batch: Callable[[], None] = lambda: None

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        self.before_batch()
        if any("poison" in text for text in texts):
            raise RuntimeError("poisoned")
        return self.encode_passages(texts)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.dims), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, zlib.crc32(word.encode()) % self.dims] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


class World:
    """Everything a test needs, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.encoder = CountingEncoder()
        self.settings = Settings(data=folder / "data", retrieval=RetrievalSettings(encoder="counting", device="cpu"))

    @property
    def corpora(self) -> Path:
        return corpora_folder(self.settings)

    def write(self, name: str, lines: Sequence[str | tuple[str, str, str]]) -> Path:
        path = self.folder / name
        rows = [
            line if isinstance(line, str) else json.dumps({"id": line[0], "contents": f"{line[1]}\n{line[2]}"})
            for line in lines
        ]
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        return path

    def build(self, name: str = "small", lines: Sequence[str | tuple[str, str, str]] = PASSAGES) -> Report:
        return ingest(self.settings, name, [self.write(f"{name}.jsonl", lines)], open_encoder=lambda: self.encoder)

    def retriever(self, settings: RetrievalSettings | None = None) -> AbstractAsyncContextManager[LocalRetriever]:
        return running(
            LocalRetriever(
                settings or self.settings.retrieval, self.corpora, lambda ref: ref, load=lambda *_: self.encoder
            )
        )

    def without_encoder(self) -> LocalRetriever:
        def fail(settings: RetrievalSettings, weights: Path | str) -> CountingEncoder:
            raise Unavailable("The encoder 'counting' could not be loaded.")

        return LocalRetriever(self.settings.retrieval, self.corpora, lambda ref: ref, load=fail)


@asynccontextmanager
async def running(retriever: LocalRetriever) -> AsyncIterator[LocalRetriever]:
    await retriever.start()
    try:
        yield retriever
    finally:
        await retriever.aclose()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def damage(path: Path, at: float = 0.5) -> None:
    """One byte is not what it was."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * at) if at > 0 else int(at)] ^= 0xFF
    path.write_bytes(content)
