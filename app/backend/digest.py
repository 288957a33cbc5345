"""What a log of events comes to: a pure fold, used while a generation runs, when it ends and when it is recovered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from app.backend.events import (
    Copied,
    Degraded,
    Done,
    Failed,
    Recorded,
    Retrieved,
    Searched,
    Started,
    Step,
    Stopped,
    Token,
)
from app.backend.records import Status
from app.backend.types import Citation, Passage, Usage


@dataclass(frozen=True, slots=True)
class Digest:
    """`status` is None until the terminal event.

    `timings_ms` holds the stages that have ended: "queue", then each `Step` by its name, where "generate" is split at
    its first token into "first_token" and "decode". "ttft" and "total" are no stages but times since the question was
    asked: to the first token of the answer, in whatever stage it comes, and to the end.
    """

    status: Status | None = None
    answer: str = ""
    search_query: str = ""
    searches: int = 0
    passages: tuple[Passage, ...] = ()
    degraded: tuple[Degraded, ...] = ()
    citations: tuple[Citation, ...] = ()
    usage: Usage = field(default_factory=Usage)
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    error_code: str = ""
    error_message: str = ""
    stage: str = "queue"
    stage_began_ms: float = 0.0

    @classmethod
    def of(cls, recorded: Iterable[Recorded]) -> Digest:
        """Fold a log. Tokens are joined once, so it is linear in the log."""
        digest, tokens = cls(), []
        for r in recorded:
            if isinstance(r.event, Token):
                tokens.append(r.event.text)
            digest = digest.with_event(r, keep_text=False)
        return digest if digest.status else replace(digest, answer="".join(tokens))

    def with_event(self, recorded: Recorded, *, keep_text: bool = True) -> Digest:
        """The digest after one more event. Without `keep_text` the answer is left to the terminal event."""
        at = recorded.at_ms
        match recorded.event:
            case Started():
                return self._enter("", at)
            case Step(name):
                return self._enter("first_token" if name == "generate" else name, at)
            case Searched(text):
                return replace(self, search_query=text, searches=self.searches + 1)
            case Copied(searches, query):
                return replace(self, search_query=query, searches=searches)
            case Retrieved():
                return replace(self, passages=recorded.event.joined(self.passages))
            case Degraded():
                return replace(self, degraded=(*self.degraded, recorded.event))
            case Token(text):
                digest = self._enter("decode", at) if self.stage == "first_token" else self
                if text and "ttft" not in digest.timings_ms:
                    digest = replace(digest, timings_ms={**digest.timings_ms, "ttft": at})
                return replace(digest, answer=digest.answer + text) if keep_text else digest
            case Done(answer, citations, usage, timings_ms):
                return replace(
                    self, status="done", answer=answer, citations=citations, usage=usage, timings_ms=timings_ms
                )
            case Stopped(answer, _, usage, timings_ms, citations):
                return replace(
                    self, status="stopped", answer=answer, citations=citations, usage=usage, timings_ms=timings_ms
                )
            case Failed(code, message, answer, citations=citations):
                return replace(
                    self._end(at),
                    status="interrupted" if code == "interrupted" else "failed",
                    answer=answer,
                    citations=citations,
                    error_code=code,
                    error_message=message,
                )
            case _:
                return self

    def timings_at(self, at_ms: float) -> Mapping[str, float]:
        """The timings if the generation ended at `at_ms`."""
        return self._end(at_ms).timings_ms

    def _end(self, at: float) -> Digest:
        digest = self._enter("", at)
        return replace(digest, timings_ms={**digest.timings_ms, "total": at})

    def _enter(self, stage: str, at: float) -> Digest:
        timings = dict(self.timings_ms)
        if self.stage:
            timings[self.stage] = timings.get(self.stage, 0.0) + at - self.stage_began_ms
        return replace(self, timings_ms=timings, stage=stage, stage_began_ms=at)
