"""What the page that compares says of its columns, as figures and pictures.

Invariant: pure; whatever stands beside each other was measured in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.backend.comparing import AnswerRow, PassageRow
from app.ui.view import ViewState

ROW_PX = 40
"""How high a line of the picture of ranks is."""
CLOSE = 1.02
"""Figures that are nearer to each other than this factor are the same: nobody is the best then."""
_MARKER = re.compile(r"\s*[\[【]\d{1,3}(?:\s*[,，、;]\s*\d{1,3})*[\]】]")
_PIECE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|\w+|[^\w]+?")


@dataclass(frozen=True, slots=True)
class Figures:
    """What an answer took. `first_ms` is the time to its first word, None where there is none or it was not noted;
    `engine_ms` is the time of all its engine calls, which is what it costs, None where it was not measured; `read` and
    `written` are the tokens that the model was given and gave."""

    first_ms: float | None
    total_ms: float
    read: int
    written: int
    calls: int
    engine_ms: float | None


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure of one column: the part of the largest beside it, in per cent, and whether it is the least."""

    value: float | None
    width: float
    best: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A passage in the list of one column: `row` is the same for the same passage in every list."""

    row: int
    rank: int
    title: str
    text: str
    cited: bool
    change: str
    moved: int


@dataclass(frozen=True, slots=True)
class Line:
    """From a passage in one list to the same one in the next, in pixels from the top."""

    row: int
    start: float
    end: float
    change: str


@dataclass(frozen=True, slots=True)
class Ranks:
    """The lists of all columns and, for each but the last, the lines to the next."""

    lists: tuple[tuple[Place, ...], ...]
    lines: tuple[tuple[Line, ...], ...]
    height: int


def figures(state: ViewState) -> Figures | None:
    """The figures of an answer; None where nobody may know them (yet)."""
    spent = state.timings_ms
    if not spent.keys() - {"total"}:
        return None
    total, usage = spent.get("total", 0.0), state.usage
    first = spent.get("ttft")
    if first is None and "decode" in spent:  # answered by an older version
        first = total - spent["decode"] - spent.get("cite", 0.0)
    engine = usage.engine_ms if usage.engine_ms or not usage.engine_calls else None
    return Figures(first, total, usage.prompt_tokens, usage.completion_tokens, usage.engine_calls, engine)


def bars(values: Sequence[float | None]) -> tuple[Bar, ...]:
    """The same figure of every column; the least is the best, where there is one."""
    told = [value for value in values if value is not None]
    most, least = max(told, default=0.0), min(told, default=0.0)
    return tuple(
        Bar(value, 100 * (value or 0.0) / (most or 1.0), value == least and sum(v <= least * CLOSE for v in told) == 1)
        for value in values
    )


def ranks(rows: Sequence[PassageRow], cited: Sequence[frozenset[int]]) -> Ranks:
    """The picture of who found what, and where; `cited` are the numbers that each answer rests on."""
    lists = tuple(
        tuple(
            sorted(
                (
                    Place(
                        i, rank, row.passage.title, row.passage.text, rank in cited[at], row.change, row.moved[at] or 0
                    )
                    for i, row in enumerate(rows)
                    if (rank := row.ranks[at]) is not None
                ),
                key=lambda place: place.rank,
            )
        )
        for at in range(len(cited))
    )
    heights = [{place.row: (index + 0.5) * ROW_PX for index, place in enumerate(places)} for places in lists]
    lines = tuple(
        tuple(
            Line(i, left[i], right[i], "same" if left[i] == right[i] else "up" if right[i] < left[i] else "down")
            for i in left
            if i in right
        )
        for left, right in pairwise(heights)
    )
    return Ranks(lists, lines, ROW_PX * max((len(places) for places in lists), default=0))


def change(row: AnswerRow) -> str:
    """As the row says it, but "some" where whoever says it at all says it in the same words."""
    alike = row.change == "changed" and None in row.cells and not any(new for p in wording(row) if p for _, new in p)
    return "some" if alike else row.change


def wording(row: AnswerRow) -> tuple[tuple[tuple[str, bool], ...] | None, ...]:
    """Each cell in pieces, without its marks of citation, and whether a piece is a word that not all others use: only
    where the wording differs.
    """
    cut = [_PIECE.findall(_MARKER.sub("", cell.text)) if cell else None for cell in row.cells]
    words = [{piece.lower() for piece in own} if own is not None else None for own in cut]
    found = []
    for at, own in enumerate(cut):
        others = [w for i, w in enumerate(words) if i != at and w is not None]
        elsewhere = set.intersection(*others) if others else None
        pieces: list[tuple[str, bool]] = []
        for piece in own or ():
            new = elsewhere is not None and row.change in ("changed", "moved") and piece.lower() not in elsewhere
            new = new and (piece[0].isalnum() or (bool(pieces) and pieces[-1][1] and piece == " "))
            if pieces and pieces[-1][1] == new:
                pieces[-1] = (pieces[-1][0] + piece, new)
            else:
                pieces.append((piece, new))
        found.append(tuple(pieces) if own is not None else None)
    return tuple(found)
