"""Whose turn it is: a virtual token counter (Sheng et al., OSDI 2024) in each of four lanes.

A slot goes to the most urgent lane in which somebody may take one, and there to the user who has had least; each lower
lane that is passed over gets one slot in so many. What a user has had is counted in tokens, a written one twice.
Invariant: of two users who keep waiting in a lane, none gets ahead by more than what can run at once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from app.backend.types import Lane, Usage

LANES: tuple[Lane, ...] = ("chat", "compare", "demo", "experiment")
TRICKLE: Mapping[Lane, int] = {"compare": 4, "demo": 4, "experiment": 8}
"""So many slots may pass a lane before it gets one."""
PROMPT_WEIGHT, OUTPUT_WEIGHT = 1.0, 2.0


def cost(usage: Usage) -> float:
    """What a question took from the others, in tokens: a prompt that was cached took nothing."""
    return PROMPT_WEIGHT * (usage.prompt_tokens - usage.cached_tokens) + OUTPUT_WEIGHT * usage.completion_tokens


@dataclass(frozen=True, slots=True)
class Claim:
    """A question that wants a slot. `cost` is what it is expected to cost over its owner's weight; the owner may hold
    `limit` slots.
    """

    number: int
    owner: str
    lane: Lane
    cost: float
    limit: int


@dataclass(slots=True)
class Service:
    """What the users of one lane have had, over their weights. `floor` is what the last one served had had.

    Whoever comes back is lifted to the floor: being away saves nothing up.
    """

    had: dict[str, float] = field(default_factory=dict)
    floor: float = 0.0

    def arrive(self, owner: str) -> None:
        self.had[owner] = max(self.had.get(owner, 0.0), self.floor)

    def serve(self, had: float) -> None:
        self.floor = max(self.floor, had)

    def charge(self, owner: str, amount: float) -> None:
        self.had[owner] = self.had.get(owner, 0.0) + amount

    def forget(self, present: Iterable[str]) -> None:
        """Drop those whom an arrival would lift anyway; all of them when nobody is present."""
        here = set(present)
        self.floor = self.floor if here else 0.0
        self.had = {owner: had for owner, had in self.had.items() if owner in here or (here and had > self.floor)}


class Line:
    """Those who wait, in the order in which slots go to them. A copy to use up: deciding and foretelling share it.

    `had` is what each user of a lane has had, with what runs; `holds` counts each user's slots, `passed` the slots
    that passed each lane. Not `fair` is by arrival alone.
    """

    def __init__(
        self,
        waiting: Iterable[Claim],
        had: Mapping[Lane, Mapping[str, float]],
        holds: Mapping[str, int],
        passed: Mapping[Lane, int],
        *,
        fair: bool = True,
    ) -> None:
        self.passed = Counter(passed)
        self._fair = fair
        self._had = {lane: dict(had.get(lane, {})) for lane in LANES}
        self._holds = Counter(holds)
        self._queues: dict[tuple[Lane, str], deque[Claim]] = {}
        for claim in waiting:
            lane = claim.lane if fair else "chat"
            self._queues.setdefault((lane, claim.owner), deque()).append(claim)
        heaps: dict[Lane, list[tuple[float, int, str]]] = {lane: [] for lane in LANES}
        for lane, owner in self._queues:
            heaps[lane].append(self._key(lane, owner))
        self._heaps = {lane: heap for lane, heap in heaps.items() if heap}
        for heap in self._heaps.values():
            heapify(heap)
        self._held_back: dict[str, list[Lane]] = {}
        self._not_new: list[tuple[Lane, str]] = []

    def next(self, *, newcomers_only: bool = False) -> Claim | None:
        """Give a slot: whose it is, None when nobody may take one. With `newcomers_only`, who holds one gets none."""
        while self._not_new and not newcomers_only:
            lane, owner = self._not_new.pop()
            heappush(self._heaps[lane], self._key(lane, owner))
        lanes = [lane for lane in self._heaps if self._ready(lane, newcomers_only)]
        if not lanes:
            return None
        due = [lane for lane in lanes[1:] if self.passed[lane] >= TRICKLE[lane]]
        chosen = due[0] if due else lanes[0]
        for lane in lanes[1:]:
            self.passed[lane] += 1
        self.passed[chosen] = 0
        owner = heappop(self._heaps[chosen])[2]
        queue = self._queues[chosen, owner]
        claim = queue.popleft()
        self._had[chosen][owner] = self._had[chosen].get(owner, 0.0) + claim.cost
        self._holds[owner] += 1
        if queue:
            heappush(self._heaps[chosen], self._key(chosen, owner))
        return claim

    def ended(self, owner: str) -> None:
        """A slot of `owner` is free again."""
        self._holds[owner] -= 1
        for lane in self._held_back.pop(owner, ()):
            heappush(self._heaps[lane], self._key(lane, owner))

    def _ready(self, lane: Lane, newcomers_only: bool) -> bool:
        """Whether somebody of the lane may take a slot, who is then on top of its heap."""
        heap = self._heaps[lane]
        while heap:
            owner = heap[0][2]
            claim = self._queues[lane, owner][0]
            at_limit = self._holds[owner] >= claim.limit
            if not at_limit and not (newcomers_only and self._holds[owner]):
                return True
            heappop(heap)
            if at_limit:
                self._held_back.setdefault(owner, []).append(lane)
            else:
                self._not_new.append((lane, owner))
        return False

    def _key(self, lane: Lane, owner: str) -> tuple[float, int, str]:
        had = self._had[lane].get(owner, 0.0) if self._fair else 0.0
        return had, self._queues[lane, owner][0].number, owner
