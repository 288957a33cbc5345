"""The page that compares in a browser: columns leave each other alone, a vote is blind, a reload loses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.backend.engines.scripted import Call, Crash, Item
from tests.browser.conftest import Visitor
from tests.browser.house import House
from tests.browser.test_access import faults

Arrive = Callable[..., Visitor]
Build = Callable[..., House]
QUESTION = "How tall is the Eiffel Tower?"
LINK = "compare?compare=naive,direct&q=How tall is the Eiffel Tower?"
HEAR = """() => {
  const real = window.fetch;
  window.fetch = async (...call) => {
    const response = await real(...call);
    if (String(call[0]).includes("/ui/compare")) window.heard(await response.clone().text());
    return response;
  };
}"""
"""Tells the test each reply that the page gets, also those that come while it is left."""
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def go_on() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def paused(build: Build, go_on: asyncio.Event) -> House:
    """A house where an answer without passages stands still after a word, until `go_on`."""

    def script(call: Call) -> list[Item]:
        if "passage" in call.messages[0].content.lower() or any("[1]" in m.content for m in call.messages):
            return ["It is 330 metres tall. [1]"]
        return ["Well", go_on, ", it is tall."]

    return build(by=script)


def begin(page: Page) -> None:
    page.get_by_test_id("send").click()
    page.wait_for_selector("body[data-phase=run]")


def ended(page: Page, count: int = 2) -> None:
    expect(page.locator(".col[data-phase=ended]")).to_have_count(count)


def test_a_link_fills_the_page_and_asks_nothing(house: House, arrive: Arrive) -> None:
    visitor = arrive(house)
    page = visitor.visit(LINK)
    expect(page.get_by_test_id("ask-box")).to_have_value(QUESTION)
    pickers = page.get_by_test_id("pipeline-picker")
    assert [pickers.nth(i).input_value() for i in range(2)] == ["naive", "direct"]
    assert page.request.get(house.url + "api/comparisons").json() in ([], {"comparisons": []})
    page = visitor.visit("?q=Hello&pipeline=hyde")
    expect(page.get_by_test_id("ask-box")).to_have_value("Hello")
    expect(page.get_by_test_id("pipeline-picker")).to_have_value("hyde")
    expect(page.get_by_test_id("turn-question")).to_have_count(0)
    page = visitor.context.new_page()
    page.goto(house.url + "?q=Hello&compare=naive,hyde", wait_until="commit")  # it leads on at once
    page.wait_for_url("**/compare?**")
    expect(page.get_by_test_id("ask-box")).to_have_value("Hello")


def test_columns_stream_by_themselves_and_one_that_stops_leaves_the_others(
    paused: House, arrive: Arrive, go_on: asyncio.Event
) -> None:
    page = arrive(paused).visit(LINK)
    begin(page)
    first, second = page.get_by_test_id("compare-column").nth(0), page.get_by_test_id("compare-column").nth(1)
    expect(first).to_have_attribute("data-phase", "ended")
    expect(first.get_by_test_id("turn-answer")).to_contain_text("330 metres")
    expect(second.get_by_test_id("turn-answer")).to_contain_text("Well")
    expect(second).to_have_attribute("data-phase", "live")
    expect(page.get_by_test_id("ballot")).to_have_count(0)
    drawn = first.locator(".answer")
    drawn.evaluate("answer => { answer.untouched = true; }")
    second.get_by_test_id("stop-column").click()
    ended(page)
    expect(second.get_by_test_id("turn-status")).to_have_attribute("data-phase", "stopped")
    expect(page.get_by_test_id("ballot")).to_be_visible()
    assert drawn.evaluate("answer => answer.untouched")


def test_one_column_is_changed_and_run_again_alone(house: House, arrive: Arrive) -> None:
    page = arrive(house).visit(LINK)
    begin(page)
    ended(page)
    first, second = page.get_by_test_id("compare-column").nth(0), page.get_by_test_id("compare-column").nth(1)
    answer = first.locator(".answer").get_attribute("data-g")
    expect(second.get_by_test_id("run-column")).not_to_have_text("Run", use_inner_text=True)
    second.get_by_test_id("pipeline-picker").select_option("hyde")
    expect(second.get_by_test_id("run-column")).to_have_text("Run", use_inner_text=True)
    second.get_by_test_id("run-column").click()
    expect(second.get_by_test_id("turn-answer")).to_contain_text("330 metres")
    ended(page)
    assert first.locator(".answer").get_attribute("data-g") == answer
    expect(page.get_by_test_id("param-diff")).to_contain_text("HyDE")


def test_a_reload_in_the_middle_loses_nothing(paused: House, arrive: Arrive, go_on: asyncio.Event) -> None:
    visitor = arrive(paused)
    page = visitor.visit(LINK)
    begin(page)
    expect(page.locator(".col[data-phase=ended]")).to_have_count(1)
    page.reload()
    page.wait_for_selector("body.ready")
    expect(page.get_by_test_id("ask-box")).to_have_value(QUESTION)
    expect(page.get_by_test_id("turn-answer").nth(0)).to_contain_text("330 metres")
    expect(page.get_by_test_id("turn-answer").nth(1)).to_have_text("Well")
    paused.set(go_on)
    ended(page)
    expect(page.get_by_test_id("turn-answer").nth(1)).to_have_text("Well, it is tall.")
    chat = visitor.visit()
    expect(chat.get_by_test_id("comparison-mark")).to_have_count(1)
    chat.get_by_test_id("conversation-item").get_by_role("link").click()
    chat.wait_for_url("**/compare?id=*")
    expect(chat.get_by_test_id("turn-answer")).to_have_count(2)


def test_a_blind_comparison_names_nothing_until_the_vote(paused: House, arrive: Arrive, go_on: asyncio.Event) -> None:
    visitor = arrive(paused)
    page = visitor.visit(LINK)
    page.get_by_test_id("blind").check(force=True)
    page.get_by_test_id("draw").uncheck(force=True)
    heard: list[str] = []
    page.expose_function("heard", lambda text: heard.append(text))
    page.add_init_script(f"({HEAR})()")
    page.evaluate(HEAR)
    begin(page)
    page.reload()
    page.wait_for_selector("body.ready")
    expect(page.locator(".col[data-phase=live]")).to_have_count(2)
    paused.set(go_on)
    ended(page)
    expect(page.get_by_test_id("ballot")).to_be_visible()
    names = ("naive", "Naive RAG", "direct", "Direct", ">shelf<")
    for part in ("#cols .result", "#tabs", "#vote", "#below"):
        for node in page.locator(part).all():
            html = node.inner_html()
            assert [name for name in names if name in html] == [], part
    assert [
        label for label in page.locator(".col").evaluate_all("all => all.map((c) => c.ariaLabel)") if "RAG" in label
    ] == []
    assert heard
    assert not [text for text in heard if '"pipeline"' in text or "naive" in text]
    expect(page.get_by_test_id("pipeline-picker").first).to_be_hidden()
    expect(page.get_by_test_id("cost-diff")).to_have_count(0)
    page.get_by_test_id("vote-a").click()
    expect(page.get_by_test_id("voted")).to_contain_text("You voted for A")
    shown = [page.get_by_test_id("pipeline-picker").nth(i).input_value() for i in range(2)]
    assert sorted(shown) == ["direct", "naive"]
    expect(page.get_by_test_id("param-diff")).to_contain_text("Naive RAG")
    expect(page.get_by_test_id("figures")).to_have_count(2)


def test_two_are_drawn_where_nobody_chooses(house: House, arrive: Arrive) -> None:
    page = arrive(house).visit("compare?q=How tall is the Eiffel Tower?")
    page.get_by_test_id("blind").check(force=True)
    begin(page)
    expect(page.get_by_test_id("ballot")).to_be_visible()
    page.keyboard.press("t")
    expect(page.get_by_test_id("voted")).to_contain_text("tie")


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


def test_a_comparison_is_saved_as_markdown_and_as_json(house: House, arrive: Arrive) -> None:
    page = arrive(house).visit(LINK)
    expect(page.get_by_test_id("export")).to_be_hidden()
    begin(page)
    ended(page)

    def saved(kind: str) -> str:
        page.get_by_test_id("export").click()
        with page.expect_download() as download:
            page.get_by_test_id(f"export-{kind}").click()
        expect(page.get_by_test_id(f"export-{kind}")).to_be_hidden()
        return Path(download.value.path()).read_text(encoding="utf-8")

    assert f"# {QUESTION}" in saved("md")
    assert json.loads(saved("json"))["question"] == QUESTION
    page.get_by_test_id("export").click()
    page.locator("main").click(position={"x": 5, "y": 5})
    expect(page.get_by_test_id("export-md")).to_be_hidden()


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


def test_columns_that_wait_have_a_place_in_the_line(build: Build, arrive: Arrive, go_on: asyncio.Event) -> None:
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
