"""Decomposition (least-to-most; Zhou et al. 2023): the question is taken apart, its parts are searched for and answered
together, and the question is answered after them.

The answered parts stand before the question like earlier turns of the conversation, as in least-to-most prompting.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from pydantic import Field

from app.backend.events import Degraded, Event, Step, Thought
from app.backend.pipelines.budget import fit
from app.backend.pipelines.multi_query import fused, wordings
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import ECHO, inert
from app.backend.pipelines.steps import Evidence, answer, complete, look_up, together
from app.backend.protocols import Tools
from app.backend.types import Exchange, Message, Passage, Query, Sampling

SYSTEM = (
    "Take the user's question apart into the simpler questions that have to be answered first, at most {count}. Each "
    "must be understood without the others. Keep the language. Write one question on each line and nothing else."
)
EXAMPLE = (
    Message("user", "Who is older, the mayor of Paris or the mayor of London?"),
    Message("assistant", "How old is the mayor of Paris?\nHow old is the mayor of London?"),
)
_PART_TOKENS = 128
_RRF_K = 60


class DecomposeParams(RetrievalParams):
    part_num: int = Field(3, ge=1, le=8, description="Questions that it is taken apart into at most.")


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = DecomposeParams.of(query.params)
    evidence = Evidence()
    question = query.standalone
    yield Step("decompose")
    system = Message("system", SYSTEM.format(count=params.part_num))
    prompt = (system, *EXAMPLE, Message("user", inert(question)))
    written = await complete(prompt, Sampling(64 * params.part_num, params.temperature), tools)
    parts = [line for line in wordings(written, question) if line.endswith(("?", "？"))][: params.part_num]
    if not parts:
        yield Degraded("method", "The model did not take the question apart; it was answered as a whole.")
    async with aclosing(look_up([question, *parts], query.corpus, params, tools, evidence)) as events:
        async for event in events:
            yield event
    answered = list[Exchange]()
    if parts:
        yield Step("draft", f"{len(parts)} parts")
        sampling = replace(params.sampling(), max_tokens=min(_PART_TOKENS, params.max_tokens), stop=(ECHO,))
        found = [passages[: params.context_topk] for passages in evidence.found[1:]]
        said = await together(*(_part(p, f, sampling, tools) for p, f in zip(parts, found, strict=True)))
        answered = [Exchange(part, text) for part, text in zip(parts, said, strict=True) if text]
        for part in answered:
            yield Thought(f"{part.question} {part.answer}\n")
    passages = fused(evidence.found, _RRF_K)[: params.context_topk]
    least_first = replace(query, question=question, history=(*query.history, *answered))
    async with aclosing(answer(least_first, passages, params.sampling(), tools, evidence)) as events:
        async for event in events:
            yield event


async def _part(question: str, passages: Sequence[Passage], sampling: Sampling, tools: Tools) -> str:
    """The answer to a part of the question, from its own passages."""
    prompt = await fit(tools.engine, question, (), passages, sampling.max_tokens)
    return (await complete(prompt.messages, sampling, tools)).strip()


ENTRY = Entry(
    family="query",
    title="Decompose",
    summary="The question is taken apart, its parts are looked up and answered together, then joined.",
    paper="Zhou et al. 2023, Least-to-Most Prompting Enables Complex Reasoning in Large Language Models",
    uses_retrieval=True,
    params=DecomposeParams,
    run=run,
)
