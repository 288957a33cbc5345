"""Comparisons and batches between people: what the state machine does with one's own, and tries with another's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.isolation.ownership import Person, TwoPeople

Request = tuple[str, str, object]
PEOPLE = st.sampled_from(["ann", "bob"])
CHANCE = st.integers(0, 1_000_000)
SIDES = [{"pipeline": "direct"}, {"pipeline": "naive"}]
ON_COMPARISON: Mapping[str, Callable[[str], Request]] = {
    "read": lambda c: ("GET", f"/api/comparisons/{c}", None),
    "again": lambda c: ("POST", f"/api/comparisons/{c}/columns/a/again", {}),
    "vote": lambda c: ("POST", f"/api/comparisons/{c}/vote", {"winner": "a"}),
    "export": lambda c: ("GET", f"/api/comparisons/{c}/export?format=md", None),
    "export as JSON": lambda c: ("GET", f"/api/comparisons/{c}/export?format=json", None),
}
ON_BATCH: Mapping[str, Callable[[str], Request]] = {
    "read": lambda b: ("GET", f"/api/batches/{b}", None),
    "export": lambda b: ("GET", f"/api/batches/{b}/export?format=csv", None),
    "stop": lambda b: ("POST", f"/api/batches/{b}/stop", None),
    "go on": lambda b: ("POST", f"/api/batches/{b}/continue", None),
    "delete": lambda b: ("DELETE", f"/api/batches/{b}", None),
}


class Comparing:
    """Rules of a machine with a `house`."""

    house: TwoPeople

    def person(self, name: str) -> Person:
        raise NotImplementedError

    def other(self, name: str) -> Person:
        raise NotImplementedError

    def nothing_foreign_in(self, text: str, who: str) -> None:
        raise NotImplementedError

    def is_like_missing(self, who: str, request: Callable[[str], Request], theirs: str) -> None:
        raise NotImplementedError

    @rule(who=PEOPLE, blind=st.booleans())
    def compare(self, who: str, blind: bool) -> None:
        person = self.person(who)
        asked = {"question": person.writes("which?"), "sides": SIDES, "blind": blind}
        ticket = person.send("POST", "/api/compare", asked)
        assert ticket.status_code == 202, ticket.text
        made = ticket.json()
        for generation in made["generation_ids"]:
            self.house.settle(person, generation, held=False)
        person.comparisons.append(made["comparison_id"])
        person.columns += made["generation_ids"]

    @precondition(lambda self: self.house.ann.comparisons or self.house.bob.comparisons)
    @rule(who=PEOPLE, chance=CHANCE, winner=st.sampled_from(["a", "b", "tie", "both_bad"]))
    def vote_and_run_again(self, who: str, chance: int, winner: str) -> None:
        person = self.person(who)
        if not person.comparisons:
            return
        here = f"/api/comparisons/{person.comparisons[chance % len(person.comparisons)]}"
        before = person.send("GET", here).json()
        voted = person.send("POST", f"{here}/vote", {"winner": winner, "comment": person.writes("why")})
        assert voted.status_code == (422 if before["blind"] and before["vote"] else 200), voted.text
        self.nothing_foreign_in(voted.text, who)
        again = person.send("POST", f"{here}/columns/b/again", {})
        assert again.status_code == 202, again.text
        self.house.settle(person, again.json()["generation_id"], held=False)
        person.columns.append(again.json()["generation_id"])

    @precondition(lambda self: self.house.ann.comparisons or self.house.bob.comparisons)
    @rule(who=PEOPLE, chance=CHANCE, action=st.sampled_from(sorted(ON_COMPARISON)))
    def trespass_on_a_comparison(self, who: str, chance: int, action: str) -> None:
        theirs = self.other(who).comparisons
        if theirs:
            self.is_like_missing(who, ON_COMPARISON[action], theirs[chance % len(theirs)])

    @rule(who=PEOPLE)
    def ask_a_batch(self, who: str) -> None:
        person = self.person(who)
        asked = {"name": person.writes("file"), "questions": person.writes("which?"), "sides": SIDES}
        made = person.send("POST", "/api/batches", asked)
        assert made.status_code == 202, made.text
        person.batches.append(made.json()["id"])
        until = time.monotonic() + 60
        while (read := person.send("GET", f"/api/batches/{person.batches[-1]}")).json()["batch"]["state"] == "running":
            assert time.monotonic() < until, read.text
        self.nothing_foreign_in(read.text, who)
        self.nothing_foreign_in(person.send("GET", "/api/batches").text, who)

    @precondition(lambda self: self.house.ann.batches or self.house.bob.batches)
    @rule(who=PEOPLE, chance=CHANCE, action=st.sampled_from(sorted(ON_BATCH)))
    def trespass_on_a_batch(self, who: str, chance: int, action: str) -> None:
        theirs = self.other(who).batches
        if theirs:
            self.is_like_missing(who, ON_BATCH[action], theirs[chance % len(theirs)])
