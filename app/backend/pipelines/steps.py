"""The steps that pipelines are put together from.

A step that has a result is a coroutine; one that streams is an async generator, read inside `aclosing`, so that
cancelling a pipeline closes the engine's stream at once. No step keeps state.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from app.backend.errors import Busy, DeadlineExceeded, Unavailable
from app.backend.events import Degraded, Done, Event, Retrieved, Step, Token
from app.backend.pipelines.budget import fit
from app.backend.pipelines.citations import cite
from app.backend.pipelines.params import RetrievalParams
from app.backend.pipelines.prompts import ECHO
from app.backend.protocols import Tools
from app.backend.types import Message, Passage, Query, Sampling

_LOOP_CHARS = range(20, 200)


async def retrieve(text: str, corpus: str, params: RetrievalParams, tools: Tools) -> Retrieved | Degraded:
    """What a search found, or why there is nothing to answer from. Raises NotFound for an unknown corpus, Unavailable
    when the retriever fails and nothing may be answered without it.
    """
    began = time.perf_counter()
    try:
        passages = await tools.retriever.search(
            text, corpus=corpus, top_k=params.retrieval_topk, retriever=params.retriever
        )
    except (Unavailable, Busy, DeadlineExceeded) as error:
        if not tools.may_do_without:
            reason = f"{error.message} Here nothing is answered without sources: try again in a moment."
            raise Unavailable(reason, retry_after_s=error.retry_after_s) from error
        return Degraded("retrieval", f"{error.message} This answer comes from the model alone, without sources.")
    if not passages:
        return Degraded("retrieval", "Nothing was found. This answer comes from the model alone, without sources.")
    return Retrieved(passages, round((time.perf_counter() - began) * 1000, 1))


async def complete(messages: Sequence[Message], sampling: Sampling, tools: Tools) -> str:
    """The whole text that the model writes."""
    async with aclosing(tools.engine.stream(messages, sampling, request_id=tools.request_id)) as deltas:
        return "".join([delta.text async for delta in deltas])


async def generate(
    messages: Sequence[Message], sampling: Sampling, tools: Tools
) -> AsyncGenerator[Token | Degraded, None]:
    """The text as the model writes it. A model that repeats itself is stopped; that, and a cut, are said."""
    recent, finish = "", None
    async with aclosing(tools.engine.stream(messages, sampling, request_id=tools.request_id)) as deltas:
        async for delta in deltas:
            finish = delta.finish
            if delta.text:
                yield Token(delta.text)
                recent = (recent + delta.text)[-3 * _LOOP_CHARS.stop :]
                if _loops(recent):
                    yield Degraded("answer", "The model began to repeat itself and was stopped.")
                    return
    if not recent.strip():
        yield Degraded("answer", "The model wrote nothing.")
    elif finish == "length":
        yield Degraded("answer", f"The answer was cut at max_tokens ({sampling.max_tokens}).")


async def answer(
    query: Query, passages: tuple[Passage, ...], sampling: Sampling, tools: Tools
) -> AsyncGenerator[Event, None]:
    """The end of most pipelines: answer the question from `passages` (from memory when there are none), then cite."""
    yield Step("generate")
    prompt = await fit(tools.engine, query.question, query.history, passages, sampling.max_tokens)
    if (kept := len(prompt.passages)) < len(passages):
        yield Degraded("context", f"Only {kept} of {len(passages)} passages fit beside the question.")
    tokens: list[str] = []
    if prompt.passages:
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
    yield Done(text, await asyncio.to_thread(cite, text, prompt.passages))


def _loops(recent: str) -> bool:
    """Whether the text ends in the same stretch three times over, and it is words rather than a ruled line."""
    for size in _LOOP_CHARS:
        if 3 * size > len(recent):
            return False
        last = recent[-size:]
        if last == recent[-2 * size : -size] == recent[-3 * size : -2 * size] and any(map(str.isalpha, last)):
            return True
    return False
