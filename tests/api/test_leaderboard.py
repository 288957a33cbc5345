"""The leaderboard over HTTP: votes that are cast come up in it, and nobody's words do."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.backend.storage.visit import visit
from tests.api.house import Served, error_of, events_of, serving
from tests.arena.ballots import cast, series

pytestmark = pytest.mark.anyio

EMPTY = {"contenders": [], "pending": [], "matrix": [], "effects": [], "votes": 0, "min_votes": 10}


async def vote(served: Served, winner: str, **fields: object) -> None:
    """Compare `direct` with `naive`, wait for both, and vote."""
    sides = [{"pipeline": "direct"}, {"pipeline": "naive", "corpus": "demo"}]
    begun = await served.guest.post("/api/compare", json={"question": "What is RAG?", "sides": sides, **fields})
    assert begun.status_code == 202, begun.text
    for generation in begun.json()["generation_ids"]:
        await events_of(served.guest, generation)
    comparison = begun.json()["comparison_id"]
    voted = await served.guest.post(f"/api/comparisons/{comparison}/vote", json={"winner": winner})
    assert voted.json()["vote"]["counted"], voted.text


async def test_votes_that_are_cast_make_a_leaderboard(tmp_path: Path) -> None:
    quota = {"running": 8, "queued": 8, "per_minute": 1000, "per_day": 1000}
    async with serving(tmp_path, quotas={"guest": quota, "admin": quota}) as served:
        assert (await served.guest.get("/api/leaderboard")).json() == EMPTY
        for _ in range(9):
            await vote(served, "b")
        board = (await served.guest.get("/api/leaderboard")).json()
        assert board["contenders"] == []
        assert board["pending"] == [{"contender": name, "votes": 9, "missing": 1} for name in ("direct", "naive")]
        await vote(served, "tie")
        board = (await served.other.get("/api/leaderboard")).json()
    assert [c["contender"] for c in board["contenders"]] == ["naive", "direct"]
    first, last = board["contenders"]
    assert (first["won"], first["drawn"], first["lost"], first["votes"]) == (9, 1, 0, 10)
    assert (first["rank"], first["rank_to"], last["rank"], last["rank_to"]) == (1, 1, 2, 2)
    assert first["low"] <= first["rating"] <= first["high"]
    assert first["rating"] + last["rating"] == pytest.approx(2000)
    assert first["median_ms"] > 0
    assert {"one": "naive", "other": "direct", "won": 9, "drawn": 1, "lost": 0} in board["matrix"]


async def test_it_can_be_filtered(served: Served) -> None:
    def some(db: object) -> None:
        series(db, "naive", "direct", 11, 2, corpus="demo", language="en")  # type: ignore[arg-type]
        series(db, "naive", "direct", 3, 12, corpus="notes", language="zh", judge="model", blind=False)  # type: ignore[arg-type]

    visit(served.data / "colloquy.db", some)
    for query, votes in (
        ("", 13),
        ("judge=", 28),
        ("judge=human", 13),
        ("judge=model", 15),
        ("corpus=demo", 13),
        ("judge=&language=zh", 15),
        ("blind=true", 13),
        ("corpus=demo&language=zh", 0),
        ("corpus=unknown", 0),
    ):
        assert (await served.guest.get(f"/api/leaderboard?{query}")).json()["votes"] == votes, query
    best = (await served.guest.get("/api/leaderboard?judge=model")).json()["contenders"][0]
    assert best["contender"] == "direct"


async def test_style_control_says_what_style_is_worth(served: Served) -> None:
    visit(served.data / "colloquy.db", lambda db: series(db, "naive", "direct", 15, 10))
    board = (await served.guest.get("/api/leaderboard?style=true")).json()
    assert [effect["style"] for effect in board["effects"]] == ["chars", "citations", "ms"]
    assert (await served.guest.get("/api/leaderboard")).json()["effects"] == []


async def test_no_words_and_no_owner_are_in_it(served: Served) -> None:
    def some(db: object) -> None:
        for _ in range(12):
            cast(db, "a", ("naive", "direct"), owner="guest-secret", question="A private question?")  # type: ignore[arg-type]

    visit(served.data / "colloquy.db", some)
    told = (await served.guest.get("/api/leaderboard")).text
    assert "naive" in told
    assert "private" not in told
    assert "guest-" not in told


@pytest.mark.parametrize("query", ["judge=nobody", "style=perhaps", "corpus=" + "x" * 300])
async def test_a_wrong_filter_is_refused_in_a_sentence(served: Served, query: str) -> None:
    refused = await served.guest.get(f"/api/leaderboard?{query}")
    assert refused.status_code == 422
    error_of(refused)
