"""Ratings with 95 % intervals, on a scale as in chess: 400 points are odds of ten to one, the mean is 1000.

Invariant: nobody is rated without enough votes (`battles.ratable`); the same battles always give the same ratings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.backend.arena.battles import MIN_VOTES, Battle, ratable
from app.backend.arena.model import STYLE, Floats, fit, games, resample

POINTS = 400 / math.log(10)
MEAN = 1000.0
TIMES = 500
LEVEL = (2.5, 97.5)
SEED = 20_080


@dataclass(frozen=True, slots=True)
class Rating:
    """With 95 % confidence the rating is between `low` and `high`. `rank` is one more than the number of those whose
    interval lies wholly above, `last` counts all but those whose interval lies wholly below.
    """

    contender: str
    rating: float
    low: float
    high: float
    rank: int
    last: int


@dataclass(frozen=True, slots=True)
class Effect:
    """What a style is worth, in points for one standard deviation more of it than the other answer has."""

    style: str
    points: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ratings:
    """Best first. `effects` are empty without style control."""

    contenders: tuple[Rating, ...] = ()
    effects: tuple[Effect, ...] = ()


def rate(battles: Sequence[Battle], *, style: bool = False, least: int = MIN_VOTES, times: int = TIMES) -> Ratings:
    """Rate whoever can be. With `style`, as if all answers were equally long, equally cited and equally fast."""
    names = sorted(ratable(battles, least))
    if len(names) < 2:
        return Ratings()
    inside = [b for b in battles if b.left.contender in names and b.right.contender in names]
    played = games(inside, names, style=style)
    found, _ = fit(played)
    drawn = resample(played, found, times, SEED)
    n = len(names)
    ratings = _ranked(names, *_interval(_centred(found[None, :n])[0], _centred(drawn[:, :n]), MEAN))
    points, low, high = _interval(found[n:], drawn[:, n:], 0.0)
    effects = [
        Effect(name, float(p), float(lo), float(hi)) for name, p, lo, hi in zip(STYLE, points, low, high, strict=False)
    ]
    return Ratings(ratings, tuple(effects))


def _centred(strengths: Floats) -> Floats:
    centred: Floats = strengths - strengths.mean(axis=1, keepdims=True)
    return centred


def _interval(found: Floats, drawn: Floats, mean: float) -> tuple[Floats, Floats, Floats]:
    """Estimate, low and high in points; the interval holds the estimate."""
    low, high = np.percentile(drawn, LEVEL, axis=0)
    return mean + POINTS * found, mean + POINTS * np.minimum(low, found), mean + POINTS * np.maximum(high, found)


def _ranked(names: Sequence[str], ratings: Floats, low: Floats, high: Floats) -> tuple[Rating, ...]:
    order = sorted(range(len(names)), key=lambda k: (-ratings[k], names[k]))
    return tuple(
        Rating(
            names[k],
            float(ratings[k]),
            float(low[k]),
            float(high[k]),
            1 + int((low > high[k]).sum()),
            len(names) - int((high < low[k]).sum()),
        )
        for k in order
    )
