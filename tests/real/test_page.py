"""The page in a real browser on the real engine: one answer, with its evidence, through a reload."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from app import machine
from tests.browser.conftest import ARGUMENTS, ask, wait_for
from tests.browser.test_four_columns import ADDRESS, WIDE, begin, go_the_whole_way
from tests.real.conftest import Server

pytestmark = [pytest.mark.engine, pytest.mark.browser, pytest.mark.filterwarnings("default")]
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def page(started: tuple[Server, object]) -> Iterator[Page]:
    server, _ = started
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=machine.chromium(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-US")
        page.set_default_timeout(PATIENCE_MS)
        page.goto(server.url)
        page.wait_for_selector("body.ready")
        yield page
        browser.close()


def test_a_real_answer_shows_its_citations_sources_and_timeline(page: Page) -> None:
    expect(page.get_by_test_id("engine-state")).to_contain_text("SmolLM2")
    ask(page, "What is the idea behind HyDE?")
    expect(page.get_by_test_id("turn-answer")).to_contain_text("HyDE", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("citation").first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_test_id("stage-timeline")).to_contain_text("tokens")
    expect(page.get_by_test_id("source-card")).to_have_count(3)
    page.get_by_test_id("citation").first.click()
    expect(page.locator("[data-testid=source-card] mark").first).to_be_visible()


def test_reloading_in_the_middle_of_a_real_answer_loses_and_repeats_nothing(page: Page) -> None:
    ask(page, "What happens if I reload the page while an answer is being written?")
    answer = page.get_by_test_id("turn-answer").last
    expect(answer).to_contain_text("reload", timeout=PATIENCE_MS)
    page.reload()
    page.wait_for_selector("body.ready")
    wait_for(page, "done", 2)
    shown = page.get_by_test_id("turn-answer").last.inner_text()
    page.reload()
    page.wait_for_selector("body.ready")
    wait_for(page, "done", 2)
    assert page.get_by_test_id("turn-answer").last.inner_text() == shown
    words = shown.split()
    assert not any(words[n : n + 4] == words[n + 4 : n + 8] for n in range(len(words) - 8))


@pytest.mark.slow
def test_four_real_columns_from_the_question_to_the_end_of_the_link(page: Page, server: Server) -> None:
    assert page.context.browser

    def opened(link: str) -> Page:
        context = page.context.browser.new_context(viewport=WIDE, locale="en-US")
        context.set_default_timeout(PATIENCE_MS)
        found = context.new_page()
        found.goto(link)
        found.wait_for_selector("body.ready")
        return found

    board = opened(f"{server.url}/leaderboard")
    asked = opened(f"{server.url}/{ADDRESS}")
    begin(asked)
    expect(asked.locator(".col[data-phase=ended]")).to_have_count(4, timeout=4 * PATIENCE_MS)
    go_the_whole_way(asked, board, opened)
