"""What the methods share that make less of the passages before the model reads them (FlashRAG: refiners).

Invariant: what is left of a passage keeps its number, and the answer cites the passage as it was found. All that was
found is refined, and of what is left the best `context_topk` passages are read. A refiner that fails leaves them whole,
and that is said.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from pydantic import Field

from app.backend.errors import BadInput, Busy, DeadlineExceeded, Unavailable
from app.backend.events import Degraded, Event, Step, Thought
from app.backend.pipelines.budget import Layout
from app.backend.pipelines.params import ReaderParams
from app.backend.pipelines.prompts import FROM_PASSAGES, answer_prompt, block, flashrag_prompt
from app.backend.pipelines.steps import Evidence, answer, look_up, together, weigh
from app.backend.protocols import Tools
from app.backend.types import Passage, Query, Scored

_GAP = 16
"""White space there may be between two tokens."""


class RefinerParams(ReaderParams):
    context_topk: int = Field(
        20, ge=1, le=100, description="All of these are refined; of at most so many, the model reads what is left."
    )


@dataclass(frozen=True, slots=True)
class Refined:
    """What the model reads: the passages with other texts, best first, and what it is told to do with them."""

    passages: tuple[Passage, ...]
    task: str = FROM_PASSAGES
    in_order: bool = False


Refiner = Callable[[str, tuple[Passage, ...], Tools], AsyncGenerator[Event | Refined, None]]
"""From a question that stands alone and its passages. The last `Refined` counts; Unavailable and BadInput may be raised
for what a refiner needs and has not got."""


async def refining(query: Query, params: RefinerParams, tools: Tools, refiner: Refiner) -> AsyncGenerator[Event, None]:
    """All of a method that searches once and refines what it found."""
    evidence = Evidence()
    question = query.standalone
    async with aclosing(look_up([question], query.corpus, params, tools, evidence)) as found:
        async for event in found:
            yield event
    passages = evidence.found[-1]
    layout: Layout | None = None
    if passages:
        yield Step("refine")
        refined: Refined | None = None
        try:
            async with aclosing(refiner(question, passages, tools)) as parts:
                async for part in parts:
                    if isinstance(part, Refined):
                        refined = part
                    else:
                        yield part
        except (Unavailable, BadInput, Busy, DeadlineExceeded) as error:
            yield Degraded("refine", f"{error.message} The passages are read whole.")
        if refined is None:
            passages = passages[: params.context_topk]
        else:
            passages = refined.passages[: params.context_topk]
            layout = partial(answer_prompt, number=evidence.number, task=refined.task, in_order=refined.in_order)
            if params.compat:
                layout = partial(flashrag_prompt, document=_text)
            yield _outcome(passages, evidence, in_order=refined.in_order)
    sampling = params.sampling()
    async with aclosing(answer(query, passages, sampling, tools, evidence, layout, compat=params.compat)) as events:
        async for event in events:
            yield event


def _text(_: int, passage: Passage) -> str:
    return passage.text


def _outcome(passages: Sequence[Passage], evidence: Evidence, *, in_order: bool) -> Thought | Degraded:
    if passages:
        return Thought(block(passages, evidence.number, in_order=in_order))
    return Degraded("refine", "Nothing in the passages helps. This answer comes from the model alone, without sources.")


@dataclass(frozen=True, slots=True)
class Unit:
    """A stretch of a text, and how unexpected it is to the model: its self-information in nats."""

    text: str
    nats: float


async def surprises(texts: Sequence[str], tools: Tools) -> list[list[Unit]]:
    """How unexpected the tokens of each text are; the units of a text join to it.

    The texts must be `inert`. Raises Unavailable when the engine does not tell.
    """

    async def one(text: str) -> list[Unit]:
        return units(text, await weigh(f"\n{text}", tools))

    return await together(*map(one, texts))


def units(text: str, tokens: Sequence[Scored]) -> list[Unit]:
    """The tokens by their places in the text.

    Tokenisers swallow spaces and cut characters in pieces: what stands nowhere counts for the token after it.
    """
    found: list[Unit] = []
    at, nats = 0, 0.0
    for token in tokens:
        if token.text.isspace():
            continue
        nats -= token.logprob
        word = token.text.strip()
        begin = text.find(word, at, at + len(word) + _GAP) if word else -1
        if begin >= 0:
            end = begin + len(word)
            found.append(Unit(text[at:end], nats))
            at, nats = end, 0.0
    if at < len(text):
        last = found.pop() if found else Unit("", 0.0)
        found.append(Unit(last.text + text[at:], last.nats + nats))
    return found


def divided(parts: Sequence[Unit], length: int) -> tuple[list[Unit], list[Unit]]:
    """The units of a text's first `length` characters, and the others."""
    at = 0
    for index, part in enumerate(parts):
        at += len(part.text)
        if at > length:
            return list(parts[:index]), list(parts[index:])
    return list(parts), []


def mean(parts: Sequence[Unit]) -> float:
    """The mean of their nats; 0 of none."""
    return sum(part.nats for part in parts) / len(parts) if parts else 0.0
