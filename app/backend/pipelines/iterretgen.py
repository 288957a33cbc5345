"""Iter-RetGen (Shao et al. 2023; FlashRAG: `iterretgen`): each round searches for the question and the last answer.

Only the passages of the round are read, and the last round's answer counts.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from pydantic import Field

from app.backend.events import Event, Step, Thought
from app.backend.pipelines.budget import Layout, fit
from app.backend.pipelines.citations import without_markers
from app.backend.pipelines.params import Entry, ReaderParams
from app.backend.pipelines.prompts import answer_prompt, flashrag_prompt
from app.backend.pipelines.steps import Evidence, answer, complete, look_up
from app.backend.protocols import Tools
from app.backend.types import Query


class IterRetGenParams(ReaderParams):
    iter_num: int = Field(3, ge=1, le=10, description="Rounds of searching and answering.")


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = IterRetGenParams.of(query.params)
    evidence = Evidence()
    question = query.standalone
    asked = replace(query, question=question, history=()) if params.compat else query
    layout: Layout = flashrag_prompt if params.compat else answer_prompt
    draft = said = ""
    for number in range(1, params.iter_num + 1):
        async with aclosing(look_up([f"{question} {said}".strip()], query.corpus, params, tools, evidence)) as events:
            async for event in events:
                yield event
        if number < params.iter_num:
            yield Step("draft", f"round {number}")
            passages = evidence.found[-1][: params.context_topk]
            prompt = await fit(tools.engine, asked.question, asked.history, passages, params.max_tokens, layout)
            draft = await complete(prompt.messages, params.sampling(), tools)
            said = draft if params.compat else without_markers(draft)
            yield Thought(draft)
    passages = evidence.found[-1][: params.context_topk]
    async with aclosing(answer(query, passages, params.sampling(), tools, evidence, compat=params.compat)) as events:
        async for event in events:
            yield event


ENTRY = Entry(
    family="loop",
    title="Iter-RetGen",
    summary="Each round searches for the question together with the last answer, and answers again.",
    paper="Shao et al. 2023, Enhancing Retrieval-Augmented Large Language Models with Iterative Retrieval-Generation "
    "Synergy",
    uses_retrieval=True,
    params=IterRetGenParams,
    run=run,
)
