"""SPRING (Zhu et al. 2024; FlashRAG: `spring`): fifty trained tokens stand before the question and make a model read
passages better.

Their embeddings must be part of the model: whether its tokeniser knows them is asked before anything is done.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from app.backend.errors import BadInput
from app.backend.events import Event
from app.backend.pipelines.modes import mode
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import GIVEN, answer_prompt, documents, inert
from app.backend.pipelines.steps import Evidence, answer, look_up
from app.backend.protocols import Tools
from app.backend.types import Exchange, Passage, Prompt, Query

TOKENS = "".join(f" [ref{number}]" for number in range(1, 51))
_MOST = 2 * 50 + 8
"""Tokens of `TOKENS` where the model knows them, with a space before each and marks around; elsewhere over 200."""


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = RetrievalParams.of(query.params)
    if await tools.engine.count_tokens(TOKENS) > _MOST:
        raise BadInput(
            "SPRING needs a model with its trained tokens [ref1] to [ref50] in the vocabulary, and this one has none: "
            "add them to the tokenizer of the model that they were trained for, their embeddings (yutaozhu94/SPRING on "
            "the model hub) to its embedding matrix, save both, and set engine.model to that folder (docs/flashrag.md "
            "has the lines), or choose naive."
        )
    yield mode(True)
    evidence = Evidence()
    question = query.standalone
    async with aclosing(look_up([question], query.corpus, params, tools, evidence)) as found:
        async for event in found:
            yield event
    alone = replace(query, question=question, history=())
    passages = evidence.found[-1][: params.context_topk]
    async with aclosing(answer(alone, passages, params.sampling(), tools, evidence, _layout)) as events:
        async for event in events:
            yield event


def _layout(question: str, history: Sequence[Exchange], passages: Sequence[Passage]) -> Prompt:
    if not passages:
        return answer_prompt(question, history, ())
    return f"{GIVEN}{documents(passages)}\n\n{TOKENS}Question: {inert(question)}\nAnswer:"


ENTRY = Entry(
    family="passages",
    title="SPRING",
    summary="Trained tokens before the question help the model to read; needs a model that has them.",
    paper="Zhu et al. 2024, One Token Can Help! Learning Scalable and Pluggable Virtual Tokens for Retrieval-Augmented "
    "Large Language Models",
    uses_retrieval=True,
    params=RetrievalParams,
    run=run,
)
