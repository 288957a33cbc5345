"""An engine bound to one generation: names its requests, salts them with their owner's salt, adds up what they cost."""

from __future__ import annotations

import asyncio
import math
import time
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from app.backend.patience import steady
from app.backend.protocols import Engine
from app.backend.types import Delta, Health, Prompt, Sampling, Usage


class MeteredEngine:
    """Fits the `Engine` protocol. `usage` is up to date also while a call runs and after it was broken off; but for
    the time of a call, which is added when it ends.

    Every call carries the owner's salt, whatever a pipeline gives, and ends when the engine falls silent for `stall_s`;
    `observe` hears the pauses. At most `at_once` of them run; further ones wait in their order, so that no method takes
    the engine from others. With a `seed` equal calls draw the same tokens in every run, whatever their order.
    """

    def __init__(
        self,
        engine: Engine,
        cache_salt: str | None,
        *,
        seed: int | None = None,
        at_once: int = 16,
        stall_s: float = math.inf,
        observe: Callable[[float], None] = lambda pause_s: None,
    ) -> None:
        self.usage = Usage()
        self._calls = 0
        self._engine = engine
        self._places = asyncio.Semaphore(at_once)
        self._cache_salt = cache_salt
        self._seed = seed
        self._drawn: Counter[int] = Counter()
        self._stall_s = stall_s
        self._observe = observe

    @property
    def model(self) -> str:
        return self._engine.model

    @property
    def context_tokens(self) -> int:
        return self._engine.context_tokens

    async def stream(
        self, prompt: Prompt, sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        async with self._places:
            self._calls += 1
            began = time.monotonic()
            request, counted = f"{request_id}-{self._calls}", Usage(engine_calls=1)
            self.usage += counted
            sampling = self._seeded(prompt, sampling)
            answer = self._engine.stream(prompt, sampling, request_id=request, cache_salt=self._cache_salt)
            try:
                async with aclosing(answer) as deltas:
                    async for delta in steady(deltas, self._stall_s, self._observe):
                        if delta.usage:
                            self.usage += delta.usage - counted
                            counted = delta.usage
                        yield delta
            finally:
                self.usage += Usage(engine_ms=1000 * (time.monotonic() - began))

    def _seeded(self, prompt: Prompt, sampling: Sampling) -> Sampling:
        """Whoever asks the same thing again in one answer wants another draw."""
        if self._seed is None or not sampling.temperature or sampling.seed is not None:
            return sampling
        asked = zlib.crc32(repr(prompt).encode(errors="replace"))
        self._drawn[asked] += 1
        return replace(sampling, seed=(self._seed + asked + self._drawn[asked]) % 2**31)

    async def count_tokens(self, prompt: Prompt) -> int:
        return await self._engine.count_tokens(prompt)

    def health(self) -> Health:
        return self._engine.health()

    async def start(self) -> None:
        raise RuntimeError("an engine is started by the backend")

    async def aclose(self) -> None:
        raise RuntimeError("an engine is closed by the backend")
