"""Naive RAG (Lewis et al. 2020): retrieve once, read once. A follow-up question is rewritten to stand alone first."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from app.backend.events import Event, Retrieved, Searched, Step
from app.backend.pipelines.params import Entry, ReaderParams
from app.backend.pipelines.steps import answer, retrieve
from app.backend.protocols import Tools
from app.backend.types import Query


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = ReaderParams.of(query.params)
    text = query.standalone
    yield Searched(text)
    yield Step("retrieve")
    *lacks, found = await retrieve(text, query.corpus, params, tools)
    for lack in lacks:
        yield lack
    yield found
    passages = found.passages[: params.context_topk] if isinstance(found, Retrieved) else ()
    async with aclosing(answer(query, passages, params.sampling(), tools, compat=params.compat)) as events:
        async for event in events:
            yield event


ENTRY = Entry(
    family="basic",
    title="Naive RAG",
    summary="Passages are looked up once, and the model answers from them.",
    paper="Lewis et al. 2020, Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks",
    uses_retrieval=True,
    params=ReaderParams,
    run=run,
)
