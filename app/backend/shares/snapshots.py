"""What a share link shows: a conversation or a comparison as it was, and nothing that tells whose it is.

Invariant: a snapshot holds no id of the database and no name of its owner. Its answers are named by their place: "1"
and "2" in a chat, "1a" and "1b" in a comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from app.backend.errors import NotFound
from app.backend.records import LIVE, Generation, Turn

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Kind = Literal["chat", "comparison"]
LETTERS = "abcd"


@dataclass(frozen=True, slots=True)
class SharedTurn:
    """A question with the answer that was shown, or with the columns of a comparison. The ids are their places."""

    question: str
    answers: tuple[Generation, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is published."""

    kind: Kind
    title: str
    turns: tuple[SharedTurn, ...]

    def answers(self) -> tuple[Generation, ...]:
        return tuple(answer for turn in self.turns for answer in turn.answers)

    def find(self, key: str) -> tuple[int, Generation]:
        """The turn and the answer at a place. Raises NotFound."""
        for at, turn in enumerate(self.turns):
            for answer in turn.answers:
                if answer.id == key:
                    return at, answer
        raise NotFound("There is no such answer behind this link.")

    def digest(self) -> str:
        """The same for the same content."""
        return sha256(dumps(self)).hexdigest()[:32]

    def told(self, ended: Mapping[str, Generation]) -> Snapshot:
        """With what became of the answers at these places, which were still being written."""
        turns = tuple(
            replace(turn, answers=tuple(placed(ended[a.id], a.id) if a.id in ended else a for a in turn.answers))
            for turn in self.turns
        )
        return replace(self, turns=turns)

    def ended(self) -> Snapshot:
        """Without the questions from the first one on whose answer is still being written."""
        live = [any(answer.status in LIVE for answer in turn.answers) for turn in self.turns]
        return replace(self, turns=self.turns[: live.index(True)] if True in live else self.turns)


@dataclass(frozen=True, slots=True)
class Share:
    """A link as its owner sees it. The link itself was shown once; `hint` is how it ends."""

    id: str
    conversation_id: str
    kind: Kind
    title: str
    hint: str
    views: int
    created_at: float
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class Opened:
    """What is behind a link. `live` names the database's answers at the places that are still being written."""

    share: Share
    owner: str
    snapshot: Snapshot
    live: Mapping[str, str] = field(default_factory=dict)


def taken(
    kind: Kind, title: str, turns: Sequence[tuple[Turn, Sequence[Generation]]]
) -> tuple[Snapshot, dict[str, str]]:
    """A snapshot of these turns with these answers, and which of them were still being written, by their place."""
    live: dict[str, str] = {}
    shown = []
    for n, (turn, answers) in enumerate(turns, 1):
        found = []
        for letter, answer in zip(LETTERS, answers, strict=False):
            key = str(n) if kind == "chat" else f"{n}{letter}"
            if answer.status in LIVE:
                live[key] = answer.id
            found.append(placed(answer, key))
        shown.append(SharedTurn(turn.question, tuple(found)))
    return Snapshot(kind, title, tuple(shown)), live


def placed(answer: Generation, key: str) -> Generation:
    """An answer named by its place. What is not finished is empty: its text is read from its log."""
    if answer.status in LIVE:
        return Generation(
            key,
            "",
            answer.pipeline,
            answer.corpus,
            answer.params,
            answer.model,
            "running",
            answer.created_at,
            corpus_version=answer.corpus_version,
            seed=answer.seed,
            engine=answer.engine,
        )
    message = "" if answer.id in answer.error_message else answer.error_message
    return replace(answer, id=key, turn_id="", error_message=message)


def dumps(snapshot: Snapshot) -> bytes:
    return _adapter().dump_json(snapshot)


def loads(text: str | bytes) -> Snapshot:
    return _adapter().validate_json(text)


@cache
def _adapter() -> TypeAdapter[Snapshot]:
    from pydantic import TypeAdapter

    return TypeAdapter(Snapshot)
