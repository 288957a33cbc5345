"""The seams: what the backend asks of an engine, a retriever and a pipeline. Adapters and doubles fit them alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.backend.events import Event
from app.backend.types import CorpusInfo, Delta, Health, Passage, Prompt, Query, RetrieverName, Sampling


class Engine(Protocol):
    """Generates text. Closing or cancelling the iterator of `stream` aborts the request in the engine."""

    @property
    def model(self) -> str:
        """Display name of the model."""

    @property
    def context_tokens(self) -> int:
        """Prompt and completion together may have this many tokens. Valid once `health()` is ready."""

    async def start(self) -> None:
        """Begin to come up and return at once; `health()` tells the rest."""

    def stream(
        self, prompt: Prompt, sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        """Answer a chat, or go on with a text.

        Raises Unavailable when not ready or dying, BadInput if the prompt is too long.
        What is remembered of a prompt speeds up only prompts with the same `cache_salt`.
        """

    async def count_tokens(self, prompt: Prompt) -> int:
        """Tokens of the prompt, with a chat's template."""

    def health(self) -> Health: ...

    async def aclose(self) -> None: ...


class Retriever(Protocol):
    """Finds passages in corpora."""

    async def start(self) -> None:
        """Begin to come up and return at once; `health()` tells the rest."""

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        """The `top_k` best passages, best first, in a deterministic order; fewer when the corpus has fewer.

        `retriever` None takes the configured default. What is remembered of a search, or is under way, speeds up only
        searches with the same `cache_salt`. Raises NotFound for an unknown corpus, Unavailable when down.
        """

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """Vectors of length 1, for comparing texts with each other. Raises Unavailable when there is no encoder."""

    async def rerank(self, query: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
        """The passages by a cross-encoder, best first, with its scores. Raises Unavailable when there is none."""

    def corpora(self) -> tuple[CorpusInfo, ...]:
        """What can be searched now. Cheap; known before the models are up."""

    def health(self) -> Health: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What a pipeline may use. Bound to one request: the engine meters what it costs.

    Every call is cancelled at the request's deadline, which was made once, when it was let in.
    `may_do_without` says whether to answer from memory when the retriever fails, or not at all. A pipeline that draws
    by itself draws with the `seed`.
    """

    engine: Engine
    retriever: Retriever
    request_id: str
    may_do_without: bool = True
    seed: int | None = None


class Pipeline(Protocol):
    """A RAG method: an async generator of events with no state between calls.

    It yields `Step` when a stage begins and ends with `Done(answer, citations)`; the service fills in usage and
    timings. Errors are raised, never yielded.
    """

    def __call__(self, query: Query, tools: Tools) -> AsyncGenerator[Event, None]: ...
