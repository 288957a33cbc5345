"""The page that compares, when a reply comes late: what tells of the time before is not drawn over what was done."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import APIResponse, Route, expect

from tests.browser.comparing import begin, ended
from tests.browser.conftest import Visitor
from tests.browser.house import House

Arrive = Callable[..., Visitor]


def test_a_reply_that_was_overtaken_does_not_take_back_a_column_that_was_run_again(
    house: House, arrive: Arrive
) -> None:
    page = arrive(house).visit("compare?compare=naive,hyde&q=How tall is the Eiffel Tower?")
    late: list[tuple[Route, APIResponse]] = []
    holding = [True]

    def hold(route: Route) -> None:
        if holding and route.request.post_data_json["do"] == "open":
            late.append((route, route.fetch()))
        else:
            route.continue_()

    page.route("**/ui/compare", hold)
    begin(page)
    ended(page)
    page.get_by_test_id("pipeline-picker").first.select_option("direct")
    with page.expect_response(lambda response: '"again"' in (response.request.post_data or "")):
        page.get_by_test_id("run-column").first.click()
    holding.clear()
    for route, response in late:
        route.fulfill(response=response)
    page.evaluate("() => window.colloquy.compare.probe()")  # comes back behind them
    expect(page.get_by_test_id("pipeline-picker").first).to_have_value("direct")
    ended(page)
    expect(page.get_by_test_id("pipeline-picker").first).to_have_value("direct")


def test_what_was_read_while_a_vote_was_cast_does_not_take_it_back(house: House, arrive: Arrive) -> None:
    page = arrive(house).visit("compare?compare=naive,hyde&q=How tall is the Eiffel Tower?")
    begin(page)
    ended(page)
    expect(page.get_by_test_id("vote-b")).to_be_visible()
    late: list[tuple[Route, APIResponse]] = []
    votes: list[Route] = []

    def hold(route: Route) -> None:
        """The vote waits until the page has been read, and what was read until the vote is told."""
        deed = route.request.post_data_json["do"]
        if deed == "vote":
            votes.append(route)
        elif deed == "open" and votes and not late:
            late.append((route, route.fetch()))
        else:
            route.continue_()

    page.route("**/ui/compare", hold)
    with page.expect_request(lambda request: '"vote"' in (request.post_data or "")):
        page.keyboard.press("2")
    with page.expect_request(lambda request: '"open"' in (request.post_data or "")):
        page.evaluate("() => dispatchEvent(new PopStateEvent('popstate'))")
    with page.expect_response(lambda response: '"open"' in (response.request.post_data or "")):  # once more, by itself
        votes[0].continue_()
    [(route, response)] = late
    route.fulfill(response=response)
    page.evaluate("() => window.colloquy.compare.probe()")  # comes back behind it
    expect(page.get_by_test_id("voted")).to_have_attribute("data-winner", "b")
    expect(page.get_by_test_id("ballot")).to_be_hidden()
