"""The one door before the engine: bounded, fair, and honest about the wait.

A question waits while the parts it needs are starting, while `max_running` others are answered, or while its owner
holds as many slots as the quota gives. Above `max_running` there are some spare slots, for those who hold none: so a
light user finds one beside a greedy one. Invariant: nobody waits while there is room.

Everybody who waits is shown a place. It never rises: it is the best place in the fair order so far. When people who
have had less go first, it stays until it is true again, and says so; the seconds beside it are always the newest guess.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count

from app.backend.admission import brownout
from app.backend.admission.estimate import Estimator
from app.backend.admission.fair import LANES, Claim, Line, Service, cost
from app.backend.admission.forecast import Turn, foretell
from app.backend.admission.gate import Gate
from app.backend.admission.guests import Guests
from app.backend.admission.quota import Asked
from app.backend.admission.snapshot import Queue, by_lane
from app.backend.admission.visit import Visit
from app.backend.errors import Busy, DeadlineExceeded, Refused
from app.backend.types import Lane, Usage
from app.settings import AdmissionSettings, Quota

SPARE_PART = 4
"""For so many slots one more is there for those who hold none."""


def loop_time() -> float:
    return asyncio.get_running_loop().time()


class Admission:
    """One per backend. `tick` it about four times a second; `now` is the event loop's time, `wall` the calendar's."""

    def __init__(
        self,
        settings: AdmissionSettings,
        quota_of: Callable[[str], Quota],
        *,
        guests: Guests | None = None,
        deadline_s: float = 300.0,
        now: Callable[[], float] = loop_time,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._spare = settings.max_running // SPARE_PART if settings.order == "fair" else 0
        self._quota_of = quota_of
        self._deadline_s = deadline_s
        self._now = now
        self._gate = Gate(False, "starting", code="engine_starting")
        self._opened = False
        self._numbers = count(1)
        self._waiting: dict[int, Visit] = {}
        self._running: dict[int, Visit] = {}
        self._service = {lane: Service() for lane in LANES}
        self._passed: Counter[Lane] = Counter()
        self._estimator = Estimator()
        self._asked = Asked(wall)
        self._guests = guests or Guests()
        self._level = 0
        self._wait_s = 0.0
        self._admitted = 0
        self._refused: Counter[str] = Counter()

    @property
    def level(self) -> int:
        """How far answers are eased now, see `brownout`."""
        return self._level

    def seed(self, asked_today: Mapping[str, int], networks: Mapping[str, int]) -> None:
        """What each user, and the guests of each network, asked today before this process began."""
        self._asked.seed(asked_today)
        self._guests.seed(networks)

    def set_gate(self, gate: Gate) -> None:
        """Open or close the door, or change what it waits for. Whoever came before it opened for the first time has the
        whole time from then on: a model may have to be fetched and compiled.
        """
        if gate != self._gate:
            self._gate = gate
            if gate.open and not self._opened:
                self._opened = True
                for visit in self._waiting.values():
                    visit.begin()
            self.tick()

    def enter(
        self, owner: str, *, lane: Lane = "chat", pipeline: str = "", prompt_tokens: int = 0, address: str = ""
    ) -> Visit:
        """Take a place. Raises Refused above the user's own quota, Busy when there is no room or no time for it."""
        quota = self._quota_of(owner)
        expected = self._estimator.expected(pipeline)
        prompt = max(float(prompt_tokens), expected.prompt)
        if (network := self._guests.network(owner, address)) is not None:
            self._check_guest(network)
        self._check(owner, quota, prompt)
        tokens = cost(Usage(prompt_tokens=round(prompt), completion_tokens=round(expected.output)))
        limit = max(1, quota.running // 2) if lane == "experiment" else quota.running  # the rest is for who waits
        claim = Claim(next(self._numbers), owner, lane, tokens / quota.weight, limit)
        visit = Visit(claim, pipeline, prompt, quota.weight, self._deadline_s, self._now, self.leave)
        visit.network = network
        if self._opened:
            visit.begin()
        others = (*self._waiting.values(), *self._running.values())
        if not any(other.claim.owner == owner and other.claim.lane == lane for other in others):
            self._service[lane].arrive(owner)
        self._waiting[claim.number] = visit
        self._pump()
        if not visit.admitted and not self._show(visit, self._foretell(until=claim.number), self._holds()):
            del self._waiting[claim.number]
            words = f"The wait is about {visit.place.eta_s:.0f} s, too long for an answer in time; please try later."
            raise self._busy("deadline", words)
        self._asked.count(owner)
        if network is not None:
            self._guests.count(network)
        return visit

    def withdraw(self, visit: Visit) -> None:
        """As `leave`, of a question that is not asked after all: it counts in no quota."""
        self._asked.uncount(visit.claim.owner)
        if visit.network is not None:
            self._guests.uncount(visit.network)
        self.leave(visit)

    def leave(self, visit: Visit) -> None:
        """Give the place or the slot back; without effect the second time."""
        claim = visit.claim
        if self._running.pop(claim.number, None):
            self._service[claim.lane].charge(claim.owner, visit.cost_now() / visit.weight)
        elif not self._waiting.pop(claim.number, None):
            return
        self._pump()

    def learn(self, pipeline: str, usage: Usage, timings_ms: Mapping[str, float]) -> None:
        """Take an answer that ended into account in the estimates."""
        self._estimator.learn(pipeline, usage, timings_ms)

    def tick(self) -> None:
        """Look at what runs, give what is free, and tell everybody who waits where they stand."""
        now = self._now()
        self._estimator.watch(now, {n: visit.usage().completion_tokens for n, visit in self._running.items()})
        self._forget()
        self._pump()
        turns = self._foretell()
        self._wait_s = self._pressure(turns)
        if self._estimator.known:
            self._level = brownout.step(self._level, self._wait_s, self._settings.max_wait_s)
        holds = self._holds()
        for number, visit in list(self._waiting.items()):
            if not self._show(visit, turns, holds):
                self._refused["deadline"] += 1
                del self._waiting[number]
                words = f"Its turn comes too late for an answer within {self._deadline_s:.0f} s."
                visit.refuse(DeadlineExceeded(words, retry_after_s=_retry_s(visit.place.eta_s)))

    def snapshot(self) -> Queue:
        """All of it now, for operators."""
        now = self._now()
        visits = [*self._running.values(), *sorted(self._waiting.values(), key=lambda v: v.place.position)]
        return Queue(
            visits=tuple(visit.standing(now) for visit in visits),
            waiting=by_lane(visit.claim.lane for visit in self._waiting.values()),
            running=by_lane(visit.claim.lane for visit in self._running.values()),
            queued_tokens=self._queued_tokens(),
            level=self._level,
            wait_s=self._wait_s,
            admitted=self._admitted,
            refused=dict(self._refused),
            service=self._had(),
            prefill_s=self._estimator.prefill_s,
            decode_s=self._estimator.decode_s,
        )

    def _check_guest(self, network: str) -> None:
        inside = (*self._waiting.values(), *self._running.values())
        live = [visit.network for visit in inside if visit.network is not None]
        if refusal := self._guests.refusal(network, live, _retry_s((len(self._waiting) + 1) * self._turnover_s())):
            self._refused[refusal[0]] += 1
            raise refusal[1]

    def _check(self, owner: str, quota: Quota, prompt: float) -> None:
        if over := self._asked.over(owner, quota):
            code, words, wait_s = over
            self._refused[code] += 1
            raise Refused(words, retry_after_s=round(wait_s * random.uniform(1.0, 1.2), 1))
        holds = self._holds()[owner]
        room = self._settings.max_running + (0 if holds else self._spare)
        if self._gate.open and holds < quota.running and len(self._running) < room:
            return
        own = [visit.place.eta_s for visit in self._waiting.values() if visit.claim.owner == owner]
        if len(own) >= quota.queued:
            self._refused["queued"] += 1
            words = f"You already have {len(own)} questions waiting; let one finish first."
            raise Refused(words, retry_after_s=_retry_s(min(own, default=self._turnover_s())))
        if len(self._waiting) >= self._settings.max_queued:
            raise self._busy("full", "Too many questions are waiting; please try again shortly.")
        if self._queued_tokens() + prompt > self._settings.max_queued_tokens:
            raise self._busy("tokens", "The questions that wait are too long already; please try again shortly.")
        if self._level >= brownout.REFUSING:
            raise self._busy("load", "Many people are asking, and the waits are too long; please try again shortly.")

    def _busy(self, code: str, words: str) -> Busy:
        self._refused[code] += 1
        return Busy(words, retry_after_s=_retry_s((len(self._waiting) + 1) * self._turnover_s()))

    def _pump(self) -> None:
        """Give every slot that may be given."""
        if not self._gate.open or not self._waiting:
            return
        line, had, slots = self._line(), self._had(), self._settings.max_running
        while len(self._running) < slots + self._spare:
            claim = line.next(newcomers_only=len(self._running) >= slots)
            if claim is None:
                break
            users = had[claim.lane]
            self._service[claim.lane].serve(users[claim.owner])
            users[claim.owner] += claim.cost
            self._passed = line.passed
            self._admitted += 1
            visit = self._running[claim.number] = self._waiting.pop(claim.number)
            visit.admit(self._now())
            self._estimator.waited(visit.foretold_s or 0.0, self._now() - visit.entered)

    def _line(self) -> Line:
        claims = (visit.claim for visit in self._waiting.values())
        return Line(claims, self._had(), self._holds(), self._passed, fair=self._settings.order == "fair")

    def _foretell(self, until: int | None = None) -> Mapping[int, Turn]:
        now, estimator, waiting = self._now(), self._estimator, self._waiting
        ends = [
            (estimator.left(visit.pipeline, visit.share, visit.ran_s(now), visit.usage().completion_tokens), owner)
            for visit in self._running.values()
            for owner in [visit.claim.owner]
        ]

        def lasts(claim: Claim) -> float:
            visit = waiting[claim.number]
            return estimator.lasts(visit.pipeline, visit.share)

        return foretell(self._line(), ends, self._settings.max_running, self._spare, lasts, until=until)

    def _show(self, visit: Visit, turns: Mapping[int, Turn], holds: Mapping[str, int]) -> bool:
        """Tell a visit where it stands; whether it can still be in time."""
        visit.show(turns[visit.claim.number], self._estimator.later, self._gate, holds[visit.claim.owner])
        if not self._gate.open or not self._estimator.known:
            return True
        return visit.place.eta_s + self._estimator.lasts(visit.pipeline, 0.5) <= visit.deadline - self._now()

    def _pressure(self, turns: Mapping[int, Turn]) -> float:
        """How long somebody who comes now to chat will wait: as the last of those who hold no slot."""
        if not self._gate.open:
            return 0.0
        holds = self._holds()
        first: dict[str, float] = {}
        for number, turn in turns.items():
            claim = self._waiting[number].claim
            if claim.lane == "chat" and not holds[claim.owner]:
                first.setdefault(claim.owner, turn.wait_s)
        return max(first.values(), default=0.0) * self._estimator.later

    def _had(self) -> dict[Lane, dict[str, float]]:
        """What each user of each lane has had; what runs counts as expected, and for more as soon as it is more."""
        had = {lane: dict(service.had) for lane, service in self._service.items()}
        for visit in self._running.values():
            had[visit.claim.lane][visit.claim.owner] += max(visit.claim.cost, visit.cost_now() / visit.weight)
        return had

    def _holds(self) -> Counter[str]:
        return Counter(visit.claim.owner for visit in self._running.values())

    def _forget(self) -> None:
        """Let nothing grow: what is over is dropped."""
        self._asked.forget()
        self._guests.forget()
        for lane, service in self._service.items():
            visits = (*self._running.values(), *self._waiting.values())
            service.forget(visit.claim.owner for visit in visits if visit.claim.lane == lane)

    def _queued_tokens(self) -> float:
        return sum(visit.prompt for visit in self._waiting.values())

    def _turnover_s(self) -> float:
        """Seconds until the next slot is free, on average."""
        return self._estimator.lasts("", 0.5) / self._settings.max_running


def _retry_s(wait_s: float) -> float:
    """Around the wait, so that those who were refused together do not come back together."""
    return round(max(1.0, wait_s * random.uniform(0.8, 1.2)), 1)
