"""The live answer: what the browser reads while an answer is written.

Every connection begins with a snapshot of the whole answer and goes on with patches, so a reload in the middle loses
and repeats nothing. Invariant: the work grows with the answer, not with its square. A finished block of Markdown goes
out once as HTML, the open one as plain text (and drawn now and then while it is short), and the end replaces all of it
by the answer with its citations.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from functools import partial

from markupsafe import Markup

from app.backend.events import Done, Failed, Recorded, Stopped, Token
from app.backend.service import Backend
from app.ui import markup
from app.ui.blocks import Blocks
from app.ui.i18n import Lang
from app.ui.render import Origin, Renderer, drawn, read, summary
from app.ui.trace import Trace
from app.ui.view import ViewState, fold_all

PATCH_S = 1 / 15
BEAT_S = 1.0
FULL_STREAMS = 4
"""A browser opens at most six connections to one host. An owner's further streams end after their snapshot, and the
browser comes back for the next one: many tabs are served, each a little less smoothly."""
POLL_MS = 600

DRAW_S = 0.25
TRACE_S = 0.3
DRAW_CHARS = 2_000
_CLOSING = re.compile(r"[\]】*_`~)\n]")
_MARKED = re.compile(r"\[\d|【\d|[*_`~]|^\s*(?:#|[-+]\s|\d+[.)]\s|\|)", re.MULTILINE)
_SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？\n]")

Patch = dict[str, object]


class Painter:
    """Turns states into patches. `regions` replace a part, `blocks` are added, `tail` is added to the open block (or
    is all of it, beside `blocks` or `html`), `drawn` is the open block as HTML, `steps` are those of
    the trace that are new or changed, by their place, `say` is for screen readers."""

    def __init__(self, renderer: Renderer, origin: Origin, lang: Lang) -> None:
        self._renderer = renderer
        self._origin = origin
        self._lang = lang
        self._state = ViewState()
        self._blocks = Blocks()
        self._spoken = 0
        self._drawn_at = 0.0
        self._traced: Trace = ()
        self._traced_at = 0.0

    def length(self, log: list[Recorded]) -> int:
        """How long the text to be drawn after `log` is at most."""
        events = [recorded.event for recorded in log]
        tokens = sum(len(event.text) for event in events if isinstance(event, Token))
        whole = (len(event.answer) for event in events if isinstance(event, Done | Stopped | Failed))
        return max(len(self._state.text) + tokens, *whole, 0)

    def snapshot(self, log: list[Recorded]) -> Patch:
        """The whole answer after `log`; the first patch of a connection."""
        self._state = state = fold_all(log, self._state)
        if state.finished:
            return self._whole()
        self._blocks = Blocks()
        self._spoken = len(state.text)
        self._traced = state.trace
        closed, tail = self._blocks.feed(state.text)
        html = self._renderer.answer(state, self._origin, self._lang, body=self._draft(closed))
        patch: Patch = {"html": html, "tail": tail, "kind": self._blocks.kind}
        if self._worth_drawing(tail, self._drawn_at + DRAW_S):
            patch["drawn"] = self._draft(tail)
        return patch

    def patch(self, log: list[Recorded], now: float) -> Patch:
        """What `log` changes, at the time `now` of some clock in seconds."""
        before = self._state
        self._state = state = fold_all(log, before)
        if state.finished:
            return self._whole() | self._said(len(state.text))
        patch: Patch = {}
        regions = {name: self._region(name) for name in self._changed(before, state)}
        if regions:
            patch["regions"] = regions
        if steps := self._steps(now):
            patch["steps"] = steps
        if len(state.text) > len(before.text):
            closed, tail = self._blocks.feed(state.text[len(before.text) :])
            if closed:
                patch["blocks"] = self._draft(closed)
            patch |= {"tail": tail, "kind": self._blocks.kind}
            if self._worth_drawing(tail, now):
                patch["drawn"] = self._draft(self._blocks.tail)
            ends = [m.end() for m in _SENTENCE_END.finditer(state.text, self._spoken)]
            patch |= self._said(ends[-1]) if ends else {}
        return patch

    def _whole(self) -> Patch:
        return {"html": self._renderer.answer(self._state, self._origin, self._lang), "end": self._state.phase}

    def _draft(self, text: str) -> Markup:
        return markup.draft(text, self._state.passages[: read(self._state, self._origin)], self._lang)

    def _worth_drawing(self, added: str, now: float) -> bool:
        """Whether to draw the open block before its end: when its marks closed, not too often, not if it is long."""
        open_block = self._blocks.tail
        if self._blocks.kind != "text" or len(open_block) > DRAW_CHARS or now < self._drawn_at + DRAW_S:
            return False
        if not _CLOSING.search(added) or not _MARKED.search(open_block):
            return False
        self._drawn_at = now
        return True

    def _steps(self, now: float) -> dict[int, str]:
        """The steps that changed since they were sent, by their place; a thought that grows, not too often."""
        old, new = self._traced, self._state.trace
        if len(old) == len(new) and now < self._traced_at + TRACE_S:
            return {}
        self._traced, self._traced_at = new, now
        changed = [place for place, stage in enumerate(new) if place >= len(old) or stage != old[place]]
        return {place: self._renderer.step(self._state, new[place], self._lang) for place in changed}

    def _said(self, until: int) -> Patch:
        """The sentences that screen readers have not heard yet."""
        sentences = self._state.text[self._spoken : until].strip()
        self._spoken = max(self._spoken, until)
        return {"say": sentences} if sentences else {}

    def _region(self, name: str) -> str:
        return self._renderer.region(name, self._state, self._origin, self._lang)

    @staticmethod
    def _changed(before: ViewState, after: ViewState) -> list[str]:
        changed = []
        if before.searches != after.searches or summary(before, "en") != summary(after, "en"):
            changed.append("summary")
        if before.degraded != after.degraded:
            changed.append("notices")
        writing = bool(before.text) != bool(after.text)
        if before.phase != after.phase or before.queued != after.queued or before.step != after.step or writing:
            changed.append("status")
        if before.passages is not after.passages or before.degraded != after.degraded:
            changed.append("sources")
        return changed


class LiveTurns:
    """Serves live answers to browsers."""

    def __init__(self, backend: Backend, renderer: Renderer) -> None:
        self._backend = backend
        self._renderer = renderer
        self._open: Counter[str] = Counter()

    async def origin(self, owner: str, generation_id: str) -> Origin:
        """Raises NotFound when there is no such answer of this owner."""
        return self._renderer.origin(await self._backend.generation(owner, generation_id))

    async def stream(
        self, owner: str, generation_id: str, origin: Origin, lang: Lang, reader: str = ""
    ) -> AsyncGenerator[str, None]:
        """The answer as server-sent events, each with one patch as JSON; ends after the terminal event.

        Streams are counted by `reader`, which is the owner unless many read as one.
        """
        log = self._backend.events(owner, generation_id)
        async with aclosing(self.patches(reader or owner, log, origin, lang)) as found:
            async for patch in found:
                yield patch

    async def patches(
        self, reader: str, log: AsyncGenerator[Recorded, None], origin: Origin, lang: Lang, at_once: int = FULL_STREAMS
    ) -> AsyncGenerator[str, None]:
        """As `stream`, of any log; so many streams of a `reader` get every patch."""
        painter = Painter(self._renderer, origin, lang)
        self._open[reader] += 1
        brief = self._open[reader] > at_once
        try:
            yield f"retry: {POLL_MS if brief else 1000}\n\n"
            async with aclosing(batches(log)) as found:
                first = True
                async for events in found:
                    draw = painter.snapshot if first else partial(painter.patch, now=time.monotonic())
                    patch = await drawn(painter.length(events), draw, events)
                    first = False
                    yield f"data: {json.dumps(patch, ensure_ascii=False)}\n\n" if patch else ": beat\n\n"
                    if brief:
                        return
        finally:
            self._open[reader] -= 1
            if not self._open[reader]:
                del self._open[reader]


async def batches(log: AsyncGenerator[Recorded, None]) -> AsyncGenerator[list[Recorded], None]:
    """What `log` says, gathered: at most one batch every `PATCH_S`, and an empty one when a beat had none."""
    waiting: list[Recorded] = []
    news = asyncio.Event()

    async def pump() -> None:
        async with aclosing(log):
            async for recorded in log:
                waiting.append(recorded)
                news.set()

    pumping = asyncio.create_task(pump())
    pumping.add_done_callback(lambda _: news.set())
    try:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), BEAT_S)
            if not news.is_set():
                yield []
                continue
            news.clear()
            events = waiting[:]
            del waiting[: len(events)]
            if events:
                yield events
            if pumping.done():
                if not waiting:
                    pumping.result()
                    return
                news.set()
                continue
            await asyncio.sleep(PATCH_S)
    finally:
        pumping.cancel()
        with suppress(asyncio.CancelledError):
            await pumping
