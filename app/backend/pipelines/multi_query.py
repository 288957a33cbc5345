"""Multi-query retrieval with rank fusion (RAG-Fusion; Raudaschl 2023, Rackauckas 2024): the model words the question in
several ways, all are searched at once, and the rankings are joined.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from pydantic import Field

from app.backend.events import Event, Step
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import inert
from app.backend.pipelines.steps import Evidence, answer, complete, look_up
from app.backend.protocols import Tools
from app.backend.types import Message, Passage, Query, Sampling

SYSTEM = (
    "Word the user's question in {count} other ways, so that a search finds more. Keep its meaning and its language. "
    "Write one question on each line and nothing else."
)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.):、])\s*")


class MultiQueryParams(RetrievalParams):
    query_num: int = Field(3, ge=1, le=10, description="Other wordings of the question to search for.")
    rrf_k: int = Field(60, ge=1, le=1000, description="Fusion: how little the first ranks stand out.")


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = MultiQueryParams.of(query.params)
    evidence = Evidence()
    question = query.standalone
    yield Step("queries")
    prompt = (Message("system", SYSTEM.format(count=params.query_num)), Message("user", inert(question)))
    written = await complete(prompt, Sampling(64 * params.query_num, params.temperature), tools)
    async with aclosing(
        look_up([question, *wordings(written, question)[: params.query_num]], query.corpus, params, tools, evidence)
    ) as events:
        async for event in events:
            yield event
    best = fused(evidence.found, params.rrf_k)[: params.retrieval_topk]
    async with aclosing(answer(query, best[: params.context_topk], params.sampling(), tools, evidence)) as events:
        async for event in events:
            yield event


def wordings(written: str, question: str) -> list[str]:
    """The questions that the model wrote, each once, without bullets and without the original."""
    lines = (_BULLET.sub("", line).strip() for line in written.splitlines())
    return [line for line in dict.fromkeys(lines) if line and line.lower() != question.lower()]


def fused(rankings: Sequence[Sequence[Passage]], k: int) -> list[Passage]:
    """Reciprocal rank fusion (Cormack et al. 2009): a passage at rank r of a ranking gains 1 / (k + r)."""
    passages = {(p.corpus, p.id): p for ranking in rankings for p in ranking}
    scores = dict.fromkeys(passages, 0.0)
    for ranking in rankings:
        for rank, passage in enumerate(ranking, 1):
            scores[passage.corpus, passage.id] += 1 / (k + rank)
    return [passages[key] for key in sorted(scores, key=lambda key: -scores[key])]


ENTRY = Entry(
    family="query",
    title="Multi-query",
    summary="The question is worded in several ways, all are searched at once, and the rankings are joined.",
    paper="Rackauckas 2024, RAG-Fusion: a New Take on Retrieval-Augmented Generation",
    uses_retrieval=True,
    params=MultiQueryParams,
    run=run,
)
