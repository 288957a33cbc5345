"""What becomes of links, in a browser: an operator revokes all of somebody's; a copy says that it has no steps."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Visitor, ask, wait_for
from tests.browser.house import House

Arrive = Callable[..., Visitor]


def shared(person: Visitor, house: House) -> str:
    """The address of a link to this person's newest conversation."""
    request = person.context.request
    found = request.get(f"{house.url}api/conversations").json()["conversations"][0]["id"]
    made = request.post(f"{house.url}api/conversations/{found}/share", data={})
    assert made.ok, made.text()
    return str(made.json()["url"])


def test_an_operator_revokes_all_links_of_somebody(house: House, arrive: Arrive) -> None:
    person = arrive(house)
    page = person.visit()
    ask(page, "Who built the Great Wall?")
    wait_for(page, "done")
    links = [shared(person, house) for _ in range(2)]
    admin = arrive(house).visit("admin#people")
    expect(admin.get_by_test_id("unlink")).to_have_text("Revoke links (2)")
    admin.get_by_test_id("unlink").click()
    expect(admin.locator("#sure-text")).to_contain_text("Revoke all share links of Guest")
    admin.get_by_test_id("sure-yes").click()
    expect(admin.get_by_test_id("unlink")).to_have_count(0)
    assert [admin.request.get(link).status for link in links] == [404, 404]
    audit = arrive(house).visit("admin#audit")
    expect(audit.get_by_test_id("audit-line").first).to_contain_text("revoked all links of")


def test_a_copy_says_that_the_steps_are_not_in_it(house: House, arrive: Arrive) -> None:
    person = arrive(house)
    page = person.visit()
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    reader = arrive(house)
    copied = reader.context.request.post(f"{shared(person, house)}/fork")
    assert copied.ok, copied.text()
    copy = reader.visit(copied.json()["url"].removeprefix("/"))
    copy.locator(".trace summary").click()
    expect(copy.locator(".trace .step")).to_have_text("Copied from a linkwithout the steps of the original")
