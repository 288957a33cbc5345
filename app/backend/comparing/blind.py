"""What a blind comparison hides before the vote: everything that tells how an answer was made.

Invariant: a masked answer or event holds no method, parameter, model, corpus, stage, count or cost; the words of the
answer and of its sources are there, because they are what is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from app.backend.events import Degraded, Done, Event, Failed, Recorded, Retrieved, Searched, Step, Stopped, Thought
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


def mask_event(recorded: Recorded) -> Recorded | None:
    """The event as it may be seen, None when it may not."""
    event = _masked_event(recorded.event)
    return None if event is None else replace(recorded, event=event)


def _masked_event(event: Event) -> Event | None:
    match event:
        case Step() | Searched() | Thought() | Degraded():
            return None
        case Retrieved(passages):
            return replace(event, passages=_masked(passages), ms=0.0)
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
