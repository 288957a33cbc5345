"""Several engines in a browser: one is picked, or named by a link, where there are several."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from playwright.sync_api import expect

from app.backend.engines.scripted import ScriptedEngine
from tests.browser.conftest import Visitor, ask, wait_for
from tests.browser.house import House

Arrive = Callable[..., Visitor]


def test_a_link_or_a_picker_names_the_engine_of_a_chat_and_of_each_column(
    build: Callable[..., House], arrive: Arrive
) -> None:
    house = build(named={"large": ScriptedEngine(model="Large-8B", tokens_per_s=0)})
    person = arrive(house)
    page = person.visit("?engine=large")
    expect(page.get_by_test_id("engine-picker")).to_have_value("large")
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    expect(page.locator(".origin")).to_contain_text("large · Large-8B")
    page.get_by_test_id("engine-picker").select_option("")
    ask(page, "Who built it?")
    wait_for(page, "done", 2)
    expect(page.locator(".origin").last).not_to_contain_text("large")

    page = person.visit("compare?compare=direct,direct&engine=,large&q=How tall is it?")
    pickers = page.get_by_test_id("engine-picker")
    assert [picker.input_value() for picker in pickers.all()] == ["", "large"]
    page.get_by_test_id("send").click()
    expect(page.locator(".col[data-phase=ended]")).to_have_count(2)
    assert page.locator(".col .by").all_text_contents() == ["Scripted-1B", "Large-8B"]
    pickers.first.select_option("large")
    page.get_by_test_id("run-column").first.click()
    expect(page.locator(".col .by").first).to_have_text("Large-8B")

    page = person.visit("compare?compare=direct,direct&engine=huge")
    expect(page.get_by_test_id("toast")).to_be_visible()
    assert [picker.input_value() for picker in page.get_by_test_id("engine-picker").all()] == ["", ""]


def test_on_a_phone_the_pickers_lie_beside_each_other_and_each_number_of_an_answer_on_one_line(
    build: Callable[..., House], arrive: Arrive
) -> None:
    house = build(named={"large": ScriptedEngine(model="Large-8B", tokens_per_s=0)})
    page = arrive(house, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).visit()
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    shown = page.locator(".tray :is(select, #tune, .round):visible").all()
    boxes = sorted((box for box in (one.bounding_box() for one in shown) if box), key=lambda box: box["x"])
    assert len(boxes) == 5
    gaps = [after["x"] - before["x"] - before["width"] for before, after in pairwise(boxes)]
    assert min(gaps) >= 4
    assert boxes[-1]["width"] >= boxes[-1]["height"] - 0.5
    page.evaluate(
        "document.querySelectorAll('.timeline summary > span').forEach(it => it.textContent += ' 1,024 more')"
    )
    numbers = page.locator(".timeline summary > span:not(.bars)").all()
    assert numbers
    assert max(box["height"] for box in (number.bounding_box() for number in numbers) if box) < 28
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
