"""Keeps a prompt and its completion within the model's context.

Invariant: whole parts are dropped, never cut: the oldest turns first, then the lowest passages, and no more of
them than must be. The question always stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.backend.errors import BadInput
from app.backend.pipelines.prompts import answer_prompt
from app.backend.protocols import Engine
from app.backend.types import Exchange, Passage
from app.backend.types import Prompt as Sent

Layout = Callable[[str, Sequence[Exchange], Sequence[Passage]], Sent]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that fits, with the passages that are in it."""

    messages: Sent
    passages: tuple[Passage, ...]


async def fit(
    engine: Engine,
    question: str,
    history: Sequence[Exchange],
    passages: Sequence[Passage],
    max_tokens: int,
    layout: Layout = answer_prompt,
) -> Prompt:
    """The fullest prompt that leaves room for `max_tokens`. Raises BadInput when the question alone does not fit.

    Tokens are counted once when everything fits, else 2 + log2(parts) times: with more dropped it only gets shorter.
    """

    def without(dropped: int) -> Prompt:
        kept = tuple(passages[: len(passages) - max(0, dropped - len(history))])
        return Prompt(layout(question, history[dropped:], kept), kept)

    async def excess(prompt: Prompt) -> int:
        return await engine.count_tokens(prompt.messages) + max_tokens - engine.context_tokens

    best = without(0)
    if await excess(best) <= 0:
        return best
    fails, fits = 0, len(history) + len(passages)
    best = without(fits)
    if (over := await excess(best)) > 0:
        raise BadInput(
            f"The question and an answer of up to {max_tokens:,} tokens are {over:,} tokens more than the model can "
            f"take ({engine.context_tokens:,}): shorten the question or lower max_tokens."
        )
    while fits - fails > 1:
        middle = (fails + fits) // 2
        candidate = without(middle)
        if await excess(candidate) <= 0:
            fits, best = middle, candidate
        else:
            fails = middle
    return best
