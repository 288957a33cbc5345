"""The steps that pipelines are put together from.

A step that has a result is a coroutine; one that streams is an async generator, read inside `aclosing`, so that
cancelling a pipeline closes the engine's stream at once. No step keeps state.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeVar

from app.backend.errors import Busy, DeadlineExceeded, DenseUnavailable, Unavailable
from app.backend.events import Degraded, Done, Event, Retrieved, Searched, Step, Token
from app.backend.pipelines.budget import Layout, fit
from app.backend.pipelines.citations import cite
from app.backend.pipelines.params import RetrievalParams
from app.backend.pipelines.prompts import ECHO, answer_prompt, flashrag_prompt
from app.backend.protocols import Tools
from app.backend.types import Delta, Passage, Prompt, Query, Sampling, Scored

T = TypeVar("T")
_LOOP_CHARS = range(20, 200)


async def retrieve(
    text: str, corpus: str, params: RetrievalParams, tools: Tools
) -> tuple[*tuple[Degraded, ...], Retrieved | Degraded]:
    """What the search had to do without; and last what it found, or why there is nothing to answer from.

    Raises NotFound for an unknown corpus, Unavailable when the retriever fails and nothing may be answered without it.
    """
    began = time.perf_counter()
    lacks: tuple[Degraded, ...] = ()
    search = partial(tools.retriever.search, text, corpus=corpus, top_k=params.retrieval_topk)
    try:
        try:
            passages = await search(retriever=params.retriever)
        except DenseUnavailable as error:
            lacks = (Degraded("dense", f"{error.message} The passages were found by their words alone (BM25)."),)
            passages = await search(retriever="bm25")
    except (Unavailable, Busy, DeadlineExceeded) as error:
        if not tools.may_do_without:
            reason = f"{error.message} Here nothing is answered without sources: try again in a moment."
            raise Unavailable(reason, retry_after_s=error.retry_after_s) from error
        return (Degraded("retrieval", f"{error.message} This answer comes from the model alone, without sources."),)
    if not passages:
        nothing = "Nothing was found. This answer comes from the model alone, without sources."
        return (*lacks, Degraded("retrieval", nothing))
    return (*lacks, Retrieved(passages, round((time.perf_counter() - began) * 1000, 1)))


class Evidence:
    """The passages of one answer, numbered by first appearance, for methods that search more than once."""

    def __init__(self) -> None:
        self.found: list[tuple[Passage, ...]] = []
        """What each search found, in their order; empty where there was nothing."""
        self.lacks: list[Degraded] = []
        """What searches had to do without, each said once."""
        self._numbers: dict[tuple[str, str], int] = {}
        self._passages: list[Passage] = []

    @property
    def passages(self) -> tuple[Passage, ...]:
        """All of them; the n-th is cited as [n]."""
        return tuple(self._passages)

    def number(self, passage: Passage) -> int:
        return self._numbers[passage.corpus, passage.id]

    def add(self, found: Retrieved) -> Retrieved:
        """`found` with the numbers of its passages, for the log."""
        for passage in found.passages:
            if self._numbers.setdefault((passage.corpus, passage.id), len(self._passages) + 1) > len(self._passages):
                self._passages.append(passage)
        return replace(found, numbers=tuple(map(self.number, found.passages)))


async def look_up(
    texts: Sequence[str], corpus: str, params: RetrievalParams, tools: Tools, evidence: Evidence
) -> AsyncGenerator[Event, None]:
    """Search for all `texts` at once; what each found goes to the end of `evidence.found`."""
    yield Step("retrieve")
    for text in texts:
        yield Searched(text)
    for *lacks, found in await together(*(retrieve(text, corpus, params, tools) for text in texts)):
        for lack in lacks:
            if lack not in evidence.lacks:
                evidence.lacks.append(lack)
                yield lack
        evidence.found.append(found.passages if isinstance(found, Retrieved) else ())
        yield evidence.add(found) if isinstance(found, Retrieved) else found


@dataclass(frozen=True, slots=True)
class Written:
    """What the model wrote in one call. `tokens` are there when `Sampling.logprobs` asked for them."""

    text: str
    tokens: tuple[Scored, ...] = ()
    finish: Literal["stop", "length"] | None = None
    stopped_by: str | None = None


async def write(prompt: Prompt, sampling: Sampling, tools: Tools) -> Written:
    """One call of the model, all of it."""
    text: list[str] = []
    tokens: list[Scored] = []
    last = Delta("")
    async with aclosing(tools.engine.stream(prompt, sampling, request_id=tools.request_id)) as deltas:
        async for last in deltas:
            text.append(last.text)
            tokens += last.tokens
    return Written("".join(text), tuple(tokens), last.finish, last.stopped_by)


async def complete(prompt: Prompt, sampling: Sampling, tools: Tools) -> str:
    """The whole text that the model writes."""
    return (await write(prompt, sampling, tools)).text


async def weigh(text: str, tools: Tools) -> tuple[Scored, ...]:
    """The tokens of `text` but the first, each with its probability after those before it.

    Raises Unavailable when the engine does not tell, BadInput when the text is longer than it can take.
    """
    written = await write(text, Sampling(1, echo=True), tools)
    if not written.tokens:
        raise Unavailable("The engine does not tell how probable a text is.")
    return written.tokens


async def choose(prompt: Prompt, options: Sequence[str], tools: Tools) -> dict[str, float]:
    """How probable the model finds each of `options` as its next word; together 1, or all 0 when it thinks of none."""
    written = await write(prompt, Sampling(1, logprobs=20), tools)
    found = dict.fromkeys(options, 0.0)
    for text, logprob in written.tokens[0].top if written.tokens else ():
        word = text.strip().lower()
        if option := next((o for o in options if word and o.lower().startswith(word)), None):
            found[option] += math.exp(logprob)
    total = sum(found.values())
    return {option: share / total for option, share in found.items()} if total else found


async def together(*parts: Coroutine[object, object, T]) -> list[T]:
    """Run independent parts at once; the results in their order. When one fails, the others are cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def generate(prompt: Prompt, sampling: Sampling, tools: Tools) -> AsyncGenerator[Token | Degraded, None]:
    """The text as the model writes it. A model that repeats itself is stopped; that, and a cut, are said."""
    recent, finish = "", None
    async with aclosing(tools.engine.stream(prompt, sampling, request_id=tools.request_id)) as deltas:
        async for delta in deltas:
            finish = delta.finish
            if delta.text:
                yield Token(delta.text)
                recent = (recent + delta.text)[-3 * _LOOP_CHARS.stop :]
                if loops(recent):
                    yield Degraded("answer", "The model began to repeat itself and was stopped.")
                    return
    if not recent.strip():
        yield Degraded("answer", "The model wrote nothing.")
    elif finish == "length":
        yield Degraded("answer", f"The answer was cut at max_tokens ({sampling.max_tokens}).")


async def answer(
    query: Query,
    passages: Sequence[Passage],
    sampling: Sampling,
    tools: Tools,
    evidence: Evidence | None = None,
    layout: Layout | None = None,
    *,
    compat: bool = False,
) -> AsyncGenerator[Event, None]:
    """The end of most pipelines: answer the question from `passages` (from memory when there are none), then cite.

    With `evidence`, which holds the passages, they go under its numbers. `layout` is for a prompt of the method's own.
    With `compat` the question stands alone in FlashRAG's prompt.
    """
    yield Step("generate")
    if compat:
        query, layout = replace(query, question=query.standalone, history=()), layout or flashrag_prompt
    elif layout is None:
        layout = partial(answer_prompt, number=evidence.number) if evidence else answer_prompt
    prompt = await fit(tools.engine, query.question, query.history, passages, sampling.max_tokens, layout)
    if (kept := len(prompt.passages)) < len(passages):
        yield Degraded("context", f"Only {kept} of {len(passages)} passages fit beside the question.")
    tokens: list[str] = []
    if prompt.passages and not compat:
        sampling = replace(sampling, stop=(*sampling.stop, ECHO))
    async with aclosing(generate(prompt.messages, sampling, tools)) as events:
        async for event in events:
            if isinstance(event, Token):
                tokens.append(event.text)
            yield event
    text = "".join(tokens)
    if not prompt.passages:
        yield Done(text)
        return
    yield Step("cite")
    yield Done(text, await asyncio.to_thread(cite, text, evidence.passages if evidence else prompt.passages))


async def conclude(text: str, evidence: Evidence) -> AsyncGenerator[Event, None]:
    """The end of a method whose steps have written the answer already: show it, then cite."""
    yield Token(text)
    yield Step("cite")
    yield Done(text, await asyncio.to_thread(cite, text, evidence.passages))


def loops(recent: str) -> bool:
    """Whether the text ends in the same stretch three times over, and it is words rather than a ruled line."""
    for size in _LOOP_CHARS:
        if 3 * size > len(recent):
            return False
        last = recent[-size:]
        if last == recent[-2 * size : -size] == recent[-3 * size : -2 * size] and any(map(str.isalpha, last)):
            return True
    return False
