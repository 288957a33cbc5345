"""Links between people: what the state machine does with them, and what always holds.

A third person, Cy, has every link that Ann and Bob make. What Cy sees is what there was when a link was made; what Cy
copies is Cy's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from tests.isolation.ownership import Person, Talk, TwoPeople

Request = tuple[str, str, object]
PEOPLE = st.sampled_from(["ann", "bob"])
CHANCE = st.integers(0, 1_000_000)
PAGE = {"accept": "text/html"}
ON_SHARE: Mapping[str, Callable[[str], Request]] = {"revoke": lambda s: ("DELETE", f"/api/shares/{s}", None)}


@dataclass
class Link:
    """A link as the one who made it knows it; `shown` is all that its page said then."""

    id: str
    token: str
    maker: str
    talk: Talk
    shown: frozenset[str]
    revoked: bool = False

    @property
    def open(self) -> bool:
        return not self.revoked and not self.talk.deleted


class Sharing:
    """Rules of a machine with a `house`."""

    house: TwoPeople

    def person(self, name: str) -> Person:
        raise NotImplementedError

    def own_talks(self, name: str) -> list[Talk]:
        return [talk for talk in self.person(name).own(deleted=False) if talk.generations]

    def links(self, name: str = "") -> list[Link]:
        return [link for link in self.house.links if name in ("", link.maker)]

    def seen(self, token: str) -> frozenset[str]:
        """What the page behind a link says: everybody's words that are in it."""
        page = self.house.cy.send("GET", f"/s/{token}", headers=PAGE)
        assert page.status_code == 200
        assert not [name for who in ("ann", "bob") for name in self.person(who).ids() if name in page.text]
        return frozenset(re.findall(r"(?:annswords|bobswords)\d+", page.text))

    def ask(self, who: str, chance: int, hold: bool, new: bool) -> None:
        raise NotImplementedError

    @rule(who=PEOPLE, chance=CHANCE, then=st.sampled_from(["keep", "ask", "revoke", "delete"]))
    def share(self, who: str, chance: int, then: str) -> None:
        if not self.own_talks(who):
            self.ask(who, chance, hold=False, new=True)
        talks = self.own_talks(who)
        talk = talks[chance % len(talks)]
        made = self.person(who).send("POST", f"/api/conversations/{talk.id}/share", {"expires_in_s": 3600})
        assert made.status_code == 201, made.text
        token = made.json()["url"].rpartition("/s/")[2]
        link = Link(made.json()["id"], token, who, talk, self.seen(token))
        assert {word for word in link.shown if not word.startswith(self.person(who).mark)} == set()
        self.house.links.append(link)
        if then == "ask":
            self.ask(who, self.person(who).own(deleted=False).index(talk), hold=False, new=False)
        elif then == "revoke":
            self.revoke(who, [other for other in self.links(who) if other.open].index(link))
        elif then == "delete":
            assert self.person(who).send("DELETE", f"/api/conversations/{talk.id}").status_code == 204
            talk.deleted = True

    @rule(who=PEOPLE, chance=CHANCE)
    def revoke(self, who: str, chance: int) -> None:
        links = [link for link in self.links(who) if link.open]
        if not links:
            return
        link = links[chance % len(links)]
        assert self.person(who).send("DELETE", f"/api/shares/{link.id}").status_code == 204
        link.revoked = True

    @rule(chance=CHANCE)
    def copy(self, chance: int) -> None:
        links = self.links()
        if not links:
            return
        link = links[chance % len(links)]
        copied = self.house.cy.send("POST", f"/s/{link.token}/fork")
        if not link.open:
            assert copied.status_code == 404
            return
        assert copied.status_code in (201, 422), copied.text  # 422: nothing in it has ended yet
        if copied.status_code == 201:
            copy = copied.json()["conversation_id"]
            own = self.house.cy.send("GET", f"/api/conversations/{copy}").text
            assert not [name for who in ("ann", "bob") for name in self.person(who).ids() if name in own]
            for who in ("ann", "bob"):
                assert self.person(who).send("GET", f"/api/conversations/{copy}").status_code == 404

    @invariant()
    def links_show_what_was_shared_or_nothing_at_all(self) -> None:
        never = self.house.cy.send("GET", f"/s/{'x' * 43}", headers=PAGE)
        assert never.status_code == 404, (never.status_code, never.text)
        for link in self.links()[-6:]:
            if link.open:
                assert self.seen(link.token) == link.shown
            else:
                gone = self.house.cy.send("GET", f"/s/{link.token}", headers=PAGE)
                assert (gone.status_code, gone.text, gone.headers) == (404, never.text, {**never.headers})

    @invariant()
    def each_lists_the_links_that_are_theirs(self) -> None:
        for who in ("ann", "bob"):
            listed = self.person(who).send("GET", "/api/shares").json()["shares"]
            assert {line["id"] for line in listed} == {link.id for link in self.links(who) if link.open}
