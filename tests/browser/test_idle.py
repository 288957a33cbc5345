"""A page that nobody touches costs the server nothing."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.house import House

Arrive = Callable[..., Visitor]


def test_a_page_that_nobody_touches_asks_nothing_until_it_is_touched(house: House, arrive: Arrive) -> None:
    visitor = arrive(house)
    visitor.context.clock.install()
    page: Page = visitor.visit()
    expect(page.get_by_test_id("engine-state")).to_contain_text("ready")
    with page.expect_request("**/component_server/*"):  # it had the focus
        visitor.context.clock.run_for(16_000)
    before = len(visitor.requests)
    visitor.context.clock.run_for(120_000)
    assert len(visitor.requests) == before
    page.mouse.move(300, 300)
    with page.expect_request("**/component_server/*"):
        visitor.context.clock.run_for(16_000)
