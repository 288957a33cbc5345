"""Made up voters: contenders with known strengths, and votes as the model says they fall."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from app.backend.arena.battles import Battle, Entry
from app.backend.arena.ratings import MEAN, POINTS

Style = tuple[float, float, float]
PLAIN: Style = (0.0, 0.0, 0.0)


def named(number: int) -> str:
    return f"c{number}"


def points(strengths: Sequence[float]) -> dict[str, float]:
    """The true ratings of contenders with these strengths."""
    mean = float(np.mean(strengths))
    return {named(n): MEAN + POINTS * (strength - mean) for n, strength in enumerate(strengths)}


class World:
    """`worth` is what a voter gives for more characters, more citations and more time (as shares); `ties` of the votes
    are ties, and of those left the expected points stay what the model says.
    """

    def __init__(self, strengths: Sequence[float], seed: int, *, worth: Style = PLAIN, ties: float = 0.0) -> None:
        self.strengths = strengths
        self.battles: list[Battle] = []
        self.length = dict.fromkeys(range(len(strengths)), 1.0)
        self._worth = worth
        self._ties = ties
        self._random = np.random.default_rng(seed)

    def vote(self, one: int, other: int) -> None:
        """One vote on a pair; who is on the left is a matter of chance."""
        random = self._random
        if random.random() < 0.5:
            one, other = other, one
        left, right = self._entry(one), self._entry(other)
        shares = [
            (a - b) / (a + b)
            for a, b in ((left.chars, right.chars), (left.citations, right.citations), (left.ms, right.ms))
        ]
        lead = self.strengths[one] - self.strengths[other] + float(np.dot(self._worth, shares))
        expected = 1 / (1 + np.exp(-lead))
        tied = min(self._ties, 2 * min(expected, 1 - expected))
        drawn = random.random()
        outcome = 1.0 if drawn < expected - tied / 2 else 0.0 if drawn > expected + tied / 2 else 0.5
        self.battles.append(Battle(f"v{len(self.battles)}", left, right, outcome))

    def round_robin(self, each: int) -> list[Battle]:
        """`each` votes on every pair."""
        for one, other in combinations(range(len(self.strengths)), 2):
            for _ in range(each):
                self.vote(one, other)
        return self.battles

    def _entry(self, number: int) -> Entry:
        chars, citations = self._random.integers(100, 1000), self._random.integers(1, 8)
        ms = float(self._random.uniform(500, 4000))
        return Entry(named(number), int(chars * self.length[number]), int(citations), ms)
