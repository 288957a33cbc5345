"""The one door before the engine: a bounded queue that says where one stands.

A question waits while the parts it needs are starting or while `max_running` others are answered. Slots are given in
the order of arrival; whoever waits is told its place whenever that changes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.backend.errors import Busy, Refused
from app.backend.events import Queued
from app.settings import AdmissionSettings

SMOOTHING = 0.2


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether answers may begin. `wait_s` and `reason` say what a closed gate waits for."""

    open: bool
    reason: str = ""
    wait_s: float = 0.0


class _Waiter:
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.admitted = False
        self.news = asyncio.Event()


class Admission:
    """Counts what runs and what waits; one per backend."""

    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._gate = Gate(False, "starting")
        self._waiting: deque[_Waiter] = deque()
        self._running: Counter[str] = Counter()
        self._service_s = 5.0

    @property
    def running(self) -> int:
        return self._running.total()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def set_gate(self, gate: Gate) -> None:
        """Open or close the door, or change what it waits for."""
        if gate != self._gate:
            self._gate = gate
            self._pump()

    def check(self, owner: str) -> Queued:
        """The place a question of `owner` would get now. Raises Busy when the queue is full, Refused above one's own
        share.
        """
        if self._gate.open and self.running < self._settings.max_running:
            return self._place(self.waiting + 1)
        if self.waiting >= self._settings.max_queued:
            raise Busy("Too many questions are waiting; please try again shortly.", retry_after_s=self._eta(1))
        own = sum(w.owner == owner for w in self._waiting)
        if own >= self._settings.max_queued_per_user:
            raise Refused(
                f"You already have {own} questions waiting; let one finish first.", retry_after_s=self._eta(1)
            )
        return self._place(self.waiting + 1)

    @asynccontextmanager
    async def slot(self, owner: str, report: Callable[[Queued], None]) -> AsyncIterator[None]:
        """Hold a slot inside the `async with`, after waiting for it; `report` hears every change of the place."""
        clock = asyncio.get_running_loop().time
        waiter, began = _Waiter(owner), None
        self._waiting.append(waiter)
        try:
            self._pump()
            told: Queued | None = None
            while not waiter.admitted:
                place = self._place(self._waiting.index(waiter) + 1)
                if told is None or (place.position, place.reason) != (told.position, told.reason):
                    report(place)
                    told = place
                waiter.news.clear()
                await waiter.news.wait()
            began = clock()
            yield
        finally:
            if waiter.admitted:
                self._running[owner] -= 1
                if began is not None:
                    self._service_s += SMOOTHING * (clock() - began - self._service_s)
            else:
                self._waiting.remove(waiter)
            self._pump()

    def _pump(self) -> None:
        while self._gate.open and self._waiting and self.running < self._settings.max_running:
            waiter = self._waiting.popleft()
            waiter.admitted = True
            self._running[waiter.owner] += 1
            waiter.news.set()
        for waiter in self._waiting:
            waiter.news.set()

    def _place(self, position: int) -> Queued:
        if not self._gate.open:
            return Queued(position, round(self._gate.wait_s + self._eta(position - 1), 1), self._gate.reason)
        if self.running < self._settings.max_running:
            return Queued(position, 0.0, "your turn")
        reason = f"{position - 1} ahead of you" if position > 1 else "you are next"
        return Queued(position, round(self._eta(position), 1), reason)

    def _eta(self, position: int) -> float:
        """Seconds until `position` more answers have ended, at the pace of the last ones."""
        return position * self._service_s / self._settings.max_running
