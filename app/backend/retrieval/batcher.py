"""Batch when free: one thread owns the work, and whatever waits when it is free is done together. There is no timer.

Invariant: `work` is only ever called from the batcher's own thread, and every item that was not cancelled gets exactly
one result or one exception.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from app.backend.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """`work` answers a batch of at most `limit` items with one result for each, in order; `observe` hears its size."""

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        limit: int,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._work = work
        self._limit = limit
        self._observe = observe
        self._busy_since: float | None = None
        self._waiting: queue.SimpleQueue[tuple[Item, Future[Result]] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Items that nobody works on yet."""
        return self._waiting.qsize()

    def busy_s(self) -> float:
        """How long it has been at the same batch."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    async def submit(self, item: Item) -> Result:
        """The result for `item`. Cancelling takes it out of the queue."""
        if self._closed:
            raise Unavailable("The retriever was shut down.")
        future: Future[Result] = Future()
        self._waiting.put((item, future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish what waits, then end the thread."""
        self._closed = True
        self._waiting.put(None)

    def _run(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < self._limit and not self._waiting.empty():
                batch.append(self._waiting.get())
            live = [entry for entry in batch if entry is not None and entry[1].set_running_or_notify_cancel()]
            if live:
                self._observe(len(live))
                self._busy_since = time.monotonic()
                self._answer(live)
                self._busy_since = None
            if None in batch:
                return

    def _answer(self, batch: list[tuple[Item, Future[Result]]]) -> None:
        try:
            answered = list(zip(batch, self._work([item for item, _ in batch]), strict=True))
        except Exception as error:  # noqa: BLE001 (it belongs to the waiters)
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            else:  # one bad item must not fail its neighbours
                for entry in batch:
                    self._answer([entry])
            return
        for (_, future), result in answered:
            future.set_result(result)
