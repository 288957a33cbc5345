"""What one answer looks like at a moment, as a pure fold over its events.

Invariant: the state after a whole log depends on the events alone, not on how often or where the fold was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from app.backend.events import (
    Degraded,
    Done,
    Event,
    Failed,
    Queued,
    Retrieved,
    Searched,
    Started,
    Step,
    Stopped,
    Thought,
    Token,
)
from app.backend.records import Generation
from app.backend.types import Citation, Passage, Usage

Phase = Literal["waiting", "queued", "running", "done", "stopped", "failed", "interrupted"]
FINISHED = frozenset({"done", "stopped", "failed", "interrupted"})


@dataclass(frozen=True, slots=True)
class ViewState:
    """One answer. `text` is what has been written so far; citations, usage and timings come with the end."""

    phase: Phase = "waiting"
    queued: Queued | None = None
    step: Step | None = None
    search_query: str = ""
    passages: tuple[Passage, ...] = ()
    degraded: tuple[Degraded, ...] = ()
    thought: str = ""
    text: str = ""
    citations: tuple[Citation, ...] = ()
    usage: Usage = field(default_factory=Usage)
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    error_code: str = ""
    error_message: str = ""

    @property
    def finished(self) -> bool:
        return self.phase in FINISHED


def fold(state: ViewState, event: Event) -> ViewState:
    """The state after `event`."""
    match event:
        case Queued():
            return replace(state, phase="queued", queued=event)
        case Started():
            return replace(state, phase="running", queued=None)
        case Step():
            return replace(state, phase="running", queued=None, step=event)
        case Searched():
            return replace(state, search_query=event.text)
        case Retrieved():
            return replace(state, passages=event.joined(state.passages))
        case Thought():
            return replace(state, thought=state.thought + event.text)
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
                error_code=event.code,
                error_message=event.message,
            )


def fold_all(events: Iterable[Event], state: ViewState | None = None) -> ViewState:
    """Fold a run of events; neighbouring tokens are joined first, so a long run of them costs one step."""
    state = state or ViewState()
    tokens: list[str] = []
    for event in events:
        if isinstance(event, Token):
            tokens.append(event.text)
            continue
        if tokens:
            state = fold(state, Token("".join(tokens)))
            tokens = []
        state = fold(state, event)
    return fold(state, Token("".join(tokens))) if tokens else state


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
        passages=generation.passages,
        degraded=generation.degraded,
        text=generation.answer,
        citations=generation.citations,
        usage=generation.usage,
        timings_ms=generation.timings_ms,
        error_code=generation.error_code,
        error_message=generation.error_message,
    )
