"""A demo that compares, in a browser: its visitor votes once, the presenter sees the tally as it grows."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Visitor, ask, wait_for
from tests.browser.house import House
from tests.browser.test_demos import publish

Arrive = Callable[..., Visitor]


def test_a_visitor_votes_when_all_is_written_and_the_presenter_sees_it(house: House, arrive: Arrive) -> None:
    publisher = arrive(house)
    publish(publisher, "versus", sides=[{"pipeline": "naive"}, {"pipeline": "direct"}])
    presenter = publisher.visit("d/versus/present")
    expect(presenter.get_by_test_id("votes-a")).to_have_text("0")
    page = arrive(house).visit("d/versus")
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done", 2)
    page.get_by_test_id("vote-b").click()
    expect(page.get_by_test_id("voted")).to_have_text("You voted for B")
    expect(page.get_by_test_id("ballot")).to_have_count(0)
    expect(presenter.get_by_test_id("votes-b")).to_have_text("1")
    page.reload()
    expect(page.get_by_test_id("voted")).to_have_text("You voted for B")
    ask(page, "Who built the wall?")
    wait_for(page, "done", 4)
    page.get_by_test_id("vote-both-bad").click()
    expect(page.get_by_test_id("voted")).to_have_text(["You voted for B", "You found none of them good"])
    expect(presenter.get_by_test_id("votes-both-bad")).to_have_text("1")


def test_a_demo_of_one_method_asks_for_no_vote(house: House, arrive: Arrive) -> None:
    publisher = arrive(house)
    publish(publisher)
    page = arrive(house).visit("d/room")
    ask(page, "How tall is the Eiffel Tower?")
    wait_for(page, "done")
    expect(page.get_by_test_id("ballot")).to_have_count(0)
    presenter = publisher.visit("d/room/present")
    expect(presenter.get_by_test_id("count-visitors")).to_have_text("1")
    expect(presenter.get_by_test_id("tally")).to_have_count(0)
