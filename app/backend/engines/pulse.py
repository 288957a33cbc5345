"""Whether an engine that owes somebody an output still shows signs of life.

Invariant: nobody waiting, no silence, however long nothing happens.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


class Pulse:
    """`beat` it at every sign of life; it is `lost` when none came for `most_s` while somebody waited."""

    def __init__(self, most_s: float = math.inf, now: Callable[[], float] = time.monotonic) -> None:
        self.most_s = most_s
        self._now = now
        self._waiting = 0
        self._last = 0.0

    def beat(self) -> None:
        self._last = self._now()

    @property
    def lost(self) -> bool:
        return bool(self._waiting) and self._now() - self._last > self.most_s

    async def over(self, outputs: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """`outputs` as they come."""
        async with aclosing(outputs):
            while True:
                if not self._waiting:
                    self.beat()
                self._waiting += 1
                try:
                    output = await anext(outputs)
                except StopAsyncIteration:
                    return
                finally:
                    self._waiting -= 1
                yield output
