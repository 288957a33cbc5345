"""Doubles of the parts, for tests: a retriever that holds a few passages, and a backend around the scripted engine."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.backend.engines.scripted import ScriptedEngine
from app.backend.errors import NotFound, Unavailable
from app.backend.pipelines.registry import create_registry
from app.backend.service import Backend
from app.backend.storage.database import Database
from app.backend.types import CorpusInfo, Health, Passage, RetrieverName
from app.settings import Settings

PASSAGES = (
    Passage("p1", "Eiffel Tower", "The Eiffel Tower is 330 metres tall. It stands in Paris.", 2.0, "shelf"),
    Passage("p2", "Great Wall", "The Great Wall of China was built over many centuries.", 1.0, "shelf"),
    Passage("p3", "长城", "长城全长两万多公里。", 0.5, "shelf"),
)


class Shelf:
    """Fits `protocols.Retriever`: the same passages for every query. `broken` makes every search Unavailable."""

    def __init__(self) -> None:
        self.queries: list[str] = []
        self.broken = False
        self.state = Health("ready", "", time.time())

    async def start(self) -> None:
        pass

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        if self.broken:
            raise Unavailable("The retriever is down.")
        if corpus != "shelf":
            raise NotFound(f"There is no corpus {corpus!r}.")
        self.queries.append(query)
        return PASSAGES[:top_k]

    def corpora(self) -> tuple[CorpusInfo, ...]:
        return (CorpusInfo("shelf", len(PASSAGES), "1", ("en", "zh"), "Three passages"),)

    def health(self) -> Health:
        return self.state

    async def aclose(self) -> None:
        pass


def settings(folder: Path, **groups: dict[str, object]) -> Settings:
    """Settings of the scripted profile with the shelf as the corpus; `groups` overrides, such as `admission={...}`."""
    server = {"default_corpus": "shelf", **groups.pop("server", {})}
    return Settings.model_validate({"data": folder, "profile": "scripted", "server": server, **groups})


@asynccontextmanager
async def running(
    folder: Path, engine: ScriptedEngine, retriever: Shelf | None = None, /, **groups: dict[str, object]
) -> AsyncIterator[Backend]:
    """A backend that is open and started, and closed afterwards."""
    chosen = settings(folder, **groups)
    backend = Backend(chosen, Database(folder / "colloquy.db"), engine, retriever or Shelf(), create_registry(chosen))
    await backend.open()
    await backend.start()
    try:
        yield backend
    finally:
        await backend.aclose()
