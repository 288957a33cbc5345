"""Demos in a browser: visitors, a presenter, the switch, and a frame in another site, which gets no cookie."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.conftest import Visitor, ask, wait_for
from tests.browser.house import House

Arrive = Callable[..., Visitor]
Build = Callable[..., House]


def publish(visitor: Visitor, name: str = "room", **fields: Any) -> dict[str, Any]:
    body = {"name": name, "title": "Ask the towers", "sides": [{"pipeline": "naive"}], **fields}
    answer = visitor.context.request.post(f"{visitor.url}api/demos", data=body)
    assert answer.ok, answer.text()
    made: dict[str, Any] = answer.json()
    return made


@contextmanager
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """Another site, and what its page shows in a frame: `localhost`, where the server is 127.0.0.1."""
    framed: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f'<h1>Another site</h1><iframe src="{framed[-1]}" width=900 height=600></iframe>'.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}", framed
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_publisher_fills_the_form_and_a_visitor_asks(house: House, arrive: Arrive) -> None:
    person = arrive(house)
    person.expected = ("422",)
    publisher = person.visit("demos")
    publisher.get_by_test_id("new-demo").click()
    publisher.get_by_test_id("save-demo").click()
    expect(publisher.locator("[data-wrong=title]")).to_contain_text("A title is needed")
    publisher.locator("[name=title]").fill("Towers of the world")
    publisher.locator("[name=name]").fill("Not a name")
    publisher.locator("[name=examples]").fill("How tall is the Eiffel Tower?\n\nWho built the wall?")
    publisher.get_by_test_id("save-demo").click()
    expect(publisher.locator("[data-wrong=name]")).to_contain_text("lower-case")
    publisher.locator("[name=name]").fill("towers")
    publisher.get_by_test_id("save-demo").click()
    expect(publisher.get_by_test_id("demo-url")).to_have_text(f"{house.url}d/towers")
    page = arrive(house).visit("d/towers")
    page.get_by_test_id("example").first.click()
    wait_for(page, "done")
    expect(page.get_by_test_id("turn-question")).to_have_text("How tall is the Eiffel Tower?")
    page.get_by_test_id("citation").first.click()
    expect(page.get_by_test_id("source-card").first).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("turn-answer")).to_contain_text("330 metres")
    stranger = arrive(house).visit("d/towers")
    expect(stranger.get_by_test_id("turn-question")).to_have_count(0)


def test_a_comparison_stands_side_by_side_and_below_each_other_on_a_phone(house: House, arrive: Arrive) -> None:
    publish(arrive(house), "versus", sides=[{"pipeline": "naive"}, {"pipeline": "direct"}])
    page = arrive(house).visit("d/versus")
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done", 2)
    left, right = boxes(page)
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    page.set_viewport_size({"width": 390, "height": 844})
    upper, lower = boxes(page)
    assert upper["x"] == lower["x"] and upper["y"] + upper["height"] <= lower["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def boxes(page: Page) -> list[dict[str, float]]:
    """Where the columns stand, all at one moment."""
    found: list[dict[str, float]] = page.get_by_test_id("compare-column").evaluate_all(
        "all => all.map((column) => column.getBoundingClientRect().toJSON())"
    )
    return found


def test_a_presenter_sees_questions_come_hides_one_and_switches_off(build: Build, arrive: Arrive) -> None:
    house = build(["One moment ", asyncio.Event(), "done"])
    publisher = arrive(house)
    publish(publisher)
    presenter = publisher.visit("d/room/present")
    expect(presenter.get_by_test_id("qr").locator("svg")).to_be_visible()
    visitor = arrive(house)
    visitor.expected = ("404",)
    page = visitor.visit("d/room")
    ask(page, "Is this on?")
    expect(presenter.get_by_test_id("live-question")).to_contain_text("Is this on?")
    expect(presenter.get_by_test_id("count-visitors")).to_have_text("1")
    expect(presenter.get_by_text("visitor", exact=True)).to_be_visible()
    expect(page.get_by_test_id("turn-answer")).to_contain_text("One moment")
    presenter.get_by_test_id("live-question").hover()
    presenter.get_by_test_id("hide-question").click()
    expect(presenter.get_by_test_id("live-question")).to_have_count(0)
    presenter.get_by_test_id("toast").get_by_role("button").click()
    expect(presenter.get_by_test_id("live-question")).to_have_count(1)
    presenter.get_by_test_id("switch-demo").click()
    presenter.get_by_test_id("sure-yes").click()
    expect(page.get_by_test_id("demo-gone")).to_be_visible()
    expect(page.get_by_test_id("turn-answer")).to_be_hidden()
    expect(presenter.get_by_test_id("qr")).to_be_hidden()
    assert page.goto(f"{house.url}d/room").status == 404
    expect(page.get_by_test_id("demo-gone")).to_be_visible()


def test_in_a_frame_of_another_site_it_works_without_a_cookie(build: Build, browser: Browser, arrive: Arrive) -> None:
    with elsewhere() as (site, framed):
        house = build(tokens_per_s=200, server={"embed_origins": [site, "http://localhost:1"]})
        publish(arrive(house), origins=[site])
        framed.append(f"{house.url}d/room?embed=1")
        context = browser.new_context()
        page = context.new_page()
        sent: list[Request] = []
        page.on("request", lambda request: sent.append(request) if request.url.startswith(house.url) else None)
        page.goto(site)
        frame = page.frame_locator("iframe")
        frame.get_by_test_id("ask-box").fill("How tall is the Eiffel Tower?")
        frame.get_by_test_id("ask-box").press("Enter")
        expect(frame.get_by_test_id("turn-answer")).to_contain_text("330 metres")
        expect(frame.get_by_test_id("turn-status").first).to_have_attribute("data-phase", "done")
        frame.get_by_test_id("ask-box").fill("And the wall?")  # the page knows its visitor, though it may store nothing
        frame.get_by_test_id("ask-box").press("Enter")
        expect(frame.get_by_test_id("turn-question")).to_have_text(["How tall is the Eiffel Tower?", "And the wall?"])
        assert not [request.url for request in sent if "cookie" in request.all_headers()]
        assert context.cookies(house.url) == []
        context.close()


def test_no_other_site_and_no_other_page_is_shown_in_a_frame(build: Build, browser: Browser, arrive: Arrive) -> None:
    house = build(server={"embed_origins": ["http://localhost:1"]})
    publisher = arrive(house)
    publish(publisher)
    for path in ("d/room?embed=1", "d/room", "demos", "", "d/room/present", "d/unknown?embed=1"):
        with elsewhere() as (site, framed):
            framed.append(house.url + path)
            context = browser.new_context()
            page = context.new_page()
            page.goto(site)
            while len(page.frames) < 2 or page.frames[1].url in ("", "about:blank"):  # until it shows something
                page.wait_for_timeout(20)
            assert page.frames[1].url.startswith("chrome-error:"), path
            context.close()
    request = publisher.context.request
    talk = request.post(f"{house.url}api/conversations").json()["id"]
    asked = request.post(f"{house.url}api/conversations/{talk}/ask", data={"question": "Who?", "pipeline": "direct"})
    assert asked.ok
    share = request.post(f"{house.url}api/conversations/{talk}/share", data={}).json()["url"]
    assert request.get(f"{share}?embed=1").headers["content-security-policy"].endswith("http://localhost:1")
    assert request.get(share).headers["content-security-policy"].endswith("frame-ancestors 'none'")
    publish(publisher, "later", opens_at="2100-01-01T00:00:00Z")
    policies = {
        path: request.get(house.url + path).headers["content-security-policy"]
        for path in (
            "d/room?embed=1",
            "d/later?embed=1",
            "d/gone?embed=1",
            "d/room",
            "d/later",
            "demos?embed=1",
            "?embed=1",
        )
    }
    for name in ("room", "later", "gone"):
        assert policies.pop(f"d/{name}?embed=1").endswith("frame-ancestors http://localhost:1"), name
    assert all(policy.endswith("frame-ancestors 'none'") for policy in policies.values())


def test_in_chinese_a_demo_names_its_methods_as_the_pickers_do(build: Build, arrive: Arrive) -> None:
    person = arrive(build(), locale="zh-CN")
    body = {"name": "room", "title": "Towers", "sides": [{"pipeline": "naive"}, {"pipeline": "direct"}]}
    assert person.context.request.post(f"{person.url}api/demos", data=body).ok
    expect(person.visit("demos").get_by_test_id("demo-item")).to_contain_text("标准 RAG · 直接回答")
