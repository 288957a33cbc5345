"""Methods on the page: the picker by family, the settings of one, and the trace of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, ask, wait_for
from tests.browser.house import House

Arrive = Callable[..., Visitor]
Build = Callable[..., House]
ROUNDS = (["It is <b>iron</b>."], ["It is tall."], ["It is 330 metres tall [1]."])


def pick(page: Page, name: str) -> None:
    page.get_by_test_id("pipeline-picker").select_option(name)


def set_to(page: Page, name: str, value: str) -> None:
    box = page.locator(f"#tune-{name}")
    box.fill(value)
    with page.expect_response("**/component_server/"):
        box.press("Tab")


def test_a_trace_grows_while_it_is_open_and_is_the_same_after_a_reload(build: Build, arrive: Arrive) -> None:
    first, gate = asyncio.Event(), asyncio.Event()
    house = build(["It is", first, " <b>iron</b>."], ROUNDS[1], ["It is 330", gate, " metres tall [1]."])
    page = arrive(house).visit()
    pick(page, "iterretgen")
    ask(page, "How tall is the Eiffel Tower?")
    trace = page.get_by_test_id("trace")
    expect(trace.locator(".step")).to_have_count(2)
    trace.locator("summary").press("Enter")
    expect(trace).to_have_attribute("open", "")
    house.set(first)
    expect(trace.locator(".step")).to_have_count(6)
    expect(trace.locator(".said").first).to_have_text("It is <b>iron</b>.")
    expect(trace.locator("summary")).to_have_text("3 searches")
    expect(trace.locator(".step[data-now]")).to_have_count(1)
    house.set(gate)
    wait_for(page, "done")
    expect(trace.locator("summary")).to_contain_text("3 searches, 3 calls of the model, ")
    expect(trace).to_have_attribute("open", "")
    expect(trace.locator(".step")).to_have_count(7)
    expect(trace.locator(".step[data-now]")).to_have_count(0)
    shown = trace.inner_text()
    page.reload()
    expect(trace.locator("summary")).to_contain_text("3 searches, 3 calls of the model, ")
    expect(trace.locator(".step")).to_have_count(0)
    trace.locator("summary").click()
    expect(trace.locator(".step")).to_have_count(7)
    assert trace.inner_text() == shown
    trace.locator(".cite").first.click()
    expect(page.get_by_test_id("source-card").first).to_be_focused()


def test_a_trace_stays_unfolded_when_the_next_question_is_asked(build: Build, arrive: Arrive) -> None:
    page = arrive(build()).visit()
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    first = page.get_by_test_id("trace").first
    first.locator("summary").click()
    expect(first.locator(".step").first).to_be_visible()
    ask(page, "And how long is the wall?")
    wait_for(page, "done", 2)
    expect(first.locator(".step").first).to_be_visible()


def test_settings_are_checked_remembered_sent_and_shown(build: Build, arrive: Arrive) -> None:
    visitor = arrive(build())
    page = visitor.visit()
    expect(page.get_by_test_id("tuned")).to_be_hidden()
    page.get_by_test_id("tune").press("Enter")
    expect(page.locator("#tune-retrieval_topk")).to_be_focused()
    set_to(page, "retrieval_topk", "500")
    wrong = page.locator("[data-name=retrieval_topk]").get_by_test_id("tune-wrong")
    expect(wrong).to_have_text("retrieval_topk must be a whole number from 1 to 100.")
    expect(page.get_by_test_id("tuned")).to_be_hidden()
    set_to(page, "retrieval_topk", "2")
    expect(wrong).to_be_hidden()
    page.locator("#tune-retriever").select_option("bm25")
    expect(page.get_by_test_id("tuned")).to_have_text("2 changed")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("tuning")).to_be_hidden()
    pick(page, "direct")
    expect(page.get_by_test_id("tuned")).to_be_hidden()
    page.reload()
    page.wait_for_selector("body.ready")
    pick(page, "naive")
    expect(page.get_by_test_id("tuned")).to_have_text("2 changed")
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    used = page.get_by_test_id("settings-used")
    used.locator("summary").click()
    expect(used).to_contain_text("retrieval_topk 2")
    expect(used).to_contain_text("retriever bm25")
    expect(page.get_by_test_id("source-card")).to_have_count(2)
    page.get_by_test_id("tune").click()
    page.get_by_test_id("tune-reset").click()
    expect(page.locator("#tune-retrieval_topk")).to_have_value("5")
    expect(page.get_by_test_id("tuned")).to_be_hidden()


def test_escape_in_the_settings_does_not_stop_the_answer(build: Build, arrive: Arrive) -> None:
    gate = asyncio.Event()
    house = build(["Held", gate, " back."])
    page = arrive(house).visit()
    ask(page, "How tall is the Eiffel Tower?")
    expect(page.get_by_test_id("turn-answer")).to_contain_text("Held")
    page.get_by_test_id("tune").click()
    page.locator("#tune-temperature").press("Escape")
    expect(page.get_by_test_id("tuning")).to_be_hidden()
    house.set(gate)
    wait_for(page, "done")


def test_the_picker_lists_families_and_finds_a_method_by_typing(page: Page) -> None:
    picker = page.get_by_test_id("pipeline-picker")
    groups = "el => [...el.querySelectorAll('optgroup')].map((group) => group.label)"
    assert picker.evaluate(groups)[:2] == ["Basic", "Better queries"]
    page.get_by_test_id("language-switch").click()
    expect(page.get_by_test_id("language-switch")).to_have_text("English")
    assert picker.evaluate(groups)[:2] == ["基础", "改进查询"]
    expect(picker.locator("option[value=flare] small")).to_have_text("逐句书写，只在模型对下一句没有把握时检索。")
    picker.focus()
    page.keyboard.type("fla")
    expect(picker).to_have_value("flare")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_settings_fit_the_screen_and_speak_chinese(house: House, arrive: Arrive, width: int) -> None:
    page = arrive(house, locale="zh-CN", viewport={"width": width, "height": 740}).visit()
    pick(page, "selfrag")
    page.get_by_test_id("tune").click()
    set_to(page, "threshold", "9")
    expect(page.locator("[data-name=threshold]").get_by_test_id("tune-wrong")).to_have_text(
        "threshold 必须是 0 到 1 之间的数。"
    )
    box = page.get_by_test_id("tuning").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= 740


def test_the_start_page_and_a_trace_take_turns_in_the_thread(build: Build, arrive: Arrive) -> None:
    page = arrive(build(*ROUNDS)).visit()  # what has no id, such as the start, is nobody's earlier answer
    pick(page, "iterretgen")
    for _ in range(2):
        page.get_by_test_id("new-conversation").click()
        expect(page.locator("#thread .home")).to_have_count(1)
        if page.get_by_test_id("conversation-item").count():
            page.get_by_test_id("conversation-item").first.locator("a").click()
        else:
            ask(page, "How tall is the Eiffel Tower?")
        wait_for(page, "done")
        page.get_by_test_id("trace").locator("summary").click()
        expect(page.get_by_test_id("trace").locator(".step")).to_have_count(7)
