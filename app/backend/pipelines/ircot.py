"""IRCoT (Trivedi et al. 2023; FlashRAG: `ircot`): searching and thinking in turns. Each sentence of thought is the next
query; all passages found are pooled. A thought that says the answer ends it, else a reader answers from the pool.

With `compat` the prompt is FlashRAG's text, with five passages in its demonstration, and the model goes on with it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from pydantic import Field

from app.backend.errors import BadInput
from app.backend.events import Degraded, Event, Step, Thought
from app.backend.pipelines.budget import fit
from app.backend.pipelines.ircot_prompts import ANSWER, FLASHRAG, SYSTEM
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import inert, quoted
from app.backend.pipelines.steps import Evidence, answer, conclude, look_up, write
from app.backend.protocols import Tools
from app.backend.types import Exchange, Message, Passage, Query

_THOUGHT_TOKENS = 128


class IRCoTParams(RetrievalParams):
    context_topk: int = Field(
        15, ge=1, le=100, description="Of all that is found, the model reads the best; the paper keeps 15."
    )
    max_iter: int = Field(2, ge=1, le=10, description="Thoughts, each with a search after it.")
    compat: bool = Field(
        False,
        description="As FlashRAG: a text is gone on with instead of a chat, the pool has no limit and from the second "
        "thought on its best passage comes last, a thought ends at any full stop, and without an answer the thoughts "
        "are the answer.",
    )


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = IRCoTParams.of(query.params)
    evidence = Evidence()
    question = query.standalone
    sampling = replace(params.sampling(), stop=(".", "\n"))
    if not params.compat:
        sampling = replace(sampling, max_tokens=min(_THOUGHT_TOKENS, params.max_tokens), stop=(". ", "。", "\n"))
    thoughts: list[str] = []
    sought = question
    while True:
        async with aclosing(look_up([sought], query.corpus, params, tools, evidence)) as events:
            async for event in events:
                yield event
        pool = pooled(evidence.found)
        if not params.compat:
            pool = pool[: params.context_topk]
        if not pool or len(thoughts) == params.max_iter:
            break
        yield Step("think", str(len(thoughts) + 1))
        layout = partial(_text if params.compat else _chat, " ".join(thoughts))
        try:
            prompt = await fit(tools.engine, question, (), pool, sampling.max_tokens, layout)
        except BadInput:
            yield Degraded("method", "The thoughts no longer fit the model's context; it answers from what it found.")
            break
        written = await write(prompt.messages, sampling, tools)
        sought = written.text.strip()
        if not sought:
            break
        yield Thought(sought)
        thought = written.text + (written.stopped_by or "")
        _, final, found = (thought if params.compat else sought).partition(ANSWER)
        if found.strip():
            async with aclosing(conclude(found.strip(), evidence)) as events:
                async for event in events:
                    yield event
            return
        if final or (not params.compat and thought.strip() in thoughts):
            break
        thoughts.append(thought if params.compat else thought.strip())
    last = conclude(" ".join(thoughts).strip(), evidence) if params.compat and thoughts else None
    async with aclosing(last or answer(query, pool, params.sampling(), tools, evidence)) as events:
        async for event in events:
            yield event


def pooled(found: Sequence[Sequence[Passage]]) -> list[Passage]:
    """The passages of all searches, each with the best of its scores, best first."""
    best: dict[tuple[str, str], Passage] = {}
    for passage in (passage for passages in found for passage in passages):
        key = passage.corpus, passage.id
        best[key] = max(best.get(key, passage), passage, key=lambda p: p.score)
    return sorted(best.values(), key=lambda passage: -passage.score)


def _chat(thoughts: str, question: str, _: Sequence[Exchange], passages: Sequence[Passage]) -> tuple[Message, ...]:
    asked = (Message("system", SYSTEM), Message("user", f"{_listed(passages)}Question: {inert(question)}\nThought:"))
    return (*asked, Message("assistant", thoughts)) if thoughts else asked


def _text(thoughts: str, question: str, _: Sequence[Exchange], passages: Sequence[Passage]) -> str:
    ordered = passages[::-1] if thoughts else passages
    return f"{FLASHRAG}{_listed(ordered)}Question: {inert(question)}\nThought:{thoughts}"


def _listed(passages: Sequence[Passage]) -> str:
    return "".join(f"Wikipedia Title: {quoted(p.title)}\n{quoted(p.text)}\n\n" for p in passages)


ENTRY = Entry(
    family="loop",
    title="IRCoT",
    summary="Thinks sentence by sentence, and searches for each thought before the next.",
    paper="Trivedi et al. 2023, Interleaving Retrieval with Chain-of-Thought Reasoning for Knowledge-Intensive "
    "Multi-Step Questions",
    uses_retrieval=True,
    params=IRCoTParams,
    run=run,
)
