"""What is known of a batch: the same comparison over a file of questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.backend.records import Side, Status, Winner

BatchState = Literal["running", "done", "stopped"]
"""`running` also while it waits for its turn. One that was stopped goes on from where it was when it is continued."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a file, with its right answers where the file has some."""

    question: str
    golden_answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """The same two to four `sides` over many questions. `trouble` says why it could not go on.

    Of `questions`, `answered` have an answer or a failure on every side; `failed` counts answers, `golden` the
    questions with right answers. When `judged`, the engine says of each two answers which is better. `network` is where
    a guest began it from, under which its questions are counted; it is forgotten with the end.
    """

    id: str
    name: str
    sides: tuple[Side, ...]
    seed: int
    state: BatchState
    trouble: str
    created_at: float
    finished_at: float | None
    questions: int
    answered: int
    failed: int
    golden: int
    network: str
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How a batch that runs gets on: seconds until its end, once that can be guessed, and what it waits for, if so."""

    eta_s: float | None = None
    held: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """The answer of one side to one question, `ms` from its question to its end."""

    generation_id: str
    status: Status
    answer: str
    error: str
    ms: float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judge said of two sides: 1 when `left` is better, 0 when `right` is, else a half; None: not readable."""

    left: int
    right: int
    outcome: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """A question of a batch; `comparison_id` is empty, and a cell None, before it was asked. Positions count from 0.

    `judged` is what the engine said of its answers, `winner` what the owner voted, if so.
    """

    position: int
    asked: Asked
    comparison_id: str
    cells: tuple[Cell | None, ...]
    judged: tuple[Judged, ...] = ()
    winner: Winner | None = None
