"""The page that compares, as people use it: by keyboard, on a phone, when something fails or waits."""

from __future__ import annotations

import asyncio
import time

import pytest
from playwright.sync_api import expect

from app.backend.engines.scripted import Call, Crash, Item
from tests.browser.comparing import LINK, PHONE, QUESTION, Arrive, Build, begin, ended
from tests.browser.house import House
from tests.browser.test_access import faults


def test_the_keyboard_is_enough(house: House, arrive: Arrive) -> None:
    page = arrive(house).visit(LINK)
    page.get_by_test_id("ask-box").press("Enter")
    expect(page.get_by_test_id("ballot")).to_be_visible()
    page.keyboard.press("]")
    expect(page.get_by_test_id("compare-column").first).to_be_focused()
    page.keyboard.press("r")
    page.keyboard.press("Space")
    page.keyboard.press("2")
    expect(page.get_by_test_id("voted")).to_have_attribute("data-winner", "b")
    expect(page.get_by_test_id("voted")).to_contain_text("more correct")
    page.keyboard.press("/")
    expect(page.get_by_test_id("ask-box")).to_be_focused()
    page.keyboard.press("Control+/")
    expect(page.get_by_test_id("shortcut-sheet")).to_contain_text("Vote for a tie")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Shift+O")
    expect(page.locator("body")).to_have_attribute("data-phase", "setup")
    expect(page.get_by_test_id("ask-box")).to_be_focused()


def test_what_is_typed_is_no_vote(house: House, arrive: Arrive) -> None:
    page = arrive(house).visit(LINK)
    begin(page)
    ended(page)
    page.get_by_test_id("ask-box").press_sequentially(" 1 b t")
    page.get_by_test_id("vote-comment").press_sequentially("1 b t")
    expect(page.get_by_test_id("ballot")).to_be_visible()


def test_on_a_phone_the_columns_are_swiped_and_the_tabs_say_which(house: House, arrive: Arrive) -> None:
    page = arrive(house, **PHONE).visit(LINK)
    begin(page)
    ended(page)
    tabs = page.get_by_test_id("column-tabs").get_by_role("button")
    expect(tabs.nth(0)).to_have_attribute("aria-current", "true")
    page.locator("#cols").evaluate("row => row.scrollTo({ left: row.scrollWidth })")
    expect(tabs.nth(1)).to_have_attribute("aria-current", "true")
    expect(page.get_by_test_id("compare-column").nth(1)).to_be_in_viewport(ratio=0.2)
    tabs.nth(0).tap()
    expect(tabs.nth(0)).to_have_attribute("aria-current", "true")
    page.get_by_test_id("vote-tie").tap()
    expect(page.get_by_test_id("voted")).to_be_visible()


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_the_ballot_covers_no_answer_and_nothing_of_the_question_is_cut(
    width: int, house: House, arrive: Arrive
) -> None:
    asked = "How tall is the Eiffel Tower, and how much of that is the antenna that was put on it later?"
    page = arrive(house, viewport={"width": width, "height": 844}).visit(f"compare?compare=naive,direct&q={asked}")
    begin(page)
    ended(page)
    expect(page.get_by_test_id("ballot")).to_be_visible()
    main, ballot = page.locator("main").bounding_box(), page.get_by_test_id("ballot").bounding_box()
    assert main is not None
    assert ballot is not None
    assert ballot["y"] >= main["y"] + main["height"]
    assert page.get_by_test_id("ask-box").evaluate("box => box.scrollHeight <= box.clientHeight")
    expect(page.get_by_text("Blind", exact=True)).to_be_visible()
    for place in ("chat", "compare", "leaderboard", "links"):
        expect(page.get_by_test_id(f"go-{place}")).to_be_in_viewport(ratio=1)


def test_a_column_that_fails_says_so_and_the_other_ends(build: Build, arrive: Arrive) -> None:
    def script(call: Call) -> list[Item]:
        return ["It is 330 metres tall. [1]"] if any("[1]" in m.content for m in call.messages) else [Crash()]

    page = arrive(build(by=script)).visit(LINK)
    begin(page)
    ended(page)
    expect(page.get_by_test_id("turn-answer").nth(0)).to_contain_text("330 metres")
    expect(page.get_by_test_id("turn-status").nth(1)).to_have_attribute("data-phase", "failed")
    expect(page.get_by_test_id("run-column").nth(1)).to_be_visible()


def test_a_dead_engine_is_said_at_once_and_within_seconds_that_it_is_back(build: Build, arrive: Arrive) -> None:
    house = build(by=lambda call: ["Half", asyncio.Event()])
    visitor = arrive(house)
    visitor.context.clock.install()
    page = visitor.visit(LINK)
    begin(page)
    expect(page.get_by_test_id("turn-answer")).to_have_text(["Half", "Half"])
    page.clock.pause_at(time.time() + 2)
    house.call(house.engine.die)
    expect(page.locator("#notice")).to_contain_text("The engine is down")
    expect(page.get_by_test_id("engine-state")).to_have_attribute("data-state", "down")
    house.call(house.engine.revive)
    page.clock.run_for(3000)
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.get_by_test_id("engine-state")).to_have_attribute("data-state", "ready")


def test_a_blind_column_that_failed_is_run_again_before_the_vote(build: Build, arrive: Arrive) -> None:
    crashes = iter([Crash()])

    def script(call: Call) -> list[Item]:
        asked = any("[1]" in m.content for m in call.messages)
        return ["It is 330 metres tall. [1]"] if asked else [next(crashes, "It is tall.")]

    page = arrive(build(by=script)).visit(LINK)
    page.get_by_test_id("blind").check(force=True)
    page.get_by_test_id("draw").uncheck(force=True)
    begin(page)
    ended(page)
    again = page.locator("[data-testid=run-column]:visible")
    expect(again).to_have_count(1)
    expect(page.locator(".col[data-how=failed]").get_by_test_id("run-column")).to_be_visible()
    again.click()
    expect(page.locator(".col[data-how=done][data-hidden]")).to_have_count(2)
    expect(again).to_have_count(0)
    page.get_by_test_id("vote-tie").click()
    expect(page.get_by_test_id("voted")).to_be_visible()
    expect(again).to_have_count(2)


def test_columns_that_wait_have_a_place_in_the_line(build: Build, arrive: Arrive) -> None:
    go_on = asyncio.Event()
    house = build(*[["Well", go_on, "."]] * 3, admission={"max_running": 1})
    page = arrive(house).visit("compare?compare=direct,direct,direct&q=Hello")
    begin(page)
    expect(page.locator(".status.queued")).to_have_count(2)
    house.set(go_on)
    ended(page, 3)


def test_a_refusal_is_told_and_the_question_stays(build: Build, arrive: Arrive) -> None:
    house = build(quotas={"local": {"running": 1, "queued": 0}})
    page = arrive(house).visit(LINK)
    page.get_by_test_id("send").click()
    expect(page.locator("#notice")).to_be_visible()
    expect(page.get_by_test_id("ask-box")).to_have_value(QUESTION)
    expect(page.locator("body")).to_have_attribute("data-phase", "setup")


@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_nothing_is_wider_than_the_page(width: int, house: House, arrive: Arrive) -> None:
    page = arrive(house, locale="zh-CN", viewport={"width": width, "height": 800}).visit(LINK)
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    fits = "document.querySelector('main').scrollWidth <= document.querySelector('main').clientWidth"
    assert page.evaluate(fits)
    begin(page)
    ended(page)
    assert page.evaluate(fits)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_axe_finds_nothing_that_matters(locale: str, scheme: str, house: House, arrive: Arrive) -> None:
    page = arrive(house, locale=locale, color_scheme=scheme).visit(
        "compare?compare=naive,hyde,direct&q=How tall is it?"
    )
    assert faults(page) == []
    begin(page)
    ended(page, 3)
    expect(page.get_by_test_id("ballot")).to_be_visible()
    page.locator(".shelf summary").first.click()
    page.get_by_test_id("stage-timeline").first.locator("summary").click()
    assert faults(page) == []
    page.keyboard.press("1")
    expect(page.get_by_test_id("voted")).to_be_visible()
    assert faults(page) == []
    page.keyboard.press("Control+/")
    expect(page.get_by_test_id("shortcut-sheet")).to_be_visible()
    assert faults(page) == []
