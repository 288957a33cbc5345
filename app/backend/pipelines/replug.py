"""REPLUG (Shi et al. 2023; FlashRAG: `replug`): every passage stands in a prompt of its own, and each token is drawn
from the next-token distributions of all prompts, mixed by how well the passages were retrieved.

The weights are a softmax of the retrieval scores, whose scale is the retriever's: near to equal for hybrid and dense
search, sharp for BM25. FlashRAG mixes logits, weighted by score / sum of scores; `compat` does so.

Approximation: an engine tells the 20 likeliest tokens of a distribution. A token that a passage's list lacks counts as
impossible there (for logits: as likely as the last of the list), so that the mixture misses at most the weighted sum
of what the lists leave out. Against whole distributions of a model of 135M parameters, 5 passages, it missed 9 % of the
probability on average and 42 % at worst (as much for logits), and its likeliest token was always the same: 52 tokens of
5 answers (67 of 6 for logits; `benchmarks/replug.py`). So a greedy answer is the exact one there, and a drawn one keeps
to the likely tokens. The answer so far is read anew for each token, as text: most of it comes from the engine's prefix
cache, and a token that is only a part of a character is completed by the passage that is surest of it.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from pydantic import Field

from app.backend.events import Degraded, Done, Event, Step, Thought, Token
from app.backend.pipelines.budget import Layout, fit
from app.backend.pipelines.citations import cite
from app.backend.pipelines.params import Entry, RetrievalParams
from app.backend.pipelines.prompts import ECHO, answer_prompt, flashrag_prompt, inert
from app.backend.pipelines.steps import Evidence, Written, answer, look_up, loops, together, write
from app.backend.protocols import Tools
from app.backend.types import Message, Passage, Prompt, Query, Sampling

TOP = 20
"""Log-probabilities that engines tell of a token."""
_ECHO = ECHO.rstrip(":")
_END = "<|end|>"
_PART = "\ufffd"
_CHARACTER_TOKENS = 4
_NEXT = Sampling(1, logprobs=TOP)


class ReplugParams(RetrievalParams):
    context_topk: int = Field(20, ge=1, le=100, description="Of these, so many are mixed, each read in its own prompt.")
    max_tokens: int = Field(
        64, ge=1, le=1024, description="Tokens the answer may have; each takes a call of the engine for every passage."
    )
    compat: bool = Field(
        False, description="As FlashRAG: its prompt, and logits are mixed, not probabilities, by score / sum of scores."
    )


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = ReplugParams.of(query.params)
    evidence = Evidence()
    question = query.standalone
    async with aclosing(look_up([question], query.corpus, params, tools, evidence)) as events:
        async for event in events:
            yield event
    found = evidence.found[-1][: params.context_topk]
    asked = replace(query, question=question, history=()) if params.compat else query
    layout: Layout = partial(flashrag_prompt, document=_document) if params.compat else answer_prompt
    fitted = await together(
        *(fit(tools.engine, asked.question, asked.history, (p,), params.max_tokens, layout) for p in found)
    )
    passages = [passage for prompt in fitted for passage in prompt.passages]
    prompts = [prompt.messages for prompt in fitted if prompt.passages]
    if len(passages) < len(found):
        yield Degraded("context", f"Only {len(passages)} of {len(found)} passages fit beside the question.")
    said = why = ""
    if passages:
        shares = weights([passage.score for passage in passages], params.compat)
        yield Step("generate", f"{len(passages)} passages")
        yield Thought(", ".join(f"[{evidence.number(p)}] {w:.2f}" for p, w in zip(passages, shares, strict=True)))
        count = 0
        async with aclosing(_mixture(prompts, shares, params, tools)) as tokens:
            async for token in tokens:
                if not params.compat and (said + token).endswith(_ECHO):
                    break
                count += 1
                shown = said.lstrip()
                said += token
                if more := said.lstrip()[len(shown) :]:
                    yield Token(more)
                if loops(said):
                    why = "The model began to repeat itself and was stopped."
                    break
                if count == params.max_tokens:
                    why = f"The answer was cut at max_tokens ({count})."
    if not said.strip():
        yield Degraded("method", "There was nothing to mix; the question was asked plainly.")
        plainly = answer(query, passages, params.sampling(), tools, evidence, compat=params.compat)
        async with aclosing(plainly) as events:
            async for event in events:
                yield event
        return
    if why:
        yield Degraded("answer", why)
    yield Step("cite")
    said = said.lstrip()
    yield Done(said, await asyncio.to_thread(cite, said, evidence.passages))


async def _mixture(
    prompts: Sequence[Prompt], shares: Sequence[float], params: ReplugParams, tools: Tools
) -> AsyncGenerator[str, None]:
    """The tokens of the answer: none where the engine tells no probabilities."""
    said, seen, chance = "", Counter[str](), random.Random(tools.seed)
    for _ in range(params.max_tokens):
        heard = await together(*(write(_going_on(prompt, said), _NEXT, tools) for prompt in prompts))
        told = [likely(one) for one in heard]
        token = drawn(mixed(told, shares, params.compat), seen, params.sampling(), chance)
        if not token or _ends(token, heard):
            return
        seen[token] += 1
        if _PART in token:
            surest = max(range(len(told)), key=lambda at: shares[at] * told[at].get(token, 0.0))
            token = await _character(_going_on(prompts[surest], said), tools)
        if not token:
            return
        said += token
        yield token


def weights(scores: Sequence[float], compat: bool) -> list[float]:
    """What each passage's say counts; together 1."""
    total = sum(scores)
    if compat and min(scores) >= 0 and total > 0:
        return [score / total for score in scores]
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def likely(written: Written) -> dict[str, float]:
    """The likeliest next tokens with their probabilities; an end of which none is told is certain."""
    found = {_END: 1.0} if written.finish == "stop" and not written.tokens else dict[str, float]()
    for token, logprob in written.tokens[0].top[:TOP] if written.tokens else ():
        found[token] = found.get(token, 0.0) + math.exp(logprob)
    return found


def mixed(told: Sequence[Mapping[str, float]], shares: Sequence[float], compat: bool) -> dict[str, float]:
    """How likely each token is in the mixture, or with `compat` up to a factor."""
    pairs = [(top, share) for top, share in zip(told, shares, strict=True) if top]
    tokens = dict.fromkeys(token for top, _ in pairs for token in top)
    if compat:
        logs = [({token: math.log(p) for token, p in top.items()}, math.log(min(top.values())), s) for top, s in pairs]
        return {token: math.exp(sum(share * log.get(token, last) for log, last, share in logs)) for token in tokens}
    return {token: sum(share * top.get(token, 0.0) for top, share in pairs) for token in tokens}


def drawn(likelihood: Mapping[str, float], seen: Mapping[str, int], sampling: Sampling, chance: random.Random) -> str:
    """The next token, as `sampling` says; `seen` counts those before it. "" when there is none."""
    scores = {
        token: math.log(share) - sampling.frequency_penalty * seen.get(token, 0)
        for token, share in likelihood.items()
        if share > 0
    }
    ranked = sorted(scores, key=lambda token: -scores[token])
    if not ranked or not sampling.temperature:
        return ranked[0] if ranked else ""
    powers = [math.exp((scores[token] - scores[ranked[0]]) / sampling.temperature) for token in ranked]
    room, kept = sampling.top_p * sum(powers), 0
    while kept < len(ranked) and room > 0:
        room -= powers[kept]
        kept += 1
    return chance.choices(ranked[:kept], powers[:kept])[0]


def _document(_: int, passage: Passage) -> str:
    return f"Document(Title: {passage.title}): {passage.text}"


def _going_on(prompt: Prompt, said: str) -> Prompt:
    if isinstance(prompt, str):
        return prompt + said
    return (*prompt, Message("assistant", said)) if said else prompt


def _ends(token: str, heard: Sequence[Written]) -> bool:
    """Whether it is the token that ends an answer."""
    return inert(token) != token or any(
        one.finish == "stop" and [scored.text for scored in one.tokens] == [token] for one in heard
    )


async def _character(prompt: Prompt, tools: Tools) -> str:
    """The next character, where it takes several tokens; "" when it cannot be told."""
    written = await write(prompt, Sampling(_CHARACTER_TOKENS), tools)
    return written.text.replace(_PART, "")[:1]


ENTRY = Entry(
    family="branching",
    title="REPLUG",
    summary="Reads each passage by itself, and mixes what the model would say next after each of them.",
    paper="Shi et al. 2023, REPLUG: Retrieval-Augmented Black-Box Language Models",
    uses_retrieval=True,
    params=ReplugParams,
    run=run,
)
