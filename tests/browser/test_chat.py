"""What a person does on the page: ask, read, stop, come back, find, change one's mind."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app.backend.engines.scripted import Crash
from tests.browser.conftest import Visitor, ask, wait_for
from tests.browser.house import House

Arrive = Callable[..., Visitor]
Build = Callable[..., House]
ANSWER = """The Eiffel Tower is 330 metres tall [1]. It is made of iron.

- It stands in **Paris** [1]
- 长城 [3]

End."""


def text(page: Page) -> str:
    """The answer as it can be read, without the numbers of its citations."""
    return str(
        page.get_by_test_id("turn-answer").last.evaluate(
            "el => { const copy = el.cloneNode(true); copy.querySelectorAll('.cite').forEach((c) => c.remove());"
            " return copy.textContent.replace(/\\s+/g, ' ').trim(); }"
        )
    )


def wait_for_letters(page: Page, written: str) -> None:
    """Until the answer shows exactly the letters of `written`, however its marks are drawn by now."""
    page.wait_for_function(
        "letters => (document.querySelector('[data-testid=turn-answer]')?.textContent.match(/\\p{L}/gu) ?? []).join('')"
        " === letters",
        arg="".join(c for c in written if c.isalpha()),
    )


def open_chat(page: Page, question: str = "How tall is the Eiffel Tower?") -> None:
    ask(page, question)
    wait_for(page, "done")


def test_a_question_is_answered_with_sources_and_timeline(page: Page) -> None:
    open_chat(page)
    expect(page.get_by_test_id("turn-question")).to_have_text("How tall is the Eiffel Tower?")
    assert "330 metres" in text(page)
    expect(page.get_by_test_id("source-card")).to_have_count(3)
    page.get_by_test_id("stage-timeline").locator("summary").click()
    expect(page.get_by_test_id("stage-timeline")).to_contain_text("Retrieve")
    expect(page).to_have_title(re.compile("How tall is the Eiffel Tower"))


def test_the_answer_appears_while_it_is_written(build: Build, arrive: Arrive) -> None:
    hold = asyncio.Event()
    house = build(["First half,", hold, " second half."])
    page = arrive(house).visit()
    ask(page, "Tell me")
    expect(page.get_by_test_id("turn-answer")).to_have_text("First half,")
    expect(page.get_by_test_id("stop")).to_be_visible()
    ask(page, "And then?")
    expect(page.get_by_text("One answer at a time")).to_be_visible()
    expect(page.get_by_test_id("ask-box")).to_have_value("And then?")
    house.set(hold)
    expect(page.get_by_test_id("turn-answer")).to_have_text("First half, second half.")
    expect(page.get_by_test_id("send")).to_be_visible()


@pytest.mark.parametrize("cut", [1, 17, 41, 58, 77, len(ANSWER) - 1])
def test_reload_in_the_middle_loses_and_repeats_nothing(cut: int, build: Build, arrive: Arrive) -> None:
    hold = asyncio.Event()
    house = build([*ANSWER[:cut], hold, *ANSWER[cut:]], tokens_per_s=150)
    page = arrive(house).visit()
    ask(page, "Tell me")
    wait_for_letters(page, ANSWER[:cut])
    page.reload()
    page.wait_for_selector("body.ready")
    wait_for_letters(page, ANSWER[:cut])
    house.set(hold)
    wait_for(page, "done")
    live = text(page)
    assert live == "The Eiffel Tower is 330 metres tall. It is made of iron. It stands in Paris 长城 End."
    page.reload()
    wait_for(page, "done")
    assert text(page) == live


def test_a_citation_leads_to_its_place_in_the_passage(build: Build, arrive: Arrive) -> None:
    house = build([ANSWER])
    page = arrive(house).visit()
    for _ in ("live", "after a reload"):
        wait_for(page, "done") if page.get_by_test_id("turn-question").count() else open_chat(page)
        page.get_by_test_id("citation").first.click()
        card = page.get_by_test_id("source-card").first
        expect(card).to_be_focused()
        expect(card.locator("mark.flash")).to_have_text("The Eiffel Tower is 330 metres tall.")
        page.reload()
        page.wait_for_selector("body.ready")


def test_regenerating_keeps_the_first_answer(build: Build, arrive: Arrive) -> None:
    house = build(["One."], ["Two."])
    page = arrive(house).visit()
    ask(page, "Count")
    wait_for(page, "done")
    page.get_by_test_id("regenerate").click()
    expect(page.get_by_test_id("turn-answer")).to_have_text("Two.")
    wait_for(page, "done")
    expect(page.get_by_test_id("answer-count")).to_have_text("2/2")
    page.get_by_test_id("turn-answer").click()
    page.keyboard.press("[")
    expect(page.get_by_test_id("turn-answer")).to_have_text("One.")
    page.keyboard.press("]")
    expect(page.get_by_test_id("turn-answer")).to_have_text("Two.")


def test_editing_a_question_makes_a_branch_and_a_refused_edit_stays(build: Build, arrive: Arrive) -> None:
    house = build(["One."], ["Two."], generation={"max_question_chars": 20})
    page = arrive(house).visit()
    ask(page, "First wording")
    wait_for(page, "done")
    page.get_by_test_id("ask-box").press("ArrowUp")
    expect(page.get_by_test_id("edit-box")).to_have_value("First wording")
    page.get_by_test_id("edit-box").fill("A wording that is too long")
    page.get_by_test_id("edit-box").press("Enter")
    expect(page.locator("#notice")).to_contain_text("shorten it to 20")
    expect(page.get_by_test_id("edit-box")).to_have_value("A wording that is too long")
    page.get_by_test_id("edit-box").fill("Second wording")
    page.get_by_test_id("edit-box").press("Enter")
    expect(page.get_by_test_id("turn-question")).to_have_text("Second wording")
    expect(page.get_by_test_id("edit-box")).to_have_count(0)
    expect(page.get_by_test_id("branch-count")).to_have_text("2/2")
    wait_for(page, "done")
    page.get_by_role("button", name="Previous version").click()
    expect(page.get_by_test_id("turn-question")).to_have_text("First wording")
    expect(page.get_by_test_id("turn-answer")).to_have_text("One.")


def test_conversations_are_found_renamed_pinned_and_deleted_with_undo(page: Page) -> None:
    items = page.get_by_test_id("conversation-item")
    open_chat(page, "How tall is the Eiffel Tower?")
    page.get_by_test_id("new-conversation").click()
    expect(page.get_by_test_id("turn-question")).to_have_count(0)
    open_chat(page, "Who built the Great Wall?")
    expect(items).to_have_count(2)

    page.get_by_test_id("search-box").fill("Eiffel")
    expect(items.first.locator("mark").first).to_have_text("Eiffel")
    page.get_by_test_id("search-box").fill("zebra")
    expect(items).to_have_count(0)
    page.get_by_test_id("search-box").press("Escape")
    expect(items).to_have_count(2)

    items.last.hover()
    items.last.get_by_test_id("rename").click()
    page.get_by_test_id("rename-box").fill("Towers")
    page.get_by_test_id("rename-box").press("Enter")
    expect(items.filter(has_text="Towers")).to_have_count(1)

    items.filter(has_text="Towers").hover()
    items.filter(has_text="Towers").get_by_test_id("pin").click()
    expect(page.get_by_test_id("conversation-list").get_by_role("heading").first).to_have_text("Pinned")
    expect(items.first).to_contain_text("Towers")

    items.first.hover()
    items.first.get_by_test_id("delete").click()
    expect(items).to_have_count(1)
    page.get_by_test_id("toast").get_by_role("button", name="Undo").click()
    expect(items).to_have_count(2)


def test_the_address_leads_back_to_a_conversation(page: Page) -> None:
    open_chat(page)
    expect(page).to_have_url(re.compile(r"\?c="))
    page.get_by_test_id("new-conversation").click()
    expect(page.get_by_test_id("example").first).to_be_visible()
    page.go_back()
    expect(page.get_by_test_id("turn-question")).to_have_text("How tall is the Eiffel Tower?")


def test_another_visitor_does_not_see_a_conversation(page: Page, house: House, arrive: Arrive) -> None:
    open_chat(page)
    stranger = arrive(house).visit(page.url.removeprefix(house.url))
    expect(stranger.locator("#notice")).to_contain_text("no such conversation")
    expect(stranger.get_by_test_id("turn-question")).to_have_count(0)
    expect(stranger.get_by_test_id("conversation-item")).to_have_count(0)


def test_a_failed_answer_offers_to_ask_again(build: Build, arrive: Arrive) -> None:
    house = build([Crash("The engine has no memory left.")], ["Now it works."])
    page = arrive(house).visit()
    ask(page, "Tell me")
    wait_for(page, "failed")
    expect(page.get_by_test_id("turn-status")).to_have_text("The engine has no memory left.")
    page.get_by_role("button", name="Ask again").click()
    expect(page.get_by_test_id("turn-answer")).to_have_text("Now it works.")


def test_a_missing_search_is_said_and_the_answer_comes(build: Build, arrive: Arrive) -> None:
    house = build(["From memory."])
    house.shelf.broken = True
    page = arrive(house).visit()
    ask(page, "Tell me")
    expect(page.get_by_test_id("turn-answer")).to_have_text("From memory.")
    expect(page.get_by_role("note")).to_contain_text("The retriever is down.")


def test_questions_wait_for_an_engine_that_is_starting(build: Build, arrive: Arrive) -> None:
    gate = asyncio.Event()
    house = build(["Here."], gate=gate)
    page = arrive(house).visit()
    expect(page.get_by_test_id("engine-state")).to_contain_text("Starting Scripted-1B")
    ask(page, "Tell me")
    expect(page.get_by_test_id("turn-status")).to_contain_text("The engine is starting")
    house.set(gate)
    expect(page.get_by_test_id("turn-answer")).to_have_text("Here.")
    expect(page.get_by_test_id("engine-state")).to_contain_text("ready")


def test_a_refused_question_stays_in_the_box(build: Build, arrive: Arrive) -> None:
    house = build(["Half", asyncio.Event()], admission={"max_running": 1}, quotas={"local": {"queued": 1}})
    visitor = arrive(house)
    running, waiting, refused = (visitor.visit() for _ in range(3))
    ask(running, "First")
    expect(running.get_by_test_id("turn-answer")).to_have_text("Half")
    ask(waiting, "Second")
    expect(waiting.get_by_test_id("turn-status")).to_contain_text("You are next")
    ask(refused, "Third")
    expect(refused.locator("#notice")).to_contain_text("let one finish first")
    expect(refused.get_by_test_id("ask-box")).to_have_value("Third")
    running.get_by_test_id("stop").click()
    wait_for(waiting, "done")
    refused.get_by_role("button", name="Ask again").click()
    expect(refused.get_by_test_id("turn-question")).to_have_text("Third")


def test_the_page_says_that_the_line_is_down_and_recovers(build: Build, arrive: Arrive) -> None:
    house = build(["Here."])
    visitor = arrive(house)
    visitor.expected = ("net::",)
    page = visitor.visit()
    visitor.context.set_offline(True)
    expect(page.locator("#notice")).to_contain_text("Connection lost")
    visitor.context.set_offline(False)
    expect(page.locator("#notice")).to_be_hidden()
    ask(page, "Tell me")
    expect(page.get_by_test_id("turn-answer")).to_have_text("Here.")
