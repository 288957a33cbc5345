"""What the storage gives back: conversations as trees of turns, each turn with one or more generations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.backend.events import Degraded
from app.backend.types import Citation, Lane, Params, ParamValue, Passage, Usage

Status = Literal["queued", "running", "done", "stopped", "failed", "interrupted"]
LIVE = frozenset({"queued", "running"})
Kind = Literal["chat", "comparison"]
"""A comparison is a conversation of one turn, whose answers stand side by side."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer to a turn's question, with all that is known of how it came about. Times are Unix seconds."""

    id: str
    turn_id: str
    pipeline: str
    corpus: str
    params: Params
    model: str
    status: Status
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    answer: str = ""
    search_query: str = ""
    searches: int = 0
    error_code: str = ""
    error_message: str = ""
    passages: tuple[Passage, ...] = ()
    degraded: tuple[Degraded, ...] = ()
    citations: tuple[Citation, ...] = ()
    usage: Usage = field(default_factory=Usage)
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    corpus_version: str = ""
    seed: int | None = None
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A question. `generations` are its alternative answers, oldest first; `chosen` is the one that is shown and built
    on.
    """

    id: str
    conversation_id: str
    parent_id: str | None
    question: str
    created_at: float
    generations: tuple[Generation, ...]
    chosen_id: str

    @property
    def chosen(self) -> Generation:
        return next(g for g in self.generations if g.id == self.chosen_id)


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A line of the conversation list. `snippet` holds the match of a search with the hit between \\x02 and \\x03."""

    id: str
    title: str
    pinned: bool
    created_at: float
    updated_at: float
    running: bool = False
    snippet: str = ""
    kind: Kind = "chat"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as a tree: turns with the same `parent_id` are branches. `leaf_id` ends the one that is shown."""

    id: str
    title: str
    pinned: bool
    created_at: float
    updated_at: float
    turns: tuple[Turn, ...]
    leaf_id: str | None
    kind: Kind = "chat"

    def turn(self, turn_id: str) -> Turn:
        return next(t for t in self.turns if t.id == turn_id)

    def path(self, leaf_id: str | None = None) -> tuple[Turn, ...]:
        """The turns from the first one to `leaf_id` (default: the branch that is shown)."""
        found: list[Turn] = []
        at = leaf_id or self.leaf_id
        while at is not None:
            turn = self.turn(at)
            found.append(turn)
            at = turn.parent_id
        return tuple(reversed(found))

    def siblings(self, turn: Turn) -> tuple[Turn, ...]:
        """The branches at this point, oldest first, `turn` among them."""
        return tuple(t for t in self.turns if t.parent_id == turn.parent_id)


@dataclass(frozen=True, slots=True)
class Ticket:
    """The receipt of a question: it is stored, and will be answered in the place given."""

    conversation_id: str
    turn_id: str
    generation_id: str
    position: int
    eta_s: float


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it comes from a door. Empty `pipeline` and `corpus` take the defaults, `engine` the main one.

    `parent_id` is the turn it follows: None appends to the branch that is shown, "" starts a new branch at the root.
    `lane` says how urgent it is beside others; `address` is the network address it came from. With the `seed` of an
    earlier answer the same draws are made again.
    """

    text: str
    pipeline: str = ""
    corpus: str = ""
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    parent_id: str | None = None
    lane: Lane = "chat"
    address: str = ""
    seed: int | None = None
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """What a column is asked with. What is empty takes the server's default."""

    pipeline: str = ""
    corpus: str = ""
    params: Params = field(default_factory=dict)
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a comparison, `letter` "a" to "d". When `hidden`, what made the answer is empty in `generation`."""

    letter: str
    generation: Generation
    hidden: bool = False


Winner = Literal["a", "b", "c", "d", "tie", "both_bad"]
WINNERS: tuple[Winner, ...] = ("a", "b", "c", "d", "tie", "both_bad")


@dataclass(frozen=True, slots=True)
class Vote:
    """Which column was best. When it does not count in the ratings, `why_not` says why; `outdated`: a column was
    changed since, and the vote is about what stood there before.
    """

    winner: Winner
    tags: tuple[str, ...] = ()
    comment: str = ""
    counted: bool = True
    why_not: str = ""
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """One question and its answers side by side. When `blind`, the columns were shuffled and are named after the
    vote. `copied`: from a share link; `batch_id`: it is a row of that batch.
    """

    id: str
    question: str
    blind: bool
    revealed: bool
    columns: tuple[Column, ...]
    vote: Vote | None
    created_at: float
    copied: bool = False
    batch_id: str = ""

    @property
    def hidden(self) -> bool:
        return self.blind and not self.revealed


@dataclass(frozen=True, slots=True)
class ComparisonLine:
    """A line of the list of comparisons. `pipelines` is empty while they are hidden."""

    id: str
    question: str
    blind: bool
    pipelines: tuple[str, ...]
    winner: Winner | None
    created_at: float


@dataclass(frozen=True, slots=True)
class ComparisonTicket:
    """The receipt of a comparison; the answers in the order of the columns."""

    comparison_id: str
    generation_ids: tuple[str, ...]


Deed = Literal[
    "search", "open", "stop", "drain", "resume", "ban", "unban", "quota", "unlink", "backup", "account", "password"
]


@dataclass(frozen=True, slots=True)
class AuditLine:
    """What an operator did or looked at. `subject` is the owner, conversation or answer it was about, `detail` the
    words searched for or the values set.
    """

    id: int
    at: float
    operator: str
    deed: Deed
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation of any owner that an operator's search found."""

    owner: str
    line: ConversationSummary


@dataclass(frozen=True, slots=True)
class Opened:
    """A conversation of any owner that an operator opened."""

    owner: str
    conversation: Conversation


@dataclass(frozen=True, slots=True)
class Recent:
    """How many questions an owner asked in some time, and when the last one."""

    owner: str
    questions: int
    last_at: float


@dataclass(frozen=True, slots=True)
class Backup:
    """A checked copy of the database: when it was made, how large it is and how long that took."""

    file: str
    at: float
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Contents:
    """How much the database holds. `oldest` and `newest` are when the first and the last answer were asked for."""

    conversations: int
    questions: int
    answers: int
    oldest: float | None
    newest: float | None
