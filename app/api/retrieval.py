"""Retrieval without generation: /v1/retrieve, embeddings, reranking, and /retrieve as Search-R1's server answers it.

Invariants: the n-th list of results belongs to the n-th query. Whatever is asked in bulk, no more than two pieces of it
are with the retriever at once, and none for a client that has left. How many requests there may be, a turnstile says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Protocol

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.access import ERRORS, FULL
from app.api.errors import HttpError
from app.api.schemas import CorpusList, CorpusOut, Text
from app.api.turnstile import Turnstile
from app.backend.errors import BadInput
from app.backend.pieces import TEXTS, pieces
from app.backend.types import CorpusInfo, Passage, RetrieverName

MAX_QUERIES = 4096
MAX_PASSAGES = 5 * MAX_QUERIES  # of one answer
QUERIES_AT_ONCE = 64
BULK_AT_ONCE = 2
QUERY_CHARS = 8_000
Phrase = Annotated[Text, Field(max_length=QUERY_CHARS)]
Queries = Annotated[list[Phrase], Field(min_length=1, max_length=MAX_QUERIES)]
TopK = Annotated[int, Field(ge=1, le=100)]


class Searches(Protocol):
    """What these routes need of a retriever."""

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]: ...

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]: ...

    async def rerank(self, query: str, passages: Sequence[Passage]) -> tuple[Passage, ...]: ...

    def corpora(self) -> tuple[CorpusInfo, ...]: ...


class RetrieveIn(BaseModel):
    """One `query` or several `queries`."""

    model_config = ConfigDict(extra="forbid")

    query: Phrase | None = None
    queries: Queries | None = None
    corpus: Text = ""
    top_k: TopK | None = None
    retriever: RetrieverName | None = None
    rerank: bool = False
    cache_salt: Annotated[Text, Field(max_length=64)] = Field(
        "", description="what is remembered of these queries speeds up only those of yours with the same salt"
    )


class Result(BaseModel):
    id: str
    title: str
    text: str
    score: float


class RetrieveOut(BaseModel):
    results: list[list[Result]] = Field(description="one list for each query, best first")


class EmbeddingsIn(BaseModel):
    input: Queries


class Embedding(BaseModel):
    index: int
    embedding: list[float]


class EmbeddingsOut(BaseModel):
    """In the shape of OpenAI's API."""

    data: list[Embedding]


class RerankIn(BaseModel):
    query: Phrase
    documents: Annotated[list[Text], Field(min_length=1, max_length=1000)]


class Ranked(BaseModel):
    index: int
    relevance_score: float


class RerankOut(BaseModel):
    """In the shape of Jina's and Cohere's APIs, best first."""

    results: list[Ranked]


class SearchR1In(BaseModel):
    """What Search-R1's clients send: also no queries, when no model searched, and empty ones, as models write them."""

    queries: Annotated[list[Text], Field(max_length=MAX_QUERIES)]
    topk: Annotated[int, Field(ge=0, le=100)] | None = None
    return_scores: bool = False


class Document(BaseModel):
    """A row of a FlashRAG corpus: `contents` is the title, a line break and the text."""

    id: str
    contents: str
    title: str
    text: str


class ScoredDocument(BaseModel):
    document: Document
    score: float


class SearchR1Out(BaseModel):
    result: list[list[ScoredDocument]] | list[list[Document]]


def routes(
    searcher: Searches,
    turnstile: Turnstile,
    *,
    default_corpus: str,
    default_top_k: int,
    salt_of: Callable[[str], str | None] = lambda owner: None,
) -> APIRouter:
    """`salt_of` is what keeps the searches of one owner from speeding up another's."""
    router = APIRouter(tags=["retrieval"], responses={404: ERRORS[404], 422: ERRORS[422]})

    bounded = APIRouter(dependencies=[Depends(turnstile.inside)], responses=FULL)
    bulk = asyncio.Semaphore(BULK_AT_ONCE)  # of all requests: the first in line waits for a piece, not for a request

    async def in_turn(request: Request, texts: Sequence[str], most: int = TEXTS) -> AsyncGenerator[slice, None]:
        """Pieces of `texts`, each in its turn; ends with an error when the client has left."""
        for piece in pieces(texts, most):
            async with bulk:
                if await request.is_disconnected():
                    raise HttpError(499, "left", "The client has left.")
                yield piece

    async def search(
        request: Request,
        queries: list[str],
        corpus: str,
        top_k: int | None,
        retriever: RetrieverName | None,
        salt: str = "",
    ) -> list[tuple[Passage, ...]]:
        top_k, corpus = top_k or default_top_k, corpus or default_corpus
        if len(queries) * top_k > MAX_PASSAGES:
            raise BadInput(
                f"{len(queries):,} queries with {top_k} passages each are more than {MAX_PASSAGES:,} passages in all; "
                "send fewer queries at a time."
            )
        salted = (salt_of(request.state.principal.id) or "") + salt  # so nobody can name another's

        async def one(query: str) -> tuple[Passage, ...]:
            return await searcher.search(
                query, corpus=corpus, top_k=top_k, retriever=retriever, cache_salt=salted or None
            )

        if len(queries) == 1:
            async with turnstile.searching:
                return [await one(queries[0])]
        found: list[tuple[Passage, ...]] = []
        async with aclosing(in_turn(request, queries, QUERIES_AT_ONCE)) as turns:
            async for piece in turns:  # at once: the retriever encodes and searches together what waits together
                found += await asyncio.gather(*map(one, queries[piece]))
        return found

    async def reranked(request: Request, query: str, passages: Sequence[Passage]) -> list[Passage]:
        ranked: list[Passage] = []
        async with aclosing(in_turn(request, [passage.text for passage in passages])) as turns:
            async for piece in turns:
                ranked += await searcher.rerank(query, passages[piece])
        return sorted(ranked, key=lambda passage: -passage.score)

    @router.get("/api/corpora")
    async def corpora() -> CorpusList:
        """What can be searched."""
        return CorpusList(corpora=[CorpusOut.of(info) for info in searcher.corpora()])

    @bounded.post("/v1/retrieve", response_model=RetrieveOut)
    async def retrieve(request: Request, asked: RetrieveIn) -> Response:
        """The best passages for one or several queries."""
        if (asked.query is None) == (asked.queries is None):
            raise BadInput("Give either `query` or `queries`.")
        queries = asked.queries if asked.queries is not None else [asked.query or ""]
        found: list[Sequence[Passage]] = [
            *await search(request, queries, asked.corpus, asked.top_k, asked.retriever, asked.cache_salt)
        ]
        if asked.rerank:
            found = [await reranked(request, query, row) for query, row in zip(queries, found, strict=True)]
        return await _written(
            lambda: RetrieveOut(
                results=[[Result(id=p.id, title=p.title, text=p.text, score=p.score) for p in row] for row in found]
            )
        )

    @bounded.post("/v1/embeddings", response_model=EmbeddingsOut)
    async def embeddings(request: Request, asked: EmbeddingsIn) -> Response:
        """Vectors of length 1, by the encoder of the retriever."""
        vectors: list[tuple[float, ...]] = []
        async with aclosing(in_turn(request, asked.input)) as turns:
            async for piece in turns:
                vectors += await searcher.embed(asked.input[piece])
        return await _written(
            lambda: EmbeddingsOut(data=[Embedding(index=i, embedding=list(v)) for i, v in enumerate(vectors)])
        )

    @bounded.post("/v1/rerank", response_model=RerankOut)
    async def rerank(request: Request, asked: RerankIn) -> Response:
        """Texts in the order of the cross-encoder."""
        numbered = [Passage(str(n), "", text, 0.0, "") for n, text in enumerate(asked.documents)]
        ranked = await reranked(request, asked.query, numbered)
        return await _written(
            lambda: RerankOut(results=[Ranked(index=int(p.id), relevance_score=p.score) for p in ranked])
        )

    @bounded.post("/retrieve", response_model=SearchR1Out)
    async def retrieve_as_search_r1(request: Request, asked: SearchR1In) -> Response:
        """The same in the shape of Search-R1's retrieval server, from the default corpus. Nothing is found for an empty
        query, and a long one is cut: one rollout must not end a whole step of training."""
        queries = [query.strip()[:QUERY_CHARS] for query in asked.queries]
        rows = iter(await search(request, [query for query in queries if query], "", asked.topk, None))
        found = [next(rows) if query else () for query in queries]

        def answer() -> SearchR1Out:
            if asked.return_scores:
                return SearchR1Out(
                    result=[[ScoredDocument(document=_document(p), score=p.score) for p in row] for row in found]
                )
            return SearchR1Out(result=[[_document(p) for p in row] for row in found])

        return await _written(answer)

    router.include_router(bounded)
    return router


async def _written(answer: Callable[[], BaseModel]) -> Response:
    """The answer as JSON, made in a thread: thousands of passages would keep every stream waiting."""
    content = await asyncio.to_thread(lambda: answer().model_dump_json().encode())
    return Response(content, media_type="application/json")


def _document(passage: Passage) -> Document:
    contents = f"{passage.title}\n{passage.text}"
    return Document(id=passage.id, contents=contents, title=passage.title, text=passage.text)
