"""Which pair is shown next: the one that tells most, and everybody's turn comes."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from app.backend.arena.pairing import gains, pick
from app.backend.arena.ratings import rate
from tests.arena.worlds import World, named

OLD = (1.5, 1.0, 0.5, 0.0, -0.5, -1.0, -1.5)
NAMES = [named(n) for n in range(8)]


def after(votes: int, seed: int, adaptive: bool) -> tuple[float, float]:
    """Mean and widest interval when a new contender joins seven known ones and so many votes have come."""
    world, chance = World((*OLD, 0.3), seed), random.Random(seed)
    for one in range(len(OLD)):
        for other in range(one):
            for _ in range(6):
                world.vote(one, other)
    for _ in range(votes):
        one, other = pick(NAMES, world.battles, chance) if adaptive else chance.sample(NAMES, 2)
        world.vote(NAMES.index(one), NAMES.index(other))
    widths = [r.high - r.low for r in rate(world.battles, least=1).contenders]
    assert len(widths) == len(NAMES)
    return float(np.mean(widths)), max(widths)


def test_intervals_shrink_faster_than_with_pairs_at_random() -> None:
    adaptive = np.mean([after(50, seed, adaptive=True) for seed in range(8)], axis=0)
    at_random = np.mean([after(50, seed, adaptive=False) for seed in range(8)], axis=0)
    assert adaptive[0] < 0.93 * at_random[0]
    assert adaptive[1] < 0.75 * at_random[1]


def test_a_new_contender_comes_up_most() -> None:
    world, chance = World(OLD, 1), random.Random(1)
    world.round_robin(10)
    shown = Counter(name for _ in range(300) for name in pick(NAMES, world.battles, chance))
    assert shown["c7"] > 0.8 * 300
    assert all(shown[name] for name in NAMES)


def test_without_votes_every_pair_is_alike() -> None:
    assert gains([("a", "b"), ("a", "c"), ("b", "c")], []) == pytest.approx(gains([("a", "b")] * 3, [])[0], rel=0.5)
    shown = Counter(pick(["a", "b", "c"], [], random.Random(n)) for n in range(600))
    assert len(shown) == 3
    assert min(shown.values()) > 150


def test_a_foregone_conclusion_tells_less_than_an_open_question() -> None:
    battles = World((1.5, 1.5, -1.5, -1.5), 1).round_robin(20)
    among_equals, foregone = gains([("c0", "c1"), ("c0", "c2")], battles)
    assert among_equals > 1.2 * foregone


def test_only_candidates_are_picked_and_two_different_ones() -> None:
    battles = World(OLD, 3).round_robin(3)
    for seed in range(50):
        one, other = pick(["c1", "c4", "never seen"], battles, random.Random(seed))
        assert one != other
        assert {one, other} < {"c1", "c4", "never seen"}
