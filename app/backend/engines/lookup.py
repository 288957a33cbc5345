"""The engines that answer, by name.

Invariant: the main one has no name and is always there. Only it decides whether the server is ready; of the others each
stands for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from app.backend.engines.scraped import Scraped, merged
from app.backend.errors import NotFound, Unavailable
from app.backend.protocols import Engine
from app.backend.types import EngineInfo

LOOK_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class Engines:
    """The main engine, and the further ones that a question may name."""

    main: Engine
    named: Mapping[str, Engine] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Engine:
        """The main one for "". Raises NotFound."""
        if not name:
            return self.main
        if name not in self.named:
            known = f"name {' or '.join(self.named)}, or none" if self.named else "name none"
            raise NotFound(f"There is no engine {name[:80]!r}; {known} for the main one.")
        return self.named[name]

    def infos(self) -> tuple[EngineInfo, ...]:
        """The main one first."""
        return tuple(EngineInfo(name, self[name].model, self[name].health()) for name in ("", *self.named))

    async def metrics(self) -> bytes:
        """What the servers of engines behind URLs count; an engine in this process is counted with it."""
        remote = [engine for engine in (self.main, *self.named.values()) if isinstance(engine, Scraped)]
        if not remote:
            return b""
        texts = await asyncio.gather(*(engine.scrape() for engine in remote))
        return await asyncio.to_thread(merged, {url: text for found in texts for url, text in found.items()})

    async def until_up(self, name: str) -> None:
        """Wait while a named engine starts; for the main one all questions wait together. Raises Unavailable."""
        if not name:
            return
        while (health := self[name].health()).state == "starting":
            await asyncio.sleep(LOOK_AGAIN_S)
        if health.state != "ready":
            raise Unavailable(f"The engine {name} cannot be used now. {health.detail}")

    async def start(self) -> None:
        for engine in (self.main, *self.named.values()):
            await engine.start()

    async def aclose(self) -> None:
        async with AsyncExitStack() as last:
            for engine in (*self.named.values(), self.main):
                last.push_async_callback(engine.aclose)
