"""The retriever in this process.

Invariant: the encoder and the dense indexes are used by one thread only, and a search sees one version of its corpus
from beginning to end, also while a newer one takes over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Histogram

from app.backend.errors import BadInput, ColloquyError, DenseUnavailable, Unavailable
from app.backend.pieces import pieces
from app.backend.retrieval.batcher import Batcher
from app.backend.retrieval.encoder import Encoder, load_encoder
from app.backend.retrieval.fusion import CANDIDATES, Hit, dense_weight, reciprocal_rank_fusion
from app.backend.retrieval.joined import Joined
from app.backend.retrieval.library import Demo, Library
from app.backend.retrieval.loading import EncoderLoader
from app.backend.retrieval.opened import Asked, ByMeaning, DenseSearch, LexicalSearch, Opened, Texts, search_lexical
from app.backend.retrieval.rerank import Pairs, Reranker, load_reranker, score_pairs
from app.backend.retrieval.threads import in_thread
from app.backend.types import CorpusInfo, Health, Passage, RetrieverName
from app.settings import RetrievalSettings

log = logging.getLogger(__name__)

MOST_PASSAGES = 1000
_EXPECTED_S = 25.0
_HANGS = "The search hangs; it is tried again as soon as it moves."
LoadEncoder = Callable[[RetrievalSettings, Path | str], Encoder]


class LocalRetriever:
    """Implements `protocols.Retriever` over the corpora in a folder."""

    def __init__(
        self,
        settings: RetrievalSettings,
        corpora: Path,
        resolve: Callable[[str], Path | str],
        *,
        demo: Demo | None = None,
        load: LoadEncoder = load_encoder,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._settings = settings
        self.folder = corpora
        self._library = Library(settings, corpora, demo)
        self._resolve = resolve
        self._load = load
        self._reranker: asyncio.Task[Reranker] | None = None
        self._since = time.time()
        self._state = "new"
        self._note = ""
        self._cache: OrderedDict[tuple[object, ...], tuple[Passage, ...]] = OrderedDict()
        self._searches = Joined[tuple[Passage, ...]]()
        self._batches = Histogram(
            "colloquy_retrieval_batch_queries",
            "Queries searched together",
            ("index",),
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=registry,
        )
        self._lookups = Counter(
            "colloquy_retrieval_cache_lookups", "Searches that asked the cache", ("result",), registry=registry
        )

    async def start(self) -> None:
        self._state = "started"
        self._since = time.time()
        size, observed = self._settings.batch_size, self._batches.labels
        self._dense = Batcher("dense", ByMeaning(), size, observed("dense").observe)
        self._lexical = Batcher("lexical", search_lexical, size, observed("lexical").observe)
        self._crossed = Batcher("rerank", score_pairs, size, observed("rerank").observe)
        self._encoder = EncoderLoader(self._load_encoder, self._came_late) if self._settings.encoder else None
        self._library.start(self._encoder.first if self._encoder else None, self._tell)

    async def aclose(self) -> None:
        if self._state != "started":
            return
        self._state = "stopped"
        self._dense.close()
        self._lexical.close()
        self._crossed.close()
        closing: list[Awaitable[object]] = [self._library.aclose()]
        if self._encoder is not None:
            closing.append(self._encoder.aclose())
        if self._reranker is not None:
            self._reranker.cancel()
            closing.append(self._reranker)
        await asyncio.gather(*closing, return_exceptions=True)

    @property
    def waiting(self) -> int:
        """Queries in the queues of the two threads."""
        return self._dense.waiting + self._lexical.waiting

    def corpora(self) -> tuple[CorpusInfo, ...]:
        return self._library.corpora()

    def health(self) -> Health:
        if self._state == "new":
            return Health("starting", "It waits for the interface.", self._since, _EXPECTED_S)
        if self._state != "started":
            return Health("stopped", "The retriever is stopped.", self._since)
        if self._hangs():
            return Health("down", _HANGS, self._since)
        refused = self._library.refused
        if self._encoder is not None and self._encoder.error:
            return Health("down", f"{self._encoder.error} BM25 still answers. {refused}".strip(), self._since)
        if not self._library.ready or (self._encoder is not None and not self._encoder.first.done()):
            return Health("starting", self._note or "Loading the encoder and the indexes.", self._since, _EXPECTED_S)
        return Health("ready", refused, self._since)

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        if self._state != "started":
            raise Unavailable("The retriever is not running.")
        text = query.encode("utf-8", "replace").decode().strip()  # a lone surrogate would fail the whole batch
        if not text:
            raise BadInput("The query is empty; ask something.")
        if not 1 <= top_k <= MOST_PASSAGES:
            raise BadInput(f"top_k must be between 1 and {MOST_PASSAGES}.")
        how = retriever or self._settings.retriever
        opened = await self._library.get(corpus)
        key = (text, opened.manifest.encoder, corpus, opened.version, top_k, how, cache_salt)
        known = self._cache.get(key)
        self._lookups.labels("hit" if known is not None else "joined" if key in self._searches else "miss").inc()
        if known is not None:
            self._cache.move_to_end(key)
            return known
        if self._hangs():
            raise Unavailable(_HANGS)
        found = await self._searches.do(key, lambda: self._find((cache_salt, text), opened, corpus, top_k, how))
        self._remember(key, found)
        return found

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        encoder = await self._ready_encoder()
        vectors: list[tuple[float, ...]] = []
        for piece in pieces(texts):  # one after the other: searches go in between, and who has left is not worked for
            found = await self._dense.submit(Texts(tuple(texts[piece]), encoder))
            vectors += (tuple(map(float, vector)) for vector in cast("Sequence[Sequence[float]]", found))
        return tuple(vectors)

    async def rerank(self, query: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
        if not self._settings.reranker:
            raise Unavailable("This server has no cross-encoder; set retrieval.reranker to one.")
        if self._reranker is None or _failed(self._reranker):  # loaded when it is wanted
            self._reranker = asyncio.create_task(in_thread(self._load_reranker))
        reranker = await asyncio.shield(self._reranker)
        texts = tuple(f"{passage.title}\n{passage.text}" for passage in passages)
        scores: list[float] = []
        for piece in pieces(texts):  # as above
            scores += await self._crossed.submit(Pairs(query, texts[piece], reranker))
        ranked = sorted(zip(scores, passages, strict=True), key=lambda pair: -pair[0])
        return tuple(replace(passage, score=score) for score, passage in ranked)

    async def _find(
        self, asked: Asked, opened: Opened, corpus: str, top_k: int, how: RetrieverName
    ) -> tuple[Passage, ...]:
        try:
            hits = await self._hits(asked, opened, top_k, how)
            rows = await asyncio.to_thread(opened.passages.read_many, [row for row, _ in hits])
        except ColloquyError:
            raise
        except Exception as error:
            log.exception("a search in corpus %s failed", corpus)
            raise Unavailable(f"The search in corpus {corpus!r} failed; try again.") from error
        return tuple(
            Passage(identity, title, body, score, corpus)
            for (identity, title, body), (_, score) in zip(rows, hits, strict=True)
        )

    def _hangs(self) -> bool:
        """Whether a thread is lost in a batch; what came now would only wait behind it."""
        return max(self._dense.busy_s(), self._lexical.busy_s()) > self._settings.timeout_s

    async def _hits(self, asked: Asked, opened: Opened, top_k: int, how: RetrieverName) -> Sequence[Hit]:
        _, text = asked
        if how == "bm25":
            return await self._lexical.submit(LexicalSearch(text, opened.lexical, top_k))
        if how == "dense":
            return await self._by_meaning(asked, opened, top_k)
        depth = max(CANDIDATES, 2 * top_k)
        dense, lexical = await asyncio.gather(
            self._dense_half(asked, opened, depth), self._lexical.submit(LexicalSearch(text, opened.lexical, depth))
        )
        weight = dense_weight(text, self._settings)
        return reciprocal_rank_fusion([(weight, dense), (1.0, lexical)], self._settings.rrf_k)[:top_k]

    async def _by_meaning(self, asked: Asked, opened: Opened, k: int) -> Sequence[Hit]:
        salt, text = asked
        encoder = await self._ready_encoder()
        search = DenseSearch(text, encoder, opened.dense_for(encoder), k, salt)
        return cast("Sequence[Hit]", await self._dense.submit(search))

    async def _dense_half(self, asked: Asked, opened: Opened, k: int) -> Sequence[Hit]:
        try:
            return await self._by_meaning(asked, opened, k)
        except ColloquyError as error:
            raise DenseUnavailable(error.message) from error
        except Exception as error:
            log.exception("the dense half of a search failed")
            raise DenseUnavailable("The search by meaning failed.") from error

    async def _ready_encoder(self) -> Encoder:
        if self._encoder is None:
            raise Unavailable("This server has no encoder; search with bm25, or set retrieval.encoder.")
        return await self._encoder.get()

    def _load_encoder(self) -> Encoder:
        return self._load(self._settings, self._resolve(self._settings.encoder))

    async def _came_late(self, encoder: Encoder) -> None:
        await self._library.encoder_came_late(encoder, self._tell)

    def _load_reranker(self) -> Reranker:
        return load_reranker(self._settings, self._resolve(self._settings.reranker))

    def _tell(self, note: str) -> None:
        self._note = note

    def _remember(self, key: tuple[object, ...], found: tuple[Passage, ...]) -> None:
        self._cache[key] = found
        while len(self._cache) > self._settings.cache_entries:
            self._cache.popitem(last=False)


def _failed(loading: asyncio.Task[Reranker]) -> bool:
    return loading.done() and not loading.cancelled() and loading.exception() is not None
