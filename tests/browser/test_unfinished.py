"""An answer that does not come to its end, as the page shows it: stopped, cited as far as it goes, cut by a crash."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Route, expect

from tests.browser.conftest import Visitor, ask, wait_for
from tests.browser.house import House
from tests.doubles import PASSAGES

Arrive = Callable[..., Visitor]
Build = Callable[..., House]


def wait_until_stored(database: Path, token: str) -> None:
    """Until an event with `token` is on disk."""
    until = time.monotonic() + 60
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        while not connection.execute("SELECT 1 FROM events WHERE instr(data, ?)", [token]).fetchone():
            assert time.monotonic() < until, "it was not stored within a minute"
            time.sleep(0.02)


def test_stop_keeps_what_was_written(build: Build, arrive: Arrive) -> None:
    house = build(["Kept.", asyncio.Event(), "Never."])
    page = arrive(house).visit()
    ask(page, "Tell me")
    expect(page.get_by_test_id("turn-answer")).to_have_text("Kept.")
    page.get_by_test_id("stop").click()
    wait_for(page, "stopped")
    expect(page.get_by_test_id("turn-answer")).to_have_text("Kept.")
    assert house.engine.open == 0


def test_a_stop_before_the_question_has_arrived_holds(build: Build, arrive: Arrive) -> None:
    page = arrive(build([asyncio.Event(), "Never."])).visit()
    held: list[Route] = []
    page.route("**/component_server/*", lambda route: held.append(route))
    ask(page, "Tell me")
    page.get_by_test_id("stop").click()
    for route in held:
        route.continue_()
    page.unroute("**/component_server/*")
    wait_for(page, "stopped")


def test_a_citation_of_an_unfinished_answer_leads_to_a_marked_place(build: Build, arrive: Arrive) -> None:
    page = arrive(build(["The Eiffel Tower is 330 metres tall [1]. ", asyncio.Event()])).visit()
    mark = page.get_by_test_id("source-card").first.locator("mark.flash")
    ask(page, "How tall?")
    page.get_by_test_id("citation").click()
    expect(mark, "while it is written: the passage").to_have_text(PASSAGES[0].text)
    page.get_by_test_id("stop").click()
    for _ in ("live", "after a reload"):
        wait_for(page, "stopped")
        page.get_by_test_id("citation").click()
        expect(mark).to_have_text("The Eiffel Tower is 330 metres tall.")
        page.reload()
        page.wait_for_selector("body.ready")


def test_an_answer_cut_by_a_crash_is_marked_and_can_be_asked_again(
    tmp_path: Path, build: Build, arrive: Arrive
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    hold = asyncio.Event()
    house = build(["Half an answer", hold], folder=first)
    visitor = arrive(house)
    page = visitor.visit()
    ask(page, "Tell me")
    expect(page.get_by_test_id("turn-answer")).to_have_text("Half an answer")
    wait_until_stored(first / "colloquy.db", "Half an answer")
    shutil.copytree(first, second)
    cookies, address = visitor.context.cookies(), page.url.removeprefix(house.url)
    page.close()
    house.set(hold)
    house = build(["A whole answer."], folder=second)
    visitor = arrive(house)
    visitor.context.add_cookies([{"name": c["name"], "value": c["value"], "url": house.url} for c in cookies])
    page = visitor.visit(address)
    wait_for(page, "interrupted")
    expect(page.get_by_test_id("turn-answer")).to_have_text("Half an answer")
    page.get_by_role("button", name="Ask again").click()
    expect(page.get_by_test_id("turn-answer")).to_have_text("A whole answer.")
