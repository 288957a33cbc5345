"""The metrics of FlashRAG that need a model: its judge of answers, and the length of the prompts.

FlashRAG's own judge cannot run (it gives the prompts to a model for translation, and adds 1 to every score); the prompt
is its, the scale is 0 to 1. Invariant: each answer is judged alone and greedily, so no order can change its score.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from app.backend.errors import BadInput, Unavailable
from app.backend.experiments.items import Item
from app.backend.experiments.metrics import BY_MODEL, Score
from app.backend.protocols import Engine
from app.backend.types import Message, Sampling

R = TypeVar("R")
AT_ONCE = 64
LOOK_S = 0.2
MOST, SPLIT = 10.0, "Total rating:"
PROMPT = """\
You will be given a user_question and system_answer couple.
Your task is to provide a 'total rating' scoring how well the system_answer answers the user concerns expressed in the \
user_question.
Give your answer as a float on a scale of 0 to 10, where 0 means that the system_answer is not helpful at all, and 10 \
means that the answer completely and helpfully addresses the question.

Provide your feedback as follows:

Feedback:::
Total rating: (your rating, as a float between 0 and 10)

Now here are the question and answer.

Question: {question}
Answer: {answer}
"""
BEGUN = "Feedback:::\nTotal rating:"
"""The end of its prompt, as the beginning of the answer: then also a small model goes on with a number."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


async def score(items: Sequence[Item], metrics: Sequence[str], engine: Engine) -> dict[str, Score]:
    """Each of `metrics` (of `BY_MODEL`) over `items`, by an engine that was started. Raises Unavailable, BadInput."""
    if "input_tokens" in metrics and not all(item.prompt for item in items):
        raise BadInput("input_tokens needs the `prompt` that the model read in every prediction.")
    while (health := engine.health()).state == "starting":
        await asyncio.sleep(LOOK_S)
    if health.state != "ready":
        raise Unavailable(health.detail or "The engine is not running.")
    return {name: await _NAMED[name](items, engine) for name in metrics}


def rating_of(text: str) -> float | None:
    """The rating in what the judge wrote, from 0 to 1; None when there is none."""
    found = _NUMBER.search(text.partition(SPLIT)[2] if SPLIT in text else text)
    rating = float(found[0]) if found else math.inf
    return rating / MOST if rating <= MOST else None


async def _judge(items: Sequence[Item], engine: Engine) -> Score:
    async def rate(n: int, item: Item) -> float | None:
        asked = (Message("user", PROMPT.format(question=item.question, answer=item.pred)), Message("assistant", BEGUN))
        deltas = engine.stream(asked, Sampling(100), request_id=f"judge-{n}")
        return rating_of("".join([delta.text async for delta in deltas]))

    ratings = await _each(items, rate)
    values = tuple(rating or 0.0 for rating in ratings)
    return Score("llm_judge_score", math.fsum(values) / len(values), values, unread=ratings.count(None))


async def _tokens(items: Sequence[Item], engine: Engine) -> Score:
    async def count(n: int, item: Item) -> float:
        return float(await engine.count_tokens(item.prompt or ""))

    values = tuple(await _each(items, count))
    return Score("avg_input_tokens", math.fsum(values) / len(values), values)


async def _each(items: Sequence[Item], measure: Callable[[int, Item], Awaitable[R]]) -> list[R]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(n: int, item: Item) -> R:
        async with room:
            return await measure(n, item)

    return await asyncio.gather(*(one(n, item) for n, item in enumerate(items)))


_NAMED: Mapping[str, Callable[[Sequence[Item], Engine], Awaitable[Score]]] = dict(
    zip(BY_MODEL, (_judge, _tokens), strict=True)
)
