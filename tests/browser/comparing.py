"""What tests of the page that compares have in common."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.house import House

Arrive = Callable[..., Visitor]
Build = Callable[..., House]
QUESTION = "How tall is the Eiffel Tower?"
LINK = "compare?compare=naive,direct&q=How tall is the Eiffel Tower?"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def begin(page: Page) -> None:
    page.get_by_test_id("send").click()
    page.wait_for_selector("body[data-phase=run]")


def ended(page: Page, count: int = 2) -> None:
    expect(page.locator(".col[data-phase=ended]")).to_have_count(count)
