"""One question's way through the door: it has a place from `enter` on, and a slot inside `slot`.

Invariant: the position it shows never rises, and its deadline is made once. `leave` gives place or slot back; it may be
called often, and must be.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from app.backend.admission.fair import PROMPT_WEIGHT, Claim, cost
from app.backend.admission.forecast import Turn
from app.backend.admission.gate import Gate
from app.backend.admission.snapshot import Standing
from app.backend.errors import ColloquyError, DeadlineExceeded
from app.backend.events import Queued
from app.backend.types import DEMO, Usage

TOLD_AGAIN_S = 0.7
GOLDEN = 0.6180339887
"""Its multiples, without their whole part, spread evenly: which of the usual lengths each question is given."""


class Visit:
    """A question inside the door. `prompt` is what its prompt was estimated at, in tokens; `deadline` is absolute, and
    there is none before `begin`. `network` is where a guest came from.
    """

    def __init__(
        self,
        claim: Claim,
        pipeline: str,
        prompt: float,
        weight: float,
        deadline_s: float,
        now: Callable[[], float],
        leave: Callable[[Visit], None],
    ) -> None:
        self.claim = claim
        self.pipeline = pipeline
        self.prompt = prompt
        self.weight = weight
        self.entered = now()
        self.deadline = math.inf
        self.share = claim.number * GOLDEN % 1
        self.network: str | None = None
        self.generation_id = ""
        self.usage: Callable[[], Usage] = Usage
        self.place = Queued(1, 0.0, "your turn")
        self.foretold_s: float | None = None
        self._best: int | None = None
        self._admitted: float | None = None
        self._refusal: ColloquyError | None = None
        self._news = asyncio.Event()
        self._deadline_s = deadline_s
        self._limit: asyncio.Timeout | None = None
        self._now = now
        self._leave = leave

    @property
    def admitted(self) -> bool:
        return self._admitted is not None

    def name(self, generation_id: str, usage: Callable[[], Usage]) -> None:
        """Say which generation it is for, and what that has cost so far."""
        self.generation_id = generation_id
        self.usage = usage

    def begin(self) -> None:
        """Its time runs from now on."""
        self.deadline = self._now() + self._deadline_s
        if self._limit:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._deadline_s)

    @asynccontextmanager
    async def slot(self, report: Callable[[Queued], None]) -> AsyncIterator[None]:
        """Hold a slot inside the `async with`, after waiting for it; `report` hears of the place every second, and of
        every change of it. Raises what the admission refuses it for, and DeadlineExceeded at the deadline: what is
        under way then, in queue, retriever or engine, is cancelled.
        """
        try:
            async with asyncio.timeout(self.deadline - self._now()) as self._limit:
                await self._turn(report)
                yield
        except TimeoutError as error:
            if self._limit and self._limit.expired():
                took_s = self._now() - self.entered
                raise DeadlineExceeded(f"This took longer than {took_s:.0f} s and was stopped.") from error
            raise
        finally:
            self.leave()

    async def _turn(self, report: Callable[[Queued], None]) -> None:
        told, told_at = Queued(0, 0.0, ""), 0.0
        while not self.admitted:
            if self._refusal:
                raise self._refusal
            if replace(self.place, eta_s=0.0) != replace(told, eta_s=0.0) or self._now() - told_at >= TOLD_AGAIN_S:
                told, told_at = self.place, self._now()
                report(told)
            self._news.clear()
            await self._news.wait()

    def leave(self) -> None:
        self._leave(self)

    def admit(self, now: float) -> None:
        """It has a slot."""
        self._admitted = now
        self._news.set()

    def refuse(self, error: ColloquyError) -> None:
        """It will get none."""
        self._refusal = error
        self._news.set()

    def show(self, turn: Turn, later: float, gate: Gate, holds: int) -> None:
        """Where it stands now, while its owner `holds` slots and turns come `later` times as late as foretold."""
        position = self._best = min(turn.rank, self._best or turn.rank)
        ahead, wait_s = position - 1, round(turn.wait_s * later, 1)
        if self.foretold_s is None:
            self.foretold_s = turn.wait_s if gate.open else 0.0
        if not gate.open:
            self.place = Queued(position, round(gate.wait_s + wait_s, 1), gate.reason, gate.code)
        elif holds >= self.claim.limit and not self.claim.owner.startswith(DEMO):  # whose slots are other visitors'
            self.place = Queued(position, wait_s, f"you already have {holds} running", "own_running", holds, turn.own)
        elif turn.rank > position:
            self.place = Queued(position, wait_s, "people who have had less go first", "fair", ahead)
        elif ahead:
            self.place = Queued(position, wait_s, f"{ahead} ahead of you", "ahead", ahead)
        else:
            self.place = Queued(position, wait_s, "you are next", "next")
        self._news.set()

    def ran_s(self, now: float) -> float:
        return 0.0 if self._admitted is None else now - self._admitted

    def cost_now(self) -> float:
        """What it has cost so far; a prompt that the engine was given but has not counted yet, as estimated."""
        usage = self.usage()
        pending = usage.engine_calls and not usage.prompt_tokens
        return cost(usage) + (PROMPT_WEIGHT * self.prompt if pending else 0.0)

    def standing(self, now: float) -> Standing:
        return Standing(
            generation_id=self.generation_id,
            owner=self.claim.owner,
            lane=self.claim.lane,
            pipeline=self.pipeline,
            state="running" if self.admitted else "waiting",
            position=0 if self.admitted else self.place.position,
            eta_s=0.0 if self.admitted else self.place.eta_s,
            waited_s=(now if self._admitted is None else self._admitted) - self.entered,
            ran_s=self.ran_s(now),
            left_s=min(self._deadline_s, self.deadline - now),
            tokens=self.usage().completion_tokens,
        )
