"""vLLM's `AsyncLLM` in this process, its core in processes of its own.

Invariant: every request that `stream` begins is finished or aborted when its iterator ends, however it ends.
vLLM registers its metrics (`vllm:...`) in prometheus_client's default registry.
"""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

from app.backend.engines.models import display_name
from app.backend.engines.supervisor import Report, Supervisor
from app.backend.engines.vllm_core import VllmCore, boot, end_children
from app.backend.errors import BadInput
from app.backend.types import Delta, Health, Prompt, Sampling
from app.settings import EngineSettings

_LONG_PROMPT = 8_000
"""Characters from which a prompt is rendered beside the event loop: a few milliseconds of work."""


class VllmEngine:
    """Fits `protocols.Engine`. A core that is dead, or makes no step for `stall_s` while it has work, is restarted.
    Until then `health()` says so and `stream` raises.
    """

    def __init__(
        self, settings: EngineSettings, models: Path, *, retriever_gib: float = 0.0, stall_s: float = math.inf
    ) -> None:
        self.model = display_name(settings.model)
        self.context_tokens = settings.max_model_len or 0
        self._settings = settings
        self._models = models
        self._retriever_gib = retriever_gib
        self._stall_s = stall_s
        self._supervisor = Supervisor(self._boot, end_children, expected_s=settings.start_expected_s)

    async def start(self) -> None:
        await self._supervisor.start()

    def _boot(self, report: Report) -> VllmCore:
        core = boot(self._settings, self._models, self._retriever_gib, report, stall_s=self._stall_s)
        self.context_tokens = core.context_tokens
        return core

    async def stream(
        self, prompt: Prompt, sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        core = self.core()
        ids = await self._render(core, prompt)
        if len(ids) >= core.context_tokens:
            raise BadInput(f"The prompt has {len(ids)} tokens, but the model takes {core.context_tokens}: shorten it.")
        async with aclosing(core.answer(ids, sampling, request_id, cache_salt)) as deltas:
            async for delta in deltas:
                yield delta

    async def count_tokens(self, prompt: Prompt) -> int:
        return len(await self._render(self.core(), prompt))

    async def _render(self, core: VllmCore, prompt: Prompt) -> list[int]:
        texts = (prompt,) if isinstance(prompt, str) else tuple(message.content for message in prompt)
        if sum(map(len, texts)) < _LONG_PROMPT:
            return core.render(prompt)
        return await asyncio.to_thread(core.render, prompt)

    def health(self) -> Health:
        return self._supervisor.health()

    async def until(self, holds: Callable[[Health], bool]) -> Health:
        """Wait for a health that `holds`."""
        return await self._supervisor.until(holds)

    def core(self) -> VllmCore:
        """What runs now, for measurements; raises Unavailable when nothing does."""
        return self._supervisor.current()

    async def aclose(self) -> None:
        await self._supervisor.aclose()
        # What vLLM does when an engine is collected fails once the interpreter has begun to end: collect it now.
        await asyncio.to_thread(gc.collect)
