"""HyDE (Gao et al. 2023): the model writes a passage that would answer the question, and passages like it are found.

The prompt is the paper's. It averages the vectors of the question and of what was written; here the rankings that each
of them finds are joined, which does for any retriever.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from pydantic import Field

from app.backend.events import Degraded, Event, Step
from app.backend.pipelines.multi_query import fused
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import inert
from app.backend.pipelines.steps import Evidence, answer, complete, look_up, together
from app.backend.protocols import Tools
from app.backend.types import Message, Query

PROMPT = "Please write a passage to answer the question.\nQuestion: {question}\nPassage:"
_PASSAGE_TOKENS = 128
_VARIED = 0.7
_RRF_K = 60


class HydeParams(RetrievalParams):
    passage_num: int = Field(1, ge=1, le=8, description="Passages the model makes up; the paper has 8.")


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = HydeParams.of(query.params)
    evidence = Evidence()
    question = query.standalone
    yield Step("imagine")
    sampling = replace(params.sampling(), max_tokens=min(_PASSAGE_TOKENS, params.max_tokens))
    if params.passage_num > 1:
        sampling = replace(sampling, temperature=max(_VARIED, sampling.temperature))
    prompt = (Message("user", PROMPT.format(question=inert(question))),)
    written = await together(*(complete(prompt, sampling, tools) for _ in range(params.passage_num)))
    imagined = [text for text in dict.fromkeys(" ".join(text.split()) for text in written) if text]
    if not imagined:
        yield Degraded("method", "The model imagined no passage; the question itself was searched for.")
    async with aclosing(look_up([question, *imagined], query.corpus, params, tools, evidence)) as events:
        async for event in events:
            yield event
    passages = fused(evidence.found, _RRF_K)[: params.retrieval_topk][: params.context_topk]
    async with aclosing(answer(query, passages, params.sampling(), tools, evidence)) as events:
        async for event in events:
            yield event


ENTRY = Entry(
    family="query",
    title="HyDE",
    summary="The model imagines a passage that would answer the question, and passages like it are found.",
    paper="Gao et al. 2023, Precise Zero-Shot Dense Retrieval without Relevance Labels",
    uses_retrieval=True,
    params=HydeParams,
    run=run,
)
