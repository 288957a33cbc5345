"""What the page admits: which languages the model speaks, how many passages it read, that the line is down."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Visitor, ask, standing_still, wait_for
from tests.browser.house import House

Arrive = Callable[..., Visitor]
Build = Callable[..., House]


def test_a_language_that_the_model_hardly_speaks_is_said(build: Build, arrive: Arrive) -> None:
    house = build(["Yes."], engine={"languages": ["en"]})
    page = arrive(house).visit()
    expect(page.get_by_test_id("hint")).to_contain_text("Enter sends")
    page.get_by_test_id("ask-box").fill("长城有多长？")
    expect(page.get_by_test_id("hint")).to_have_text(
        "This model answers best in English. Passages in Chinese are found all the same."
    )
    page.get_by_test_id("ask-box").press("Enter")
    wait_for(page, "done")
    expect(page.get_by_test_id("hint")).to_contain_text("answers best in English")
    page.get_by_test_id("ask-box").fill("How long is it?")
    expect(page.get_by_test_id("hint")).to_contain_text("Enter sends")
    phone = arrive(house, locale="zh-CN", viewport={"width": 390, "height": 844}, has_touch=True).visit()
    expect(phone.get_by_test_id("hint")).to_be_visible()
    expect(phone.get_by_test_id("hint")).to_contain_text("这个模型最擅长用英语回答")


def test_nothing_is_said_of_a_model_that_speaks_all_languages(build: Build, arrive: Arrive) -> None:
    page = arrive(build(), locale="zh-CN").visit()
    page.get_by_test_id("ask-box").fill("长城有多长？")
    expect(page.get_by_test_id("hint")).to_contain_text("回答可能有误")


def test_how_many_passages_were_read_is_said(build: Build, arrive: Arrive) -> None:
    page = arrive(build(["Yes [1]."], retrieval={"context_k": 1})).visit()
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    expect(page.get_by_role("button", name="3 sources, 1 read")).to_be_visible()
    expect(page.get_by_test_id("sources")).to_contain_text("not given to the model")


def test_a_page_without_a_line_says_offline_and_clears_at_once(build: Build, arrive: Arrive) -> None:
    visitor = arrive(build())
    visitor.expected = ("net::",)
    page = standing_still(visitor)
    visitor.context.set_offline(True)
    expect(page.get_by_test_id("engine-state")).to_have_text("Offline")
    visitor.context.set_offline(False)
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.get_by_test_id("engine-state")).to_contain_text("ready")


def test_a_page_whose_server_was_away_notices_its_return_within_a_beat(build: Build, arrive: Arrive) -> None:
    visitor = arrive(build())
    visitor.expected = ("net::",)
    page = standing_still(visitor)
    page.route("**/component_server/*", lambda route: route.abort())
    page.get_by_test_id("search-box").fill("anything")
    page.clock.run_for(200)
    expect(page.locator("#notice")).to_contain_text("Connection lost")
    page.unroute("**/component_server/*")
    page.clock.run_for(1_000)
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.get_by_test_id("engine-state")).to_contain_text("ready")
