"""The encoder of this process: loaded in a thread, and again after a pause when that failed.

Invariant: only the first load is waited for; while there is none, whoever wants the encoder is told at once why not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from app.backend.errors import ColloquyError
from app.backend.retrieval.encoder import Encoder
from app.backend.retrieval.threads import failure, in_thread

log = logging.getLogger(__name__)

PAUSE_S = 30.0
"""Before the second load; the pause doubles each time. What was missing (the hub, room on the GPU) may come back."""
_LONGEST_PAUSE_S = 600.0


class EncoderLoader:
    """`first` is the first load; `on_late` hears of an encoder that came with a later one."""

    def __init__(self, load: Callable[[], Encoder], on_late: Callable[[Encoder], Awaitable[None]]) -> None:
        self._load = load
        self._on_late = on_late
        self._late: Encoder | None = None
        self.first = asyncio.create_task(in_thread(load))
        self._watch = asyncio.create_task(self._load_again())

    @property
    def error(self) -> str:
        """Why there is no encoder, in a sentence; empty when it is there, and during the first load."""
        error = failure(self.first) if self.first.done() and self._late is None else None
        if error is None:
            return ""
        return error.message if isinstance(error, ColloquyError) else "The encoder could not be loaded."

    async def get(self) -> Encoder:
        """The encoder. Raises what the first load failed with."""
        return await asyncio.shield(self.first) if self._late is None else self._late

    async def aclose(self) -> None:
        self.first.cancel()
        self._watch.cancel()
        await asyncio.gather(self.first, self._watch, return_exceptions=True)

    async def _load_again(self) -> None:
        await asyncio.wait([self.first])
        pause_s = PAUSE_S
        while self._late is None and failure(self.first) is not None:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                self._late = await in_thread(self._load)
            except Exception as error:  # noqa: BLE001 (the libraries raise whatever they like)
                log.warning("the encoder could not be loaded again: %s", type(error).__name__)
        if self._late is not None:
            log.info("the encoder is up after all")
            await self._on_late(self._late)
