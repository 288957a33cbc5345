"""Whatever two people do, in any order: what is another's looks like what never was, and never changes or shows."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.isolation.comparing import ON_BATCH, ON_COMPARISON, Comparing
from tests.isolation.ownership import HOLD, Person, Talk, TwoPeople
from tests.isolation.sharing import ON_SHARE, Sharing

Request = tuple[str, str, object]
PEOPLE = st.sampled_from(["ann", "bob"])
CHANCE = st.integers(0, 1_000_000)

ON_CONVERSATION: Mapping[str, Callable[[str], Request]] = {
    "read": lambda c: ("GET", f"/api/conversations/{c}", None),
    "rename": lambda c: ("PATCH", f"/api/conversations/{c}", {"title": "Taken"}),
    "pin": lambda c: ("PATCH", f"/api/conversations/{c}", {"pinned": True}),
    "delete": lambda c: ("DELETE", f"/api/conversations/{c}", None),
    "restore": lambda c: ("POST", f"/api/conversations/{c}/restore", None),
    "branch": lambda c: ("POST", f"/api/conversations/{c}/branch", {"turn_id": "0" * 26}),
    "ask": lambda c: ("POST", f"/api/conversations/{c}/ask", {"question": "Mine?", "pipeline": "direct"}),
    "export": lambda c: ("GET", f"/api/conversations/{c}/export?format=md", None),
    "share": lambda c: ("POST", f"/api/conversations/{c}/share", {"expires_in_s": 60}),
    "export as JSON": lambda c: ("GET", f"/api/conversations/{c}/export?format=json", None),
}
ON_GENERATION: Mapping[str, Callable[[str], Request]] = {
    "read": lambda g: ("GET", f"/api/generations/{g}", None),
    "events": lambda g: ("GET", f"/api/generations/{g}/events", None),
    "later events": lambda g: ("GET", f"/api/generations/{g}/events?after=2", None),
    "stop": lambda g: ("POST", f"/api/generations/{g}/stop", None),
    "regenerate": lambda g: ("POST", f"/api/generations/{g}/regenerate", None),
    "choose": lambda g: ("POST", f"/api/generations/{g}/choose", None),
}


class TwoPeopleMachine(Comparing, Sharing, RuleBasedStateMachine):
    """Ann and Bob do all that the API offers, each with their own things and with each other's."""

    def __init__(self) -> None:
        super().__init__()
        self.house = TwoPeople()

    def teardown(self) -> None:
        self.house.close()

    def person(self, name: str) -> Person:
        return self.house.ann if name == "ann" else self.house.bob

    def other(self, name: str) -> Person:
        return self.person("bob" if name == "ann" else "ann")

    def talk(self, name: str, chance: int, *, deleted: bool = False) -> Talk | None:
        own = self.person(name).own(deleted=deleted)
        return own[chance % len(own)] if own else None

    # ---- what people do with what is theirs

    @rule(who=PEOPLE, chance=CHANCE, hold=st.booleans(), new=st.booleans())
    def ask(self, who: str, chance: int, hold: bool, new: bool) -> None:
        person, talk = self.person(who), self.talk(who, chance)
        if talk is None or new:
            talk = Talk(person.send("POST", "/api/conversations").json()["id"])
            person.talks.append(talk)
        question = person.writes(HOLD if hold else "now")
        body = {"question": question, "pipeline": "direct"}
        ticket = person.send("POST", f"/api/conversations/{talk.id}/ask", body)
        assert ticket.status_code == 202, ticket.text
        self.house.settle(person, ticket.json()["generation_id"], held=hold)
        talk.title = talk.title or question
        talk.questions.append(question)
        talk.turns.append(ticket.json()["turn_id"])
        talk.generations.append(ticket.json()["generation_id"])

    @rule(who=PEOPLE, chance=CHANCE)
    def regenerate(self, who: str, chance: int) -> None:
        person, talk = self.person(who), self.talk(who, chance)
        if talk is None or not talk.generations:
            return
        at = chance % len(talk.generations)
        ticket = person.send("POST", f"/api/generations/{talk.generations[at]}/regenerate")
        assert ticket.status_code == 202, ticket.text
        held = any(HOLD in question for question in talk.questions)
        question = next(t for t in self.read(person, talk)["turns"] if t["id"] == ticket.json()["turn_id"])["question"]
        assert held or HOLD not in question
        self.house.settle(person, ticket.json()["generation_id"], held=HOLD in question)
        talk.generations.append(ticket.json()["generation_id"])

    @rule(who=PEOPLE, chance=CHANCE, action=st.sampled_from(["stop", "choose"]))
    def stop_or_choose(self, who: str, chance: int, action: str) -> None:
        person, talk = self.person(who), self.talk(who, chance)
        if talk is None or not talk.generations:
            return
        generation = talk.generations[chance % len(talk.generations)]
        assert person.send("POST", f"/api/generations/{generation}/{action}").status_code == 204
        if action == "stop":
            self.house.settle(person, generation, held=False)

    @rule(who=PEOPLE, chance=CHANCE, pinned=st.booleans(), rename=st.booleans())
    def rename_or_pin(self, who: str, chance: int, pinned: bool, rename: bool) -> None:
        person, talk = self.person(who), self.talk(who, chance)
        if talk is None:
            return
        change: dict[str, object] = {"title": person.writes("title")} if rename else {"pinned": pinned}
        assert person.send("PATCH", f"/api/conversations/{talk.id}", change).status_code == 204
        talk.title, talk.pinned = str(change.get("title", talk.title)), bool(change.get("pinned", talk.pinned))

    @rule(who=PEOPLE, chance=CHANCE)
    def delete(self, who: str, chance: int) -> None:
        person, talk = self.person(who), self.talk(who, chance)
        if talk is None:
            return
        assert person.send("DELETE", f"/api/conversations/{talk.id}").status_code == 204
        talk.deleted = True

    @rule(who=PEOPLE, chance=CHANCE)
    def restore(self, who: str, chance: int) -> None:
        talk = self.talk(who, chance, deleted=True)
        if talk is None:
            return
        assert self.person(who).send("POST", f"/api/conversations/{talk.id}/restore").status_code == 204
        talk.deleted = False
        for generation in talk.generations:  # what ran when it was deleted was stopped
            self.house.settle(self.person(who), generation, held=False)

    @rule(who=PEOPLE, chance=CHANCE)
    def read_and_export(self, who: str, chance: int) -> None:
        person, talk = self.person(who), self.talk(who, chance)
        if talk is None:
            return
        read = self.read(person, talk)
        assert (read["title"], read["pinned"]) == (talk.title, talk.pinned)
        assert [turn["question"] for turn in read["turns"]] == talk.questions
        assert sorted(g["id"] for turn in read["turns"] for g in turn["generations"]) == sorted(talk.generations)
        for kind in ("md", "json"):
            exported = person.send("GET", f"/api/conversations/{talk.id}/export?format={kind}")
            assert exported.status_code == 200
            self.nothing_foreign_in(exported.text, who)

    # ---- what people do with what is not theirs

    @precondition(lambda self: self.house.ann.talks or self.house.bob.talks)
    @rule(who=PEOPLE, chance=CHANCE, action=st.sampled_from(sorted(ON_CONVERSATION)))
    def trespass_on_a_conversation(self, who: str, chance: int, action: str) -> None:
        theirs = [talk.id for talk in self.other(who).talks]
        gone = [talk.id for talk in self.person(who).own(deleted=True)] if action != "restore" else []
        if theirs or gone:
            self.is_like_missing(who, ON_CONVERSATION[action], (theirs + gone)[chance % len(theirs + gone)])

    @precondition(lambda self: self.house.ann.talks or self.house.bob.talks)
    @rule(who=PEOPLE, chance=CHANCE, action=st.sampled_from(sorted(ON_GENERATION)))
    def trespass_on_an_answer(self, who: str, chance: int, action: str) -> None:
        theirs = [g for talk in self.other(who).talks for g in talk.generations]
        gone = [g for talk in self.person(who).own(deleted=True) for g in talk.generations]
        if theirs or gone:
            self.is_like_missing(who, ON_GENERATION[action], (theirs + gone)[chance % len(theirs + gone)])

    @precondition(lambda self: self.house.ann.columns or self.house.bob.columns)
    @rule(who=PEOPLE, chance=CHANCE, action=st.sampled_from(sorted(ON_GENERATION)))
    def trespass_on_a_column(self, who: str, chance: int, action: str) -> None:
        theirs = self.other(who).columns
        if theirs:
            self.is_like_missing(who, ON_GENERATION[action], theirs[chance % len(theirs)])

    @rule(who=PEOPLE, chance=CHANCE)
    def trespass_on_a_link(self, who: str, chance: int) -> None:
        theirs = [link.id for link in self.links() if link.maker != who]
        if theirs:
            self.is_like_missing(who, ON_SHARE["revoke"], theirs[chance % len(theirs)])

    @rule(who=PEOPLE, chance=CHANCE, ask=st.booleans())
    def smuggle_a_turn_into_ones_own(self, who: str, chance: int, ask: bool) -> None:
        mine = self.talk(who, chance)
        turns = [t for talk in self.other(who).talks for t in talk.turns]
        turns += [t for talk in self.person(who).talks if talk is not mine for t in talk.turns]
        if mine is None or not turns:
            return

        def follow(turn: str) -> Request:
            if ask:
                body = {"question": "Mine?", "pipeline": "direct", "parent_id": turn}
                return ("POST", f"/api/conversations/{mine.id}/ask", body)
            return ("POST", f"/api/conversations/{mine.id}/branch", {"turn_id": turn})

        self.is_like_missing(who, follow, turns[chance % len(turns)])

    # ---- what always holds

    @invariant()
    def each_list_holds_ones_own(self) -> None:
        for who in ("ann", "bob"):
            person = self.person(who)
            listed = person.send("GET", "/api/conversations")
            lines = listed.json()["conversations"]
            shown = {line["id"]: (line["title"], line["pinned"]) for line in lines if line["kind"] == "chat"}
            compared = {line["id"] for line in person.send("GET", "/api/comparisons").json()["comparisons"]}
            assert {line["id"] for line in lines} - shown.keys() == compared == set(person.comparisons)
            assert shown == {t.id: (t.title, t.pinned) for t in person.own(deleted=False) if t.questions}
            self.nothing_foreign_in(listed.text, who)

    @rule(who=PEOPLE)
    def search(self, who: str) -> None:
        person, other = self.person(who), self.other(who)
        found = person.send("GET", f"/api/conversations?q={person.mark}").json()["conversations"]
        assert {line["id"] for line in found} == {
            *(t.id for t in person.own(deleted=False) if t.questions),
            *person.comparisons,
        }
        assert person.send("GET", f"/api/conversations?q={other.mark}").json() == {"conversations": []}

    def read(self, person: Person, talk: Talk) -> dict:
        answer = person.send("GET", f"/api/conversations/{talk.id}")
        assert answer.status_code == 200, answer.text
        self.nothing_foreign_in(answer.text, "ann" if person is self.house.ann else "bob")
        return answer.json()

    def nothing_foreign_in(self, text: str, who: str) -> None:
        assert self.other(who).mark not in text
        assert not [name for name in self.other(who).ids() if name in text]

    def is_like_missing(self, who: str, request: Callable[[str], Request], theirs: str) -> None:
        """What is not there for this person is answered like what never was, and nothing changes by it."""
        before = self.house.everything()
        never = secrets.token_hex(len(theirs) // 2)
        answers = []
        for asked in (theirs, never):
            answer = self.person(who).send(*request(asked))
            assert answer.status_code == 404
            self.nothing_foreign_in(answer.text.replace(asked, ""), who)
            error = json.loads(answer.content)["error"]
            headers = {k: v for k, v in answer.headers.items() if k != "date"}
            answers.append((answer.text.replace(error["id"], "").replace(asked, ""), headers))
        assert answers[0] == answers[1]
        assert self.house.everything() == before


TestTwoPeople = pytest.mark.process(TwoPeopleMachine.TestCase)
TestTwoPeople.settings = settings(
    max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_every_address_with_an_id_in_it_is_tried() -> None:
    house = TwoPeople()
    declared = {
        (method, route.path)
        for route in house.app.routes
        if "{" in (path := getattr(route, "path", ""))
        for method in getattr(route, "methods", ())
        if path.startswith("/api/")
        and not path.startswith(("/api/admin/", "/api/d/", "/api/demos/"))  # tests/api/test_demos.py
    }
    house.close()
    tried = {
        (method, path.partition("?")[0])
        for table, key in (
            (ON_CONVERSATION, "{conversation_id}"),
            (ON_GENERATION, "{generation_id}"),
            (ON_COMPARISON, "{comparison_id}"),
            (ON_BATCH, "{batch_id}"),
            (ON_SHARE, "{share_id}"),
        )
        for request in table.values()
        for method, path, _ in [request(key)]
    }
    declared = {(method, path.replace("{letter}", "a")) for method, path in declared}
    assert declared - tried == set()
