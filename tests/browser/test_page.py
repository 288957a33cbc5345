"""What holds for the whole page: languages, sizes, keys, many tabs, and the content policy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, ask, wait_for
from tests.browser.house import House

Arrive = Callable[..., Visitor]
Build = Callable[..., House]


def test_the_language_switches_at_once_and_is_remembered(page: Page) -> None:
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    page.get_by_test_id("language-switch").click()
    expect(page.get_by_test_id("new-conversation")).to_have_text("新对话")
    expect(page.get_by_test_id("ask-box")).to_have_attribute("placeholder", "继续追问")
    expect(page.get_by_test_id("stage-timeline")).to_contain_text("词元")
    assert page.locator("html").get_attribute("lang") == "zh"
    page.reload()
    page.wait_for_selector("body.ready")
    expect(page.get_by_test_id("new-conversation")).to_have_text("新对话")
    page.get_by_test_id("language-switch").click()
    expect(page.get_by_test_id("new-conversation")).to_have_text("New conversation")


def test_a_chinese_browser_is_greeted_in_chinese(house: House, arrive: Arrive) -> None:
    page = arrive(house, locale="zh-CN").visit()
    expect(page.get_by_role("heading", level=1)).to_have_text("你想了解什么？")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_system_and_can_be_switched(scheme: str, house: House, arrive: Arrive) -> None:
    page = arrive(house, color_scheme=scheme).visit()
    assert page.locator("html").get_attribute("data-theme") == scheme
    page.get_by_test_id("theme-switch").click()
    other = {"light": "dark", "dark": "light"}[scheme]
    expect(page.locator("html")).to_have_attribute("data-theme", other)
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", other)


def test_pages_follow_a_change_of_the_system_until_a_theme_is_chosen(house: House, arrive: Arrive) -> None:
    page = arrive(house, color_scheme="light").visit()
    for address in ("", "compare", "links"):
        page.goto(house.url + address)
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            expect(page.locator("html"), address).to_have_attribute("data-theme", scheme)
    page.evaluate("localStorage.setItem('colloquy_theme', 'light')")
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_everything_fits_at_every_width(width: int, house: House, arrive: Arrive) -> None:
    page = arrive(house, viewport={"width": width, "height": 800}).visit()
    ask(page, "How tall is the Eiffel Tower, and what does a very long question do to a narrow page like this one?")
    wait_for(page, "done")
    for name in ("ask-box", "send", "turn-question", "turn-answer", "language-switch"):
        box = page.get_by_test_id(name).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_phone_has_a_drawer_and_a_sheet(house: House, arrive: Arrive) -> None:
    page = arrive(house, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).visit()
    expect(page.get_by_test_id("new-conversation")).to_be_hidden()
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    expect(page.get_by_test_id("source-card").first).to_be_hidden()
    page.get_by_test_id("citation").first.tap()
    expect(page.get_by_test_id("source-card").first).to_be_in_viewport()
    page.get_by_test_id("sources-close").tap()
    expect(page.get_by_test_id("source-card").first).to_be_hidden()
    page.get_by_test_id("sidebar-open").tap()
    expect(page.get_by_test_id("conversation-item")).to_be_in_viewport()
    expect(page.locator(".find kbd"), "there is no keyboard").to_be_hidden()
    page.get_by_test_id("conversation-item").locator("a").tap()
    expect(page.get_by_test_id("new-conversation")).to_be_hidden()


def test_all_can_be_done_from_the_keyboard(build: Build, arrive: Arrive) -> None:
    page = arrive(build(["The Eiffel Tower is 330 metres tall [1]."], ["Held", asyncio.Event()])).visit()
    expect(page.get_by_test_id("ask-box")).to_be_focused()
    page.keyboard.type("Line one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("line two")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("turn-question")).to_have_text("Line one\nline two")
    wait_for(page, "done")
    page.get_by_test_id("citation").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("source-card").first).to_be_focused()
    page.keyboard.press("Control+k")
    expect(page.get_by_test_id("search-box")).to_be_focused()
    page.keyboard.press("Control+/")
    expect(page.get_by_test_id("shortcut-sheet")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("shortcut-sheet")).to_be_hidden()
    page.keyboard.press("Control+Shift+O")
    expect(page.get_by_test_id("ask-box")).to_be_focused()
    page.keyboard.type("Hold on")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("turn-answer")).to_have_text("Held")
    page.keyboard.press("Escape")
    wait_for(page, "stopped")


def test_answers_are_announced_by_the_sentence(build: Build, arrive: Arrive) -> None:
    hold = asyncio.Event()
    house = build(["One sentence. And half", hold, " another."])
    page = arrive(house).visit()
    ask(page, "Tell me")
    expect(page.get_by_test_id("turn-answer")).to_contain_text("And half")
    page.reload()
    page.wait_for_selector("body.ready")
    expect(page.get_by_test_id("turn-answer")).to_contain_text("And half")
    house.set(hold)
    wait_for(page, "done")
    expect(page.get_by_test_id("announcer")).to_have_text("another.Answer complete")
    assert page.get_by_test_id("announcer").get_attribute("aria-live") == "polite"


def test_an_answer_that_was_cut_is_not_announced_as_complete(build: Build, arrive: Arrive) -> None:
    page = arrive(build(["One two three four."], generation={"max_tokens": 2})).visit()
    ask(page, "Tell me")
    wait_for(page, "done")
    expect(page.get_by_test_id("announcer")).to_contain_text("cut")
    expect(page.get_by_test_id("announcer")).not_to_contain_text("complete")


def test_eight_tabs_of_one_browser_are_answered_at_once(build: Build, arrive: Arrive) -> None:
    hold = asyncio.Event()
    house = build(*[["Begun", hold, " and done."] for _ in range(8)], admission={"max_running": 16})
    visitor = arrive(house)
    tabs = [visitor.visit() for _ in range(8)]
    for number, tab in enumerate(tabs):
        ask(tab, f"Question {number}")
    for tab in tabs:
        expect(tab.get_by_test_id("turn-answer")).to_have_text("Begun")
    for number, tab in enumerate(tabs):  # each asks the server something while all eight answers are open
        tab.get_by_test_id("search-box").fill(f"Question {number}")
        expect(tab.get_by_test_id("conversation-item")).to_have_count(1)
    house.set(hold)
    for tab in tabs:
        expect(tab.get_by_test_id("turn-answer")).to_have_text("Begun and done.")
    until = time.monotonic() + 90
    while house.connections():
        assert time.monotonic() < until, "tabs without an open answer must not keep connections"
        tabs[0].wait_for_timeout(100)


def test_nothing_is_refused_by_the_content_policy(house: House, arrive: Arrive) -> None:
    visitor = arrive(house)
    page = visitor.context.new_page()
    page.add_init_script(
        "window.violations = []; addEventListener('securitypolicyviolation', (e) => violations.push(e.blockedURI))"
    )
    response = page.goto(house.url)
    assert response is not None
    assert "default-src 'self'" in response.headers["content-security-policy"]
    page.wait_for_selector("body.ready")
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    assert page.evaluate("violations") == []


def test_a_script_is_kept_for_ever_only_by_pages_of_its_own_version(house: House, page: Page) -> None:
    own = page.locator("script[src*='trace.js']").first.get_attribute("src") or ""
    assert "immutable" in page.request.get(f"{house.url}{own[1:]}").headers["cache-control"]
    assert page.request.get(f"{house.url}ui/static/trace.js?v=older").headers["cache-control"] == "no-store"
