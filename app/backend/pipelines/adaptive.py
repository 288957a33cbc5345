"""Adaptive-RAG (Jeong et al. 2024; FlashRAG: `adaptive`): a question that the model can answer alone is answered from
memory (A), a simple one from one search (B), one that takes several steps by IRCoT (C).

The authors' classifier is a T5 that answers nothing else; here the engine's model chooses the letter, by probability.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from pydantic import Field

from app.backend.events import Degraded, Event, Step, Thought
from app.backend.pipelines import ircot
from app.backend.pipelines.modes import mode
from app.backend.pipelines.params import Entry
from app.backend.pipelines.prompts import inert
from app.backend.pipelines.steps import Evidence, answer, choose, look_up
from app.backend.protocols import Tools
from app.backend.types import Message, Query

CLASSES = """\
How complex is the question? Answer with one letter.
A: common knowledge that you are sure of, nothing has to be looked up
B: one fact has to be looked up
C: several facts have to be looked up and combined"""


class AdaptiveParams(ircot.IRCoTParams):
    max_iter: int = Field(5, ge=1, le=10, description="For complex questions: thoughts, each with a search after it.")
    compat: bool = Field(
        False, description="As FlashRAG: its prompt, which asks for the answer alone; complex questions as in ircot."
    )


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = AdaptiveParams.of(query.params)
    yield mode(False)
    question = query.standalone
    yield Step("judge", "complexity")
    prompt = (Message("system", CLASSES), Message("user", f"Question: {inert(question)}\nLetter:"))
    chosen = await choose(prompt, "ABC", tools)
    letter = max(chosen, key=lambda letter: chosen[letter]) if any(chosen.values()) else "B"
    if any(chosen.values()):
        yield Thought(", ".join(f"{letter}: {share:.2f}" for letter, share in chosen.items()))
    else:
        yield Degraded("method", "The model did not say how complex the question is; it was searched for once.")
    if letter == "C":
        alone = replace(query, question=question, history=())
        async with aclosing(ircot.run(alone, tools)) as events:
            async for event in events:
                yield event
        return
    evidence = Evidence()
    if letter == "B":
        async with aclosing(look_up([question], query.corpus, params, tools, evidence)) as events:
            async for event in events:
                yield event
    passages = evidence.passages[: params.context_topk]
    async with aclosing(answer(query, passages, params.sampling(), tools, evidence, compat=params.compat)) as events:
        async for event in events:
            yield event


ENTRY = Entry(
    family="adaptive",
    title="Adaptive-RAG",
    summary="Judges how complex the question is, and answers from memory, from one search, or step by step.",
    paper="Jeong et al. 2024, Adaptive-RAG: Learning to Adapt Retrieval-Augmented Large Language Models through "
    "Question Complexity",
    uses_retrieval=True,
    params=AdaptiveParams,
    run=run,
)
