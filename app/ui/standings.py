"""The pictures of the leaderboard: from ratings to places in a box, in percent of its width and height.

Invariant: everything that is drawn lies inside its box, and the same board is always drawn alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from app.backend.arena.board import Board, Row, Score
from app.backend.types import PipelineInfo

TICKS = 6
STEPS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
TIMES_MS = tuple(factor * 10**power for power in range(6) for factor in (1, 2, 5))
MIN_SPAN = 100.0
MARGIN = 0.04
FAR_RIGHT = 66.0
HEAT = 62
DOT, CHAR, HIGH = 2.2, 1.9, 5.0


@dataclass(frozen=True, slots=True)
class Name:
    """A contender as people read it: the method's title, and with what it ran: where it had to be told apart corpus or
    model, and its parameters that are not the defaults.
    """

    title: str
    params: str
    pipeline: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: float


@dataclass(frozen=True, slots=True)
class Line:
    """A contender's row: where its interval begins and ends on the axis, and where its rating is."""

    row: Row
    name: Name
    low: float
    high: float
    at: float


@dataclass(frozen=True, slots=True)
class Dot:
    """A contender in the picture of quality against time: `x` to `slow` is median to slow, `y` counts from the top. It
    is `labelled` where there is room for its name, and then to the left of it if it is `flipped`.
    """

    line: Line
    x: float
    slow: float
    y: float
    top: float
    bottom: float
    flipped: bool
    labelled: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    dots: tuple[Dot, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    frontier: str


@dataclass(frozen=True, slots=True)
class Square:
    """A cell of the win matrix. `heat` is how much of the colour of winning (or losing) is in it, in percent."""

    one: str
    other: str
    score: Score | None
    heat: int
    wins: bool


@dataclass(frozen=True, slots=True)
class Standings:
    """The whole leaderboard as it is drawn; `axis` belongs to the lines."""

    lines: tuple[Line, ...]
    axis: tuple[Tick, ...]
    chart: Chart
    squares: tuple[tuple[Square, ...], ...]


def standings(board: Board, pipelines: Mapping[str, PipelineInfo]) -> Standings:
    """What there is to draw of a board with ratings."""
    bounds = [bound for row in board.rows for bound in (row.rating.low, row.rating.high)]
    low, high, ticks = _scale(bounds)

    def place(rating: float) -> float:
        return 100 * (rating - low) / (high - low)

    def line(row: Row) -> Line:
        r = row.rating
        return Line(row, name_of(r.contender, pipelines), place(r.low), place(r.high), place(r.rating))

    lines = tuple(line(row) for row in board.rows)
    axis = tuple(Tick(place(tick), tick) for tick in ticks)
    return Standings(lines, axis, _chart(lines, axis), _squares(board))


def name_of(contender: str, pipelines: Mapping[str, PipelineInfo]) -> Name:
    head, _, params = contender.partition("(")
    pipeline, *places = head.split("@")
    info = pipelines.get(pipeline)
    told = ", ".join(filter(None, (*places, params.removesuffix(")"))))
    return Name(info.title if info else pipeline, told, pipeline)


def _scale(bounds: Sequence[float]) -> tuple[float, float, list[float]]:
    """Where the axis of the ratings begins and ends, and the round numbers on it."""
    low, high = min(bounds, default=1000.0), max(bounds, default=1000.0)
    missing = max(0.0, MIN_SPAN - (high - low)) / 2 + MARGIN * (high - low)
    low, high = low - missing, high + missing
    step = next((s for s in STEPS if (high - low) / s <= TICKS), STEPS[-1])
    return low, high, [float(n * step) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _chart(lines: Sequence[Line], axis: Sequence[Tick]) -> Chart:
    """Time from left to right, each doubling as wide as the next; the better, the higher."""
    times = [max(1.0, ms) for line in lines for ms in (line.row.ms, line.row.slow_ms)]
    low, high = math.log(min(times, default=1.0)), math.log(max(times, default=1.0))
    missing = max(0.0, math.log(4) - (high - low)) / 2 + MARGIN * (high - low)
    low, high = low - missing, high + missing

    def place(ms: float) -> float:
        return 100 * (math.log(max(1.0, ms)) - low) / (high - low)

    dots = tuple(
        Dot(line, x, place(line.row.slow_ms), 100 - line.at, 100 - line.high, 100 - line.low, x > FAR_RIGHT)
        for line in lines
        for x in [place(line.row.ms)]
    )
    within = [ms for ms in TIMES_MS if low <= math.log(ms) <= high]
    across = tuple(Tick(place(ms), ms) for ms in (within if len(within) <= TICKS else within[:: len(within) // 4]))
    up = tuple(Tick(100 - tick.at, tick.label) for tick in axis)
    return Chart(_labelled(dots), across, up, _stairs([dot for dot in dots if dot.line.row.frontier]))


def _labelled(dots: Sequence[Dot]) -> tuple[Dot, ...]:
    """Names for the dots of the frontier, best first, as long as they lie over no other name or dot."""
    taken = [(dot.x - DOT, dot.y - DOT, dot.x + DOT, dot.y + DOT) for dot in dots]
    named: list[Dot] = []
    for dot in dots:
        wide = CHAR * min(len(dot.line.name.title), 20)
        left, right = (dot.x - DOT - wide, dot.x - DOT) if dot.flipped else (dot.x + DOT, dot.x + DOT + wide)
        top, bottom = dot.y - DOT - HIGH, dot.y - DOT / 2
        free = all(right <= x or left >= to or bottom <= y or top >= end for x, y, to, end in taken)
        named.append(replace(dot, labelled=dot.line.row.frontier and free))
        if named[-1].labelled:
            taken.append((left, top, right, bottom))
    return tuple(named)


def _stairs(dots: Iterable[Dot]) -> str:
    """The frontier as an SVG path in a box of 100 by 100: up at each of its dots, then on to the right."""
    ordered = sorted(dots, key=lambda dot: dot.x)
    if not ordered:
        return ""
    steps = "".join(f"H{dot.x:.2f}V{dot.y:.2f}" for dot in ordered[1:])
    return f"M{ordered[0].x:.2f} 100V{ordered[0].y:.2f}{steps}H100"


def _squares(board: Board) -> tuple[tuple[Square, ...], ...]:
    names = [row.rating.contender for row in board.rows]
    return tuple(tuple(_square(one, other, board.cells.get((one, other))) for other in names) for one in names)


def _square(one: str, other: str, score: Score | None) -> Square:
    lead = 2 * score.share - 1 if score else 0.0
    return Square(one, other, score, round(HEAT * abs(lead)), lead > 0)
