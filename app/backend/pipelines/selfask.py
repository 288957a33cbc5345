"""Self-ask (Press et al. 2023) in Ret-Robust's format (Yoran et al. 2024; FlashRAG: `ret-robust`): the model asks
itself follow-up questions, and each is searched for before the model answers it.

Only the passages of the last search are read. The prompt is a text that is gone on with, as the demonstrations are;
passages stand in it on one line each, so that none can pose as a question or an answer.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from pydantic import Field

from app.backend.errors import BadInput
from app.backend.events import Degraded, Event, Step, Thought
from app.backend.pipelines.budget import fit
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import inert
from app.backend.pipelines.selfask_prompts import MULTI_HOP, SINGLE_HOP
from app.backend.pipelines.steps import Evidence, answer, complete, conclude, look_up
from app.backend.protocols import Tools
from app.backend.types import Exchange, Passage, Query

FOLLOW_UP, INTERMEDIATE, FINAL = "Follow up:", "Intermediate answer:", "So the final answer is:"
_ENDS = ("\nContext", "\nQuestion:", "\n#")
_FOLLOW_UP = re.compile(rf"^[ \t]*{FOLLOW_UP}[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_FINAL = re.compile(rf"{FINAL}[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_STEP_TOKENS = 128


class SelfAskParams(RetrievalParams):
    max_iter: int = Field(5, ge=1, le=20, description="Steps: a follow-up question is one, its answer another.")
    single_hop: bool = Field(True, description="Expects that no follow-up questions are needed.")


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = SelfAskParams.of(query.params)
    evidence = Evidence()
    question = query.standalone
    said, sought = "", [question]
    why = "The model came to no final answer by asking itself"
    sampling = replace(params.sampling(), max_tokens=min(_STEP_TOKENS, params.max_tokens))
    for number in range(params.max_iter):
        if len(sought) > len(evidence.found):
            async with aclosing(look_up(sought[-1:], query.corpus, params, tools, evidence)) as events:
                async for event in events:
                    yield event
        yield Step("think", str(number + 1))
        contexts = evidence.found[-1][: params.context_topk]
        layout = partial(_layout, params.single_hop, said)
        try:
            prompt = await fit(tools.engine, question, (), contexts, sampling.max_tokens, layout)
        except BadInput:
            why = "The examples and the steps so far do not fit the model's context"
            break
        stop = FOLLOW_UP if number % 2 else INTERMEDIATE
        part = (await complete(prompt.messages, replace(sampling, stop=(*_ENDS, stop)), tools)).rstrip()
        if not part:
            break
        yield Thought(part.strip())
        said += part
        if final := _FINAL.search(part):
            async with aclosing(conclude(final[1], evidence)) as events:
                async for event in events:
                    yield event
            return
        if asked := _FOLLOW_UP.search(part):
            if asked[1] in sought:
                break
            sought.append(asked[1])
    yield Degraded("method", f"{why}; it answers from what it found last.")
    passages = evidence.found[-1][: params.context_topk]
    async with aclosing(answer(query, passages, params.sampling(), tools, evidence)) as events:
        async for event in events:
            yield event


def _layout(single_hop: bool, said: str, question: str, _: Sequence[Exchange], passages: Sequence[Passage]) -> str:
    lines = [f"Context{n}: {_line(f'{p.title}: {p.text}')}" for n, p in enumerate(passages, 1)]
    lines += [f"Question: {_line(question)}", f"Are follow up questions needed here: {'No.' if single_hop else 'Yes.'}"]
    return (SINGLE_HOP if single_hop else MULTI_HOP) + "\n".join(lines) + "\n" + said


def _line(text: str) -> str:
    return inert(" ".join(text.split()))


ENTRY = Entry(
    family="loop",
    title="Self-Ask",
    summary="Asks itself follow-up questions and searches for the answer to each.",
    paper="Press et al. 2023, Measuring and Narrowing the Compositionality Gap in Language Models; Yoran et al. 2024, "
    "Making Retrieval-Augmented Language Models Robust to Irrelevant Context",
    uses_retrieval=True,
    params=SelfAskParams,
    run=run,
)
