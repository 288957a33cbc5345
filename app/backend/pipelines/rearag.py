"""ReaRAG (Lee et al. 2025; FlashRAG: `rearag`): thought, action, observation in turns; an action searches or finishes.

Observations are short answers from what a search found. An action is matched as text, never evaluated. The authors'
checkpoint gets its own roles; other models a chat, and are shown how a step is written.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from pydantic import Field

from app.backend.errors import BadInput
from app.backend.events import Degraded, Done, Event, Step, Thought, Token
from app.backend.pipelines.budget import fit
from app.backend.pipelines.citations import cite
from app.backend.pipelines.modes import mode, native
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import inert, quoted
from app.backend.pipelines.reasoning import plainly
from app.backend.pipelines.steps import Evidence, generate, look_up
from app.backend.pipelines.tagged import Reader
from app.backend.protocols import Tools
from app.backend.types import Exchange, Message, Passage, Prompt, Query

SYSTEM = """\
Your task is to solve a question answering task. To improve your solving accuracy, please conduct reasoning \
process interleaving Thought, Action, Observation steps. Thought can reason about the current situation, and \
Action are in the form of function, there are two types:

# Available functions:
(1) search
{
    "name": "search",
    "description": "It can help you find useful information through the internet or local knowledge base. You \
can use this tool to access external knowledge",
    "parameters": {
        "type": "object",
        "properties": {
            "query": {
                "description": "what you want to search"
            }
        },
        "required": [
            "query"
        ]
    }
}

(2) finish
{
    "name": "finish",
    "description": "You can use this function to make a conclusion from the reasoning process and give the \
final answer. The reasoining process is completed after this `finish` function is called",
    "parameters": {
        "type": "object",
        "properties": {
            "answer": {
                "description": "the final answer"
            }
        },
        "required": [
            "answer"
        ]
    }
}

Please follow the format strictly.
"""
SHOWN = """
Write each step like this:
Thought 1: what you think
Action 1:
```
{'function': 'search', 'parameters': {'query': 'what you want to search'}}
```
"""
OBSERVED = (
    "If the Question is comparison type, do not refer the given Context, else, answer the Question based on the given "
    "Contexts.\n\nContext: {context}\n\nQuestion: {question}\n\nAnswer:"
)
SHORT = """\
The Reference Answer is the final answer to the question. It's the final deterministic answer, your task is to \
give concise version of it. Only give me the short answer and do not output any other words.
[Question]
{question}
[Reference answer]
{answer}

Only give me the short answer and do not output any other words. For yes, or no answer, only answer it short. \
Give the shortest answer possible.
"""
STOPS = ("\nObservation", "<|user|>", "<|observation|>", "<|assistant|>")
_ACTION = re.compile(
    r"""\{\s*(['"])function\1\s*:\s*(['"])(?P<name>search|finish)\2\s*,\s*(['"])parameters\4\s*:\s*"""
    r"""\{\s*(['"])(?P<key>query|answer)\5\s*:\s*(['"])(?P<value>.+?)\7\s*\}\s*\}""",
    re.DOTALL,
)
_ESCAPED = re.compile(r"""\\(['"\\])""")


class ReaRAGParams(RetrievalParams):
    max_iter_num: int = Field(15, ge=1, le=30, description="Steps of thought and action at most.")


@dataclass(frozen=True, slots=True)
class Action:
    """What the model wants: a search for `text`, or to finish with it as the answer."""

    searches: bool
    text: str


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = ReaRAGParams.of(query.params)
    is_native = native(tools.engine.model, "ReaRAG")
    yield mode(is_native)
    evidence, steps = Evidence(), list[Exchange]()
    question = query.standalone
    why, finish = f"The model had not finished after {params.max_iter_num} steps", ""
    for number in range(1, params.max_iter_num + 1):
        prompt = layout(is_native, question, steps)
        if await tools.engine.count_tokens(prompt) + params.max_tokens > tools.engine.context_tokens:
            why = "The steps of the method no longer fit the model's context"
            break
        yield Step("think", str(number))
        written: list[str] = []
        async with aclosing(_thinking(prompt, params, tools, written)) as events:
            async for event in events:
                yield event
        said = "".join(written).strip()
        wanted = action(said)
        if wanted is None:
            why = "The model wrote no action in the format of the method"
            break
        if not wanted.searches:
            finish = wanted.text
            break
        async with aclosing(look_up([wanted.text], query.corpus, params, tools, evidence)) as events:
            async for event in events:
                yield event
        found = evidence.found[-1][: params.context_topk]
        try:
            asked = await fit(tools.engine, wanted.text, (), found, params.max_tokens, _observed)
        except BadInput:
            why = "The query that the model wrote does not fit its own context"
            break
        observed: list[str] = []
        async with aclosing(_thinking(asked.messages, params, tools, observed)) as events:
            async for event in events:
                yield event
        steps.append(Exchange(said, "".join(observed).strip()))
    if not finish:
        yield Degraded("method", f"{why}; it was asked plainly.")
        async with aclosing(plainly(query, question, params, tools, evidence)) as events:
            async for event in events:
                yield event
        return
    yield Step("generate")
    text: list[str] = []
    shortened = (Message("user", SHORT.format(question=inert(question), answer=inert(finish))),)
    async with aclosing(generate(shortened, params.sampling(), tools)) as events:
        async for event in events:
            if isinstance(event, Token):
                text.append(event.text)
            yield event
    yield Step("cite")
    yield Done("".join(text), await asyncio.to_thread(cite, "".join(text), evidence.passages))


def action(said: str) -> Action | None:
    """The first action in what the model wrote; None when it wrote none in the one shape that is allowed."""
    found = _ACTION.search(said)
    if found is None or (found["name"], found["key"]) not in (("search", "query"), ("finish", "answer")):
        return None
    text = _ESCAPED.sub(r"\1", found["value"]).strip()
    return Action(found["name"] == "search", text) if text else None


def layout(is_native: bool, question: str, steps: Sequence[Exchange]) -> Prompt:
    """The conversation so far; an exchange is a step of the model with its observation."""
    if is_native:
        turns = "".join(f"<|assistant|>\n{s.question}<|observation|>\n{inert(s.answer)}" for s in steps)
        return f"<|system|>\n{SYSTEM}<|user|>\n{inert(question)}{turns}<|assistant|>\n"
    messages = [Message("system", SYSTEM + SHOWN), Message("user", inert(question))]
    for number, step in enumerate(steps, 1):
        observation = f"Observation {number}: {inert(step.answer)}"
        messages += [Message("assistant", step.question), Message("user", observation)]
    return tuple(messages)


def _observed(question: str, _: Sequence[Exchange], passages: Sequence[Passage]) -> tuple[Message, ...]:
    context = "\n\n".join(f"{quoted(p.title)}\n{quoted(p.text)}" for p in passages)
    return (Message("user", OBSERVED.format(context=context, question=inert(question))),)


async def _thinking(
    prompt: Prompt, params: ReaRAGParams, tools: Tools, written: list[str]
) -> AsyncGenerator[Event, None]:
    """One call of the model, told as thought up to its action; all of it goes to `written`."""
    reader = Reader(("\nAction",))
    async with aclosing(generate(prompt, replace(params.sampling(), stop=STOPS), tools)) as events:
        async for event in events:
            if isinstance(event, Token):
                written.append(event.text)
                for mark, piece in reader.feed(event.text):
                    if not mark:
                        yield Thought(piece)
    for mark, piece in reader.end():
        if not mark:
            yield Thought(piece)


ENTRY = Entry(
    family="reasoning",
    title="ReaRAG",
    summary="Takes turns of thought, search and observation until it decides to finish.",
    paper="Lee et al. 2025, ReaRAG: Knowledge-guided Reasoning Enhances Factuality of Large Reasoning Models with "
    "Iterative Retrieval Augmented Generation",
    uses_retrieval=True,
    params=ReaRAGParams,
    run=run,
)
