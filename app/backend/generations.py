"""Durable generations: each has a task, a numbered log and any number of readers, and belongs to the server, not to a
tab.

A generation ends in exactly one terminal event, which is on disk before anybody reads it; only where it is not `Done`
and the disk takes longer than `TOLD_S`, it is told before. Without readers a generation is stopped after a grace time.
Of places in the queue that follow each other only the last is kept, so numbers may have gaps.
"""

from __future__ import annotations

import asyncio
import bisect
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from operator import attrgetter

import structlog

from app.backend.digest import Digest
from app.backend.errors import ColloquyError
from app.backend.events import Degraded, Done, Event, Failed, Queued, Recorded, Stopped, Terminal, Token, whole
from app.backend.storage import generations as store
from app.backend.storage.database import Database
from app.backend.types import Citation, Usage

log = structlog.get_logger(__name__)
SAVE_AGAIN_S = 1.0
SAVE_EVERY_S = 0.25
"""A running answer is written at most so often: a commit for each token of everybody is felt by all."""
TOLD_S = 1.0
CITE_S = 10.0
"""So long an unfinished answer waits for its citations at most: for milliseconds, but once, when Chinese is loaded."""
Produce = Callable[["Live"], AsyncGenerator[Event, None]]
Cite = Callable[[Digest], tuple[Citation, ...]]


class Live:
    """A generation that runs: its log so far, who reads it, and the task that writes it."""

    def __init__(
        self,
        owner: str,
        generation_id: str,
        database: Database,
        usage: Callable[[], Usage],
        cite: Cite,
        *,
        grace_s: float,
    ) -> None:
        self.owner = owner
        self.id = generation_id
        self._database = database
        self._usage = usage
        self._cite = cite
        self._grace_s = grace_s
        self._began = time.monotonic()
        self._seq = 0
        self._log: list[Recorded] = []
        self._unsaved: list[Recorded] = []
        self._place: Recorded | None = None
        self._digest = Digest()
        self._text: list[str] = []
        self._news = asyncio.Event()
        self._readers = 0
        self._abandon: asyncio.TimerHandle | None = None
        self._stop_reason = ""
        self._saver: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._work: asyncio.Task[Terminal]
        self.finished = asyncio.Event()

    def start(self, produce: Produce) -> asyncio.Task[None]:
        """Begin. The returned task never fails; it ends when the terminal event is on disk."""
        self._work = asyncio.create_task(self._drain(produce), name=f"generation {self.id}")
        self._watch_readers()
        return asyncio.create_task(self._settle(), name=f"settle {self.id}")

    @property
    def digest(self) -> Digest:
        """What the log comes to so far."""
        return self._digest

    def record(self, event: Event) -> None:
        """Append a non-terminal event: readers see it at once, the disk soon; of places in the queue only the last."""
        recorded = self._number(event)
        self._publish(recorded)
        if isinstance(event, Queued):
            self._place = recorded
            return
        self._unsaved += [*self._last_place(), recorded]
        if self._saver is None or self._saver.done():
            self._saver = asyncio.create_task(self._save())

    async def read(self, after: int = 0, *, holds: bool = True) -> AsyncGenerator[Recorded, None]:
        """The events after number `after`, as they come, up to the terminal one. Who `holds` is a reader; others look
        on, and the generation does not wait for them.
        """
        after = min(after, self._log[-1].seq if self._log else 0)
        self._reader(holds)
        try:
            while True:
                news = self._news
                for recorded in self._log[bisect.bisect(self._log, after, key=attrgetter("seq")) :]:
                    yield recorded
                    after = recorded.seq
                if self._log and isinstance(self._log[-1].event, Terminal) and after >= self._log[-1].seq:
                    return
                await news.wait()
        finally:
            self._reader(-holds)

    def stop(self, reason: str) -> None:
        """Ask for a `Stopped`; without effect once it has ended. The engine is free at once, before the end is told."""
        if not self._work.done() and not self._stop_reason:
            self._stop_reason = reason
            self._work.cancel()

    def _reader(self, change: int) -> None:
        if change:
            self._readers += change
            self._watch_readers()

    def _watch_readers(self) -> None:
        if self._abandon:
            self._abandon.cancel()
            self._abandon = None
        if not self._readers and not self.finished.is_set():
            self._abandon = asyncio.get_running_loop().call_later(self._grace_s, self.stop, "abandoned")

    async def _settle(self) -> None:
        try:
            terminal = await self._work
        except asyncio.CancelledError:
            terminal = Stopped("".join(self._text), self._stop_reason or "shutdown", self._usage(), self._timings())
        except ColloquyError as error:
            terminal = Failed(error.code, error.message, "".join(self._text), error.retry_after_s, self.id)
        except Exception:
            log.exception("generation failed", generation_id=self.id)
            message = f"Something went wrong on the server; its log has the details under {self.id}."
            terminal = Failed("error", message, "".join(self._text), id=self.id)
        if isinstance(terminal, Stopped | Failed) and terminal.answer:
            terminal = await self._cited(terminal)
        await self._end(terminal)

    async def _cited(self, terminal: Stopped | Failed) -> Terminal:
        """With what the text rests on, if that is found in time: the end does not depend on it."""
        try:
            async with asyncio.timeout(CITE_S):
                found = await asyncio.to_thread(self._cite, replace(self._digest, answer=terminal.answer))
        except Exception:
            log.exception("unfinished answer not cited", generation_id=self.id)
            return terminal
        return replace(terminal, citations=found)

    async def _drain(self, produce: Produce) -> Terminal:
        async with aclosing(produce(self)) as produced:
            async for event in produced:
                if isinstance(event, Done):
                    done = Done(event.answer, event.citations, self._usage(), self._timings())
                    whole(done)  # what cannot be written down fails here, where a failure still has an end
                    return done
                self.record(event)
        raise RuntimeError("the pipeline ended without a Done")

    async def _end(self, terminal: Terminal) -> None:
        self._ending.set()
        recorded = self._number(terminal)
        saving = asyncio.create_task(self._save_end(recorded))
        await asyncio.wait([saving], timeout=None if isinstance(terminal, Done) else TOLD_S)
        if told := not saving.done():
            self._publish(recorded)
        pending = await saving
        if not told and pending:
            warning = self._number(Degraded("log", "This answer is not saved yet: the log cannot be written."))
            self._publish(warning)
            recorded = self._number(terminal)
            pending[-1:] = [warning, recorded]
        if not told:
            self._publish(recorded)
        self.finished.set()
        self._watch_readers()
        pause_s = SAVE_AGAIN_S
        while pending:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 60.0)
            if await self._finish(pending, self._digest):
                pending = []

    async def _save_end(self, recorded: Recorded) -> list[Recorded]:
        """Write what is not on the disk yet, up to the end; what could not be written."""
        digest = self._digest.with_event(recorded)
        if self._saver:
            await self._saver
        pending = [*self._unsaved, *self._last_place(), recorded]
        return [] if await self._finish(pending, digest) else pending

    async def _finish(self, pending: list[Recorded], digest: Digest) -> bool:
        try:
            await self._database.write(lambda db: store.finish(db, self.id, pending, digest), patient=True)
        except ColloquyError as error:
            log.error("answer not saved", generation_id=self.id, reason=error.message)
            return False
        return True

    async def _save(self) -> None:
        while (batch := self._unsaved) and not self._ending.is_set():
            self._unsaved = []
            try:
                await self._database.write(
                    lambda db, batch=batch: store.append(db, self.id, batch),  # type: ignore[misc]
                    patient=True,
                )
            except ColloquyError as error:
                self._unsaved = batch + self._unsaved
                log.warning("events not saved yet", generation_id=self.id, reason=error.message)
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVE_EVERY_S):
                    await self._ending.wait()

    def _number(self, event: Event) -> Recorded:
        self._seq += 1
        return Recorded(self._seq, round((time.monotonic() - self._began) * 1000, 1), whole(event))

    def _last_place(self) -> list[Recorded]:
        """The place in the queue that is not with the disk yet, once."""
        place, self._place = self._place, None
        return [place] if place else []

    def _publish(self, recorded: Recorded) -> None:
        if self._log and isinstance(self._log[-1].event, Queued) and isinstance(recorded.event, Queued):
            self._log.pop()
        self._log.append(recorded)
        if isinstance(recorded.event, Token):
            self._text.append(recorded.event.text)
        self._digest = self._digest.with_event(recorded, keep_text=False)
        self._news.set()
        self._news = asyncio.Event()

    def _timings(self) -> dict[str, float]:
        at = (time.monotonic() - self._began) * 1000
        return {stage: round(ms, 1) for stage, ms in self._digest.timings_at(at).items()}


class Generations:
    """The generations that are running now, by id (and those that ended but could not be saved)."""

    def __init__(self, database: Database, *, grace_s: float) -> None:
        self._database = database
        self._grace_s = grace_s
        self._live: dict[str, Live] = {}

    def start(
        self,
        owner: str,
        generation_id: str,
        produce: Produce,
        *,
        usage: Callable[[], Usage] = Usage,
        cite: Cite = lambda digest: (),
        ended: Callable[[Digest], None] = lambda digest: None,
    ) -> Live:
        """Run a stored generation; it is here until it has ended and is on disk.

        `usage` tells what it cost so far, `cite` what the text of an unfinished one rests on; `ended` is told what it
        came to.
        """
        live = Live(owner, generation_id, self._database, usage, cite, grace_s=self._grace_s)
        self._live[generation_id] = live
        live.start(produce).add_done_callback(lambda _: self._forget(live, ended))
        return live

    def find(self, owner: str, generation_id: str) -> Live | None:
        live = self._live.get(generation_id)
        return live if live and live.owner == owner else None

    async def drain(self, patience_s: float) -> None:
        """Stop what only waits, let what runs finish for that long, stop the rest; all are ended then."""
        running = list(self._live.values())
        if not running:
            return
        finished = [asyncio.create_task(live.finished.wait()) for live in running]
        for live in running:
            if live.digest.stage == "queue":
                live.stop("shutdown")
        await asyncio.wait(finished, timeout=patience_s)
        for live in running:
            live.stop("shutdown")
        await asyncio.wait(finished)

    def _forget(self, live: Live, ended: Callable[[Digest], None]) -> None:
        del self._live[live.id]
        ended(live.digest)
