"""The double that ships: no model, same promises as the real engines, the same answer for the same prompt every time.

Without a script it quotes the passage sentence that fits the question best and cites it, at a reader's pace, so that
the interface can be shown on any machine. With a script it does what a test tells it to, one list of items per call:

    ScriptedEngine(script=[["stand-alone question"], ["Hello", gate, " world"], [Crash("no memory left")]])
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from app.backend.engines.quoting import compose, pieces
from app.backend.errors import BadInput, Unavailable
from app.backend.types import Delta, Health, HealthState, Message, Prompt, Sampling, Scored, Usage

_TOLD = 1000
_REMEMBERED = 64
"""Prompts in the double's prefix cache."""


@dataclass(frozen=True, slots=True)
class Crash:
    """This call fails; the engine lives on."""

    message: str = "The scripted engine failed."


@dataclass(frozen=True, slots=True)
class Death:
    """The engine dies: this call and all others that are open fail, health goes down until `revive()`."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing more comes, and no end either."""


Item = str | Scored | asyncio.Event | Crash | Death | Silence
"""A str is one delta, a `Scored` one token with its probability, of the answer or of an echoed prompt; an event is
waited for."""


@dataclass(frozen=True, slots=True)
class Call:
    """What the engine was asked. A prompt without roles counts as one message of the user."""

    messages: tuple[Message, ...]
    sampling: Sampling
    request_id: str
    cache_salt: str | None = None


Script = Sequence[Sequence[Item]] | Callable[[Call], Sequence[Item]]
"""What to do in each call, in their order; or, where calls run together, by what a call asks."""


class ScriptedEngine:
    """Fits `protocols.Engine`. Calls beyond the script get composed answers.

    `tokens_per_s` 0 is as fast as the loop turns. `gate` keeps the engine starting until it is set. `calls` are the
    requests so far, `open` the streams being read, `finished` those that ended, `aborted` those cut off.
    """

    def __init__(
        self,
        script: Script = (),
        *,
        model: str = "scripted",
        context_tokens: int = 8192,
        tokens_per_s: float = 40.0,
        gate: asyncio.Event | None = None,
    ) -> None:
        self.model = model
        self.context_tokens = context_tokens
        self.calls: deque[Call] = deque(maxlen=_TOLD)
        self.open = 0
        self.finished = 0
        self.aborted = 0
        self._script = script
        self._asked = 0
        self._pause_s = 1 / tokens_per_s if tokens_per_s else 0.0
        self._gate = gate
        self._opening: asyncio.Task[None] | None = None
        self._remembered: deque[Call] = deque(maxlen=_REMEMBERED)
        self._dead = asyncio.Event()
        self._health = Health("stopped", "The scripted engine is not started.", time.time())

    async def start(self) -> None:
        if self._gate is None or self._gate.is_set():
            self._become("ready")
            return
        self._become("starting", "The scripted engine is starting.", expected_s=1.0)
        self._opening = asyncio.create_task(self._open(self._gate))

    async def _open(self, gate: asyncio.Event) -> None:
        await gate.wait()
        self._become("ready")

    def die(self, detail: str = "The scripted engine died.") -> None:
        """Fail all open streams and go down."""
        self._become("down", detail)
        self._dead.set()

    def revive(self) -> None:
        """Be ready again after `die`."""
        self._dead = asyncio.Event()
        self._become("ready")

    async def stream(
        self, prompt: Prompt, sampling: Sampling, *, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        if self._health.state != "ready":
            raise Unavailable(self._health.detail)
        prompt_tokens = await self.count_tokens(prompt)
        if prompt_tokens >= self.context_tokens:
            raise BadInput(
                f"The prompt has {prompt_tokens} tokens, but the model takes {self.context_tokens}: shorten it."
            )
        call = Call(_messages(prompt), sampling, request_id, cache_salt)
        self.calls.append(call)
        cached = min(await self._cached(call), prompt_tokens - 1)
        dead, ended = self._dead, False
        self.open += 1
        try:
            items = await self._items(call)
            room = min(sampling.max_tokens, self.context_tokens - prompt_tokens)
            left, said, stopped_by = room, "", None
            for item in items:
                if sampling.echo and isinstance(item, Scored):
                    yield Delta("", usage=Usage(prompt_tokens, cached, 0, 1), tokens=(item,))
                    continue
                text = "".join(pieces(await self._play(item, dead))[:left])
                left -= len(pieces(text))
                stopped_by = next((stop for stop in sampling.stop if stop in said + text), None)
                if stopped_by:
                    text = (said + text).split(stopped_by)[0][len(said) :]
                said += text
                if text:
                    usage = Usage(prompt_tokens, cached, room - left, 1)
                    yield Delta(text, usage=usage, tokens=_scored(item, text) if sampling.logprobs else ())
                if not left or stopped_by:
                    break
            ended = True
            usage = Usage(prompt_tokens, cached, room - left, 1)
            yield Delta("", "stop" if left or stopped_by else "length", usage, stopped_by=stopped_by)
        finally:
            self.open -= 1
            self.finished += ended
            self.aborted += not ended

    async def _items(self, call: Call) -> Sequence[Item]:
        self._asked += 1
        if callable(self._script):
            return self._script(call)
        if self._asked <= len(self._script):
            return self._script[self._asked - 1]
        if call.sampling.echo:
            return _weighed(call.messages[0].content)
        return pieces(await asyncio.to_thread(compose, call.messages))

    async def _play(self, item: Item, dead: asyncio.Event) -> str:
        """Do what `item` says; the text to send, if any."""
        match item:
            case str() | Scored():
                await asyncio.sleep(self._pause_s)
                self._check(dead)
                return item if isinstance(item, str) else item.text
            case asyncio.Event():
                await self._wait(item, dead)
            case Silence():
                await self._wait(asyncio.Event(), dead)
            case Crash(message):
                raise Unavailable(message)
            case Death():
                self.die()
                self._check(dead)
        return ""

    async def _wait(self, event: asyncio.Event, dead: asyncio.Event) -> None:
        """Until `event`; Unavailable when the engine dies first."""
        waits = [
            asyncio.ensure_future(event.wait()),
            asyncio.ensure_future(dead.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._check(dead)

    def _check(self, dead: asyncio.Event) -> None:
        if dead.is_set():
            raise Unavailable(self._health.detail)

    async def _cached(self, call: Call) -> int:
        """Tokens of the prompt's beginning that stand in an earlier prompt with the same salt, in whole messages."""
        longest: tuple[Message, ...] = ()
        for earlier in self._remembered:
            if earlier.cache_salt == call.cache_salt:
                pairs = zip(earlier.messages, call.messages, strict=False)
                common = tuple(mine for theirs, mine in takewhile(lambda pair: pair[0] == pair[1], pairs))
                longest = max(longest, common, key=len)
        self._remembered.append(call)
        return await self.count_tokens(longest)

    async def count_tokens(self, prompt: Prompt) -> int:
        return sum(len(pieces(message.content)) + 4 for message in _messages(prompt))

    def health(self) -> Health:
        return self._health

    async def aclose(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        self._become("stopped", "The scripted engine is stopped.")
        self._dead.set()

    def _become(self, state: HealthState, detail: str = "", *, expected_s: float | None = None) -> None:
        self._health = Health(state, detail, time.time(), expected_s)


def _messages(prompt: Prompt) -> tuple[Message, ...]:
    return (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)


def _weighed(prompt: str) -> tuple[Scored, ...]:
    """The words of a prompt but the first: the longer, the less expected."""
    return tuple(Scored(piece, -float(len(piece.strip()))) for piece in pieces(prompt)[1:])


def _scored(item: Item, text: str) -> tuple[Scored, ...]:
    """The tokens of a delta; words of a plain script are certain."""
    return (item,) if isinstance(item, Scored) else tuple(Scored(p, 0.0, ((p, 0.0),)) for p in pieces(text))
