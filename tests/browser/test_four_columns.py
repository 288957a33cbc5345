"""The whole way of a comparison: four columns, one far slower, a blind vote, a link, a copy, no link any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise

from playwright.sync_api import Page, expect

from app.backend.engines.scripted import Call, Item
from app.backend.pipelines.prompts import FROM_MEMORY
from tests.browser.conftest import Visitor
from tests.browser.house import House

METHODS = ["naive", "direct", "hyde", "multi-query"]
ADDRESS = f"compare?compare={','.join(METHODS)}&q=How tall is the Eiffel Tower?&blind"
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def test_four_columns_from_the_question_to_the_end_of_the_link(
    build: Callable[..., House], arrive: Callable[..., Visitor]
) -> None:
    go_on = asyncio.Event()

    def script(call: Call) -> list[Item]:
        """The method without passages is ten times slower than the others, and goes on when they have ended."""
        if call.messages[0].content == FROM_MEMORY:
            return ["It ", go_on, *["is "] * 60, "tall."]
        return ["It ", *["is "] * 4, "330 metres tall [1]."]

    house = build(by=script, tokens_per_s=200)
    ann, bob = arrive(house, viewport=WIDE), arrive(house)
    board = ann.visit("leaderboard")
    page = ann.visit(ADDRESS)
    begin(page)
    until = time.monotonic() + 30
    while house.engine.finished < 5:  # all but the slow one; two of them ask the model twice
        assert time.monotonic() < until, "the slow column held up the others"
        page.wait_for_timeout(20)
    assert house.engine.open == 1
    house.set(go_on)
    go_the_whole_way(page, board, lambda link: bob.visit(link.removeprefix(house.url)))


def test_what_a_narrow_column_says_of_its_steps_stays_within_it(
    build: Callable[..., House], arrive: Callable[..., Visitor]
) -> None:
    house = build(by=lambda call: ["It is 330 metres tall [1]."])
    visitor = arrive(house, viewport={"width": 1280, "height": 900})
    page = visitor.visit("compare?compare=naive,hyde,ircot,direct&q=How tall is the Eiffel Tower?")
    page.get_by_test_id("ask-box").press("Enter")
    expect(page.locator(".col[data-phase=ended]")).to_have_count(4)
    lines = page.locator(".trace .line:visible")
    expect(lines.nth(1)).to_contain_text("calls of the model")
    wider = "all => all.filter((line) => line.scrollWidth > line.clientWidth).map((line) => line.textContent)"
    assert lines.evaluate_all(wider) == []


def begin(page: Page) -> None:
    page.get_by_test_id("draw").uncheck(force=True)
    page.get_by_test_id("ask-box").press("Enter")
    expect(page.locator(".col[data-phase=live]")).to_have_count(4)


def go_the_whole_way(page: Page, board: Page, elsewhere: Callable[[str], Page]) -> None:
    """From the last answer on. `board` shows a leaderboard without votes; `elsewhere` opens a link as somebody else."""
    expect(page.locator(".col[data-phase=ended]")).to_have_count(4)
    stand_beside_each_other(page)
    expect(page.get_by_test_id("pipeline-picker").first).to_be_hidden()
    expect(board.get_by_test_id("leaderboard-empty")).to_be_visible()
    expect(page.get_by_test_id("vote-b")).to_be_enabled()
    page.keyboard.press("]")
    page.keyboard.press("2")
    expect(page.get_by_test_id("voted")).to_have_attribute("data-winner", "b")
    assert sorted(page.get_by_test_id("pipeline-picker").nth(n).input_value() for n in range(4)) == sorted(METHODS)
    expect(board.get_by_test_id("pending-row")).to_have_count(4)
    page.set_viewport_size(PHONE)
    have_tabs(page)

    answers = page.get_by_test_id("turn-answer").all_inner_texts()
    page.get_by_test_id("share-button").click()
    page.get_by_test_id("share-publish").click()
    link = page.get_by_test_id("share-url").input_value()
    copy = elsewhere(link)
    expect(copy.get_by_test_id("compare-column")).to_have_count(4)
    copy.get_by_test_id("fork").click()
    copy.wait_for_url("**/compare?id=*")
    expect(copy.get_by_test_id("turn-answer")).to_have_text(answers, use_inner_text=True)

    for _ in range(2):  # it asks once more
        page.get_by_test_id("share-line").get_by_test_id("revoke").click()
    expect(page.get_by_test_id("share-line")).to_have_count(0)
    gone = copy.context.new_page()
    answer = gone.goto(link)
    assert answer is not None
    assert answer.status == 404
    expect(gone.get_by_test_id("gone")).to_be_visible()
    copy.reload()
    expect(copy.get_by_test_id("turn-answer")).to_have_text(answers, use_inner_text=True)


def stand_beside_each_other(page: Page) -> None:
    """All four in view, equally wide, none over another, and nothing wider than the page."""
    columns = page.get_by_test_id("compare-column")
    boxes = columns.evaluate_all("all => all.map((column) => column.getBoundingClientRect().toJSON())")
    assert len({round(box["top"]) for box in boxes}) == 1
    assert max(box["width"] for box in boxes) - min(box["width"] for box in boxes) < 2
    assert all(one["right"] < other["left"] for one, other in pairwise(boxes))
    assert boxes[0]["left"] >= 0
    assert boxes[-1]["right"] <= WIDE["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDE["width"]


def have_tabs(page: Page) -> None:
    """A tab for each column, all in view; the one that is chosen shows its column."""
    tabs = page.get_by_test_id("column-tabs").get_by_role("button")
    expect(tabs).to_have_count(4)
    for n in (3, 1, 0):
        expect(tabs.nth(n)).to_be_in_viewport(ratio=1)
        tabs.nth(n).click()
        expect(tabs.nth(n)).to_have_attribute("aria-current", "true")
        expect(page.get_by_test_id("compare-column").nth(n).locator("header.asker")).to_be_in_viewport(ratio=0.9)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
