"""IRCoT (Trivedi et al. 2023; FlashRAG: `ircot`): searching and thinking in turns. Each sentence of thought is the next
query; all passages found are pooled. A thought that says the answer ends it, else a reader answers from the pool.

The instruction is HippoRAG's (Gutiérrez et al. 2024), the demonstration is one of IRCoT's for 2WikiMultihopQA.
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
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import inert, quoted
from app.backend.pipelines.steps import Evidence, answer, conclude, look_up, write
from app.backend.protocols import Tools
from app.backend.types import Exchange, Message, Passage, Query

ANSWER = "So the answer is:"
SYSTEM = f"""\
You serve as an intelligent assistant, adept at facilitating users through complex, multi-hop reasoning across \
multiple documents. This task is illustrated through demonstrations, each consisting of a document set paired with a \
relevant question and its multi-hop reasoning thoughts. Your task is to generate one thought for current step, DON'T \
generate the whole thoughts at once! If you reach what you believe to be the final step, start with "{ANSWER}".

Wikipedia Title: Kurram Garhi
Kurram Garhi is a small village located near the city of Bannu, which is the part of Khyber Pakhtunkhwa province of \
Pakistan. Its population is approximately 35000. Barren hills are near this village. This village is on the border of \
Kurram Agency. Other nearby villages are Peppal, Surwangi and Amandi Kala.

Wikipedia Title: Trojkrsti
Trojkrsti is a village in Municipality of Prilep, Republic of Macedonia.

Question: Are both Kurram Garhi and Trojkrsti located in the same country?
Thought: Kurram Garhi is located in the country of Pakistan. Trojkrsti is located in the country of Republic of \
Macedonia. Thus, they are not in the same country. {ANSWER} no.
"""
POOL = 15
"""Passages that the paper keeps."""
_THOUGHT_TOKENS = 128


class IRCoTParams(RetrievalParams):
    max_iter: int = Field(2, ge=1, le=10, description="Thoughts, each with a search after it.")
    compat: bool = Field(
        False,
        description="As FlashRAG: the pool has no limit and its best passage comes last, a thought ends at any full "
        "stop, and without an answer the thoughts are the answer.",
    )


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = IRCoTParams.of(query.params)
    evidence = Evidence()
    question = query.standalone
    sampling = replace(
        params.sampling(),
        max_tokens=min(_THOUGHT_TOKENS, params.max_tokens),
        stop=(".", "\n") if params.compat else (". ", "。", "\n"),
    )
    thoughts: list[str] = []
    sought = question
    while True:
        async with aclosing(look_up([sought], query.corpus, params, tools, evidence)) as events:
            async for event in events:
                yield event
        pool = pooled(evidence.found)
        if not params.compat:
            pool = pool[: min(POOL, params.context_topk)]
        if not pool or len(thoughts) == params.max_iter:
            break
        yield Step("think", str(len(thoughts) + 1))
        layout = partial(_layout, " ".join(thoughts), params.compat)
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
        _, final, found = sought.partition(ANSWER)
        if found.strip():
            async with aclosing(conclude(found.strip(), evidence)) as events:
                async for event in events:
                    yield event
            return
        thought = sought if params.compat else sought + (written.stopped_by or "").strip()
        if final or thought in thoughts:
            break
        thoughts.append(thought)
    last = conclude(" ".join(thoughts), evidence) if params.compat and thoughts else None
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


def _layout(
    thoughts: str, best_last: bool, question: str, _: Sequence[Exchange], passages: Sequence[Passage]
) -> tuple[Message, ...]:
    ordered = reversed(passages) if best_last else passages
    reference = "".join(f"Wikipedia Title: {quoted(p.title)}\n{quoted(p.text)}\n\n" for p in ordered)
    asked = (Message("system", SYSTEM), Message("user", f"{reference}Question: {inert(question)}\nThought:"))
    return (*asked, Message("assistant", thoughts)) if thoughts else asked


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
