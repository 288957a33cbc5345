"""Retrieval without generation: /v1/retrieve, embeddings, reranking, and /retrieve as Search-R1's server answers it.

Invariant: the n-th list of results belongs to the n-th query.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from app.api.access import ERRORS
from app.api.schemas import CorpusList, CorpusOut, Text
from app.backend.errors import BadInput
from app.backend.types import CorpusInfo, Passage, RetrieverName

MAX_QUERIES = 4096
MAX_PASSAGES = 5 * MAX_QUERIES  # of one answer
Phrase = Annotated[Text, Field(max_length=8_000)]
Queries = Annotated[list[Phrase], Field(min_length=1, max_length=MAX_QUERIES)]
TopK = Annotated[int, Field(ge=1, le=100)]


class Searches(Protocol):
    """What these routes need: a retriever, or the whole backend."""

    async def search(
        self, query: str, *, corpus: str, top_k: int, retriever: RetrieverName | None = None
    ) -> tuple[Passage, ...]: ...

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]: ...

    async def rerank(self, query: str, passages: Sequence[Passage]) -> tuple[Passage, ...]: ...

    def corpora(self) -> tuple[CorpusInfo, ...]: ...


class RetrieveIn(BaseModel):
    """One `query` or several `queries`."""

    query: Phrase | None = None
    queries: Queries | None = None
    corpus: Text = ""
    top_k: TopK | None = None
    retriever: RetrieverName | None = None
    rerank: bool = False


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
    """What Search-R1's clients send."""

    queries: Queries
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


def routes(searcher: Searches, *, default_corpus: str, default_top_k: int) -> APIRouter:
    router = APIRouter(tags=["retrieval"], responses={404: ERRORS[404], 422: ERRORS[422]})

    async def search(
        queries: list[str], corpus: str, top_k: int | None, retriever: RetrieverName | None
    ) -> list[tuple[Passage, ...]]:
        top_k = top_k or default_top_k
        if len(queries) * top_k > MAX_PASSAGES:
            raise BadInput(
                f"{len(queries):,} queries with {top_k} passages each are more than {MAX_PASSAGES:,} passages in all; "
                "send fewer queries at a time."
            )
        # All at once: the retriever encodes and searches together what waits together.
        return await asyncio.gather(
            *(
                searcher.search(query, corpus=corpus or default_corpus, top_k=top_k, retriever=retriever)
                for query in queries
            )
        )

    @router.get("/api/corpora")
    async def corpora() -> CorpusList:
        """What can be searched."""
        return CorpusList(corpora=[CorpusOut.of(info) for info in searcher.corpora()])

    @router.post("/v1/retrieve", response_model=RetrieveOut)
    async def retrieve(asked: RetrieveIn) -> Response:
        """The best passages for one or several queries."""
        if (asked.query is None) == (asked.queries is None):
            raise BadInput("Give either `query` or `queries`.")
        queries = asked.queries if asked.queries is not None else [asked.query or ""]
        found = await search(queries, asked.corpus, asked.top_k, asked.retriever)
        if asked.rerank:
            found = await asyncio.gather(*map(searcher.rerank, queries, found))
        return await _written(
            lambda: RetrieveOut(
                results=[[Result(id=p.id, title=p.title, text=p.text, score=p.score) for p in row] for row in found]
            )
        )

    @router.post("/v1/embeddings", response_model=EmbeddingsOut)
    async def embeddings(asked: EmbeddingsIn) -> Response:
        """Vectors of length 1, by the encoder of the retriever."""
        vectors = await searcher.embed(asked.input)
        return await _written(
            lambda: EmbeddingsOut(data=[Embedding(index=i, embedding=list(v)) for i, v in enumerate(vectors)])
        )

    @router.post("/v1/rerank", response_model=RerankOut)
    async def rerank(asked: RerankIn) -> Response:
        """Texts in the order of the cross-encoder."""
        numbered = [Passage(str(n), "", text, 0.0, "") for n, text in enumerate(asked.documents)]
        ranked = await searcher.rerank(asked.query, numbered)
        return await _written(
            lambda: RerankOut(results=[Ranked(index=int(p.id), relevance_score=p.score) for p in ranked])
        )

    @router.post("/retrieve", response_model=SearchR1Out)
    async def retrieve_as_search_r1(asked: SearchR1In) -> Response:
        """The same in the shape of Search-R1's retrieval server, from the default corpus."""
        found = await search(asked.queries, "", asked.topk, None)

        def answer() -> SearchR1Out:
            if asked.return_scores:
                return SearchR1Out(
                    result=[[ScoredDocument(document=_document(p), score=p.score) for p in row] for row in found]
                )
            return SearchR1Out(result=[[_document(p) for p in row] for row in found])

        return await _written(answer)

    return router


async def _written(answer: Callable[[], BaseModel]) -> Response:
    """The answer as JSON, made in a thread: thousands of passages would keep every stream waiting."""
    content = await asyncio.to_thread(lambda: answer().model_dump_json().encode())
    return Response(content, media_type="application/json")


def _document(passage: Passage) -> Document:
    contents = f"{passage.title}\n{passage.text}"
    return Document(id=passage.id, contents=contents, title=passage.title, text=passage.text)
