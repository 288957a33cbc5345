"""What a blind comparison hides before the vote: everything that tells how an answer was made.

Invariant: a masked answer or event holds no method, parameter, model, corpus, stage, count or cost; the words of the
answer and of its sources are there, because they are what is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from app.backend.events import (
    TERMINAL_KINDS,
    Degraded,
    Done,
    Event,
    Failed,
    Recorded,
    Retrieved,
    Searched,
    Step,
    Stopped,
    Thought,
)
from app.backend.records import Generation
from app.backend.types import Passage, Usage

_FAILED = "This answer failed."


def mask(generation: Generation) -> Generation:
    return replace(
        generation,
        pipeline="",
        corpus="",
        params={},
        model="",
        search_query="",
        searches=0,
        error_message=_FAILED if generation.error_message else "",
        passages=_masked(generation.passages),
        degraded=(),
        usage=Usage(),
        timings_ms=_total(generation.timings_ms),
        corpus_version="",
        seed=None,
    )


class Log:
    """A log as it may be seen, read from its first event on.

    What is hidden leaves no gap in the numbers, and all passages come at once before the end: neither how much was left
    out nor how often and when was searched can be told from it.
    """

    def __init__(self, after: int = 0) -> None:
        self._after = after
        self._left_out = 0
        self._passages: tuple[Passage, ...] = ()

    def seen(self, recorded: Recorded) -> tuple[Recorded, ...]:
        """What may be seen of the next event, but for what has a number up to `after`."""
        event = _masked_event(recorded.event)
        if isinstance(recorded.event, Retrieved):
            self._passages = recorded.event.joined(self._passages)
        if event is None:
            self._left_out += 1
            return ()
        shown = [replace(recorded, seq=recorded.seq - self._left_out, event=event)]
        if self._passages and event.kind in TERMINAL_KINDS:
            found = replace(shown[0], event=Retrieved(_masked(self._passages), ms=0.0))
            shown = [found, replace(shown[0], seq=found.seq + 1)]
        return tuple(r for r in shown if r.seq > self._after)


def _masked_event(event: Event) -> Event | None:
    match event:
        case Step() | Searched() | Retrieved() | Thought() | Degraded():
            return None
        case Done() | Stopped():
            return replace(event, usage=Usage(), timings_ms=_total(event.timings_ms))
        case Failed():
            return replace(event, message=_FAILED)
        case _:
            return event


def _masked(passages: tuple[Passage, ...]) -> tuple[Passage, ...]:
    return tuple(replace(passage, corpus="", score=0.0) for passage in passages)


def _total(timings_ms: Mapping[str, float]) -> dict[str, float]:
    return {"total": timings_ms["total"]} if "total" in timings_ms else {}
