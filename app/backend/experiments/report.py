"""What a batch says so far: each answer's score, each side's mean, and each pair of sides on the same questions.

Invariant: pure. A question counts for a pair when both sides answered it; a failure is told, and is no score of 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median
from string import ascii_lowercase

from app.backend.batches.records import Cell, Row
from app.backend.errors import BadInput
from app.backend.experiments import metrics
from app.backend.experiments.items import Item
from app.backend.experiments.paired import Difference, Interval, difference, interval
from app.backend.pipelines.citations import without_markers

METRICS = ("f1", "em", "acc", "precision", "recall", "rouge-1", "rouge-2", "rouge-l", "zh_rouge-1", "zh_rouge-l")
"""Those of one answer and its right answers."""
OPINIONS = ("judge", "vote")
"""What the engine said of the answers, and what their owner voted: a side has 1 for each side it beat, a half for each
it was even with, over how many it was compared with."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A row with a score for each side, None where there is nothing to score; `spread` is the largest difference."""

    row: Row
    scores: tuple[float | None, ...]

    @property
    def spread(self) -> float:
        told = [score for score in self.scores if score is not None]
        return max(told) - min(told) if len(told) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class SideReport:
    """What one side came to."""

    answered: int
    failed: int
    score: Interval | None
    median_ms: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sides, by their places, on the questions that both answered; `positions` are those, as the values stand."""

    left: int
    right: int
    difference: Difference
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Report:
    metric: str
    rows: tuple[Scored, ...]
    sides: tuple[SideReport, ...]
    pairs: tuple[Pair, ...]


def report(rows: Sequence[Row], sides: int, metric: str) -> Report:
    """Raises BadInput for a metric that is none of `METRICS` and `OPINIONS`."""
    check_metric(metric)
    scored = _scored(rows, sides, metric)
    pairs = tuple(_pair(scored, left, right) for left, right in combinations(range(sides), 2))
    return Report(metric, scored, tuple(_side(scored, side) for side in range(sides)), pairs)


def check_metric(metric: str) -> None:
    """Raises BadInput for one that is none of `METRICS` and `OPINIONS`."""
    if metric not in (*METRICS, *OPINIONS):
        raise BadInput(f"There is no metric {metric[:40]!r} here; choose from {', '.join((*METRICS, *OPINIONS))}.")


def _scored(rows: Sequence[Row], sides: int, metric: str) -> tuple[Scored, ...]:
    if metric in OPINIONS:
        opinions = _judged if metric == "judge" else _voted
        return tuple(Scored(row, opinions(row, sides)) for row in rows)
    scores: list[list[float | None]] = [[None] * sides for _ in rows]
    places = [
        (at, side, Item(row.asked.question, row.asked.golden_answers, without_markers(cell.answer)))
        for at, row in enumerate(rows)
        for side, cell in enumerate(row.cells)
        if _answered(cell) and cell is not None and row.asked.golden_answers
    ]
    if places:
        values = metrics.score([item for _, _, item in places], [metric])[metric].items
        for (at, side, _), value in zip(places, values, strict=True):
            scores[at][side] = value
    return tuple(Scored(row, tuple(own)) for row, own in zip(rows, scores, strict=True))


def _judged(row: Row, sides: int) -> tuple[float | None, ...]:
    """One judgement that could not be read says nothing about its two sides."""
    points: list[list[float]] = [[] for _ in range(sides)]
    for one in row.judged:
        if one.outcome is not None:
            points[one.left].append(one.outcome)
            points[one.right].append(1 - one.outcome)
    return tuple(fmean(own) if own else None for own in points)


def _voted(row: Row, sides: int) -> tuple[float | None, ...]:
    if row.winner is None:
        return (None,) * sides
    if row.winner in ("tie", "both_bad"):
        return (0.5,) * sides
    return tuple(float(letter == row.winner) for letter in ascii_lowercase[:sides])


def _answered(cell: Cell | None) -> bool:
    return cell is not None and cell.status == "done"


def _side(scored: Sequence[Scored], side: int) -> SideReport:
    cells = [one.row.cells[side] for one in scored]
    times = [cell.ms for cell in cells if cell is not None and cell.status == "done" and cell.ms is not None]
    told = [score for one in scored if (score := one.scores[side]) is not None]
    failed = sum(cell is not None and cell.status == "failed" for cell in cells)
    return SideReport(sum(map(_answered, cells)), failed, interval(told), median(times) if times else None)


def _pair(scored: Sequence[Scored], left: int, right: int) -> Pair:
    lefts: list[float] = []
    rights: list[float] = []
    positions: list[int] = []
    for one in scored:
        a, b = one.scores[left], one.scores[right]
        if a is not None and b is not None:
            lefts.append(a)
            rights.append(b)
            positions.append(one.row.position)
    return Pair(left, right, difference(lefts, rights), tuple(positions))
