"""What the page of a batch draws: intervals on one axis, and the difference on each question, in percent of a box.

Invariant: pure, and everything lies inside its box.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from app.backend.batches.records import Batch
from app.backend.experiments.paired import ALIKE, Difference
from app.backend.experiments.report import Pair, Report, Scored
from app.backend.records import LIVE, Side
from app.backend.types import PipelineInfo
from app.ui import i18n
from app.ui.i18n import Lang

LETTERS = "abcd"
Show = Literal["differ", "file", "left", "right", "none", "failed"]
SHOWS: tuple[Show, ...] = get_args(Show)
"""Rows where they differ most first, as in the file, where the one or the other side is better, where none is right,
where an answer failed."""
PAGE = 40
STRIP = 400
"""So many questions have a bar of their own; of more, evenly many are drawn."""


@dataclass(frozen=True, slots=True)
class Name:
    """A side as people read it; `params` begin with its engine when that is not the main one."""

    letter: str
    title: str
    params: str
    corpus: str


@dataclass(frozen=True, slots=True)
class Whisker:
    """A pair on the axis, with the left side's wins to the left; `winner` is the letter of the better one, if any."""

    pair: Pair
    sentence: str
    winner: str
    low: float
    high: float
    at: float


@dataclass(frozen=True, slots=True)
class Stroke:
    """One question in the strip: its bar from the middle line, up where the left side is better."""

    position: int
    top: float
    height: float
    side: str


@dataclass(frozen=True, slots=True)
class Axis:
    """From -`end` to `end`."""

    end: float
    ticks: tuple[tuple[float, float], ...]


def names(sides: Sequence[Side], pipelines: Mapping[str, PipelineInfo], lang: Lang) -> tuple[Name, ...]:
    """The corpus only where it is not the same on all sides that have one."""
    corpora = {side.corpus for side in sides if _searches(side, pipelines)}
    found = []
    for letter, side in zip(LETTERS, sides, strict=False):
        info = pipelines.get(side.pipeline)
        title = i18n.known(lang, f"pipeline.{side.pipeline}", info.title if info else side.pipeline)
        corpus = side.corpus if len(corpora) > 1 and _searches(side, pipelines) else ""
        told = [*filter(None, [side.engine]), *(f"{k}={v}" for k, v in side.params.items())]
        found.append(Name(letter, title, ", ".join(told), corpus))
    return tuple(found)


def _searches(side: Side, pipelines: Mapping[str, PipelineInfo]) -> bool:
    return side.pipeline not in pipelines or pipelines[side.pipeline].uses_retrieval


def axis(report: Report) -> Axis:
    """Wide enough for every interval."""
    bounds = [abs(b) for p in report.pairs if (i := p.difference.interval) for b in (i.low, i.high)]
    end = next((step for step in (0.1, 0.2, 0.4, 0.6, 0.8) if step >= 1.08 * max(bounds, default=0.0)), 1.0)
    return Axis(end, tuple((100 * n / 4, round((n / 2 - 1) * end, 3)) for n in range(5)))


def whiskers(batch: Batch, report: Report, named: Sequence[Name], on: Axis, lang: Lang) -> tuple[Whisker, ...]:
    def place(value: float) -> float:
        return 50 - 50 * max(-1.0, min(1.0, value / on.end))

    found = []
    for pair in report.pairs:
        if i := pair.difference.interval:
            winner = {"left": LETTERS[pair.left], "right": LETTERS[pair.right]}.get(pair.difference.verdict, "")
            said = sentence(batch, report.metric, pair, named, lang)
            found.append(Whisker(pair, said, winner, place(i.high), place(i.low), place(i.mean)))
    return tuple(found)


def sentence(batch: Batch, metric: str, pair: Pair, named: Sequence[Name], lang: Lang) -> str:
    """What a pair says, plainly."""
    found = pair.difference
    left, right = called(named, pair.left), called(named, pair.right)
    values: dict[str, object] = {"left": left, "right": right, "n": len(found.values), "metric": label(metric, lang)}
    if found.interval:
        low, high, mean = found.interval.low, found.interval.high, found.interval.mean
        if found.verdict == "right" or (found.verdict != "left" and mean < 0):
            values |= {"left": right, "right": left}
            low, high, mean = -high, -low, -mean
        values |= {"d": f"{mean:.2f}", "low": f"{low:.2f}", "high": f"{high:.2f}"}
    key = {"left": "beats", "right": "beats", "open": "open", "few": "few"}[found.verdict]
    said = i18n.text(lang, f"batch.say_{key}", **values)
    return i18n.text(lang, "batch.so_far", said=said) if batch.state == "running" and key != "few" else said


def called(named: Sequence[Name], side: int) -> str:
    """What a side is called: its title, with what tells it apart where another has the same."""
    one = named[side]
    alone = sum(other.title == one.title for other in named) == 1
    return one.title if alone else f"{one.title} ({one.params or one.letter.upper()})"


def label(metric: str, lang: Lang) -> str:
    return i18n.known(lang, f"metric.{metric}", metric.upper())


def reach(pair: Pair) -> float:
    """The largest difference on one question, which the strip is as high as."""
    return max((abs(value) for value in pair.difference.values), default=0.0) or 1.0


def strip(pair: Pair) -> tuple[Stroke, ...]:
    """The differences of all questions, from the left side's greatest win to the right one's."""
    order = sorted(zip(pair.difference.values, pair.positions, strict=True), key=lambda one: (-one[0], one[1]))
    if len(order) > STRIP:
        order = [order[n * len(order) // STRIP] for n in range(STRIP)]
    most = reach(pair)
    return tuple(
        Stroke(
            at,
            50 - 50 * max(0.0, value) / most,
            max(50 * abs(value) / most, 0.8),
            LETTERS[pair.left] if value > ALIKE else LETTERS[pair.right] if value < -ALIKE else "",
        )
        for value, at in order
    )


def shares(found: Difference) -> tuple[float, float, float]:
    """Wins, ties and losses in percent."""
    n = max(1, len(found.values))
    return 100 * found.wins / n, 100 * found.ties / n, 100 * found.losses / n


def chosen(report: Report, pair: Pair, show: Show) -> list[Scored]:
    """The rows that are wanted, in the order they are wanted in."""

    def gap(one: Scored) -> float:
        a, b = one.scores[pair.left], one.scores[pair.right]
        return 0.0 if a is None or b is None else a - b

    def failed(one: Scored) -> bool:
        return any(cell is not None and cell.status not in {"done", *LIVE} for cell in one.row.cells)

    def nobody(one: Scored) -> bool:
        return bool(told := [score for score in one.scores if score is not None]) and not any(told)

    wanted: Mapping[Show, Callable[[Scored], bool]] = {
        "differ": lambda one: True,
        "file": lambda one: True,
        "left": lambda one: gap(one) > ALIKE,
        "right": lambda one: gap(one) < -ALIKE,
        "none": nobody,
        "failed": failed,
    }
    rows = [one for one in report.rows if wanted[show](one)]
    if show == "differ":
        asked = [one for one in rows if one.row.comparison_id]
        return sorted(asked, key=lambda one: (-abs(gap(one)), -one.spread, one.row.position))
    if show in ("left", "right"):
        return sorted(rows, key=lambda one: (-abs(gap(one)), one.row.position))
    return rows
