"""Tool calls of a model: read as data, and in the Hermes format told apart from thoughts and answer while it writes.

Invariant: nothing in a thought is a call or an answer. A first sentence may only announce a call ("I look it up."), so
it is told as an answer once more follows it, or at the end.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from app.backend.events import Degraded, Event, Step, Thought, Token
from app.backend.pipelines.steps import generate
from app.backend.pipelines.tagged import Reader
from app.backend.protocols import Tools
from app.backend.types import Prompt, Sampling

_THINK, _THOUGHT, _CALL, _CALLED = "<think>", "</think>", "<tool_call>", "</tool_call>"
_GOES_ON = re.compile(r"[.!?]\s+\S|[。！？\n]\s*\S")
_ANNOUNCEMENT_CHARS = 200
_SEARCHES = 3
"""Searches of one decision."""
_READ_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What the model wants: to search for `queries`, or to answer."""

    queries: tuple[str, ...]
    answers: bool


class Turn:
    """What a model writes that calls tools. `events` makes the call of the engine; the rest is what it came to.

    `thinks` is for models whose chat template has opened a thought.
    """

    def __init__(self, *, thinks: bool) -> None:
        self.said = ""
        self.answer = ""
        self._calls = ""
        self._spoken = ""
        self._told = False
        self._thoughts = Reader((_THINK, _THOUGHT), _THINK if thinks else "")
        self._speech = Reader((_CALL, _CALLED))
        self._speech_after: str | None = ""

    async def events(self, prompt: Prompt, sampling: Sampling, tools: Tools) -> AsyncGenerator[Event, None]:
        """Thoughts as they come, and the answer from where it is sure to be one."""
        flaw: Degraded | None = None
        async with aclosing(generate(prompt, sampling, tools)) as events:
            async for event in events:
                if isinstance(event, Degraded):
                    flaw = event
                    continue
                self.said += event.text
                for told in self._sorted(self._thoughts.feed(event.text)):
                    yield told
        for told in (*self._sorted(self._thoughts.end()), *self._heard(self._speech.end())):
            yield told
        speaks = bool(self._spoken) and self._speech_after == self._thoughts.mark
        if speaks and not self._told and decided(self._spoken).queries:  # some models leave the tags of a call out
            self._calls += self._spoken
        if self._speech.mark or self._calls or not speaks:
            if self._spoken and not self._told:
                yield Thought(f"\n{self._spoken}")
            return
        if not self._told:
            yield Step("generate")
            yield Token(self._spoken)
        self.answer = self._spoken
        if flaw:
            yield flaw

    @property
    def decision(self) -> Decision:
        return Decision(decided(self._calls).queries, bool(self.answer))

    @property
    def unfinished(self) -> bool:
        """Whether it did not come to the end of its thoughts."""
        return self._thoughts.mark == _THINK

    def _sorted(self, pieces: Iterator[tuple[str, str]]) -> Iterator[Event]:
        """Thoughts, and what is told of the speech after them; what was said before one does not count."""
        for mark, piece in pieces:
            if mark == _THINK:
                self._speech_after = None
                yield Thought(piece)
                continue
            if mark != self._speech_after:
                if self._spoken and not self._told:
                    yield Thought(self._spoken)
                self._spoken = self._calls = ""
                self._told, self._speech, self._speech_after = False, Reader((_CALL, _CALLED)), mark
            yield from self._heard(self._speech.feed(piece))

    def _heard(self, pieces: Iterator[tuple[str, str]]) -> Iterator[Event]:
        for mark, piece in pieces:
            if mark == _CALL:
                self._calls += piece
            elif mark == _CALLED:
                yield Thought(piece)
            else:
                yield from self._speaking(piece)

    def _speaking(self, piece: str) -> Iterator[Event]:
        self._spoken += piece
        if self._told:
            yield Token(piece)
        elif not self._spoken.startswith("{") and (
            _GOES_ON.search(self._spoken) or len(self._spoken) > _ANNOUNCEMENT_CHARS
        ):
            self._told = True
            yield Step("generate")
            yield Token(self._spoken)


def spoken(said: str) -> str:
    """What a model wrote without its thoughts: nothing when it did not come to their end."""
    last = said.rpartition(_THOUGHT)[2]
    return "" if _THINK in last else last


def decided(said: str) -> Decision:
    """The decision in what the model wrote: its first few searches, else whether it wants to answer."""
    objects = list(_objects(said[:_READ_CHARS]))
    queries = (text for one in objects for text in _queries(one))
    few = tuple(dict.fromkeys(text for text in queries if text))[:_SEARCHES]
    return Decision(few, any("answer" in one for one in objects))


def _objects(text: str) -> Iterator[dict[str, object]]:
    """The JSON objects in a text, none of them within another."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield found
        at = text.find("{", end)


def _queries(call: Mapping[str, object]) -> Iterator[str]:
    """What a call searches for: `{"search": text}`, or a tool's name and arguments."""
    arguments = call.get("arguments")
    wanted = (call.get("search"), arguments.get("query") if isinstance(arguments, dict) else None)
    yield from (" ".join(text.split()) for text in wanted if isinstance(text, str))
