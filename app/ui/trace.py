"""How an answer came about: its stages, with the time of each and what it searched, found and thought.

Invariant: a pure fold over the log, and bounded: however long the log is, a trace stays small enough to be shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from app.backend.events import Copied, Degraded, Recorded, Retrieved, Searched, Step, Terminal, Thought

MAX_STAGES = 100
MAX_LINES = 100
QUERY_CHARS = 600
THOUGHT_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class Search:
    """What was searched for; `numbers` are those of the passages found, None while nobody knows."""

    kind: ClassVar[str] = "search"
    text: str
    numbers: tuple[int, ...] | None = None
    ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Said:
    """What the model thought; of what is longer, `more` characters are left out."""

    kind: ClassVar[str] = "said"
    text: str
    more: int = 0

    def and_then(self, text: str) -> Said:
        room = THOUGHT_CHARS - len(self.text)
        return Said(self.text + text[:room], self.more + max(0, len(text) - room))


Line = Search | Said | Degraded


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the method; `ms` is None while it goes on."""

    name: str
    detail: str
    began_ms: float
    ms: float | None = None
    lines: tuple[Line, ...] = ()


Trace = tuple[Stage, ...]


def fold(trace: Trace, recorded: Recorded) -> Trace:
    """The trace after one more event."""
    event, at = recorded.event, recorded.at_ms
    match event:
        case Step(name, detail) if len(trace) < MAX_STAGES:
            return (*_ended(trace, at), Stage(name, detail, at))
        case Copied():
            return (*trace, Stage("copied", "not_copied", at))
        case Searched(text):
            return _add(trace, Search(text if len(text) <= QUERY_CHARS else text[:QUERY_CHARS] + "…"), at)
        case Retrieved(passages, ms, numbers):
            return _found(trace, numbers or tuple(range(1, len(passages) + 1)), ms)
        case Thought(text):
            return _think(trace, text, at)
        case Degraded(part):
            trace = _found(trace, (), 0.0) if part == "retrieval" else trace
            return trace if part == "load" else _add(trace, event, at)
        case _ if isinstance(event, Terminal):
            return _ended(trace, at)
        case _:
            return trace


def _add(trace: Trace, line: Line, at: float) -> Trace:
    trace = trace or (Stage("", "", at),)
    last = trace[-1]
    return trace if len(last.lines) == MAX_LINES else (*trace[:-1], replace(last, lines=(*last.lines, line)))


def _think(trace: Trace, text: str, at: float) -> Trace:
    if not trace or not trace[-1].lines or not isinstance(line := trace[-1].lines[-1], Said):
        return _add(trace, Said("").and_then(text), at)
    return (*trace[:-1], replace(trace[-1], lines=(*trace[-1].lines[:-1], line.and_then(text))))


def _found(trace: Trace, numbers: tuple[int, ...], ms: float) -> Trace:
    """Results come in the order of their searches: the first one that has none gets these."""
    for place, stage in enumerate(trace):
        for at, line in enumerate(stage.lines):
            if isinstance(line, Search) and line.numbers is None:
                lines = (*stage.lines[:at], replace(line, numbers=numbers, ms=ms), *stage.lines[at + 1 :])
                return (*trace[:place], replace(stage, lines=lines), *trace[place + 1 :])
    return trace


def _ended(trace: Trace, at: float) -> Trace:
    if not trace or trace[-1].ms is not None:
        return trace
    return (*trace[:-1], replace(trace[-1], ms=at - trace[-1].began_ms))
