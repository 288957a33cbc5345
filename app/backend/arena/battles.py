"""What a vote comes to: battles between two contenders each.

Invariant: all battles of one vote carry its id, so that whatever counts or draws votes never counts one of them twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

Judge = Literal["human", "model"]
MIN_VOTES = 10


@dataclass(frozen=True, slots=True)
class Entry:
    """What a contender brought to a battle. `contender` is a pipeline, with its parameters that are not the defaults;
    `ms` is the time from the question to the whole answer.
    """

    contender: str
    chars: int = 0
    citations: int = 0
    ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Battle:
    """`outcome` is 1 when `left` won, 0 when `right` did, else a half. When `blind`, nobody knew who was who. `at` is
    in Unix seconds.
    """

    vote_id: str
    left: Entry
    right: Entry
    outcome: float
    corpus: str = ""
    language: str = ""
    judge: Judge = "human"
    blind: bool = True
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Filters:
    """Which battles to look at; empty is all."""

    corpus: str = ""
    language: str = ""
    judge: Judge | Literal[""] = ""
    blind: bool = False

    def take(self, battle: Battle) -> bool:
        return (
            self.corpus in ("", battle.corpus)
            and self.language in ("", battle.language)
            and self.judge in ("", battle.judge)
            and (battle.blind or not self.blind)
        )


def fought(winner: str, entries: Sequence[tuple[str, Entry]]) -> tuple[tuple[Entry, Entry, float], ...]:
    """The battles of a vote over entries with their letters: the winner beat each of the others; without a winner
    (a tie, or all bad) each pair drew. A contender never meets itself.
    """
    if any(letter == winner for letter, _ in entries):
        first = next(entry for letter, entry in entries if letter == winner)
        pairs = [(first, entry, 1.0) for letter, entry in entries if letter != winner]
    else:
        pairs = [(one, other, 0.5) for (_, one), (_, other) in combinations(entries, 2)]
    return tuple((one, other, outcome) for one, other, outcome in pairs if one.contender != other.contender)


def votes_of(battles: Iterable[Battle]) -> Counter[str]:
    """In how many votes each contender stood."""
    stood = {(b.vote_id, entry.contender) for b in battles for entry in (b.left, b.right)}
    return Counter(contender for _, contender in stood)


def ratable(battles: Sequence[Battle], least: int = MIN_VOTES) -> frozenset[str]:
    """Who can be rated: the largest group that battles link with one another, in which everybody stood in at least
    `least` votes against others of the group.
    """
    group = frozenset(votes_of(battles))
    while True:
        inside = [b for b in battles if b.left.contender in group and b.right.contender in group]
        votes = votes_of(inside)
        kept = _largest({name for name in group if votes[name] >= least}, inside, votes)
        if kept == group:
            return group
        group = kept


def _largest(names: set[str], battles: Iterable[Battle], votes: Counter[str]) -> frozenset[str]:
    """Of the groups of `names` that battles link, the one with most votes."""
    met: defaultdict[str, set[str]] = defaultdict(set)
    for b in battles:
        if b.left.contender in names and b.right.contender in names:
            met[b.left.contender].add(b.right.contender)
            met[b.right.contender].add(b.left.contender)
    groups: list[frozenset[str]] = []
    while names:
        found, reached = set[str](), {min(names)}
        while reached:
            found |= reached
            reached = {other for name in reached for other in met[name]} - found
        groups.append(frozenset(found))
        names = names - found
    return max(groups, key=lambda g: (sum(votes[n] for n in g), sorted(g)), default=frozenset())
