"""The leaderboard as a value: ratings, and what is counted beside them.

Invariant: nobody's words are in it; whoever cannot be rated yet is listed with what is missing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.backend.arena.battles import MIN_VOTES, Battle, Entry, Filters, votes_of
from app.backend.arena.ratings import Effect, Rating, rate

SLOW = 0.95


@dataclass(frozen=True, slots=True)
class Score:
    """Battles of one contender, against another or against all."""

    won: int = 0
    drawn: int = 0
    lost: int = 0

    @property
    def battles(self) -> int:
        return self.won + self.drawn + self.lost

    @property
    def share(self) -> float:
        """Of the points, a draw being half of one."""
        return (self.won + self.drawn / 2) / self.battles if self.battles else 0.5


@dataclass(frozen=True, slots=True)
class Row:
    """A contender that is rated. `ms` is the median of its answers' times, `slow_ms` what one in twenty takes longer
    than; on the `frontier` nobody is both better and faster.
    """

    rating: Rating
    votes: int
    score: Score
    ms: float
    slow_ms: float
    frontier: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """A contender that is not rated yet: so many votes are missing, or (0) a link to the others."""

    contender: str
    votes: int
    missing: int


@dataclass(frozen=True, slots=True)
class Board:
    """Best first. `cells` are the scores of a contender (first) against another, of the rated ones."""

    rows: tuple[Row, ...] = ()
    pending: tuple[Pending, ...] = ()
    cells: Mapping[tuple[str, str], Score] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()
    votes: int = 0


@dataclass(frozen=True, slots=True)
class Facets:
    """What can be asked for: the values that filters find something with."""

    corpora: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()

    @classmethod
    def of(cls, battles: Sequence[Battle]) -> Facets:
        found = ({b.corpus for b in battles}, {b.language for b in battles}, {b.judge for b in battles})
        return cls(*(tuple(sorted(values - {""})) for values in found))

    def know(self, filters: Filters) -> bool:
        return (
            filters.corpus in ("", *self.corpora)
            and filters.language in ("", *self.languages)
            and filters.judge in ("", *self.judges)
        )


def make_board(battles: Sequence[Battle], *, style: bool = False) -> Board:
    """The leaderboard of these battles."""
    ratings = rate(battles, style=style)
    rated = {rating.contender for rating in ratings.contenders}
    stood = votes_of(battles)
    cells, times = _cells(battles, rated), _times(battles)
    scores = {name: _total([cell for (one, _), cell in cells.items() if one == name]) for name in rated}
    rows = [
        Row(r, stood[r.contender], scores[r.contender], *_median_and_slow(times[r.contender]))
        for r in ratings.contenders
    ]
    unrated = sorted(stood.keys() - rated, key=lambda name: (-stood[name], name))
    pending = [Pending(name, stood[name], max(0, MIN_VOTES - stood[name])) for name in unrated]
    return Board(
        tuple(_with_frontier(rows)), tuple(pending), cells, ratings.effects, len({battle.vote_id for battle in battles})
    )


def _cells(battles: Sequence[Battle], rated: set[str]) -> dict[tuple[str, str], Score]:
    counted: Counter[tuple[str, str, float]] = Counter()
    for b in battles:
        left, right = b.left.contender, b.right.contender
        if left in rated and right in rated:
            counted[left, right, b.outcome] += 1
            counted[right, left, 1 - b.outcome] += 1
    pairs = {(one, other) for one, other, _ in counted}
    return {pair: Score(counted[*pair, 1.0], counted[*pair, 0.5], counted[*pair, 0.0]) for pair in sorted(pairs)}


def _total(scores: Sequence[Score]) -> Score:
    return Score(sum(s.won for s in scores), sum(s.drawn for s in scores), sum(s.lost for s in scores))


def _times(battles: Sequence[Battle]) -> Mapping[str, list[float]]:
    """Of each contender, once a vote."""
    seen: dict[tuple[str, str], Entry] = {}
    for b in battles:
        for entry in (b.left, b.right):
            seen[b.vote_id, entry.contender] = entry
    times: dict[str, list[float]] = {}
    for (_, name), entry in seen.items():
        times.setdefault(name, []).append(entry.ms)
    return times


def _median_and_slow(times: Sequence[float]) -> tuple[float, float]:
    """By nearest rank: both are times that were measured."""
    ordered = sorted(times)
    return ordered[(len(ordered) - 1) // 2], ordered[math.ceil(SLOW * len(ordered)) - 1]


def _with_frontier(rows: Sequence[Row]) -> list[Row]:
    """`rows` come best first: on the frontier is who is faster than all before."""
    marked, fastest = [], math.inf
    for row in rows:
        marked.append(replace(row, frontier=row.ms < fastest))
        fastest = min(fastest, row.ms)
    return marked
