"""Who shares what engine and retriever remember: each owner gets a salt, so that no owner's waits tell of another's.

Invariant: a salt says nothing about its owner, and its key is never written down: what it opens ends with the process.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from app.backend.protocols import Retriever
from app.backend.types import CorpusInfo, Health, Passage, RetrieverName
from app.settings import ServerSettings

Salts = Callable[[str], str | None]


def create_salts(server: ServerSettings) -> Salts:
    """The salt of an owner; None, which is one cache for all, where all sit at this machine: there it is worth more."""
    if server.mode == "guest" and server.local:
        return lambda owner: None
    key = secrets.token_bytes(32)
    return lambda owner: blake2b(owner.encode(), key=key, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class SaltedRetriever:
    """Fits the `Retriever` protocol: another one, every search of which carries `salt`, whatever a pipeline gives."""

    retriever: Retriever
    salt: str | None

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        return await self.retriever.search(query, corpus=corpus, top_k=top_k, retriever=retriever, cache_salt=self.salt)

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        return await self.retriever.embed(texts)

    async def rerank(self, query: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
        return await self.retriever.rerank(query, passages)

    def corpora(self) -> tuple[CorpusInfo, ...]:
        return self.retriever.corpora()

    def health(self) -> Health:
        return self.retriever.health()

    async def start(self) -> None:
        raise RuntimeError("a retriever is started by the backend")

    async def aclose(self) -> None:
        raise RuntimeError("a retriever is closed by the backend")
