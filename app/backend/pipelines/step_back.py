"""Step-back prompting (Zheng et al. 2024): a more general question is searched for beside the one that was asked.

The prompt and its examples are the paper's. Where not all passages are read, those go first that both searches found.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from app.backend.events import Degraded, Event, Step, Thought
from app.backend.pipelines.multi_query import fused
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import inert
from app.backend.pipelines.steps import Evidence, answer, complete, look_up
from app.backend.protocols import Tools
from app.backend.types import Message, Query, Sampling

PROMPT = """\
You are an expert at world knowledge. Your task is to step back and paraphrase a question to a more generic step-back \
question, which is easier to answer. Here are a few examples:

Original Question: Which position did Knox Cunningham hold from May 1955 to Apr 1956?
Stepback Question: Which positions have Knox Cunningham held in his career?

Original Question: Who was the spouse of Anna Karina from 1968 to 1974?
Stepback Question: Who were the spouses of Anna Karina?

Original Question: Which team did Thierry Audel play for from 2007 to 2008?
Stepback Question: Which teams did Thierry Audel play for in his career?

Original Question: {question}
Stepback Question:"""
_RRF_K = 60
_LABEL = re.compile(r"^\s*step-?\s?back question\s*[:：]\s*", re.IGNORECASE)


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = RetrievalParams.of(query.params)
    evidence = Evidence()
    question = query.standalone
    yield Step("step_back")
    prompt = (Message("user", PROMPT.format(question=inert(question))),)
    general = stepped_back(await complete(prompt, Sampling(64, params.temperature), tools), question)
    if general:
        yield Thought(general)
    else:
        yield Degraded("method", "The model wrote no more general question; only the question itself was searched for.")
    sought = [question, general] if general else [question]
    async with aclosing(look_up(sought, query.corpus, params, tools, evidence)) as events:
        async for event in events:
            yield event
    passages = fused(evidence.found, _RRF_K)[: params.context_topk]
    async with aclosing(answer(query, passages, params.sampling(), tools, evidence)) as events:
        async for event in events:
            yield event


def stepped_back(written: str, question: str) -> str:
    """The general question: the first line that the model wrote, if it is a question and another one."""
    line = _LABEL.sub("", next((line for line in written.splitlines() if line.strip()), "")).strip()
    return line if line.endswith(("?", "？")) and line.lower() != question.strip().lower() else ""


ENTRY = Entry(
    family="query",
    title="Step-back",
    summary="A more general question is asked first, and both are searched for.",
    paper="Zheng et al. 2024, Take a Step Back: Evoking Reasoning via Abstraction in Large Language Models",
    uses_retrieval=True,
    params=RetrievalParams,
    run=run,
)
