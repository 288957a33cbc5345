"""The queue at a moment, for operators and metrics. Values only; no question and no answer is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from app.backend.admission.fair import LANES
from app.backend.types import Lane


@dataclass(frozen=True, slots=True)
class Standing:
    """One question in the door. `position` counts from 1 while it waits and is 0 when it runs; `tokens` are written."""

    generation_id: str
    owner: str
    lane: Lane
    pipeline: str
    state: Literal["waiting", "running"]
    position: int
    eta_s: float
    waited_s: float
    ran_s: float
    left_s: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Queue:
    """All of it. `level` is the brown-out's (0 none, 4 refusing), `service` what each user of a lane has
    had of this rush, in tokens over the user's weight.

    `refused` counts since the start by reason; `prefill_s` and `decode_s` are the measured seconds per uncached prompt
    token and per written token of one answer, 0.0 while nothing is known.
    """

    visits: tuple[Standing, ...]
    waiting: Mapping[Lane, int]
    running: Mapping[Lane, int]
    queued_tokens: float
    level: int
    wait_s: float
    admitted: int
    refused: Mapping[str, int]
    service: Mapping[Lane, Mapping[str, float]]
    prefill_s: float
    decode_s: float


def by_lane(lanes: Iterable[Lane]) -> Mapping[Lane, int]:
    """How many of each lane, also when there are none."""
    found = Counter(lanes)
    return {lane: found[lane] for lane in LANES}
