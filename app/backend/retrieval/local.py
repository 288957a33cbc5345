"""The retriever in this process.

Invariant: the encoder and the dense indexes are used by one thread only, and a search sees one version of its corpus
from beginning to end, also while a newer one takes over.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram

from app.backend.errors import BadInput, ColloquyError, Unavailable
from app.backend.retrieval import corpus as disk
from app.backend.retrieval.batcher import Batcher
from app.backend.retrieval.build import Progress
from app.backend.retrieval.encoder import Encoder, load_encoder
from app.backend.retrieval.fusion import CANDIDATES, Hit, dense_weight, reciprocal_rank_fusion
from app.backend.retrieval.opened import DenseSearch, LexicalSearch, Opened, open_corpus, search_dense, search_lexical
from app.backend.types import CorpusInfo, Health, Passage, RetrieverName
from app.settings import RetrievalSettings

log = logging.getLogger(__name__)
T = TypeVar("T")

MOST_PASSAGES = 1000
_EXPECTED_S = 25.0
_HANGS = "The search hangs; it is tried again as soon as it moves."
LoadEncoder = Callable[[RetrievalSettings, Path | str], Encoder]


@dataclass(frozen=True, slots=True)
class Demo:
    """A corpus that is built when it is missing. `info` is shown until then."""

    info: CorpusInfo
    build: Callable[[Encoder | None, Progress], None]


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
        self._resolve = resolve
        self._demo = demo
        self._load = load
        self._since = time.time()
        self._state = "new"
        self._note = ""
        self._opened: dict[str, Opened] = {}
        self._opening: dict[str, asyncio.Task[Opened]] = {}
        self._refused: dict[str, tuple[str, str]] = {}
        self._cache: OrderedDict[tuple[object, ...], tuple[Passage, ...]] = OrderedDict()
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
        self._dense = Batcher("dense", search_dense, size, observed("dense").observe)
        self._lexical = Batcher("lexical", search_lexical, size, observed("lexical").observe)
        self._encoder = asyncio.create_task(_in_thread(self._load_encoder)) if self._settings.encoder else None
        self._first = asyncio.create_task(self._open_all())
        self._demo_built = asyncio.create_task(self._build_demo(self._demo)) if self._demo else None

    async def aclose(self) -> None:
        if self._state != "started":
            return
        self._state = "stopped"
        self._dense.close()
        self._lexical.close()
        tasks = [self._encoder, self._first, self._demo_built, *self._opening.values()]
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    @property
    def waiting(self) -> int:
        """Queries in the queues of the two threads."""
        return self._dense.waiting + self._lexical.waiting

    def corpora(self) -> tuple[CorpusInfo, ...]:
        found = []
        for name in disk.names(self.folder):
            try:
                version = disk.current(self.folder, name)
                opened = self._opened.get(name)
                if opened and (opened.version == version.name or name in self._refused):
                    found.append(opened.manifest.info())
                elif name not in self._refused:
                    found.append(disk.read_manifest(version).info())
            except ColloquyError as error:
                log.warning("corpus %s is left out: %s", name, error.message)
        if self._demo is not None and self._demo.info.name not in {info.name for info in found} | self._refused.keys():
            found.append(self._demo.info)
        return tuple(found)

    def health(self) -> Health:
        if self._state == "new":
            return Health("starting", "It waits for the interface.", self._since, _EXPECTED_S)
        if self._state != "started":
            return Health("stopped", "The retriever is stopped.", self._since)
        if self._hangs():
            return Health("down", _HANGS, self._since)
        refused = " ".join(message for _, message in self._refused.values())
        if self._encoder is not None and self._encoder.done() and (error := _failure(self._encoder)) is not None:
            detail = f"{error} BM25 still answers."
            return Health("down", f"{detail} {refused}".strip(), self._since)
        waiting = [
            task for task in (self._encoder, self._first, self._demo_built) if task is not None and not task.done()
        ]
        if waiting:
            return Health("starting", self._note or "Loading the encoder and the indexes.", self._since, _EXPECTED_S)
        passages = sum(opened.manifest.passages for opened in self._opened.values())
        detail = f"{passages} passages can be searched."
        return Health("ready", f"{detail} {refused}".strip(), self._since)

    async def search(
        self, query: str, *, corpus: str, top_k: int, retriever: RetrieverName | None = None
    ) -> tuple[Passage, ...]:
        if self._state != "started":
            raise Unavailable("The retriever is not running.")
        text = query.encode("utf-8", "replace").decode().strip()  # a lone surrogate would fail the whole batch
        if not text:
            raise BadInput("The query is empty; ask something.")
        if not 1 <= top_k <= MOST_PASSAGES:
            raise BadInput(f"top_k must be between 1 and {MOST_PASSAGES}.")
        how = retriever or self._settings.retriever
        opened = await self._corpus(corpus)
        key = (text, opened.manifest.encoder, corpus, opened.version, top_k, how)
        known = self._cache.get(key)
        self._lookups.labels("miss" if known is None else "hit").inc()
        if known is not None:
            self._cache.move_to_end(key)
            return known
        if self._hangs():
            raise Unavailable(_HANGS)
        try:
            hits = await self._hits(text, opened, top_k, how)
            rows = await asyncio.to_thread(opened.passages.read_many, [row for row, _ in hits])
        except ColloquyError:
            raise
        except Exception as error:
            log.exception("a search in corpus %s failed", corpus)
            raise Unavailable(f"The search in corpus {corpus!r} failed; try again.") from error
        found = tuple(
            Passage(identity, title, body, score, corpus)
            for (identity, title, body), (_, score) in zip(rows, hits, strict=True)
        )
        self._remember(key, found)
        return found

    def _hangs(self) -> bool:
        """Whether a thread is lost in a batch; what came now would only wait behind it."""
        return max(self._dense.busy_s(), self._lexical.busy_s()) > self._settings.timeout_s

    async def _hits(self, text: str, opened: Opened, top_k: int, how: RetrieverName) -> Sequence[Hit]:
        if how == "bm25":
            return await self._lexical.submit(LexicalSearch(text, opened.lexical, top_k))
        encoder = await self._ready_encoder()
        index = opened.dense_for(encoder)
        if how == "dense":
            return await self._dense.submit(DenseSearch(text, encoder, index, top_k))
        depth = max(CANDIDATES, 2 * top_k)
        dense, lexical = await asyncio.gather(
            self._dense.submit(DenseSearch(text, encoder, index, depth)),
            self._lexical.submit(LexicalSearch(text, opened.lexical, depth)),
        )
        weight = dense_weight(text, self._settings)
        return reciprocal_rank_fusion([(weight, dense), (1.0, lexical)], self._settings.rrf_k)[:top_k]

    async def _ready_encoder(self) -> Encoder:
        if self._encoder is None:
            raise Unavailable("This server has no encoder; search with bm25, or set retrieval.encoder.")
        return await asyncio.shield(self._encoder)

    async def _corpus(self, name: str) -> Opened:
        """The newest version that is open; a newer one on disk is opened beside it."""
        if self._demo_built is not None and self._is_demo(name) and name not in self._opened:
            await asyncio.shield(self._demo_built)
        version = disk.current(self.folder, name).name
        opened = self._opened.get(name)
        if opened is not None and opened.version == version:
            return opened
        refused_version, reason = self._refused.get(name, ("", ""))
        if refused_version == version:
            if opened is None:
                raise Unavailable(reason)
            return opened
        task = self._opening.get(name)
        if task is None:
            task = self._opening[name] = asyncio.create_task(self._open(name))
            task.add_done_callback(_failure)
        return opened if opened is not None else await asyncio.shield(task)

    async def _open(self, name: str) -> Opened:
        version = ""
        try:
            for attempt in range(2):  # a version may be swept away by a newer one between finding and opening it
                path = disk.current(self.folder, name)
                version = path.name
                try:
                    opened = await _in_thread(lambda path=path: open_corpus(path, self._settings))  # type: ignore[misc]
                    break
                except BadInput:
                    if attempt or disk.current(self.folder, name) == path:
                        raise
            self._refused.pop(name, None)
            self._opened[name] = opened
            return opened
        except BadInput as error:
            log.error("%s", error.message)
            self._refused[name] = (version, error.message)
            raise Unavailable(error.message) from error
        finally:
            self._opening.pop(name, None)

    async def _open_all(self) -> None:
        names = await asyncio.to_thread(disk.names, self.folder)
        await asyncio.gather(*(self._corpus(name) for name in names if not self._is_demo(name)), return_exceptions=True)

    def _is_demo(self, name: str) -> bool:
        return self._demo is not None and self._demo.info.name == name

    async def _build_demo(self, demo: Demo) -> None:
        """Build it with the encoder, or without one if it doesn't come up; a failure leaves the rest working."""
        encoder = None
        if self._encoder is not None:
            await asyncio.wait([self._encoder])
            encoder = None if _failure(self._encoder) else self._encoder.result()
        name = demo.info.name
        try:
            await _in_thread(lambda: demo.build(encoder, self._tell))
        except ColloquyError as error:
            log.error("the demo corpus could not be built: %s", error.message)
            self._refused[name] = ("", error.message)
            return
        with suppress(Unavailable):  # logged and kept by `_open`
            await self._open(name)

    def _tell(self, phase: str, done: int, total: int | None) -> None:
        self._note = f"Building the demo corpus: {phase}, {done} of {total or 'many'} passages."

    def _load_encoder(self) -> Encoder:
        return self._load(self._settings, self._resolve(self._settings.encoder))

    def _remember(self, key: tuple[object, ...], found: tuple[Passage, ...]) -> None:
        self._cache[key] = found
        while len(self._cache) > self._settings.cache_entries:
            self._cache.popitem(last=False)


async def _in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread of its own that doesn't keep the program from ending: imports alone may take 16 s."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 (whoever awaits gets it)
            future.set_exception(error)
        else:
            future.set_result(result)

    future.set_running_or_notify_cancel()  # from here on only the wait for it can be cancelled
    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(future)


def _failure(task: asyncio.Task[T]) -> BaseException | None:
    return None if task.cancelled() else task.exception()
