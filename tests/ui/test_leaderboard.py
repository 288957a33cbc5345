"""The leaderboard's page without its script: what it says when there are votes, few votes and no votes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.backend.arena.battles import Filters
from app.backend.arena.live import Arena
from app.backend.pipelines.registry import PIPELINES, Registry
from app.backend.storage.database import Database
from app.ui.i18n import Lang
from app.ui.pages.leaderboard import Asked, Leaderboard
from app.ui.render import Renderer
from tests.arena.ballots import cast, series

pytestmark = pytest.mark.anyio
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e'


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "colloquy.db")
    database.open()
    yield database
    await asyncio.to_thread(database.close)


@pytest.fixture
def page(database: Database) -> Leaderboard:
    return Leaderboard(Arena(database), Renderer(Registry(PIPELINES, {}).infos()))


def asked(lang: Lang = "en", filters: Filters | None = None, style: bool = False) -> Asked:
    return Asked(lang, filters or Filters(), style)


@pytest.mark.parametrize(("lang", "words"), [("en", "Not enough votes yet"), ("zh", "票数还不够")])
async def test_without_votes_it_says_so_and_where_to_vote(page: Leaderboard, lang: Lang, words: str) -> None:
    html = await page.page(asked(lang), "v")
    assert words in html
    assert "/compare?blind=1" in html
    assert "leaderboard-row" not in html


async def test_who_has_too_few_votes_is_listed_with_what_is_missing(page: Leaderboard, database: Database) -> None:
    await database.write(lambda db: series(db, "naive", "direct", 8, 3))
    await database.write(lambda db: series(db, "hyde(temperature=0.5)", "naive", 2, 1))
    html = await page.board(asked())
    assert html.count('data-testid="leaderboard-row"') == 2
    assert html.count('data-testid="pending-row"') == 1
    assert "7 more votes" in html
    assert "temperature=0.5" in html


async def test_filters_that_leave_nothing_can_be_taken_off(page: Leaderboard, database: Database) -> None:
    await database.write(lambda db: series(db, "naive", "direct", 12, 3))
    html = await page.page(asked(filters=Filters(corpus="elsewhere"), style=True), "v")
    assert 'href="/leaderboard?style=1"' in html
    assert "These filters leave too few votes" in html


async def test_it_is_drawn_again_only_when_a_vote_has_arrived(page: Leaderboard, database: Database) -> None:
    await database.write(lambda db: series(db, "naive", "direct", 12, 3))
    html, seen = await page.news(asked(), "")
    assert "leaderboard-row" in html
    assert await page.news(asked(), seen) == ("", seen)
    await database.write(lambda db: cast(db, "tie", ("naive", "direct")))
    html, now = await page.news(asked(), seen)
    assert "16 votes" in html
    assert now != seen


async def test_hostile_names_and_questions_stay_text(page: Leaderboard, database: Database) -> None:
    def some(db: Database) -> None:
        series(db, f"naive(x={HOSTILE})", "direct", 12, 3, corpus=HOSTILE, language=HOSTILE, question=HOSTILE)

    await database.write(some)
    html = await page.page(asked(filters=Filters(corpus=HOSTILE, language=HOSTILE), style=True), "v")
    html += await page.battles("guest-1", asked(), f"naive(x={HOSTILE})", "direct")
    assert "leaderboard-row" in html
    assert 'data-testid="battle"' in html
    assert "alert(1)" in html
    assert "<script>alert" not in html
    assert "<img" not in html
