"""The operators' page in a browser: what it shows by itself, what it does, and that every look is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, ask, wait_for
from tests.browser.house import House

Arrive = Callable[..., Visitor]
Build = Callable[..., House]


@pytest.fixture
def go_on() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def busy(build: Build, go_on: asyncio.Event) -> House:
    """A house with one engine slot, whose answers stand still after a word until `go_on`."""
    return build(*[["Well", go_on, " then, it is 330 metres tall."]] * 3, admission={"max_running": 1})


def operator(house: House, arrive: Arrive, view: str = "now", **options: object) -> Page:
    return arrive(house, **options).visit(f"admin#{view}")


def test_the_queue_is_seen_as_it_fills_and_empties(busy: House, arrive: Arrive, go_on: asyncio.Event) -> None:
    admin = operator(busy, arrive)
    expect(admin.get_by_role("heading", level=1)).to_have_text("Nobody is asking right now")
    asking = [arrive(busy).visit() for _ in range(2)]
    for page in asking:
        ask(page, "How tall is the Eiffel Tower?")
    lane = admin.get_by_test_id("lane-chat").get_by_test_id("cube")
    expect(lane).to_have_count(2)
    expect(admin.locator(".lanes .cube.waiting")).to_have_count(1)
    expect(admin.get_by_test_id("answer-row")).to_have_count(2)
    assert "Eiffel" not in admin.content()
    busy.set(go_on)
    for page in asking:
        wait_for(page, "done")
    expect(lane).to_have_count(0)


def test_a_button_keeps_its_focus_while_the_numbers_change(busy: House, arrive: Arrive) -> None:
    page = arrive(busy).visit()
    ask(page, "How tall is the Eiffel Tower?")
    expect(page.get_by_test_id("turn-answer")).to_have_text("Well")
    admin = operator(busy, arrive)
    admin.get_by_test_id("stop").focus()
    before = admin.locator("td.time").inner_text()
    expect(admin.locator("td.time")).not_to_have_text(before)
    expect(admin.get_by_test_id("stop")).to_be_focused()


def test_stopping_asks_once_and_draining_can_be_undone(busy: House, arrive: Arrive) -> None:
    page = arrive(busy).visit()
    ask(page, "How tall is the Eiffel Tower?")
    admin = operator(busy, arrive)
    admin.get_by_test_id("stop").click()
    admin.keyboard.press("Escape")
    expect(admin.get_by_test_id("answer-row")).to_have_count(1)
    admin.get_by_test_id("stop").click()
    admin.get_by_test_id("sure-yes").click()
    wait_for(page, "stopped")
    admin.get_by_test_id("drain").click()
    admin.get_by_test_id("toast").get_by_role("button").click()
    admin.get_by_test_id("drain").click()
    expect(admin.get_by_test_id("draining")).to_contain_text("Nothing runs any more")
    page.reload()
    page.wait_for_selector("body.ready")
    expect(page.get_by_test_id("engine-state")).to_have_attribute("data-state", "draining")
    admin.get_by_test_id("resume").click()
    expect(admin.get_by_test_id("drain")).to_be_visible()
    expect(page.get_by_test_id("engine-state")).to_have_attribute("data-state", "ready")


def test_a_conversation_is_found_and_read_and_both_looks_are_in_the_audit(house: House, arrive: Arrive) -> None:
    page = arrive(house).visit()
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    admin = operator(house, arrive, "conversations")
    assert "Eiffel" not in admin.content()
    admin.get_by_test_id("find-box").fill("eiffel")
    admin.get_by_test_id("find-box").press("Enter")
    admin.get_by_test_id("found").first.click()
    expect(admin.get_by_test_id("transcript")).to_contain_text("330 metres")
    admin.get_by_test_id("view-audit").click()
    lines = admin.get_by_test_id("audit-line")
    expect(lines).to_have_count(2)
    expect(lines.first).to_contain_text("opened the conversation")
    expect(lines.last).to_contain_text("searched for eiffel")


def test_somebody_is_shut_out_and_let_in_again(house: House, arrive: Arrive) -> None:
    page = arrive(house).visit()
    ask(page, "Who built the Great Wall?")
    wait_for(page, "done")
    admin = operator(house, arrive, "people")
    admin.get_by_test_id("shut-out").first.click()
    admin.get_by_test_id("sure-yes").click()
    expect(admin.get_by_test_id("let-in")).to_have_count(1)
    assert page.request.get(house.url + "api/conversations").status == 403
    admin.get_by_test_id("let-in").click()
    expect(admin.get_by_test_id("let-in")).to_have_count(0)
    assert page.request.get(house.url + "api/conversations").status == 200


def test_a_backup_is_made_and_its_age_is_told(house: House, arrive: Arrive) -> None:
    admin = operator(house, arrive, "storage")
    expect(admin.get_by_test_id("backup-age")).to_have_text("There is no backup yet.")
    admin.get_by_test_id("back-up").click()
    expect(admin.get_by_test_id("backup-age")).to_contain_text("The last one is")


@pytest.mark.parametrize("view", ["now", "people", "conversations", "storage", "audit"])
@pytest.mark.parametrize("width", [320, 390, 820])
def test_nothing_is_wider_than_the_page(view: str, width: int, house: House, arrive: Arrive) -> None:
    admin = operator(house, arrive, view, locale="zh-CN", viewport={"width": width, "height": 800})
    expect(admin.locator("html")).to_have_attribute("lang", "zh")
    assert admin.evaluate("document.querySelector('main').scrollWidth <= document.querySelector('main').clientWidth")
    assert admin.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_who_runs_the_server_alone_finds_the_administration_from_the_chat(build: Build, arrive: Arrive) -> None:
    page = arrive(build()).visit()
    page.get_by_test_id("runs-link").click()
    page.wait_for_url("**/admin")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
