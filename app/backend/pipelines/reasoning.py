"""The loop of models that learned to search while they think: Search-R1 and its kin.

The model thinks until it closes a query; what the search finds is put between the method's tags, and the model goes on.
What sets a method apart (its tags, its prompt, how a document reads) is its `Method`.

Invariant: what counts as a query or an answer was written by the model: each of its calls is read by itself, and tags
in passages are broken up. There are at most `max_retrieval_num` rounds of searching and one call after them (FlashRAG
gives up where that one begins), and every question gets an answer: from a model that keeps to no format its last words
if it has searched, else a plain one from what was found. When the context is full, documents go, the oldest first.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from pydantic import Field

from app.backend.events import Degraded, Done, Event, Step
from app.backend.pipelines.citations import cite
from app.backend.pipelines.modes import mode, native
from app.backend.pipelines.params import RetrievalParams
from app.backend.pipelines.prompts import inert, quoted
from app.backend.pipelines.steps import Evidence, answer, conclude, look_up
from app.backend.pipelines.tagged import Call, Tags
from app.backend.protocols import Tools
from app.backend.types import Message, Passage, Prompt, Query

_TAG = re.compile(r"<(?=/?[a-z_]+>)|\\(?=boxed\{)", re.IGNORECASE)


class ReasoningParams(RetrievalParams):
    max_retrieval_num: int = Field(5, ge=1, le=20, description="Rounds of searching at most.")


@dataclass(frozen=True, slots=True)
class Round:
    """What the model wrote, up to the tag that ended it, and the documents it was given; None if it asked for none."""

    said: str
    found: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """A published format: `layout` is the prompt of a question after some rounds, `document` how the n-th one reads.

    Of the method's own `checkpoints`, `raw_checkpoints` know no chat and get the layout `raw`. `queries` takes what
    stands between the tags apart. With `corrects`, the layout answers a round that asked for nothing, and the model
    tries again, but not twice in a row.
    """

    tags: Tags
    layout: Callable[[str, Sequence[Round]], Prompt]
    document: Callable[[int, Passage], str]
    checkpoints: tuple[str, ...]
    raw_checkpoints: tuple[str, ...] = ()
    raw: Callable[[str, Sequence[Round]], str] | None = None
    queries: Callable[[str], list[str]] = lambda said: [said]
    corrects: bool = False


async def reason(query: Query, tools: Tools, params: ReasoningParams, method: Method) -> AsyncGenerator[Event, None]:
    """Answer as `method` says."""
    yield mode(native(tools.engine.model, *method.checkpoints))
    evidence, rounds = Evidence(), list[Round]()
    question = query.standalone
    raw = method.raw if native(tools.engine.model, *method.raw_checkpoints) else None
    layout = partial(raw or method.layout, inert(question))
    sampling = replace(params.sampling(), stop=method.tags.stops)
    why, last_words = f"The model had no answer after {params.max_retrieval_num} rounds of searching", ""
    for number in range(params.max_retrieval_num + 1):
        fitting = await _fitting(rounds, layout, sampling.max_tokens, tools)
        if fitting is None:
            why = "The prompt of the method no longer fits the model's context"
            break
        if fitting != rounds:
            yield Degraded("context", "Documents of the earliest searches no longer fit and were left out.")
        rounds = fitting
        yield Step("think", str(number + 1))
        call = Call(method.tags)
        async with aclosing(call.events(layout(rounds), sampling, tools)) as events:
            async for event in events:
                yield event
        if call.answer:
            yield Step("cite")
            yield Done(call.answer, await asyncio.to_thread(cite, call.answer, evidence.passages))
            return
        queries = [text for text in dict.fromkeys(map(str.strip, method.queries(call.query))) if text]
        if queries and number < params.max_retrieval_num:
            async with aclosing(look_up(queries, query.corpus, params, tools, evidence)) as events:
                async for event in events:
                    yield event
            rounds.append(Round(call.said, _documents(evidence, len(queries), params.context_topk, method)))
        elif not queries and method.corrects and (not rounds or rounds[-1].found is not None):
            rounds.append(Round(call.said))
        elif not queries:
            why = "The model wrote neither a query nor an answer in the format of the method"
            last_words = call.last_words if evidence.passages else ""
            break
    yield Degraded("method", f"{why}; {'these are its last words' if last_words else 'it was asked plainly'}.")
    ending = conclude(last_words, evidence) if last_words else plainly(query, question, params, tools, evidence)
    async with aclosing(ending) as events:
        async for event in events:
            yield event


async def plainly(
    query: Query, question: str, params: RetrievalParams, tools: Tools, evidence: Evidence
) -> AsyncGenerator[Event, None]:
    """The answer of a method that came to none: from what it found, else from a search for `question`."""
    if not evidence.passages:
        async with aclosing(look_up([question], query.corpus, params, tools, evidence)) as events:
            async for event in events:
                yield event
    passages = evidence.passages[: params.context_topk]
    async with aclosing(answer(query, passages, params.sampling(), tools, evidence)) as events:
        async for event in events:
            yield event


def continued(asked: Sequence[Message], begun: str, tags: Tags, rounds: Sequence[Round]) -> tuple[Message, ...]:
    """The prompt of most methods: the model goes on with its own message, in which the documents stand."""
    said = begun + trace(tags, rounds)
    return (*asked, Message("assistant", said)) if said else tuple(asked)


def trace(tags: Tags, rounds: Sequence[Round]) -> str:
    """What the model wrote, each query followed by its documents."""
    return "".join(f"{r.said}\n\n{_block(tags, r.found or ())}\n\n" for r in rounds)


def _block(tags: Tags, documents: Sequence[str]) -> str:
    return "\n".join((tags.documents[0], *documents, "", tags.documents[1]))


def read(evidence: Evidence, searches: int, most: int) -> tuple[Passage, ...]:
    """The passages of the last `searches`, at most so many of each, each passage once."""
    passages = (passage for found in evidence.found[-searches:] for passage in found[:most])
    return tuple({evidence.number(passage): passage for passage in passages}.values())


def titled(n: int, passage: Passage) -> str:
    """A document as most methods write it."""
    return f"({n})Title: {passage.title} Text: {passage.text}"


def _documents(evidence: Evidence, searches: int, most: int, method: Method) -> tuple[str, ...]:
    """What the last `searches` found, as the prompt has it."""
    safe = (replace(p, title=_untagged(p.title), text=_untagged(p.text)) for p in read(evidence, searches, most))
    return tuple(method.document(n, passage) for n, passage in enumerate(safe, 1))


def _untagged(text: str) -> str:
    """A passage's text in which nothing looks like a tag of any method."""
    return _TAG.sub(r"\g<0> ", quoted(text))


async def _fitting(
    rounds: list[Round], layout: Callable[[Sequence[Round]], Prompt], max_tokens: int, tools: Tools
) -> list[Round] | None:
    """The rounds without as many documents as must go; None when that does not help."""
    while await tools.engine.count_tokens(layout(rounds)) + max_tokens > tools.engine.context_tokens:
        given = [n for n, r in enumerate(rounds) if r.found]
        if not given:
            return None
        oldest = rounds[given[0]]
        kept = (oldest.found or ())[:-1] if len(given) == 1 else ()
        if len(given) == 1 and not kept:
            return None
        rounds = [*rounds[: given[0]], replace(oldest, found=kept), *rounds[given[0] + 1 :]]
    return rounds
