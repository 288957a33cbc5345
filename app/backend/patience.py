"""How long an answer waits for a part that has gone quiet.

Invariant: a part that hangs costs one time limit, never the whole deadline; the call into it is cancelled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from app.backend.errors import ColloquyError, Unavailable
from app.backend.protocols import Retriever
from app.backend.types import CorpusInfo, Delta, Health, Passage, RetrieverName

log = structlog.get_logger(__name__)
T = TypeVar("T")


async def steady(
    deltas: AsyncGenerator[Delta, None], stall_s: float, observe: Callable[[float], None]
) -> AsyncGenerator[Delta, None]:
    """`deltas` as they come. Raises Unavailable when one is longer than `stall_s` after the last; `observe` hears the
    pauses. How long the first one takes is up to the deadline: it waits for its prompt and for others.
    """
    async for delta in deltas:
        yield delta
        break
    last = time.monotonic()
    while True:
        try:
            async with asyncio.timeout(stall_s):
                delta = await anext(deltas)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise Unavailable(f"The engine fell silent for {stall_s:g} s in the middle of the answer.") from error
        now = time.monotonic()
        observe(now - last)
        last = now
        yield delta


class PatientRetriever:
    """Fits the `Retriever` protocol: another one, whose searches fail in time and in one way."""

    def __init__(self, retriever: Retriever, timeout_s: float) -> None:
        self._retriever = retriever
        self._timeout_s = timeout_s

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        return await self._patiently(
            self._retriever.search(query, corpus=corpus, top_k=top_k, retriever=retriever, cache_salt=cache_salt),
            corpus=corpus,
        )

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        return await self._patiently(self._retriever.embed(texts))

    async def rerank(self, query: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
        return await self._patiently(self._retriever.rerank(query, passages))

    async def _patiently(self, call: Awaitable[T], **about: str) -> T:
        starting = self._retriever.health().state == "starting"
        try:
            async with asyncio.timeout(None if starting else self._timeout_s):
                return await call
        except ColloquyError:
            raise
        except TimeoutError as error:
            raise Unavailable(f"The search did not answer within {self._timeout_s:g} s.") from error
        except Exception as error:
            log.exception("search failed", **about)
            raise Unavailable("The search failed.") from error

    async def start(self) -> None:
        await self._retriever.start()

    def corpora(self) -> tuple[CorpusInfo, ...]:
        return self._retriever.corpora()

    def health(self) -> Health:
        return self._retriever.health()

    async def aclose(self) -> None:
        await self._retriever.aclose()
