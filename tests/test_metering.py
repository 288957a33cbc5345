"""The engine of one answer: equal draws in every run, whatever the order of its calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.metering import MeteredEngine
from app.backend.types import Delta, Prompt, Sampling

pytestmark = pytest.mark.anyio
WORK_S = 0.05


class Listening(ScriptedEngine):
    """Notes with which seed each prompt was drawn."""

    def __init__(self) -> None:
        super().__init__(tokens_per_s=0)
        self.drawn: list[tuple[str, int | None]] = []

    async def stream(
        self, prompt: Prompt, sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        self.drawn.append((str(prompt), sampling.seed))
        yield Delta("", "stop")


async def drawn(seed: int | None, *prompts: str, temperature: float = 0.7) -> list[tuple[str, int | None]]:
    inner = Listening()
    engine = MeteredEngine(inner, None, seed=seed)
    for prompt in prompts:
        async for _ in engine.stream(prompt, Sampling(8, temperature), request_id="r"):
            pass
    return inner.drawn


async def test_the_same_seed_draws_the_same_for_the_same_prompts_in_any_order() -> None:
    assert dict(await drawn(7, "a", "b")) == dict(await drawn(7, "b", "a"))
    assert dict(await drawn(7, "a", "b")) != dict(await drawn(8, "a", "b"))


async def test_who_asks_the_same_twice_gets_two_draws_and_the_same_two_next_time() -> None:
    first = [seed for _, seed in await drawn(7, "a", "a")]
    assert first[0] != first[1]
    assert first == [seed for _, seed in await drawn(7, "a", "a")]


async def test_nothing_is_seeded_that_is_not_drawn_or_has_no_seed() -> None:
    assert await drawn(7, "a", temperature=0) == [("a", None)]
    assert await drawn(None, "a") == [("a", None)]


class Working(ScriptedEngine):
    """Takes `WORK_S` for every answer."""

    async def stream(
        self, prompt: Prompt, sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        yield Delta("One ")
        await asyncio.sleep(WORK_S)
        yield Delta("word.", "stop")


async def test_calls_at_the_same_time_are_charged_for_each_also_when_broken_off() -> None:
    engine = MeteredEngine(Working(), None)

    async def read() -> None:
        async for _ in engine.stream("Who?", Sampling(8), request_id="r"):
            pass

    await asyncio.gather(read(), read())
    both = engine.usage.engine_ms
    assert both >= 2 * 1000 * WORK_S
    broken = asyncio.create_task(read())
    await asyncio.sleep(WORK_S / 2)
    broken.cancel()
    await asyncio.gather(broken, return_exceptions=True)
    assert engine.usage.engine_ms > both
    assert engine.usage.engine_calls == 3
