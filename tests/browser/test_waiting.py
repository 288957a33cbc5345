"""What people see while they wait, when they are refused, and when something they need is away."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Visitor, ask, standing_still, wait_for
from tests.browser.house import House

Arrive = Callable[..., Visitor]
Build = Callable[..., House]
CALLS = "**/component_server/*"
ONE = {"max_running": 1}
HIDE = "Object.defineProperty(document, 'hidden', { get: () => true, configurable: true })"


def told(page: Page) -> list[str]:
    """What screen readers were told."""
    return [line.inner_text() for line in page.get_by_test_id("announcer").locator("p").all()]


def refusal(status: int, code: str, message: str, retry_after_s: float | None = None) -> Callable[[Route], None]:
    body = {"error": {"code": code, "message": message, "retry_after_s": retry_after_s, "id": "x"}}
    return lambda route: route.fulfill(status=status, content_type="application/json", body=json.dumps(body))


def refuse_questions(page: Page, retry_s: float, times: int) -> None:
    """The next `times` questions are refused."""
    left = times

    def answer(route: Route) -> None:
        nonlocal left
        if '"ask"' not in (route.request.post_data or "") or not left:
            route.fallback()
            return
        left -= 1
        error = {"code": "busy", "text": "The queue is full.", "retry_s": retry_s, "action": ""}
        route.fulfill(content_type="application/json", body=json.dumps({"error": error}))

    page.route(CALLS, answer)


def test_the_place_in_the_queue_moves_up_and_the_seconds_count_down(build: Build, arrive: Arrive) -> None:
    ends = [asyncio.Event() for _ in range(3)]
    house = build(*[[f"Answer {n}.", end] for n, end in enumerate(ends)], admission=ONE)
    visitor = arrive(house)
    first, second, third = (visitor.visit() for _ in range(3))
    for number, tab in enumerate((first, second, third)):
        ask(tab, f"Question {number}")
        expect(tab.get_by_test_id("turn-status")).not_to_have_attribute("data-phase", "waiting")
    status = third.get_by_test_id("turn-status")
    expect(status).to_have_attribute("data-phase", "queued")
    expect(status).to_contain_text("1 ahead of you")
    expect(status.locator(".row i")).to_have_count(2)
    expect(third).to_have_title(re.compile(r"^\(2\) "))
    status.evaluate("el => { el.marked = true }")
    eta = status.locator(".eta")
    expect(eta).to_have_text(re.compile("about|any moment"))
    before = eta.inner_text()
    expect(eta).not_to_have_text(before)
    house.set(ends[0])
    expect(status).to_contain_text("You are next")
    expect(status.locator(".row i")).to_have_count(1)
    assert status.evaluate("el => el.marked"), "the place was drawn anew instead of moved"
    house.set(ends[1])
    expect(third.get_by_test_id("turn-answer")).to_have_text("Answer 2.")
    assert told(third)[:2] == ["1 ahead of you", "You are next"]
    expect(third).to_have_title(re.compile("^Question 2"))
    house.set(ends[2])


def test_the_queue_can_be_left(build: Build, arrive: Arrive) -> None:
    house = build(["Half", asyncio.Event()], ["Later."], admission=ONE)
    visitor = arrive(house)
    running, waiting = visitor.visit(), visitor.visit()
    ask(running, "First")
    expect(running.get_by_test_id("turn-answer")).to_have_text("Half")
    ask(waiting, "Second")
    waiting.get_by_test_id("leave-queue").click()
    wait_for(waiting, "stopped")
    expect(waiting.get_by_test_id("turn-status")).to_have_text("Stopped before the answer began.")
    running.get_by_test_id("stop").click()
    waiting.get_by_role("button", name="Ask again").click()
    expect(waiting.get_by_test_id("turn-answer")).to_have_text("Later.")


def test_a_tab_in_the_background_says_that_its_answer_begins(build: Build, arrive: Arrive) -> None:
    end = asyncio.Event()
    visitor = arrive(build(["Half", end], ["Here."], admission=ONE))
    running, waiting = visitor.visit(), visitor.visit()
    ask(running, "First")
    expect(running.get_by_test_id("turn-answer")).to_have_text("Half")
    ask(waiting, "Second")
    expect(waiting.get_by_test_id("leave-queue")).to_be_visible()
    waiting.evaluate(HIDE)
    running.get_by_test_id("stop").click()
    expect(waiting).to_have_title(re.compile("^● Second"))
    expect(waiting.locator("link[rel=icon]")).to_have_attribute("href", re.compile("icon-news"))
    waiting.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    expect(waiting).to_have_title(re.compile("^Second"))
    expect(waiting.locator("link[rel=icon]")).not_to_have_attribute("href", re.compile("icon-news"))


def test_a_refused_question_is_asked_again_by_hand(build: Build, arrive: Arrive) -> None:
    page = standing_still(arrive(build(["Here."])))
    refuse_questions(page, retry_s=1.5, times=1)
    ask(page, "Tell me")
    expect(page.get_by_test_id("ask-box")).to_have_value("Tell me")
    button = page.locator("#notice button")
    for passed_ms, text in ((250, "Ask again in 2 s"), (500, "Ask again in 1 s")):
        expect(button).to_be_disabled()
        page.clock.run_for(passed_ms)
        expect(button).to_have_text(text)
    page.clock.run_for(1_000)
    expect(button).to_be_enabled()
    expect(page.get_by_test_id("turn-question")).to_have_count(0)
    page.get_by_test_id("ask-box").fill("Tell me more")
    button.click()
    expect(page.get_by_test_id("turn-question")).to_have_text("Tell me more")
    expect(page.locator("#notice")).to_be_hidden()


def test_a_refused_question_is_asked_by_itself_only_when_that_was_wanted(build: Build, arrive: Arrive) -> None:
    page = standing_still(arrive(build(["Here."])))
    refuse_questions(page, retry_s=0.5, times=2)
    ask(page, "Tell me")
    page.get_by_label("Ask by itself then").check()
    page.clock.resume()
    expect(page.get_by_test_id("turn-answer")).to_have_text("Here.")
    expect(page.locator("#notice")).to_be_hidden()
    page.get_by_test_id("new-conversation").click()
    expect(page.get_by_test_id("turn-question")).to_have_count(0)
    page.unroute(CALLS)
    refuse_questions(page, retry_s=60, times=1)
    ask(page, "Another")
    expect(page.get_by_label("Ask by itself then")).not_to_be_checked()


def test_a_session_that_ended_leads_to_the_log_in_and_keeps_the_question(build: Build, arrive: Arrive) -> None:
    visitor = arrive(build())
    visitor.expected = ("401",)
    page = visitor.visit("?q=Of+a+link")
    page.route("**/login*", lambda route: route.fulfill(content_type="text/html", body="<h1>Log in</h1>"))
    page.route(CALLS, refusal(401, "unauthorized", "Log in first."))
    ask(page, "My long question")
    expect(page.locator("#notice")).to_contain_text("Your session has ended")
    page.get_by_role("button", name="Log in").click()
    expect(page, "what was typed must not be hidden by the link").to_have_url(re.compile(r"/login\?next=%2F$"))
    page.unroute(CALLS)
    page.goto(visitor.url + "?q=Of+a+link")
    expect(page.get_by_test_id("ask-box"), "a link says what it is for").to_have_value("Of a link")
    page.goto(visitor.url)
    expect(page.get_by_test_id("ask-box")).to_have_value("My long question")
    page.reload()
    page.wait_for_selector("body.ready")
    expect(page.get_by_test_id("ask-box")).to_have_value("")


def test_the_question_of_one_person_is_not_shown_to_the_next(build: Build, arrive: Arrive) -> None:
    visitor = arrive(build())
    page = visitor.visit()
    page.evaluate("sessionStorage.setItem('colloquy_draft', JSON.stringify({ who: 'somebody', text: 'secret' }))")
    page.reload()
    page.wait_for_selector("body.ready")
    expect(page.get_by_test_id("ask-box")).to_have_value("")


def test_a_banned_visitor_is_told_so_in_one_sentence(build: Build, arrive: Arrive) -> None:
    visitor = arrive(build())
    visitor.expected = ("403",)
    page = visitor.visit()
    page.route(CALLS, refusal(403, "banned", "Whoever runs this server has closed it to you."))
    ask(page, "Tell me")
    expect(page.locator("#notice")).to_contain_text("has closed it to you")
    expect(page.get_by_test_id("ask-box")).to_have_value("Tell me")


def test_whoever_was_refused_by_a_drain_can_ask_as_soon_as_it_ends(build: Build, arrive: Arrive) -> None:
    house = build(["Here."])
    page = arrive(house).visit()
    page.request.put(house.url + "api/admin/drain", data={"on": True})
    ask(page, "Tell me")
    again = page.locator("#notice .button")
    expect(again).to_be_disabled()
    expect(page.get_by_test_id("engine-state")).to_have_attribute("data-state", "draining")
    page.request.put(house.url + "api/admin/drain", data={"on": False})
    expect(again).to_be_enabled()
    again.click()
    wait_for(page, "done")


def test_a_dead_engine_is_said_until_it_is_back(build: Build, arrive: Arrive) -> None:
    house = build(["Half", asyncio.Event()])
    page = arrive(house).visit()
    ask(page, "Tell me")
    expect(page.get_by_test_id("turn-answer")).to_have_text("Half")
    house.call(house.engine.die)
    wait_for(page, "failed")
    expect(page.locator("#notice")).to_contain_text("The engine is down")
    expect(page.get_by_test_id("engine-state")).to_have_attribute("data-state", "down")
    house.call(house.engine.revive)
    expect(page.locator("#notice")).to_be_hidden()
