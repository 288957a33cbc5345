"""The keyboard: one stop for the list of conversations, and a place that is kept when the page is drawn anew."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.browser.conftest import Visitor, ask, wait_for
from tests.browser.house import House

Arrive = Callable[..., Visitor]
Build = Callable[..., House]


@pytest.fixture
def talked(build: Build, arrive: Arrive) -> Page:
    """A page with two conversations."""
    page = arrive(build(*[["One."] for _ in range(6)])).visit()
    for question in ("First question", "Second question"):
        page.get_by_test_id("new-conversation").click()
        expect(page.get_by_test_id("turn-question")).to_have_count(0)
        ask(page, question)
        wait_for(page, "done")
    return page


FOCUSED = """() => {
  const el = document.activeElement, line = el.closest('.line');
  const what = el.dataset.testid || el.dataset.do || el.tagName;
  return line ? `${what} of ${line.querySelector('.title').textContent}` : what;
}"""


def expect_focus(page: Page, what: str) -> None:
    """Until the focus is on `what`, in words: its name, and of which conversation."""
    with suppress(PlaywrightTimeout):
        page.wait_for_function(f"what => ({FOCUSED})() === what", arg=what)
    assert page.evaluate(FOCUSED) == what


def test_the_list_is_one_stop_and_arrows_move_in_it(talked: Page) -> None:
    page = talked
    stops = page.get_by_test_id("conversation-list").locator("a[tabindex='0'], button:not([tabindex='-1'])")
    expect(stops).to_have_count(1)
    page.get_by_test_id("search-box").focus()
    page.keyboard.press("Tab")
    expect_focus(page, "open of Second question")
    page.keyboard.press("ArrowDown")
    expect_focus(page, "open of First question")
    page.keyboard.press("ArrowRight")
    expect_focus(page, "rename of First question")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Home")
    expect_focus(page, "open of Second question")
    page.keyboard.press("ArrowUp")
    expect_focus(page, "search-box")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("turn-question")).to_have_text("First question")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect_focus(page, "open of First question")


def test_the_focus_stays_on_what_the_list_draws_anew(talked: Page) -> None:
    page = talked
    page.get_by_test_id("search-box").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_test_id("conversation-list").get_by_role("heading").first).to_have_text("Pinned")
    expect_focus(page, "pin of First question")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("conversation-item")).to_have_count(1)
    expect_focus(page, "open of Second question")


def test_an_edit_gives_the_focus_back(talked: Page) -> None:
    page = talked
    page.get_by_test_id("ask-box").press("ArrowUp")
    page.keyboard.press("Escape")
    expect_focus(page, "ask-box")
    page.get_by_test_id("edit").focus()
    page.keyboard.press("Enter")
    expect_focus(page, "edit-box")
    page.keyboard.press("Escape")
    expect_focus(page, "edit")
    page.get_by_test_id("ask-box").press("ArrowUp")
    page.keyboard.type(" in other words")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("branch-count")).to_have_text("2/2")
    expect_focus(page, "ask-box")
    wait_for(page, "done")
    page.get_by_role("button", name="Previous version").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("branch-count")).to_have_text("1/2")
    expect_focus(page, "branch")


def test_the_shortcut_sheet_gives_the_focus_back(talked: Page) -> None:
    page = talked
    page.get_by_test_id("regenerate").focus()
    for close in ("Escape", "Control+/", "Enter"):
        page.keyboard.press("Control+/")
        expect(page.get_by_test_id("shortcut-sheet")).to_be_visible()
        page.keyboard.press(close)
        expect(page.get_by_test_id("shortcut-sheet")).to_be_hidden()
        expect_focus(page, "regenerate")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Control+/")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("ask-box")).to_be_focused()


def test_a_touch_screen_shows_no_keys(build: Build, arrive: Arrive) -> None:
    page = arrive(build(), viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).visit()
    page.get_by_test_id("sidebar-open").tap()
    expect(page.get_by_test_id("search-box")).to_be_visible()
    expect(page.locator(".find kbd")).to_be_hidden()


HOLD = """(deed) => {
  const real = window.fetch;
  window.held = new Promise((said) => {
    window.fetch = async (...call) => {
      const response = await real(...call);
      if (call[1]?.body?.includes(`"do":"${deed}"`)) await new Promise((free) => { window.free = free; said(); });
      return response;
    };
  });
}"""
FREE = "async () => { window.free(); for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame); }"


def test_a_late_reply_does_not_undo_what_was_done_since(talked: Page) -> None:
    page = talked
    page.evaluate(HOLD, "list")
    page.get_by_test_id("search-box").press_sequentially(" ")
    page.evaluate("() => window.held")
    page.get_by_test_id("pin").last.focus()
    page.keyboard.press("Enter")
    heading = page.get_by_test_id("conversation-list").get_by_role("heading").first
    expect(heading).to_have_text("Pinned")
    page.evaluate(FREE)
    expect(heading).to_have_text("Pinned")


def test_a_page_that_comes_too_late_does_not_lie_over_what_was_asked_since(talked: Page) -> None:
    page = talked
    page.evaluate(HOLD, "open")
    page.get_by_test_id("new-conversation").click()
    page.evaluate("() => window.held")
    ask(page, "Third question")
    wait_for(page, "done", 2)
    page.evaluate(FREE)
    expect(page.get_by_test_id("turn-question")).to_have_text(["Second question", "Third question"])


NARROW = {"a tablet": {"width": 820, "height": 900}, "a phone": {"width": 390, "height": 844}}


@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, *NARROW.values()], ids=["a desk", *NARROW])
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_a_citation_takes_the_focus_into_sources_that_were_closed_and_escape_back(
    motion: str, size: dict[str, int], build: Build, arrive: Arrive
) -> None:
    house = build(["The Eiffel Tower is 330 metres tall [1]."])
    page = arrive(house, viewport=size, reduced_motion=motion).visit()
    page.evaluate("localStorage.setItem('colloquy_sources', 'closed')")
    ask(page, "How tall is it?")
    wait_for(page, "done")
    expect(page.get_by_test_id("source-card").first).to_be_hidden()
    page.get_by_test_id("citation").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("source-card").first).to_be_focused()
    assert page.evaluate("[scrollX, document.body.scrollLeft]") == [0, 0]
    if size in NARROW.values():
        page.keyboard.press("Escape")
        expect(page.get_by_test_id("citation")).to_be_focused()


@pytest.mark.parametrize("size", NARROW.values(), ids=NARROW)
def test_the_drawer_takes_the_focus_and_gives_it_back(size: dict[str, int], build: Build, arrive: Arrive) -> None:
    page = arrive(build(), viewport=size).visit()
    page.get_by_test_id("sidebar-open").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("new-conversation")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("sidebar-open")).to_be_focused()
    page.keyboard.press("Control+k")
    expect(page.get_by_test_id("search-box")).to_be_focused()
    assert page.evaluate("[scrollX, document.body.scrollLeft]") == [0, 0]
