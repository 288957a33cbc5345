"""Visitors of demos: nobody's account and no cookie, because a page in another site's frame gets none.

A visitor is 128 random bits, signed for one demo, that the demo's page keeps and sends with each call. Invariant: a
token of one demo is worth nothing in another, and a ticket opens the stream of one answer only.
"""

from __future__ import annotations

from itsdangerous import BadSignature, Signer

from app.backend.demos.records import Demo
from app.backend.demos.service import Demos
from app.identity import Identity

HEADER = "Colloquy-Visitor"


class Visitors:
    """Makes visitors and recognises them."""

    def __init__(self, identity: Identity) -> None:
        self._tokens = identity.signer("demo.visitor")
        self._tickets = identity.signer("demo.stream")

    def token(self, demo: Demo, visitor: str) -> str:
        return self._tokens.sign(f"{demo.id}.{visitor}").decode("ascii")

    def visitor(self, demo: Demo, token: str) -> str | None:
        """Who it is; None unless we made the token, for this demo."""
        demo_id, _, visitor = _read(self._tokens, token).partition(".")
        return visitor if demo_id == demo.id and visitor else None

    def met(self, demo: Demo, token: str) -> str:
        """Who it is, or somebody new."""
        return self.visitor(demo, token) or Demos.new_visitor()

    def ticket(self, generation_id: str) -> str:
        """Opens the stream of this answer, whose reader cannot send a header."""
        return self._tickets.sign(generation_id).decode("ascii")

    def opened_by(self, ticket: str) -> str:
        """The answer that a ticket opens; empty for none."""
        return _read(self._tickets, ticket)


def _read(signer: Signer, signed: str) -> str:
    try:
        return signer.unsign(signed).decode("ascii")
    except (BadSignature, UnicodeError):
        return ""
