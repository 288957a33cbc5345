"""Who asks for the same thing at the same time waits for the same piece of work.

Invariant: the work goes on as long as anybody waits for it, and is cancelled when the last one has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(slots=True)
class _Work(Generic[Result]):
    task: asyncio.Task[Result]
    waiting: int = 0


class Joined(Generic[Result]):
    """One per kind of work; `key` says what is the same."""

    def __init__(self) -> None:
        self._running: dict[Hashable, _Work[Result]] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._running

    async def do(self, key: Hashable, begin: Callable[[], Coroutine[object, object, Result]]) -> Result:
        """The result, or the failure, of the work that runs under `key`; begun when there is none."""
        work = self._running.get(key)
        if work is None:
            work = self._running[key] = _Work(asyncio.create_task(begin()))
        work.waiting += 1
        try:
            return await asyncio.shield(work.task)
        finally:
            work.waiting -= 1
            if not work.waiting:
                work.task.cancel()
                del self._running[key]
