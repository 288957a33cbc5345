"""What a blind comparison hides before the vote: everything that tells how an answer was made, and how fast.

Invariant: a masked answer or event holds no method, parameter, engine, corpus, stage, count, cost or time; the words of
the answer and of its sources are there, because they are what is judged. Of an answer that is `held` they are not yet.
"""

from __future__ import annotations

from dataclasses import replace

from app.backend.events import (
    TERMINAL_KINDS,
    Done,
    Event,
    Failed,
    Queued,
    Recorded,
    Retrieved,
    Started,
    Stopped,
    Token,
)
from app.backend.records import LIVE, Generation
from app.backend.types import Passage, Usage

_FAILED = "This answer failed."


def mask(generation: Generation, *, held: bool) -> Generation:
    """The answer as it may be seen; of one that is `held` only that it is being written."""
    if held:
        generation = replace(
            generation,
            status=generation.status if generation.status in LIVE else "running",
            answer="",
            error_code="",
            error_message="",
            passages=(),
            citations=(),
        )
    return replace(
        generation,
        pipeline="",
        corpus="",
        engine="",
        params={},
        model="",
        started_at=None,
        finished_at=None,
        search_query="",
        searches=0,
        error_message=_FAILED if generation.error_message else "",
        passages=_masked(generation.passages),
        degraded=(),
        usage=Usage(),
        timings_ms={},
        corpus_version="",
        seed=None,
    )


class Log:
    """A log as it may be seen, read from its first event on.

    After the wait for its turn all comes at once, at the end and numbered without a gap: passages, the whole text, the
    end. Neither how much was left out nor how often and when was searched and written can be told from it.
    """

    def __init__(self, after: int = 0) -> None:
        self._after = after
        self._last = 0
        self._passages: tuple[Passage, ...] = ()
        self._text: list[str] = []

    def seen(self, recorded: Recorded) -> tuple[Recorded, ...]:
        """What may be seen of the next event, but for what has a number up to `after`."""
        match recorded.event:
            case Queued() | Started():
                self._last = recorded.seq
                shown = [replace(recorded, at_ms=0.0)]
            case Retrieved():
                self._passages = recorded.event.joined(self._passages)
                shown = []
            case Token(text):
                self._text.append(text)
                shown = []
            case event if event.kind in TERMINAL_KINDS:
                first = recorded.seq if _broken_off(event) else self._last + 1
                shown = [Recorded(seq, 0.0, told) for seq, told in enumerate(self._end(event), first)]
            case _:
                shown = []
        return tuple(r for r in shown if r.seq > self._after)

    def _end(self, terminal: Event) -> list[Event]:
        events: list[Event] = []
        if self._passages:
            events.append(Retrieved(_masked(self._passages), ms=0.0))
        if self._text:
            events.append(Token("".join(self._text)))
        return [*events, _masked_end(terminal)]


def _broken_off(terminal: Event) -> bool:
    """Whether a crash ended it: then its number is the same for all, and above what was read before."""
    return isinstance(terminal, Failed) and terminal.code == "interrupted"


def _masked_end(terminal: Event) -> Event:
    match terminal:
        case Done() | Stopped():
            return replace(terminal, usage=Usage(), timings_ms={})
        case Failed():
            return replace(terminal, message=_FAILED)
        case _:
            return terminal


def _masked(passages: tuple[Passage, ...]) -> tuple[Passage, ...]:
    return tuple(replace(passage, corpus="", score=0.0) for passage in passages)
