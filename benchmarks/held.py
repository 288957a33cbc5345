"""An engine whose marked answers come later, for benchmarks of what a slow answer does to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from app.backend.protocols import Engine
from app.backend.types import Delta, Health, Prompt, Sampling

SLOWER = 10.0
MARK = 0.999
"""The `top_p` of an answer that is held back; greedy sampling does not look at it."""


class Held:
    """Fits `protocols.Engine`: another one, whose marked answers come `SLOWER` times later while `hold` is set."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.hold = False

    @property
    def model(self) -> str:
        return self.engine.model

    @property
    def context_tokens(self) -> int:
        return self.engine.context_tokens

    async def start(self) -> None:
        await self.engine.start()

    async def stream(
        self, prompt: Prompt, sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        held = self.hold and sampling.top_p == MARK
        clock = asyncio.get_running_loop().time
        began = clock()
        deltas = self.engine.stream(prompt, sampling, request_id=request_id, cache_salt=cache_salt)
        if not held:
            async with aclosing(deltas):
                async for delta in deltas:
                    yield delta
            return
        queue: asyncio.Queue[tuple[float, Delta | None]] = asyncio.Queue()

        async def read() -> None:
            async with aclosing(deltas):
                async for delta in deltas:
                    queue.put_nowait((clock(), delta))
            queue.put_nowait((clock(), None))

        reader = asyncio.create_task(read())
        try:
            while True:
                at, late = await queue.get()
                if late is None:
                    return
                await asyncio.sleep(began + SLOWER * (at - began) - clock())
                yield late
        finally:
            reader.cancel()

    async def count_tokens(self, prompt: Prompt) -> int:
        return await self.engine.count_tokens(prompt)

    def health(self) -> Health:
        return self.engine.health()

    async def aclose(self) -> None:
        await self.engine.aclose()
