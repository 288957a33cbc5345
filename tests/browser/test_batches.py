"""A batch in a browser: from pasted questions to the verdict, a row's comparison, and away with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.house import House

LINES = "\n".join(
    json.dumps({"question": f"How tall is tower {n}?", "golden_answers": ["330 metres"]}) for n in range(24)
)
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script> [x](javascript:document.title=3)'


def test_from_questions_to_a_verdict_and_into_one_row(
    build: Callable[..., House], arrive: Callable[..., Visitor]
) -> None:
    visitor = arrive(build())
    visitor.expected = ("422",)
    page = visitor.visit("compare")
    page.get_by_test_id("go-batches").click()
    page.wait_for_url("**/compare/batches")
    page.wait_for_selector("body.ready")
    page.get_by_test_id("batch-text").fill('{"question": "One?"}\n{"question": ')
    page.get_by_test_id("batch-name").fill("towers.jsonl")
    page.get_by_test_id("batch-go").click()
    expect(page.get_by_test_id("batch-wrong")).to_have_text("towers.jsonl: Line 2 is not valid JSON.")
    page.get_by_test_id("batch-text").fill(LINES)
    expect(page.get_by_test_id("batch-told")).to_contain_text("24 with golden answers")
    for place, pipeline in enumerate(("naive", "direct")):
        page.get_by_test_id("batch-pipeline").nth(place).select_option(pipeline)
    page.get_by_test_id("batch-go").click()
    page.wait_for_url(re.compile("/compare/batches/."))
    page.wait_for_selector("body.ready")
    expect(page.get_by_test_id("batch-progress")).to_contain_text("24 of 24 answered", timeout=120_000)
    expect(page.get_by_test_id("verdict")).to_contain_text("Naive RAG beats Direct by")
    expect(page.get_by_test_id("tally")).to_contain_text("24 better")
    expect(page.get_by_test_id("strip").locator("a")).to_have_count(24)
    page.get_by_test_id("show-right").wait_for(state="detached")
    page.get_by_test_id("batch-metric").select_option("em")
    expect(page.get_by_test_id("tally")).to_contain_text("24 equal")
    page.reload()
    expect(page.get_by_test_id("tally")).to_contain_text("24 equal")
    expect(page.get_by_test_id("batch-csv")).to_have_attribute("href", re.compile(r"/export\?format=csv&metric="))
    page.get_by_test_id("batch-row-link").first.click()
    expect(page).to_have_url(re.compile(r"/compare\?id="))
    expect(page.get_by_test_id("compare-column")).to_have_count(2)
    expect(page.get_by_test_id("turn-answer").first).to_contain_text("330 metres")
    page.get_by_test_id("to-batch").click()
    expect(page.get_by_test_id("tally")).to_contain_text("24 better")
    page.goto(visitor.url)
    page.wait_for_selector("body.ready")
    expect(page.get_by_test_id("conversation-item")).to_have_count(0)


def test_hostile_questions_are_text_and_a_batch_is_deleted_after_a_second_thought(
    build: Callable[..., House], arrive: Callable[..., Visitor], tmp_path: Path
) -> None:
    page = arrive(build()).visit("compare/batches")
    given = tmp_path / "hostile.txt"
    given.write_text(f"{HOSTILE}\n{HOSTILE}")
    page.get_by_test_id("batch-file").set_input_files(given)
    expect(page.get_by_test_id("batch-name")).to_have_value("hostile.txt")
    page.get_by_test_id("batch-name").fill(HOSTILE)
    page.get_by_test_id("batch-go").click()
    page.wait_for_url(re.compile("/compare/batches/."))
    page.wait_for_selector("body.ready")
    expect(page.get_by_test_id("batch-progress")).to_contain_text("2 of 2", timeout=120_000)
    expect(page.get_by_test_id("batch-row-link").first).to_contain_text("onerror")
    assert page.locator("main img, main script").count() == 0
    assert page.title() not in ("1", "2", "3")
    page.get_by_test_id("batch-delete").click()
    page.get_by_test_id("batch-delete-now").click()
    expect(page.get_by_test_id("batch-form")).to_be_visible()
    expect(page.get_by_test_id("batch-line")).to_have_count(0)
