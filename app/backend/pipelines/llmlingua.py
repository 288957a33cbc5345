"""LongLLMLingua (Jiang et al. 2023; FlashRAG: `llmlingua`): the passages that make the question likeliest are kept, and
of each the tokens that the question makes likelier, more of the better passages, within a budget.

The authors compress segment after segment, each with those before it as context; here each passage is weighed alone, so
that all are weighed at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from pydantic import Field

from app.backend.events import Event, Step
from app.backend.pipelines.params import Entry
from app.backend.pipelines.prompts import inert, quoted
from app.backend.pipelines.refine import Refined, RefinerParams, Unit, divided, mean, refining, surprises
from app.backend.protocols import Tools
from app.backend.types import Passage, Query

RESTRICT = "We can get the answer to this question in the given documents."
_LEAST_BUDGET = 100
"""Tokens of the budget when the question alone would use it up."""


class LLMLinguaParams(RefinerParams):
    rate: float = Field(0.55, ge=0.01, le=1, description="The share of the tokens of question and passages that stays.")
    condition_in_question: Literal["after_condition", "before_condition", "after", "before"] = Field(
        "after_condition",
        description="Passages rank by the question after them, or by themselves with the question before them; with "
        "_condition their tokens are weighed after the question too.",
    )
    condition_compare: bool = Field(
        True, description="Tokens count by how much likelier the question makes them, not by how unlikely they are."
    )
    reorder_context: Literal["sort", "original", "two_stage"] = Field(
        "sort", description="The best passage first, as they were found, or the best ones at both ends."
    )
    dynamic_context_compression_ratio: float = Field(
        0.3, ge=0, le=1, description="How much more of the best passage stays than of the middle one, as a share."
    )
    context_budget: int = Field(100, ge=0, le=10_000, description="Tokens by which whole passages may pass the budget.")
    rank_method: Literal["longllmlingua", "llmlingua"] = Field(
        "longllmlingua", description="Passages rank with the question, or by how unexpected they are."
    )


@dataclass(frozen=True, slots=True)
class Weighed:
    """A passage's tokens alone and after the question; the question's after the passage."""

    passage: Passage
    alone: list[Unit]
    asked: list[Unit]
    question: list[Unit]


def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = LLMLinguaParams.of(query.params)
    return refining(query, params, tools, partial(_refine, params))


async def _refine(
    params: LLMLinguaParams, question: str, passages: tuple[Passage, ...], tools: Tools
) -> AsyncGenerator[Event | Refined, None]:
    before = f"{inert(question)}\n\n"
    texts = [quoted(passage.text) for passage in passages]
    after = [f"{text}\n{inert(question)} {RESTRICT}" for text in texts]
    found = await surprises([*after, *(f"{before}{text}" for text in texts)], tools)
    weighed = []
    for passage, text, own, asked in zip(passages, texts, found, found[len(texts) :], strict=False):
        alone, following = divided(own, len(text))
        weighed.append(Weighed(passage, alone, divided(asked, len(before))[1], following))
    ranked = sorted(weighed, key=lambda one: rank(one, params))
    budget = allowance(ranked, len(divided(found[-1], len(before))[0]), params.rate)
    kept = within(ranked, budget + params.context_budget)
    share = budget / (sum(len(one.alone) for one in kept) + 1)
    deltas = spread(len(kept), params.dynamic_context_compression_ratio)
    compressed = [
        replace(one.passage, text=compress(one, min(1.0, max(0.0, share + delta)), params))
        for one, delta in zip(kept, deltas, strict=True)
    ]
    tokens = sum(len(one.alone) for one in ranked)
    yield Step("compress", f"{len(kept)} of {len(ranked)} passages, about {min(budget, tokens):.0f} of {tokens} tokens")
    read = tuple(passage for passage in reordered(compressed, passages, params.reorder_context) if passage.text)
    yield Refined(read, in_order=True)


def rank(one: Weighed, params: LLMLinguaParams) -> float:
    """Lower is better: how unexpected the question is after the passage, or the passage after the question."""
    if params.rank_method == "llmlingua":
        return -mean(one.alone)
    return mean(one.question if params.condition_in_question.startswith("after") else one.asked)


def allowance(weighed: Sequence[Weighed], question_tokens: int, rate: float) -> float:
    """Tokens that the passages may have: `rate` of everything, less the question, which stays as it is."""
    tokens = sum(len(one.alone) for one in weighed)
    budget = (question_tokens + tokens) * rate - question_tokens
    return budget if budget > 0 else _LEAST_BUDGET


def within(ranked: Sequence[Weighed], tokens: float) -> list[Weighed]:
    """The best passages, up to the one that uses up the tokens."""
    kept: list[Weighed] = []
    for one in ranked:
        kept.append(one)
        tokens -= len(one.alone)
        if tokens < 0:
            break
    return kept


def spread(count: int, delta: float) -> list[float]:
    """From `delta` for the first evenly down to `-delta` for the last; nothing for one alone."""
    return [delta * (1 - 2 * place / (count - 1)) if count > 1 else 0.0 for place in range(count)]


def compress(one: Weighed, ratio: float, params: LLMLinguaParams) -> str:
    """What is left of a passage when `ratio` of its tokens stay: those that say most about the question."""
    conditioned = params.condition_compare or params.condition_in_question.endswith("_condition")
    tokens = one.asked if conditioned else one.alone
    gains = [token.nats for token in tokens]
    if params.condition_compare:
        alone = dict(zip(_ends(one.alone), one.alone, strict=True))
        gains = [alone.get(end, token).nats - token.nats for end, token in zip(_ends(tokens), tokens, strict=True)]
    best = sorted(range(len(tokens)), key=lambda place: -gains[place])[: round(ratio * len(tokens))]
    return "".join(tokens[place].text for place in sorted(best)).strip()


def reordered(best_first: Sequence[Passage], found: Sequence[Passage], order: str) -> list[Passage]:
    if order == "two_stage":
        return [*best_first[::2], *best_first[1::2][::-1]]
    if order == "original":
        places = {(passage.corpus, passage.id): place for place, passage in enumerate(found)}
        return sorted(best_first, key=lambda passage: places[passage.corpus, passage.id])
    return list(best_first)


def _ends(tokens: Sequence[Unit]) -> list[int]:
    """Where the tokens end, counted back from the end of the passage."""
    ends, left = [], sum(len(token.text) for token in tokens)
    for token in tokens:
        left -= len(token.text)
        ends.append(left)
    return ends


ENTRY = Entry(
    family="passages",
    title="LongLLMLingua",
    summary="Of the passages that fit the question best, the tokens that say least about it are left out.",
    paper="Jiang et al. 2023, LongLLMLingua: Accelerating and Enhancing LLMs in Long Context Scenarios via Prompt "
    "Compression",
    uses_retrieval=True,
    params=LLMLinguaParams,
    run=run,
)
