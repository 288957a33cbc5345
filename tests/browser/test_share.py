"""A link from one browser to another: previewed, made, opened, watched, copied, run again, revoked, gone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app.backend.storage import shares as store
from tests.browser.conftest import Visitor, ask, wait_for
from tests.browser.house import House

QUESTION = "How tall is the Eiffel Tower?"


def shared(page: Page) -> str:
    """Share what is open; the link."""
    page.get_by_test_id("share-button").click()
    expect(page.get_by_test_id("share-preview")).to_contain_text(QUESTION)
    page.get_by_test_id("share-publish").click()
    link = page.get_by_test_id("share-url")
    expect(link).to_be_visible()
    return link.input_value()


def opened(visitor: Visitor, link: str) -> Page:
    return visitor.visit(link.removeprefix(visitor.url))


@pytest.fixture
def ann(house: House, arrive: Callable[..., Visitor]) -> Page:
    page = arrive(house).visit()
    ask(page, QUESTION)
    wait_for(page, "done")
    return page


def test_a_link_is_opened_copied_revoked_and_gone(house: House, ann: Page, arrive: Callable[..., Visitor]) -> None:
    link = shared(ann)
    assert re.fullmatch(rf"{re.escape(house.url)}s/[\w-]{{43}}", link)
    bob = arrive(house)
    page = opened(bob, link)
    expect(page.get_by_test_id("turn-question")).to_have_text(QUESTION)
    expect(page.get_by_test_id("turn-answer")).to_contain_text("330 metres")
    page.get_by_test_id("citation").first.click()
    expect(page.get_by_test_id("source-card").first).to_contain_text("Eiffel Tower")
    page.get_by_test_id("fork").click()
    page.wait_for_url("**/?c=*")
    page.wait_for_selector("body.ready")
    expect(page.get_by_test_id("turn-answer")).to_contain_text("330 metres")
    ask(page, "And where does it stand?")
    wait_for(page, "done", 2)

    ann.reload()
    ann.wait_for_selector("body.ready")
    expect(ann.get_by_test_id("turn-question")).to_have_count(1)
    ann.get_by_test_id("share-button").click()
    line = ann.get_by_test_id("share-line")
    expect(line).to_contain_text("1 view")
    line.get_by_test_id("revoke").click()
    line.get_by_test_id("revoke").click()
    expect(line).to_have_count(0)
    gone = bob.context.new_page()
    assert gone.goto(link).status == 404
    expect(gone.get_by_test_id("gone")).to_be_visible()
    text = gone.content()
    assert gone.goto(f"{house.url}s/{'x' * 43}").status == 404
    expect(gone.get_by_test_id("gone")).to_be_visible()
    assert gone.content() == text


def test_the_dialog_is_used_by_keyboard_alone_and_says_what_is_published(ann: Page) -> None:
    ann.get_by_test_id("share-button").focus()
    ann.keyboard.press("Enter")
    expect(ann.get_by_test_id("share-preview")).to_contain_text("330 metres")
    ann.get_by_test_id("share-expiry").select_option("86400")
    ann.get_by_test_id("share-publish").focus()
    ann.keyboard.press("Enter")
    expect(ann.get_by_test_id("share-url")).to_be_focused()
    ann.keyboard.press("Escape")
    expect(ann.get_by_test_id("share-dialog")).to_be_hidden()
    expect(ann.get_by_test_id("share-button")).to_be_focused()


def test_what_keeps_a_link_from_being_made_is_said(
    house: House, arrive: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = arrive(house)
    ann.expected = ("422",)
    page = ann.visit()
    ask(page, QUESTION)
    wait_for(page, "done")
    page.get_by_test_id("share-button").click()
    monkeypatch.setattr(store, "MAX_SHARES", 0)
    page.get_by_test_id("share-publish").click()
    expect(page.get_by_test_id("share-dialog").get_by_role("alert")).to_contain_text("revoke one")


def test_running_again_shows_the_new_answer_and_what_changed(
    house: House, ann: Page, arrive: Callable[..., Visitor]
) -> None:
    page = opened(arrive(house), shared(ann))
    page.get_by_test_id("run-again").click()
    expect(page.get_by_test_id("rerun").get_by_test_id("turn-answer")).to_contain_text("330 metres")
    expect(page.get_by_test_id("change")).to_contain_text("word for word")
    expect(page.get_by_test_id("change")).to_contain_text("Same pipeline, settings, model, corpus version and seed")


def test_an_answer_is_watched_as_it_is_written(build: Callable[..., House], arrive: Callable[..., Visitor]) -> None:
    gate = asyncio.Event()
    house = build(["It is ", gate, "330 metres tall."])
    ann = arrive(house).visit()
    ask(ann, QUESTION)
    expect(ann.get_by_test_id("turn-answer")).to_contain_text("It is")
    ann.get_by_test_id("share-button").click()
    expect(ann.get_by_test_id("share-preview")).to_contain_text("Thinking")
    ann.keyboard.press("Escape")
    link = shared(ann)
    page = opened(arrive(house), link)
    expect(page.get_by_test_id("on-air")).to_be_visible()
    expect(page.get_by_test_id("as-live")).to_be_visible()
    expect(page.get_by_text("As it was on")).to_be_hidden()
    expect(page.get_by_test_id("turn-answer")).to_contain_text("It is")
    house.set(gate)
    expect(page.get_by_test_id("turn-answer")).to_contain_text("330 metres tall.")
    expect(page.get_by_test_id("on-air")).to_have_count(0)
    expect(page.get_by_text("As it was on")).to_be_visible()
    expect(page.get_by_test_id("as-live")).to_have_count(0)


def test_the_page_has_both_languages_both_looks_and_needs_no_cookie(
    house: House, ann: Page, arrive: Callable[..., Visitor]
) -> None:
    page = opened(arrive(house, viewport={"width": 390, "height": 844}), shared(ann))
    page.get_by_test_id("language-switch").click()
    expect(page.get_by_test_id("fork")).to_have_text("从这里继续")
    page.wait_for_selector("body.ready")
    before = page.evaluate("document.documentElement.dataset.theme")
    page.get_by_test_id("theme-switch").click()
    assert page.evaluate("document.documentElement.dataset.theme") != before
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_list_of_links_tells_their_views_and_revokes(house: House, ann: Page) -> None:
    shared(ann)
    ann.get_by_test_id("all-links").click()
    ann.wait_for_url("**/links")
    line = ann.get_by_test_id("share-line")
    expect(line).to_contain_text(QUESTION)
    expect(line.get_by_test_id("views")).to_have_text("0 views")
    with ann.expect_response("**/api/consent"):
        ann.get_by_test_id("consent").check()
    ann.reload()
    expect(ann.get_by_test_id("consent")).to_be_checked()
    line.get_by_test_id("revoke").click()
    line.get_by_test_id("revoke").click()
    expect(ann.get_by_test_id("no-links")).to_be_visible()


def test_a_comparison_is_shared_from_its_page_and_copied_as_one(house: House, arrive: Callable[..., Visitor]) -> None:
    ann = arrive(house)
    page = ann.visit()
    sides = [{"pipeline": "naive"}, {"pipeline": "direct"}]
    made = page.request.post(f"{house.url}api/compare", data={"question": QUESTION, "sides": sides}).json()
    for generation_id in made["generation_ids"]:
        page.request.get(f"{house.url}api/generations/{generation_id}/events")
    page = ann.visit(f"compare?id={made['comparison_id']}")
    page.get_by_test_id("share-button").click()
    expect(page.get_by_test_id("share-preview").locator(".told")).to_have_count(2)
    page.get_by_test_id("share-publish").click()
    link = page.get_by_test_id("share-url").input_value()
    expect(page.get_by_test_id("share-frame")).to_have_count(0)  # no other site may show it
    expect(page.get_by_role("heading", name="Links to this comparison")).to_be_visible()
    bob = opened(arrive(house), link)
    expect(bob.get_by_test_id("compare-column")).to_have_count(2)
    expect(bob.get_by_test_id("compare-column").first).to_contain_text("330 metres")
    bob.get_by_test_id("fork").click()
    bob.wait_for_url("**/compare?id=*")
    bob.wait_for_selector("body.ready")
    expect(bob.get_by_test_id("compare-column")).to_have_count(2)
    expect(bob.get_by_test_id("compare-column").first).to_contain_text("330 metres")


def test_a_comparison_is_watched_while_one_of_its_columns_is_written(
    build: Callable[..., House], arrive: Callable[..., Visitor]
) -> None:
    gate = asyncio.Event()
    house = build(["It is 330 metres tall."], ["Well", gate, ", it is tall."])
    page = arrive(house).visit(f"compare?compare=direct,direct&q={QUESTION}")
    page.get_by_test_id("send").click()
    expect(page.locator(".col[data-phase=ended]")).to_have_count(1)
    bob = opened(arrive(house), shared(page))
    expect(bob.get_by_test_id("on-air")).to_be_visible()
    expect(bob.locator(".told .answer[data-live]")).to_have_count(1)
    expect(bob.get_by_test_id("turn-answer")).to_have_text(["It is 330 metres tall.", "Well"])
    house.set(gate)
    expect(bob.get_by_test_id("turn-answer")).to_have_text(["It is 330 metres tall.", "Well, it is tall."])
    expect(bob.get_by_test_id("on-air")).to_have_count(0)


def test_where_other_sites_may_show_a_share_the_line_for_them_is_copied(
    build: Callable[..., House], arrive: Callable[..., Visitor]
) -> None:
    house = build(tokens_per_s=200, server={"embed_origins": ["http://localhost:1"]})
    visitor = arrive(house, permissions=["clipboard-read", "clipboard-write"])
    page = visitor.visit()
    ask(page, QUESTION)
    wait_for(page, "done")
    link = shared(page)
    page.get_by_test_id("share-copy-frame").click()
    expect(page.get_by_test_id("share-copy-frame")).to_have_text("Copied")
    line = page.evaluate("navigator.clipboard.readText()")
    assert line.startswith(f'<iframe src="{link}?embed=1" title="{QUESTION}"')
    assert line.endswith("></iframe>")


def test_the_sheet_of_sources_on_a_phone_lies_above_the_page_and_goes_away(
    house: House, ann: Page, arrive: Callable[..., Visitor]
) -> None:
    page = opened(arrive(house, viewport={"width": 390, "height": 844}), shared(ann))
    page.get_by_test_id("citation").first.click()
    card = page.get_by_test_id("source-card").first
    expect(card).to_be_in_viewport()
    card.click()  # nothing lies over it
    page.mouse.click(195, 60)  # the page behind it is dark, and closes it
    expect(card).not_to_be_in_viewport()
