"""The one door before the engine: a bounded queue that says where one stands.

A question waits while the parts it needs are starting or while `max_running` others are answered. Slots are given in
the order of arrival; whoever waits is told its place whenever that changes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from app.backend.admission.snapshot import Queue
from app.backend.errors import Busy, Refused
from app.backend.events import Queued
from app.settings import AdmissionSettings, Quota

SMOOTHING = 0.2


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether answers may begin. `wait_s` and `reason` say what a closed gate waits for."""

    open: bool
    reason: str = ""
    wait_s: float = 0.0


class Visit:
    """One question's way through the door: it has a place from `enter` on, and a slot inside `slot`.

    `leave` gives either back; it may be called often, and must be called once.
    """

    def __init__(self, admission: Admission, owner: str) -> None:
        self.owner = owner
        self.admitted = False
        self.news = asyncio.Event()
        self._admission = admission

    @property
    def place(self) -> Queued:
        """Where it stands now."""
        return self._admission.place(self)

    @asynccontextmanager
    async def slot(self, report: Callable[[Queued], None]) -> AsyncIterator[None]:
        """Hold a slot inside the `async with`, after waiting for it; `report` hears every change of the place."""
        try:
            told: Queued | None = None
            while not self.admitted:
                place = self.place
                if told is None or replace(place, eta_s=round(place.eta_s)) != replace(told, eta_s=round(told.eta_s)):
                    report(place)
                    told = place
                self.news.clear()
                await self.news.wait()
            began = asyncio.get_running_loop().time()
            yield
            self._admission.took(asyncio.get_running_loop().time() - began)
        finally:
            self.leave()

    def leave(self) -> None:
        self._admission.leave(self)


class Admission:
    """Counts what runs and what waits; one per backend."""

    def __init__(self, settings: AdmissionSettings, quota_of: Callable[[str], Quota]) -> None:
        self._settings = settings
        self._quota_of = quota_of
        self._gate = Gate(False, "starting")
        self._waiting: deque[Visit] = deque()
        self._running: set[Visit] = set()
        self._service_s = 5.0

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def set_gate(self, gate: Gate) -> None:
        """Open or close the door, or change what it waits for."""
        if gate != self._gate:
            self._gate = gate
            self._pump()

    def enter(self, owner: str) -> Visit:
        """Take a place. Raises Busy when the queue is full, Refused above one's own share."""
        if not self._gate.open or self.running >= self._settings.max_running:
            if self.waiting >= self._settings.max_queued:
                raise Busy("Too many questions are waiting; please try again shortly.", retry_after_s=self._retry_s())
            own = sum(visit.owner == owner for visit in self._waiting)
            if own >= self._quota_of(owner).queued:
                raise Refused(
                    f"You already have {own} questions waiting; let one finish first.", retry_after_s=self._retry_s()
                )
        visit = Visit(self, owner)
        self._waiting.append(visit)
        self._pump()
        return visit

    def snapshot(self) -> Queue:
        """All of it now, for operators."""
        return Queue((), {}, {}, 0, 0, 0.0, 0, {}, {}, 0.0, 0.0)

    def leave(self, visit: Visit) -> None:
        """Give the place or the slot back; without effect the second time."""
        if visit in self._running:
            self._running.remove(visit)
        elif visit in self._waiting:
            self._waiting.remove(visit)
        else:
            return
        self._pump()

    def took(self, seconds: float) -> None:
        """Learn how long an answer takes, for the estimates."""
        self._service_s += SMOOTHING * (seconds - self._service_s)

    def place(self, visit: Visit) -> Queued:
        position = self._waiting.index(visit) + 1 if visit in self._waiting else 1
        if not self._gate.open:
            return Queued(position, round(self._gate.wait_s + self._eta(position - 1), 1), self._gate.reason)
        if visit.admitted:
            return Queued(position, 0.0, "your turn")
        reason = f"{position - 1} ahead of you" if position > 1 else "you are next"
        return Queued(position, round(self._eta(position), 1), reason)

    def _pump(self) -> None:
        while self._gate.open and self._waiting and self.running < self._settings.max_running:
            visit = self._waiting.popleft()
            visit.admitted = True
            self._running.add(visit)
            visit.news.set()
        for visit in self._waiting:
            visit.news.set()

    def _eta(self, position: int) -> float:
        """Seconds until `position` more answers have ended, at the pace of the last ones."""
        return position * self._service_s / self._settings.max_running

    def _retry_s(self) -> float:
        return max(1.0, round(self._eta(1), 1))
