"""Reranking (Nogueira and Cho 2019): more passages are found than read, and a better judge picks the ones to read.

The judge is a cross-encoder, an encoder that compares (bi-encoder), or the engine by how likely it says yes (Sachan et
al. 2022 weigh with a language model too). Which one is asked is told; the last named did it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Literal

from pydantic import Field

from app.backend.errors import BadInput, Busy, DeadlineExceeded, Unavailable
from app.backend.events import Degraded, Event, Retrieved, Searched, Step
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import inert, quoted
from app.backend.pipelines.steps import answer, choose, retrieve, together
from app.backend.protocols import Tools
from app.backend.types import Message, Passage, Query

Judge = Literal["cross-encoder", "bi-encoder", "engine"]
PROMPT = "Passage: {passage}\n\nQuestion: {question}\n\nDoes the passage help to answer the question? Answer yes or no."
JUDGES: tuple[Judge, ...] = ("cross-encoder", "bi-encoder", "engine")
"""In the order in which `auto` tries them."""


class RerankParams(RetrievalParams):
    retrieval_topk: int = Field(20, ge=1, le=100, description="Passages that are retrieved for the judge.")
    rerank_topk: int = Field(5, ge=1, le=100, description="Of these, the best that the model reads.")
    by: Literal["auto", "cross-encoder", "bi-encoder", "engine"] = Field(
        "auto", description="Who judges; auto takes the first of them that this server has."
    )


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = RerankParams.of(query.params)
    question = query.standalone
    yield Searched(question)
    yield Step("retrieve")
    *lacks, found = await retrieve(question, query.corpus, params, tools)
    for lack in lacks:
        yield lack
    passages: tuple[Passage, ...] = ()
    if isinstance(found, Retrieved):
        passages = found.passages
        failure = ""
        for judge in JUDGES if params.by == "auto" else (params.by,):
            yield Step("rerank", judge)
            try:
                passages = await _judged(judge, question, passages, tools)
            except (Unavailable, BadInput, Busy, DeadlineExceeded) as error:
                failure = error.message
            else:
                break
        else:
            yield Degraded("rerank", f"{failure} The passages stay as they were found.")
        passages = passages[: min(params.rerank_topk, params.context_topk)]
        found = replace(found, passages=passages)
    yield found
    async with aclosing(answer(query, passages, params.sampling(), tools)) as events:
        async for event in events:
            yield event


async def _judged(judge: Judge, question: str, passages: tuple[Passage, ...], tools: Tools) -> tuple[Passage, ...]:
    """The passages with the judge's scores, best first. Raises Unavailable when there is no such judge."""
    if judge == "cross-encoder":
        return await tools.retriever.rerank(question, passages)
    if judge == "bi-encoder":
        texts = [f"{passage.title}\n{passage.text}".strip() for passage in passages]
        first, *rest = await tools.retriever.embed([question, *texts])
        scores = [sum(a * b for a, b in zip(first, vector, strict=True)) for vector in rest]
    else:
        scores = await together(*(_helpful(question, passage, tools) for passage in passages))
    return ranked(passages, scores)


def ranked(passages: Sequence[Passage], scores: Sequence[float]) -> tuple[Passage, ...]:
    """Best first; equals stay in their order."""
    judged = [replace(passage, score=score) for passage, score in zip(passages, scores, strict=True)]
    return tuple(sorted(judged, key=lambda passage: -passage.score))


async def _helpful(question: str, passage: Passage, tools: Tools) -> float:
    text = f"{quoted(passage.title)}\n{quoted(passage.text)}".strip()
    prompt = (Message("user", PROMPT.format(passage=text, question=inert(question))),)
    return (await choose(prompt, ("yes", "no"), tools))["yes"]


ENTRY = Entry(
    family="passages",
    title="Rerank",
    summary="More passages are found than read; a better judge picks the ones to read.",
    paper="Nogueira and Cho 2019, Passage Re-ranking with BERT",
    uses_retrieval=True,
    params=RerankParams,
    run=run,
)
