"""The retriever of another Colloquy server: `/v1/retrieve`, `/v1/rerank`, `/v1/embeddings`, `/api/corpora`.

Invariant: only a connection that was never made is tried again; a refusal of the other server is raised as its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.backend.errors import (
    BadInput,
    Busy,
    ColloquyError,
    DeadlineExceeded,
    DenseUnavailable,
    NotFound,
    Refused,
    Unavailable,
)
from app.backend.types import CorpusInfo, Health, HealthState, Passage, RetrieverName
from app.settings import RetrievalSettings

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

_TRIES = 3
_REFRESH_S = 10.0
_RETRY_S = 1.0
_LOADING = "The retrieval server is loading its models and indexes."
_UNREADABLE = "The retrieval server gave an answer that can't be read; check its address and version."
_ERRORS: dict[str, type[ColloquyError]] = {
    kind.code: kind for kind in (BadInput, NotFound, Refused, Busy, DeadlineExceeded, Unavailable, DenseUnavailable)
}


class RemoteRetriever:
    """Implements `protocols.Retriever`. The servers in `urls` must serve the same corpora; they are asked in turn."""

    def __init__(self, settings: RetrievalSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._urls = tuple(url.rstrip("/") for url in settings.urls)
        self._settings = settings
        self._transport = transport
        self._next = 0
        self._corpora: tuple[CorpusInfo, ...] = ()
        self._health = Health("starting", "The retrieval server was not asked yet.", time.time())

    async def start(self) -> None:
        import httpx

        self._client = httpx.AsyncClient(transport=self._transport, timeout=self._settings.timeout_s)
        self._watch = asyncio.create_task(self._keep_asking())

    async def aclose(self) -> None:
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        await self._client.aclose()
        self._tell("stopped", "The retriever is not running.")

    def corpora(self) -> tuple[CorpusInfo, ...]:
        return self._corpora

    def health(self) -> Health:
        return self._health

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        asked = {
            "query": query,
            "corpus": corpus,
            "top_k": top_k,
            "retriever": retriever or self._settings.retriever,
            **({"cache_salt": cache_salt} if cache_salt else {}),
        }
        answer = await self._request("POST", "/v1/retrieve", asked)
        try:
            found = answer["results"][0]
            return tuple(_passage(one, corpus) for one in found)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise Unavailable(_UNREADABLE) from error

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        answer = await self._request("POST", "/v1/embeddings", {"input": list(texts)})
        try:
            return tuple(tuple(map(float, one["embedding"])) for one in answer["data"])
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(_UNREADABLE) from error

    async def rerank(self, query: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
        documents = [f"{passage.title}\n{passage.text}" for passage in passages]
        answer = await self._request("POST", "/v1/rerank", {"query": query, "documents": documents})
        try:
            ranked = [(passages[one["index"]], float(one["relevance_score"])) for one in answer["results"]]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise Unavailable(_UNREADABLE) from error
        return tuple(replace(passage, score=score) for passage, score in ranked)

    async def _keep_asking(self) -> None:
        while True:
            try:
                answer = await self._request("GET", "/api/corpora", None)
                self._corpora = tuple(_corpus(one) for one in answer["corpora"])
                # It lists its corpora while it still loads them.
                loading = (await self._request("GET", "/readyz", None, also=503)).get("retriever") == "starting"
                self._tell("starting" if loading else "ready", _LOADING if loading else "")
            except ColloquyError as error:
                self._tell("down", error.message)
            except Exception as error:  # noqa: BLE001 - whatever it answers, it is asked again
                log.warning("the retrieval server's answer cannot be used: %r", error)
                self._tell("down", "The retrieval server is none.")
            await asyncio.sleep(_RETRY_S if self._health.state == "starting" else _REFRESH_S)

    def _tell(self, state: HealthState, detail: str) -> None:
        since = self._health.since if self._health.state == state else time.time()
        self._health = Health(state, detail, since)

    async def _request(
        self, method: str, path: str, body: dict[str, object] | None, *, also: int = 200
    ) -> dict[str, Any]:
        """The JSON that a server answers with success, or `also` with this status."""
        import httpx
        import stamina

        never_connected = (httpx.ConnectError, httpx.ConnectTimeout)
        retries = stamina.retry_context(on=never_connected, attempts=_TRIES, wait_initial=0.05, wait_jitter=0.05)
        try:
            async for attempt in retries:
                with attempt:
                    url = self._urls[self._next % len(self._urls)]
                    self._next += 1
                    response = await self._client.request(method, url + path, json=body)
            payload = response.json()
        except (httpx.HTTPError, ValueError) as error:
            log.warning("the retrieval server did not answer: %s", error)
            raise Unavailable("The retrieval server can't be reached; check that it runs.") from error
        if not isinstance(payload, dict):
            raise Unavailable(_UNREADABLE)
        if response.is_error and response.status_code != also:
            raise _as_error(payload, response.status_code)
        return payload


def _as_error(payload: dict[str, object], status: int) -> ColloquyError:
    told = payload.get("error")
    if isinstance(told, dict):
        kind = _ERRORS.get(str(told.get("code") or told.get("type")), Unavailable)
        return kind(str(told.get("message", "")), retry_after_s=told.get("retry_after_s"))
    return Unavailable(f"The retrieval server failed (status {status}).")


def _passage(hit: Any, corpus: str) -> Passage:
    return Passage(str(hit["id"]), str(hit["title"]), str(hit["text"]), float(hit["score"]), corpus)


def _corpus(entry: Any) -> CorpusInfo:
    return CorpusInfo(
        name=str(entry["name"]),
        passages=int(entry["passages"]),
        version=str(entry["version"]),
        languages=tuple(map(str, entry["languages"])),
        description=str(entry["description"]),
    )
