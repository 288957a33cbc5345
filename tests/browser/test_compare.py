"""The page that compares in a browser: columns leave each other alone, a vote is blind, a reload loses nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from app.backend.engines.scripted import Call, Item
from tests.browser.comparing import LINK, QUESTION, Arrive, Build, begin, ended
from tests.browser.house import House

HEAR = """() => {
  const real = window.fetch;
  window.fetch = async (...call) => {
    const response = await real(...call);
    if (String(call[0]).includes("/ui/compare")) window.heard(await response.clone().text());
    return response;
  };
}"""
"""Tells the test each reply that the page gets, also those that come while it is left."""


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


def test_who_chose_the_columns_compares_these_blind(house: House, arrive: Arrive) -> None:
    page = arrive(house).visit("compare?q=How tall is the Eiffel Tower?")
    page.locator("[data-do=add]").first.click()
    page.get_by_test_id("blind").check(force=True)
    expect(page.get_by_test_id("draw")).not_to_be_checked()
    begin(page)
    expect(page.get_by_test_id("compare-column")).to_have_count(3)
    ended(page, 3)
    page.reload()
    page.wait_for_selector("body.ready")
    ended(page, 3)
    expect(page.get_by_test_id("draw")).not_to_be_checked()


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
