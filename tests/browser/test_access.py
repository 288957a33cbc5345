"""Nobody is shut out: axe-core finds nothing that matters, in both languages, light and dark, whatever is open."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, ask, wait_for
from tests.browser.house import House

Arrive = Callable[..., Visitor]
SETTLED = "document.getAnimations().every((a) => a.effect.getTiming().iterations === Infinity)"
"""Colours on the way from one to another have no contrast to measure."""


def faults(page: Page) -> list[str]:
    """What axe-core calls more than minor, with where it is."""
    page.wait_for_function(SETTLED)
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['target']}" for rule in found if rule["impact"] != "minor" for node in rule["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_axe_finds_nothing_that_matters(locale: str, scheme: str, house: House, arrive: Arrive) -> None:
    page = arrive(house, locale=locale, color_scheme=scheme).visit()
    assert faults(page) == []
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    page.get_by_test_id("stage-timeline").locator("summary").click()
    assert faults(page) == []
    page.keyboard.press("Control+/")
    expect(page.get_by_test_id("shortcut-sheet")).to_be_visible()
    assert faults(page) == []
    page.keyboard.press("Escape")
    page.get_by_test_id("ask-box").press("ArrowUp")
    expect(page.get_by_test_id("edit-box")).to_be_visible()
    page.get_by_test_id("export").click()
    assert faults(page) == []


def test_axe_finds_nothing_that_matters_on_a_phone(house: House, arrive: Arrive) -> None:
    page = arrive(house, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).visit()
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    page.get_by_test_id("citation").first.tap()
    expect(page.get_by_test_id("source-card").first).to_be_in_viewport()
    assert faults(page) == []
    page.get_by_test_id("sources-close").tap()
    page.get_by_test_id("sidebar-open").tap()
    expect(page.get_by_test_id("new-conversation")).to_be_in_viewport()
    assert faults(page) == []
