"""Prompts that fit: what goes first, what stays, and how often tokens are counted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.errors import BadInput
from app.backend.pipelines.budget import fit
from app.backend.types import Exchange, Message, Passage

pytestmark = pytest.mark.anyio

HISTORY = tuple(Exchange(f"question{n}?", "answer " * 40) for n in range(4))
PASSAGES = tuple(Passage(f"{9 - n}", f"title{n}", f"passage{n} " + "word " * 60, 1.0, "demo") for n in range(4))


class Counting(ScriptedEngine):
    counts = 0

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        self.counts += 1
        return await super().count_tokens(messages)


async def kept(context_tokens: int, max_tokens: int = 50) -> tuple[list[int], list[int], Counting, int]:
    """Which turns and passages are in the prompt, the engine, and the size of the prompt."""
    engine = Counting(context_tokens=context_tokens)
    prompt = await fit(engine, "last?", HISTORY, PASSAGES, max_tokens)
    text = "\n".join(message.content for message in prompt.messages)
    counts = engine.counts
    size = await engine.count_tokens(prompt.messages)
    engine.counts = counts
    assert prompt.passages == PASSAGES[: len(prompt.passages)]
    assert "last?" in text
    turns = [n for n in range(4) if f"question{n}?" in text]
    return turns, [n for n in range(4) if f"passage{n} " in text], engine, size


async def test_everything_stays_when_it_fits_and_tokens_are_counted_once() -> None:
    turns, passages, engine, _ = await kept(8192)
    assert (turns, passages, engine.counts) == ([0, 1, 2, 3], [0, 1, 2, 3], 1)


async def test_the_oldest_turns_go_first_then_the_lowest_passages() -> None:
    _, _, _, full = await kept(8192)
    seen = []
    for context_tokens in range(full + 50, 100, -1):
        try:
            turns, passages, engine, size = await kept(context_tokens)
        except BadInput:
            break
        assert size + 50 <= context_tokens
        assert engine.counts <= 5
        if (turns, passages) not in seen:
            seen.append((turns, passages))
    all_turns, all_passages = [0, 1, 2, 3], [0, 1, 2, 3]
    assert seen == [
        *((all_turns[drop:], all_passages) for drop in range(5)),
        *(([], all_passages[:keep]) for keep in (3, 2, 1, 0)),
    ]


async def test_a_question_that_is_too_long_alone_is_refused_with_the_way_out() -> None:
    with pytest.raises(BadInput, match=r"shorten the question or lower max_tokens\.$"):
        await fit(Counting(context_tokens=200), "word " * 300, HISTORY, PASSAGES, 50)
    with pytest.raises(BadInput):
        await fit(Counting(context_tokens=200), "short?", (), (), 200)
