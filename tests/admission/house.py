"""An admission with a clock of the test's own, and people who visit it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from app.backend.admission import Admission, Gate, Visit
from app.backend.events import Queued
from app.backend.types import Lane, Usage
from app.settings import AdmissionSettings, Quota


class Clock:
    """Stands still until told to go on."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


class House:
    """An open admission. `quotas` by user, `quota` for all others; `clock` is its time."""

    def __init__(
        self,
        *,
        quota: Quota | None = None,
        quotas: Mapping[str, Quota] | None = None,
        deadline_s: float = 300,
        opened: bool = True,
        **limits: object,
    ) -> None:
        self.clock = Clock()
        self.settings = AdmissionSettings.model_validate(limits)
        other = quota or Quota(running=1_000, queued=1_000, per_minute=100_000, per_day=100_000)
        self.admission = Admission(
            self.settings,
            lambda owner: (quotas or {}).get(owner, other),
            deadline_s=deadline_s,
            now=self.clock,
            wall=self.clock,
        )
        if opened:
            self.admission.set_gate(Gate(True))

    def enter(self, owner: str = "ann", *, lane: Lane = "chat", prompt: int = 0) -> Visit:
        """A visit under a name of its own; what it costs is `spend`'s to say."""
        visit = self.admission.enter(owner, lane=lane, pipeline="p", prompt_tokens=prompt)
        visit.name(f"{owner}-{visit.claim.number}", Usage)
        return visit

    def pass_s(self, seconds: float) -> None:
        self.clock.at += seconds
        self.admission.tick()

    def teach(self, seconds: float = 10.0, answers: int = 8) -> None:
        """Let it see answers of 100 tokens that held a slot so long."""
        usage = Usage(prompt_tokens=100, completion_tokens=100, engine_calls=1)
        for _ in range(answers):
            self.admission.learn("p", usage, {"queue": 0, "decode": seconds * 1000, "total": seconds * 1000})

    @property
    def running(self) -> int:
        return sum(self.admission.snapshot().running.values())

    @property
    def waiting(self) -> int:
        return sum(self.admission.snapshot().waiting.values())


def spend(visit: Visit, prompt: int, output: int) -> None:
    """What the visit has cost so far."""
    visit.usage = lambda: Usage(prompt, 0, output, 1)


class Visitor:
    """Somebody who waits for a slot and holds it until told to leave."""

    def __init__(self, visit: Visit) -> None:
        self.told: list[Queued] = []
        self.inside = asyncio.Event()
        self.leave = asyncio.Event()
        self.visit = visit
        self.task = asyncio.create_task(self._visit())

    async def _visit(self) -> None:
        async with self.visit.slot(self.told.append):
            self.inside.set()
            await self.leave.wait()


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)
