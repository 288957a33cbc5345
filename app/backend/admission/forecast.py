"""When each one's turn will come: the rule that gives slots, played forward with the expected times.

Invariant: pure; the order foretold is kept if nobody comes or leaves, and all take as long as expected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from app.backend.admission.fair import Claim, Line


@dataclass(frozen=True, slots=True)
class Turn:
    """The `rank`-th slot that is given, in `wait_s` seconds; the `own`-th of those that its owner waits for."""

    rank: int
    wait_s: float
    own: int


def foretell(
    line: Line,
    running: Iterable[tuple[float, str]],
    slots: int,
    spare: int,
    lasts: Callable[[Claim], float],
    *,
    until: int | None = None,
) -> Mapping[int, Turn]:
    """The turn of each claim by its number, or up to number `until`.

    `running` are the seconds left and the owner of each slot that is taken, `lasts` how long a claim will hold one;
    `spare` slots above `slots` are for those who hold none.
    Uses `line` up. A claim that nothing lets in has no turn.
    """
    turns: dict[int, Turn] = {}
    given: Counter[str] = Counter()
    ends = list(running)
    heapify(ends)
    now = 0.0
    while until not in turns:
        if len(ends) < slots + spare and (claim := line.next(newcomers_only=len(ends) >= slots)):
            given[claim.owner] += 1
            turns[claim.number] = Turn(len(turns) + 1, now, given[claim.owner])
            heappush(ends, (now + lasts(claim), claim.owner))
        elif ends:
            now, owner = heappop(ends)
            line.ended(owner)
        else:
            break
    return turns
