"""Text that means harm in what is given away by a link: demos, presenters' screens, shared conversations and votes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.backend.types import Passage
from tests import doubles
from tests.browser.conftest import Visitor, wait_for
from tests.browser.house import House
from tests.browser.test_hostile import FORBIDDEN, HREFS, PAYLOADS, WATCH, attacker

Arrive = Callable[..., Visitor]
Build = Callable[..., House]

__all__ = ["attacker"]
TITLES = (
    "<script>window.hurt=1</script>{{7*7}}${7*7}#{7*7}<%= 7*7 %>\u202egpj.exe\u2066",
    "<img src=x onerror=window.hurt=1>[x](javascript:window.hurt=1)",
    '"><svg onload=window.hurt=1></title><style>*{background:url(EVIL/t)}',
)


@pytest.fixture
def visitor(build: Build, arrive: Arrive, monkeypatch: pytest.MonkeyPatch, attacker: tuple[str, list[str]]) -> Visitor:
    """Of a house whose passages and answers all mean harm."""
    evil, _ = attacker
    payload = PAYLOADS.replace("EVIL", evil)
    title = payload.split("\n")[1]
    monkeypatch.setattr(doubles, "PASSAGES", (Passage("<b>id</b>", title, payload, 1.0, "shelf"),))
    visitor = arrive(build(*[[payload + " [1]"]] * 12))
    visitor.context.add_init_script(WATCH)
    return visitor


def opened(visitor: Visitor, path: str) -> Page:
    page = visitor.visit(path)
    page.on("dialog", lambda dialog: visitor.complaints.append(f"dialog: {dialog.message}"))
    return page


def post(page: Page, path: str, **body: Any) -> Any:
    answer = page.request.post(path, data=body)
    assert answer.ok, answer.text()
    return answer.json()


def is_unharmed(page: Page) -> None:
    assert page.evaluate("window.hurt") is None
    assert page.evaluate("violations") == [], "the policy had to stop what the markup let through"
    for node in FORBIDDEN:
        assert page.locator(f"#app {node}").count() == 0, node
    addresses = page.locator("#app a").evaluate_all(HREFS)
    assert not [a for a in addresses if not a.startswith(("http://", "https://", "?", "/", "#"))]
    shown = page.evaluate("document.title + document.body.innerText + document.head.innerHTML")
    assert not set("\u202e\u2066\u2067\u202d") & set(shown), "what turns writing around is not let through"
    assert "49" not in page.title()


def test_every_text_of_a_demo_is_inert(visitor: Visitor, attacker: tuple[str, list[str]]) -> None:
    evil, came = attacker
    payload = PAYLOADS.replace("EVIL", evil)
    publisher = opened(visitor, "demos")
    examples = [line[:200] for line in payload.split("\n") if line.strip()][:6]
    for n, title in enumerate(TITLES):
        sides = [{"pipeline": "naive"}, {"pipeline": "direct"}][: 1 + n % 2]
        fields = {"title": title.replace("EVIL", evil)[:80], "welcome": payload[:4_000], "examples": examples}
        post(publisher, f"{visitor.url}api/demos", name=f"room-{n}", sides=sides, **fields)
    publisher.reload()
    publisher.wait_for_selector("body.ready")
    expect(publisher.get_by_test_id("demo-item")).to_have_count(3)
    is_unharmed(publisher)
    for n in range(2):
        page = opened(visitor, f"d/room-{n}")
        expect(page.get_by_test_id("demo-welcome")).to_contain_text("window.hurt = 1")
        expect(page.get_by_test_id("example")).to_have_count(6)
        is_unharmed(page)
        page.get_by_test_id("ask-box").fill(payload)
        page.get_by_test_id("ask-box").press("Enter")
        wait_for(page, "done", 1 + n % 2)
        page.get_by_test_id("citation").first.click()
        expect(page.get_by_test_id("source-card").first).to_contain_text("<script>")
        is_unharmed(page)
        page.reload()
        page.wait_for_selector("body.ready")
        expect(page.get_by_test_id("turn-question")).to_contain_text("{{7*7}} ${7*7}")
        expect(page.get_by_test_id("turn-answer").first).to_contain_text("window.hurt = 1")
        is_unharmed(page)
    presenter = opened(visitor, "d/room-0/present")
    expect(presenter.get_by_test_id("live-question")).to_contain_text("{{7*7}} ${7*7}")
    is_unharmed(presenter)
    assert came == []


def test_every_text_of_a_share_is_inert(visitor: Visitor, attacker: tuple[str, list[str]]) -> None:
    evil, came = attacker
    payload = PAYLOADS.replace("EVIL", evil)
    owner = opened(visitor, "demos")
    talk = post(owner, f"{visitor.url}api/conversations")["id"]
    ticket = post(owner, f"{visitor.url}api/conversations/{talk}/ask", question=payload, pipeline="naive")
    sides = [{"pipeline": "naive"}, {"pipeline": "direct"}]
    compared = post(owner, f"{visitor.url}api/compare", question=payload, sides=sides)
    for g in (ticket["generation_id"], *compared["generation_ids"]):
        ended(owner, f"{visitor.url}api/generations/{g}")
    owner.request.patch(f"{visitor.url}api/conversations/{talk}", data={"title": TITLES[0]})
    vote = {"winner": "a", "tags": ["<b onclick=window.hurt=1>"], "comment": payload[:2_000]}
    post(owner, f"{visitor.url}api/comparisons/{compared['comparison_id']}/vote", **vote)
    links = [
        post(owner, f"{visitor.url}api/conversations/{c}/share", expires_in_s=3_600)["url"]
        for c in (talk, compared["comparison_id"])
    ]
    owner.goto(f"{visitor.url}links")
    expect(owner.locator("#app")).to_contain_text("{{7*7}}")
    is_unharmed(owner)
    for link in links:
        page = opened(visitor, link.removeprefix(visitor.url))
        expect(page.get_by_test_id("turn-answer").first).to_contain_text("window.hurt = 1")
        page.get_by_test_id("citation").first.click()
        expect(page.get_by_test_id("source-card").first).to_contain_text("<script>")
        is_unharmed(page)
    assert came == []


def ended(page: Page, address: str) -> None:
    until = time.monotonic() + 60
    while page.request.get(address).json()["status"] in ("queued", "running"):
        assert time.monotonic() < until
        page.wait_for_timeout(50)
