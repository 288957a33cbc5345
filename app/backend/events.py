"""What happens during a generation, as typed events.

Every generation is a numbered list of these and ends in exactly one terminal event (`Done`, `Stopped`, `Failed`). The
kinds and their fields are a public contract (`GET /api/generations/{gid}/events`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from app.backend.types import Citation, Passage, Usage

Stage = Literal["queue", "rewrite", "retrieve", "first_token", "decode", "cite", "total"]


@dataclass(frozen=True, slots=True)
class Queued:
    """Waiting for the engine: `position` counts from 1, `eta_s` is the expected wait, `reason` one phrase."""

    kind: ClassVar[str] = "queued"
    position: int
    eta_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Started:
    """Admitted: the pipeline runs."""

    kind: ClassVar[str] = "started"


@dataclass(frozen=True, slots=True)
class Step:
    """A stage of the pipeline begins (and the one before it ends): rewrite, retrieve, generate, cite, ..."""

    kind: ClassVar[str] = "step"
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Searched:
    """The text that is searched for."""

    kind: ClassVar[str] = "query"
    text: str


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Passages found, best first; the n-th is cited as [n]."""

    kind: ClassVar[str] = "retrieved"
    passages: tuple[Passage, ...]
    ms: float


@dataclass(frozen=True, slots=True)
class Thought:
    """Text of the model that is not part of the answer."""

    kind: ClassVar[str] = "thought"
    text: str


@dataclass(frozen=True, slots=True)
class Token:
    """More text of the answer, as the engine delivered it (one token or several)."""

    kind: ClassVar[str] = "token"
    text: str


@dataclass(frozen=True, slots=True)
class Degraded:
    """A part failed or was cut; the generation goes on without it."""

    kind: ClassVar[str] = "degraded"
    part: str
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """Terminal. `answer` is the whole text, equal to its tokens joined. `timings_ms` maps a `Stage` to milliseconds."""

    kind: ClassVar[str] = "done"
    answer: str
    citations: tuple[Citation, ...] = ()
    usage: Usage = field(default_factory=Usage)
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stopped:
    """Terminal. Ended by its owner (`reason` "user") or for lack of readers ("abandoned"); `answer` is partial."""

    kind: ClassVar[str] = "stopped"
    answer: str
    reason: str
    usage: Usage = field(default_factory=Usage)
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """Terminal. `code` and `message` are those of `errors.py`; code "interrupted": the server died meanwhile."""

    kind: ClassVar[str] = "failed"
    code: str
    message: str
    answer: str = ""
    retry_after_s: float | None = None


Terminal = Done | Stopped | Failed
Event = Queued | Started | Step | Searched | Retrieved | Thought | Token | Degraded | Done | Stopped | Failed

TERMINAL_KINDS = frozenset({Done.kind, Stopped.kind, Failed.kind})


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event in the log of its generation: `seq` counts from 1, `at_ms` is the time since the question was asked."""

    seq: int
    at_ms: float
    event: Event


def to_json(event: Event) -> dict[str, Any]:
    """The event's fields as JSON values, as the API shows them (passages numbered by `n` from 1)."""
    data = asdict(event)
    if isinstance(event, Retrieved):
        data["passages"] = [{"n": n, **passage} for n, passage in enumerate(data["passages"], 1)]
    return data


def from_json(kind: str, data: Mapping[str, Any]) -> Event:
    """The inverse of `to_json`; raises KeyError for an unknown kind."""
    match kind:
        case "retrieved":
            passages = tuple(Passage(p["id"], p["title"], p["text"], p["score"], p["corpus"]) for p in data["passages"])
            return Retrieved(passages, data["ms"])
        case "done":
            citations = tuple(
                Citation(c["n"], c["passage_id"], tuple((a, b) for a, b in c["spans"]), tuple(c["sentence"]), c["by"])
                for c in data["citations"]
            )
            return Done(data["answer"], citations, Usage(**data["usage"]), data["timings_ms"])
        case "stopped":
            return Stopped(data["answer"], data["reason"], Usage(**data["usage"]), data["timings_ms"])
        case _:
            return _PLAIN[kind](**data)


_PLAIN = {cls.kind: cls for cls in (Queued, Started, Step, Searched, Thought, Token, Degraded, Failed)}
