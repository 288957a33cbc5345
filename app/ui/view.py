"""What one answer looks like at a moment, as a pure fold over its events.

Invariant: the state after a whole log depends on the events alone, not on how often or where the fold was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal

from app.backend.events import (
    Copied,
    Degraded,
    Done,
    Failed,
    Queued,
    Recorded,
    Retrieved,
    Searched,
    Started,
    Step,
    Stopped,
    Token,
)
from app.backend.records import Generation
from app.backend.types import Citation, Passage, Usage
from app.ui import trace
from app.ui.trace import Trace

Phase = Literal["waiting", "queued", "running", "done", "stopped", "failed", "interrupted"]
FINISHED = frozenset({"done", "stopped", "failed", "interrupted"})


@dataclass(frozen=True, slots=True)
class ViewState:
    """One answer. `text` is what has been written so far; citations, usage and timings come with the end.

    `trace` is there when the answer was folded from its log, and empty when it was read from the store.
    """

    phase: Phase = "waiting"
    queued: Queued | None = None
    step: Step | None = None
    search_query: str = ""
    searches: int = 0
    passages: tuple[Passage, ...] = ()
    degraded: tuple[Degraded, ...] = ()
    trace: Trace = ()
    text: str = ""
    citations: tuple[Citation, ...] = ()
    usage: Usage = field(default_factory=Usage)
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    error_code: str = ""
    error_message: str = ""

    @property
    def finished(self) -> bool:
        return self.phase in FINISHED

    @property
    def ending(self) -> Degraded | None:
        """Why the text ends before its time. It is said where the text ends, not above it."""
        return next((item for item in reversed(self.degraded) if item.part == "answer"), None) if self.text else None


def fold(state: ViewState, recorded: Recorded) -> ViewState:
    """The state after one more event of the log."""
    traced = trace.fold(state.trace, recorded)
    if traced is not state.trace:
        state = replace(state, trace=traced)
    event = recorded.event
    match event:
        case Queued():
            return replace(state, phase="queued", queued=event)
        case Started():
            return replace(state, phase="running", queued=None)
        case Step():
            return replace(state, phase="running", queued=None, step=event)
        case Searched():
            return replace(state, search_query=event.text, searches=state.searches + 1)
        case Copied(searches, query):
            return replace(state, search_query=query, searches=searches)
        case Retrieved():
            return replace(state, passages=event.joined(state.passages))
        case Token():
            return replace(state, text=state.text + event.text)
        case Degraded():
            return replace(state, degraded=(*state.degraded, event))
        case Done():
            return replace(
                state,
                phase="done",
                queued=None,
                step=None,
                text=event.answer,
                citations=event.citations,
                usage=event.usage,
                timings_ms=event.timings_ms,
            )
        case Stopped():
            return replace(
                state,
                phase="stopped",
                queued=None,
                step=None,
                text=event.answer,
                citations=event.citations,
                usage=event.usage,
                timings_ms=event.timings_ms,
            )
        case Failed():
            return replace(
                state,
                phase="interrupted" if event.code == "interrupted" else "failed",
                queued=None,
                step=None,
                text=event.answer or state.text,
                citations=event.citations,
                error_code=event.code,
                error_message=event.message,
            )
        case _:
            return state


def fold_all(log: Iterable[Recorded], state: ViewState | None = None) -> ViewState:
    """Fold a run of a log; neighbouring tokens are joined first, so a long run of them costs one step."""
    state = state or ViewState()
    for is_text, run in groupby(log, key=lambda recorded: isinstance(recorded.event, Token)):
        recorded = list(run)
        if is_text:
            text = "".join(r.event.text for r in recorded if isinstance(r.event, Token))
            recorded = [replace(recorded[-1], event=Token(text))]
        for r in recorded:
            state = fold(state, r)
    return state


_PHASES: Mapping[str, Phase] = {
    "queued": "waiting",
    "running": "running",
    "done": "done",
    "stopped": "stopped",
    "failed": "failed",
    "interrupted": "interrupted",
}


def of_generation(generation: Generation) -> ViewState:
    """The state of a stored answer, as its own log would give it."""
    return ViewState(
        phase=_PHASES[generation.status],
        search_query=generation.search_query,
        searches=generation.searches,
        passages=generation.passages,
        degraded=generation.degraded,
        text=generation.answer,
        citations=generation.citations,
        usage=generation.usage,
        timings_ms=generation.timings_ms,
        error_code=generation.error_code,
        error_message=generation.error_message,
    )
