"""What a demo is: a set-up that its publisher shows to whoever has the link, and the questions that came in.

Invariant: to the rest of the backend a demo is one owner, `demo.runs_as`; which visitor asked is known here alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from app.backend.records import Side, Winner
from app.backend.types import DEMO

State = Literal["open", "early", "over"]
"""`over` is switched off or past its end."""

EARLIEST, LATEST = 946_684_800.0, 7_258_118_400.0
"""The years 2000 and 2200: a time of a demo is between them."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a publisher decides. One side is a chat, two to four are a comparison. Times are Unix seconds.

    `per_day` is for all visitors together. `origins` are the sites that may show it in a frame.
    """

    name: str
    title: str
    welcome: str = ""
    examples: tuple[str, ...] = ()
    sides: tuple[Side, ...] = (Side(),)
    accent: str = "#0b6e63"
    opens_at: float | None = None
    closes_at: float | None = None
    per_day: int = 1_000
    visitor_per_day: int = 30
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Demo:
    """A published set-up of `owner`."""

    id: str
    owner: str
    setup: Setup
    on: bool
    created_at: float

    @property
    def runs_as(self) -> str:
        """Who asks, to the rest of the backend, when a visitor does."""
        return f"{DEMO}{self.id}"

    def state(self, now: float) -> State:
        if not self.on or (self.setup.closes_at is not None and now >= self.setup.closes_at):
            return "over"
        return "early" if self.setup.opens_at is not None and now < self.setup.opens_at else "open"


@dataclass(frozen=True, slots=True)
class DemoLine:
    """A demo in its publisher's list."""

    demo: Demo
    visitors: int
    questions: int


@dataclass(frozen=True, slots=True)
class DemoQuestion:
    """A question of a visitor; the answers stand in the order of the sides. `phases` are their statuses, `vote` is what
    the visitor said of them.
    """

    id: str
    question: str
    at: float
    generation_ids: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    vote: Winner | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How visitors voted. A side is its letter, its pipeline and its votes; also one that stood there before."""

    sides: tuple[tuple[str, str, int], ...]
    tie: int
    both_bad: int


@dataclass(frozen=True, slots=True)
class Board:
    """What a presenter sees: the newest questions first, without the hidden ones, and the counts of all."""

    visitors: int
    questions: int
    answered: int
    running: int
    hidden: int
    shown: tuple[DemoQuestion, ...] = field(default=())
    tally: Tally | None = None
    """None where nothing is compared."""
