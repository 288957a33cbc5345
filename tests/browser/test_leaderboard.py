"""The leaderboard in a browser: it follows the votes by itself, and all of it can be reached with the keyboard."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlite_utils import Database

from app.backend.storage.visit import visit
from tests.arena.ballots import cast, series
from tests.browser.conftest import Visitor
from tests.browser.house import House

Arrive = Callable[..., Visitor]


@pytest.fixture
def voted(build: Callable[..., House], tmp_path: Path) -> House:
    """A house in which some have voted."""
    house = build()

    def some(db: Database) -> None:
        series(db, "naive", "direct", 16, 4, ms=(1500, 600))
        series(db, "hyde", "naive", 11, 9, language="zh", ms=(2600, 1500))
        series(db, "crag", "direct", 2, 1)

    visit(tmp_path / "colloquy.db", some)
    return house


def rows(page: Page) -> list[str]:
    return [str(row.get_attribute("data-contender")) for row in page.get_by_test_id("leaderboard-row").all()]


def test_a_vote_changes_the_leaderboard_that_is_open(voted: House, arrive: Arrive, tmp_path: Path) -> None:
    page = arrive(voted).visit("leaderboard")
    expect(page.get_by_test_id("vote-count")).to_have_text("43 votes")
    assert rows(page) == ["hyde", "naive", "direct"]
    expect(page.get_by_test_id("pending-row")).to_contain_text("7 more votes")
    page.get_by_role("button", name="HyDE against Naive RAG").focus()
    visit(tmp_path / "colloquy.db", lambda db: series(db, "crag", "hyde", 7, 0))
    expect(page.get_by_test_id("vote-count")).to_have_text("50 votes")
    assert rows(page)[0] == "crag"
    expect(page.get_by_test_id("pending-row")).to_have_count(0)
    expect(page.get_by_role("button", name="HyDE against Naive RAG")).to_be_focused()


def test_an_address_with_a_filter_that_does_not_exist_shows_the_way_back(voted: House, arrive: Arrive) -> None:
    visitor = arrive(voted)
    visitor.expected = ("422",)
    page = visitor.visit("leaderboard")
    answer = page.goto(f"{voted.url}leaderboard?judge=nobody")
    assert answer is not None and answer.status == 422
    page.get_by_role("link", name="To Colloquy").click()
    expect(page.get_by_test_id("ask-box")).to_be_visible()


def test_filters_and_style_control_are_in_the_address(voted: House, arrive: Arrive) -> None:
    page = arrive(voted).visit("leaderboard")
    page.get_by_test_id("filter-language").select_option("en")
    expect(page.get_by_test_id("vote-count")).to_have_text("23 votes")
    page.get_by_test_id("style-switch").check(force=True)
    expect(page.get_by_test_id("effects")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/leaderboard\?language=en&style=1$"))
    page.reload()
    page.wait_for_selector("body.ready")
    expect(page.get_by_test_id("vote-count")).to_have_text("23 votes")
    expect(page.get_by_test_id("style-switch")).to_be_checked()


HOLD = """() => {
  const real = window.fetch;
  window.held = new Promise((said) => {
    window.fetch = async (...call) => {
      const response = await real(...call);
      if (call[0].endsWith("seen=")) await new Promise((free) => { window.free = free; said(); });
      return response;
    };
  });
}"""


def test_a_filter_is_applied_though_news_are_asked_for_meanwhile(voted: House, arrive: Arrive) -> None:
    visitor = arrive(voted)
    visitor.context.clock.install()
    page = visitor.visit("leaderboard")
    page.clock.pause_at(time.time() + 2)
    page.evaluate(HOLD)
    page.get_by_test_id("filter-language").select_option("en")
    page.evaluate("() => window.held")
    page.clock.run_for(3_000)
    page.evaluate("() => window.free()")
    expect(page.get_by_test_id("vote-count")).to_have_text("23 votes")


def test_the_battles_behind_a_cell_are_opened_with_the_keyboard(voted: House, arrive: Arrive) -> None:
    page = arrive(voted).visit("leaderboard")
    page.get_by_test_id("style-switch").focus()
    page.keyboard.press("Tab")  # the link beside those with too few votes
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="HyDE against Naive RAG")).to_be_focused()
    page.keyboard.press("ArrowDown")
    cell = page.get_by_role("button", name="Direct against Naive RAG")
    expect(cell).to_be_focused()
    page.keyboard.press("Enter")
    battles = page.get_by_test_id("battles")
    expect(battles.get_by_role("heading")).to_have_text("Direct against Naive RAG")
    expect(battles.get_by_test_id("battle")).to_have_count(20)
    page.keyboard.press("Escape")
    expect(battles).to_be_hidden()
    expect(cell).to_be_focused()


def test_without_votes_it_leads_to_a_blind_pair(house: House, arrive: Arrive) -> None:
    page = arrive(house).visit("leaderboard")
    expect(page.get_by_test_id("leaderboard-empty")).to_contain_text("Not enough votes yet")
    page.get_by_test_id("leaderboard-empty").get_by_role("link").click()
    page.wait_for_url("**/compare?blind=1")


@pytest.mark.parametrize("width", [320, 390, 820])
def test_nothing_is_wider_than_the_page(width: int, voted: House, arrive: Arrive, tmp_path: Path) -> None:
    visit(tmp_path / "colloquy.db", lambda db: cast(db, "a", (f"naive(x={'long' * 60})", "direct"), corpus="w" * 90))
    page = arrive(voted, locale="zh-CN", viewport={"width": width, "height": 800}).visit("leaderboard?style=1")
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    assert page.evaluate("document.querySelector('main').scrollWidth <= document.querySelector('main').clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_in_chinese_the_methods_have_the_names_that_the_pickers_have(voted: House, arrive: Arrive) -> None:
    page = arrive(voted, locale="zh-CN").visit("leaderboard")
    expect(page.get_by_test_id("leaderboard-row").filter(has_text="标准 RAG")).to_have_count(1)
    expect(page.get_by_test_id("leaderboard-row").filter(has_text="Naive RAG")).to_have_count(0)
    expect(page.get_by_test_id("chart-dot").filter(has_text="Naive RAG")).to_have_count(0)
