"""Long computations that no chat may wait for, one after the other in a thread of their own.

Invariant: the threads that answering uses are not taken, and a computation does not hold up the end of the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Aside(Generic[_T]):
    """One per kind of computation. Who cancels `run` lets the next one begin: shield what is worth having."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[], _T]) -> _T:
        """What `work` gives, once those before have ended."""
        async with self._turn:
            made: Future[_T] = Future()
            made.set_running_or_notify_cancel()
            Thread(target=_fill, args=(made, work), name=self._name, daemon=True).start()
            return await asyncio.wrap_future(made)


def _fill(made: Future[_T], work: Callable[[], _T]) -> None:
    try:
        made.set_result(work())
    except BaseException as error:  # noqa: BLE001 - raised where it is awaited
        made.set_exception(error)
