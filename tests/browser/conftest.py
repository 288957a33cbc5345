"""Chromium, once for all tests; a fresh visitor for each, who notices every error, violation and foreign request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from app import machine
from tests.browser.house import House, opened

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE_MS = 40_000
"""A busy machine is slow, not wrong."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Not for the session: while it is open, an event loop runs in this thread, and asynchronous tests could not."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=machine.chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server whose engine answers by quoting; shared by the tests of a module."""
    with opened(House(tmp_path_factory.mktemp("house"), tokens_per_s=200)) as house:
        yield house


@dataclass
class Visitor:
    """One person's browser. `complaints` is all that went wrong in it, less what contains one of the words `expected`:
    the browser itself reports a refusal, at its own moment.
    """

    context: BrowserContext
    url: str
    expected: tuple[str, ...] = ()
    heard: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def visit(self, path: str = "") -> Page:
        """Open the page in a new tab and wait until it can be used."""
        page = self.context.new_page()
        page.on("console", lambda m: self.heard.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.heard.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(self.url + path)
        page.wait_for_selector("body.ready")
        return page

    @property
    def complaints(self) -> list[str]:
        return [text for text in self.heard if not any(word in text for word in self.expected)]

    @property
    def foreign(self) -> list[str]:
        return [url for url in self.requests if not url.startswith((self.url, "data:", "blob:"))]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Opens houses of its own for a test; they stand until its visitors have left. `by` is a script that looks at what
    each call asks.
    """
    with ExitStack() as houses:
        yield lambda *script, by=None, folder=tmp_path, **options: houses.enter_context(
            opened(House(folder, by or script, **options))
        )


@pytest.fixture
def arrive(browser: Browser, build: Callable[..., House]) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors to a house; at the end none of them may have seen an error or a foreign request."""
    visitors: list[Visitor] = []

    def arrive(house: House, **options: Any) -> Visitor:
        context = browser.new_context(**{"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(PATIENCE_MS)
        visitors.append(Visitor(context, house.url))
        return visitors[-1]

    yield arrive
    for visitor in visitors:
        visitor.context.close()
        assert visitor.complaints == []
        assert visitor.foreign == []


@pytest.fixture
def page(house: House, arrive: Callable[..., Visitor]) -> Page:
    """A new visitor's page in the shared house."""
    return arrive(house).visit()


def standing_still(visitor: Visitor) -> Page:
    """A page that is ready, in which time passes only when the test says so."""
    visitor.context.clock.install()
    page = visitor.visit()
    expect(page.get_by_test_id("engine-state")).to_contain_text("ready")
    page.clock.pause_at(time.time() + 2)
    return page


def ask(page: Page, question: str) -> None:
    """Type a question and send it."""
    page.get_by_test_id("ask-box").fill(question)
    page.get_by_test_id("ask-box").press("Enter")


def wait_for(page: Page, phase: str, count: int = 1) -> None:
    """Until `count` answers are in `phase`."""
    found = page.locator(f"[data-testid=turn-status][data-phase={phase}]")
    expect(found).to_have_count(count)
