"""Which passages the columns found, side by side, by rank.

Invariant: each passage has exactly one row; the rows are in the order of their best rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.backend.types import Passage

Change = Literal["same", "moved", "some", "only"]
"""At the same rank everywhere; everywhere, at different ranks; in several but not all; in one alone."""


@dataclass(frozen=True, slots=True)
class PassageRow:
    """A passage with its rank in each column, from 1, which is also how it is cited there; None where it was not found.

    `moved` counts the places up (positive) or down from the first column that has it.
    """

    passage: Passage
    ranks: tuple[int | None, ...]
    change: Change

    @property
    def moved(self) -> tuple[int | None, ...]:
        first = next(rank for rank in self.ranks if rank is not None)
        return tuple(None if rank is None else first - rank for rank in self.ranks)


def compare_passages(columns: Sequence[Sequence[Passage]]) -> tuple[PassageRow, ...]:
    """The passages of all columns, each column best first."""
    ranks: dict[tuple[str, str, str], list[int | None]] = {}
    passages: dict[tuple[str, str, str], Passage] = {}
    for at, column in enumerate(columns):
        for rank, passage in enumerate(column, 1):
            key = (passage.corpus, passage.id, passage.title)
            passages.setdefault(key, passage)
            row = ranks.setdefault(key, [None] * len(columns))
            row[at] = row[at] or rank
    rows = (PassageRow(passages[key], tuple(row), _change(row)) for key, row in ranks.items())
    return tuple(sorted(rows, key=_order))


def _change(ranks: Sequence[int | None]) -> Change:
    there = [rank for rank in ranks if rank is not None]
    if len(there) == 1 < len(ranks):
        return "only"
    if len(there) < len(ranks):
        return "some"
    return "same" if len(set(there)) == 1 else "moved"


def _order(row: PassageRow) -> tuple[int, int]:
    """By best rank, then by the column that has it."""
    best = min(rank for rank in row.ranks if rank is not None)
    return best, row.ranks.index(best)
