"""Text that means harm in what is given away by a link: demos, presenters' screens, shared conversations and votes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.backend.engines.scripted import Call, Crash, Item
from app.backend.errors import Unavailable
from app.backend.types import CorpusInfo, Passage
from tests import doubles
from tests.browser import house as houses
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
METHOD = """
from pydantic import Field
from app.backend.events import Done, Token
from app.backend.pipelines.params import Entry, GenerationParams

class Harm(GenerationParams):
    note: str = Field("", description={text!r})

async def run(query, tools):
    yield Token({text!r})
    yield Done({text!r})

ENTRY = Entry("basic", {title!r}, {text!r}, "", False, Harm, run)
"""
"""A method of somebody's own, with the words of somebody else."""


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
    page.on("dialog", lambda dialog: visitor.heard.append(f"dialog: {dialog.message}"))
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
    turned = [line for line in shown.splitlines() if set("\u202e\u2066\u2067\u202d") & set(line)]
    assert turned == [], "what turns writing around is not let through"
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


@pytest.fixture
def go_on() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def everything(
    build: Build,
    go_on: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    attacker: tuple[str, list[str]],
) -> House:
    """A house in which all else means harm too: corpora, a method, the model, and what is said when something fails. A
    question with CRASH fails, one with LIVE stands still until `go_on`, and no answer is the same twice.
    """
    payload = PAYLOADS.replace("EVIL", attacker[0])
    monkeypatch.setattr(doubles, "PASSAGES", (Passage("<b>id</b>", TITLES[1], payload, 1.0, "shelf"),))

    class Shelf(doubles.Shelf):
        def corpora(self) -> tuple[CorpusInfo, ...]:
            return (CorpusInfo("shelf", 1, TITLES[0][:40], (), payload), CorpusInfo(TITLES[0], 1, TITLES[1], ()))

        async def search(self, query: str, *, corpus: str, **how: Any) -> tuple[Passage, ...]:
            if self.broken:
                raise Unavailable(payload)
            return await super().search(query, corpus="shelf", **how)

    monkeypatch.setattr(houses, "Shelf", Shelf)
    (tmp_path / "mine.py").write_text(METHOD.format(text=payload, title=TITLES[0]), encoding="utf-8")
    numbers = count()

    def script(call: Call) -> list[Item]:
        asked = call.messages[-1].content
        waits: list[Item] = [payload, go_on] if "LIVE" in asked else []
        return [Crash(payload)] if "CRASH" in asked else [*waits, f"{payload} [1]\n\nSo it is, {next(numbers)} times."]

    house = build(by=script, pipelines={"mine": tmp_path / "mine.py"})
    house.engine.model = TITLES[0]
    return house


def test_every_text_of_a_comparison_is_inert(
    everything: House, arrive: Arrive, attacker: tuple[str, list[str]]
) -> None:
    evil, came = attacker
    visitor = arrive(everything)
    visitor.context.add_init_script(WATCH)
    page = opened(visitor, "compare?compare=mine,naive")
    is_unharmed(page)
    sides = [{"pipeline": "mine", "params": {"note": TITLES[0]}}, {"pipeline": "naive"}]
    sides += [
        {"pipeline": "naive", "corpus": TITLES[0]},
        {"pipeline": "mine", "params": {"note": "<b onclick=hurt()>"}},
    ]
    question = PAYLOADS.replace("EVIL", evil)
    made = post(page, f"{visitor.url}api/compare", question=question, sides=sides)
    for g in made["generation_ids"]:
        ended(page, f"{visitor.url}api/generations/{g}")
    page = opened(visitor, f"compare?id={made['comparison_id']}")
    expect(page.get_by_test_id("param-diff")).to_contain_text("window.hurt=1")
    for opening in page.locator("details > summary:visible").all():
        opening.click()
    is_unharmed(page)
    page.get_by_test_id("share-button").click()
    expect(page.get_by_test_id("share-preview")).to_contain_text("window.hurt=1")
    is_unharmed(page)
    page.keyboard.press("Escape")
    page.get_by_test_id("vote-a").click()
    expect(page.get_by_test_id("voted")).to_be_visible()
    is_unharmed(page)
    board = opened(visitor, "leaderboard")
    expect(board.locator("#app")).to_contain_text("note=<b onclick=hurt()>")
    is_unharmed(board)
    assert came == []


def test_what_fails_what_is_watched_and_what_is_run_again_is_inert(
    everything: House, arrive: Arrive, attacker: tuple[str, list[str]], go_on: asyncio.Event
) -> None:
    _, came = attacker
    visitor = arrive(everything)
    visitor.context.add_init_script(WATCH)
    owner = opened(visitor, "demos")

    def shared(question: str, live: bool = False) -> Page:
        talk = post(owner, f"{visitor.url}api/conversations")["id"]
        asked = post(owner, f"{visitor.url}api/conversations/{talk}/ask", question=question, pipeline="naive")
        if not live:
            ended(owner, f"{visitor.url}api/generations/{asked['generation_id']}")
        link = post(owner, f"{visitor.url}api/conversations/{talk}/share")["url"]
        return opened(visitor, link.removeprefix(visitor.url))

    page = shared("CRASH")
    expect(page.get_by_test_id("turn-status")).to_have_attribute("data-phase", "failed")
    is_unharmed(page)
    everything.shelf.broken = True
    page = shared("Without sources?")
    expect(page.locator("#thread")).to_contain_text("window.hurt = 1")
    is_unharmed(page)
    everything.shelf.broken = False
    page = shared("LIVE", live=True)
    expect(page.get_by_test_id("on-air")).to_be_visible()
    expect(page.get_by_test_id("turn-answer")).to_contain_text("window.hurt = 1")
    is_unharmed(page)
    everything.set(go_on)
    expect(page.get_by_test_id("turn-answer")).to_contain_text("So it is")
    is_unharmed(page)
    page.get_by_test_id("run-again").click()
    expect(page.get_by_test_id("change")).to_contain_text("window.hurt = 1")
    is_unharmed(page)
    assert came == []
