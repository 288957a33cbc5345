"""The Bradley-Terry model by maximum likelihood: P(left wins) = logistic(left's strength - right's strength + style).

Invariant: every strength is finite, also of a contender that won all: each starts with one game won and one lost
against an average contender (the weak prior), and these are drawn again in the bootstrap like votes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.backend.arena.battles import Battle, Entry

Floats = NDArray[np.float64]
STYLE = ("chars", "citations", "ms")
RIDGE = 0.05
"""Keeps a replicate finite that drew no lost game at all; next to a vote's information (a quarter) it is nothing."""
MAX_STEPS = 25
MAX_STRIDE = 2.0
CLOSE = 1e-4
TOGETHER = 100
"""Replicates that take their steps at once: in few large multiplications, and in little memory."""


@dataclass(frozen=True, slots=True)
class Games:
    """What is fitted. `design` has a row per battle: +1 and -1 for the two contenders, then the style; `squares` has
    each row times itself, a matrix in one line. `outcome` is the battle's result, `group` which vote it is of. `counts`
    says how often each vote was cast: equal ones are one group.
    """

    design: Floats
    squares: Floats
    outcome: Floats
    group: NDArray[np.intp]
    counts: Floats


def games(battles: Sequence[Battle], names: Sequence[str], *, style: bool = False) -> Games:
    """The games of `battles`, whose contenders are all in `names`, and the two imaginary ones of each contender."""
    number = {name: n for n, name in enumerate(names)}
    styles = _styles(battles) if style else np.zeros((len(battles), 0))
    votes: dict[str, list[tuple[int, int, float, tuple[float, ...]]]] = {}
    for battle, values in zip(battles, styles, strict=True):
        left, right, outcome = number[battle.left.contender], number[battle.right.contender], battle.outcome
        if left > right:
            left, right, outcome, values = right, left, 1 - outcome, -values
        votes.setdefault(battle.vote_id, []).append((left, right, outcome, tuple(values.tolist())))
    cast = dict(sorted(Counter(tuple(sorted(vote)) for vote in votes.values()).items()))
    rows = [(group, *battle) for group, vote in enumerate(cast) for battle in vote]
    n, voted = len(names), len(cast)
    design = np.zeros((len(rows) + 2 * n, n + styles.shape[1]))
    for row, (_, left, right, _, values) in enumerate(rows):
        design[row, left], design[row, right] = 1.0, -1.0
        design[row, n:] = values
    design[len(rows) :, :n] = np.vstack([np.eye(n), np.eye(n)])
    return Games(
        design,
        (design[:, :, None] * design[:, None, :]).reshape(len(design), -1),
        np.array([*(row[3] for row in rows), *[1.0] * n, *[0.0] * n]),
        np.array([*(row[0] for row in rows), *range(voted, voted + 2 * n)], dtype=np.intp),
        np.array([*cast.values(), *[1] * (2 * n)], dtype=np.float64),
    )


def fit(played: Games) -> tuple[Floats, Floats]:
    """The likeliest strengths (and what style is worth), and the information in the games about them."""
    weights = played.counts[None, played.group]
    start = np.zeros((1, played.design.shape[1]))
    found = _climb(played, weights, start)
    return found[0], _slope(played, weights, found)[1][0]


def resample(played: Games, found: Floats, times: int, seed: int) -> Floats:
    """The same fit to votes drawn again `times` times (each as often as a Poisson variable of mean one says), which all
    take their steps together; they begin at `found`.
    """
    random = np.random.default_rng(seed)
    found = np.tile(found, (TOGETHER, 1))
    drawn = (random.poisson(played.counts, (TOGETHER, len(played.counts))) for _ in range(-(-times // TOGETHER)))
    return np.vstack([_climb(played, counts[:, played.group].astype(np.float64), found) for counts in drawn])[:times]


def _climb(played: Games, weights: Floats, start: Floats) -> Floats:
    """Newton's method, for each row of `weights` by itself."""
    found = start
    for _ in range(MAX_STEPS):
        gradient, information = _slope(played, weights, found)
        stride = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
        found = found + np.clip(stride, -MAX_STRIDE, MAX_STRIDE)
        if np.abs(stride).max() < CLOSE:
            break
    return found


def _slope(played: Games, weights: Floats, at: Floats) -> tuple[Floats, Floats]:
    """The gradient of the log likelihood, and its curvature with the sign changed."""
    design = played.design
    width = design.shape[1]
    expected = 1 / (1 + np.exp(-(at @ design.T)))
    gradient = (weights * (played.outcome - expected)) @ design - RIDGE * at
    information = ((weights * expected * (1 - expected)) @ played.squares).reshape(-1, width, width)
    return gradient, information + RIDGE * np.eye(width)


def _styles(battles: Sequence[Battle]) -> Floats:
    """How much longer, better cited and slower the left answer is: differences as shares of the sums, each divided by
    its root mean square, so that swapping the sides changes the sign and nothing else.
    """
    shares = np.array([[_share(b.left, b.right, of) for of in STYLE] for b in battles])
    spread = np.sqrt((shares**2).mean(axis=0))
    styles: Floats = shares / np.where(spread > 0, spread, 1.0)
    return styles


def _share(left: Entry, right: Entry, of: str) -> float:
    one, other = float(getattr(left, of)), float(getattr(right, of))
    return (one - other) / (one + other) if one + other else 0.0
