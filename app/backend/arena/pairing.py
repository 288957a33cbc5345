"""Which two to show next: the pair whose answer is worth most, where what is worth is narrower intervals for all.

Invariant: only candidates are picked, never one against itself, and any pair may be: many people vote at once, and
they must not all be given the same one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from app.backend.arena.battles import Battle
from app.backend.arena.model import Floats, fit, games

SHARPNESS = 3
"""How strongly the better pair is preferred: 0 is any pair alike."""


def pick(candidates: Sequence[str], battles: Sequence[Battle], chance: random.Random) -> tuple[str, str]:
    """Two of the candidates, in no particular order. Who is new has the widest interval and so comes up soon."""
    pairs = list(combinations(sorted(set(candidates)), 2))
    worth = gains(pairs, battles)
    return chance.choices(pairs, (worth / worth.max()) ** SHARPNESS)[0]


def gains(pairs: Sequence[tuple[str, str]], battles: Sequence[Battle]) -> Floats:
    """How much smaller the sum of the candidates' variances is expected to become by one more vote on each pair.

    A vote on a pair has the information p(1 - p); what that takes from the covariance, Sherman and Morrison say.
    """
    candidates = sorted({name for pair in pairs for name in pair})
    met = {entry.contender for b in battles for entry in (b.left, b.right)}
    names = [*candidates, *sorted(met - set(candidates))]
    found, information = fit(games(battles, names))
    covariance = np.linalg.inv(information)
    number = {name: n for n, name in enumerate(names)}
    one, other = (np.array([number[pair[side]] for pair in pairs]) for side in (0, 1))
    expected = 1 / (1 + np.exp(found[other] - found[one]))
    informed = expected * (1 - expected)
    moved = covariance[:, one] - covariance[:, other]
    seen = moved[: len(candidates)] - moved[: len(candidates)].mean(axis=0)
    columns = np.arange(len(pairs))
    gained: Floats = informed * (seen**2).sum(axis=0) / (1 + informed * (moved[one, columns] - moved[other, columns]))
    return gained
