"""What happens during a generation, as typed events.

Every generation is a numbered list of these and ends in exactly one terminal event (`Done`, `Stopped`, `Failed`). The
kinds and their fields are a public contract (`GET /api/generations/{gid}/events`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from app.backend.types import Citation, Passage, Usage

Stage = Literal["queue", "rewrite", "retrieve", "first_token", "decode", "cite", "ttft", "total"]


@dataclass(frozen=True, slots=True)
class Queued:
    """Waiting: `position` counts from 1 and never rises, `eta_s` is the expected wait, `reason` one phrase.

    `code` and its number `n` are the reason for programs: "ahead" (n are ahead of you), "next", "fair" (people who have
    had less go first), "own_running" (you have n running, all you may; it is number `own` of yours that wait),
    "engine_starting", "retriever_starting".
    """

    kind: ClassVar[str] = "queued"
    position: int
    eta_s: float
    reason: str
    code: str = ""
    n: int = 0
    own: int = 0


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
    """Passages found, best first; the n-th is cited as [n].

    A method that searches more than once gives `numbers`: each passage keeps the n of its first appearance, and new
    ones go on from there.
    """

    kind: ClassVar[str] = "retrieved"
    passages: tuple[Passage, ...]
    ms: float
    numbers: tuple[int, ...] = ()

    def joined(self, known: tuple[Passage, ...]) -> tuple[Passage, ...]:
        """All passages of the answer, the n-th cited as [n], when `known` were there before."""
        numbers = self.numbers or range(1, len(self.passages) + 1)
        return (*known, *(p for p, n in zip(self.passages, numbers, strict=True) if n > len(known)))


@dataclass(frozen=True, slots=True)
class Thought:
    """Text of the model that is not part of the answer, or a judgement of it.

    The pieces of a stage are read as one text: what is a line of its own ends with a newline.
    """

    kind: ClassVar[str] = "thought"
    text: str


@dataclass(frozen=True, slots=True)
class Token:
    """More text of the answer, as the engine delivered it (one token or several)."""

    kind: ClassVar[str] = "token"
    text: str


@dataclass(frozen=True, slots=True)
class Degraded:
    """A part failed or was cut; the generation goes on without it.

    Under "load", when many ask at once, `code` and its number `n` say what was cut: "load_passages" (n are read),
    "load_rewrite", "load_answer" (it may have n tokens).
    """

    kind: ClassVar[str] = "degraded"
    part: str
    reason: str
    code: str = ""
    n: int = 0
    own: int = 0


@dataclass(frozen=True, slots=True)
class Copied:
    """The answer is a copy of one behind a link: what follows is what that came to, without its steps.

    It had made so many `searches`, the last one for `query`.
    """

    kind: ClassVar[str] = "copied"
    searches: int = 0
    query: str = ""


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
    """Terminal. Ended by its owner (`reason` "user") or for lack of readers ("abandoned"); `answer` is partial.

    In a copy the reason is empty: it is not known there.
    """

    kind: ClassVar[str] = "stopped"
    answer: str
    reason: str
    usage: Usage = field(default_factory=Usage)
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """Terminal. `code` and `message` are those of `errors.py`; code "interrupted": the server died meanwhile.

    `id` finds the lines of the log: it is the generation's.
    """

    kind: ClassVar[str] = "failed"
    code: str
    message: str
    answer: str = ""
    retry_after_s: float | None = None
    id: str = ""
    citations: tuple[Citation, ...] = ()


Terminal = Done | Stopped | Failed
Event = Queued | Started | Step | Searched | Retrieved | Thought | Token | Degraded | Copied | Done | Stopped | Failed

TERMINAL_KINDS = frozenset({Done.kind, Stopped.kind, Failed.kind})


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event in the log of its generation: `seq` counts from 1, `at_ms` is the time since the question was asked."""

    seq: int
    at_ms: float
    event: Event


def whole(event: Event) -> Event:
    """The event without half characters (lone surrogates), which an engine or a corpus may hold and no file takes."""
    try:
        if isinstance(event, Token | Thought):
            event.text.encode()
            return event
        json.dumps(to_json(event), ensure_ascii=False).encode()
        return event
    except UnicodeEncodeError:
        told = json.dumps(to_json(event), ensure_ascii=False).encode(errors="replace")
        return from_json(event.kind, json.loads(told))


def to_json(event: Event) -> dict[str, Any]:
    """The event's fields as JSON values, as the API shows them (each passage with its `n`)."""
    data = asdict(event)
    if isinstance(event, Retrieved):
        numbers = data.pop("numbers") or range(1, len(event.passages) + 1)
        data["passages"] = [{"n": n, **passage} for n, passage in zip(numbers, data["passages"], strict=True)]
    return data


def from_json(kind: str, data: Mapping[str, Any]) -> Event:
    """The inverse of `to_json`; raises KeyError for an unknown kind."""
    match kind:
        case "retrieved":
            passages = tuple(Passage(p["id"], p["title"], p["text"], p["score"], p["corpus"]) for p in data["passages"])
            numbers = tuple(p["n"] for p in data["passages"])
            return Retrieved(passages, data["ms"], () if numbers == tuple(range(1, len(numbers) + 1)) else numbers)
        case "done":
            return Done(data["answer"], _citations(data), Usage(**data["usage"]), data["timings_ms"])
        case "stopped":
            usage = Usage(**data["usage"])
            return Stopped(data["answer"], data["reason"], usage, data["timings_ms"], _citations(data))
        case "failed":
            return Failed(**{**data, "citations": _citations(data)})
        case _:
            return _PLAIN[kind](**data)


def _citations(data: Mapping[str, Any]) -> tuple[Citation, ...]:
    """Logs of older versions have none for an unfinished answer."""
    return tuple(
        Citation(c["n"], c["passage_id"], tuple((a, b) for a, b in c["spans"]), tuple(c["sentence"]), c["by"])
        for c in data.get("citations", ())
    )


_PLAIN = {cls.kind: cls for cls in (Queued, Started, Step, Searched, Thought, Token, Degraded, Copied)}
