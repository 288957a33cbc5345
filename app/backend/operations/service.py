"""What operators see and do: the queue, the database, everybody's conversations.

Invariant: every deed, and every look at somebody's words, is in the audit before it happens; if the audit cannot be
written it does not happen.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from app.backend.accounts.service import Accounts
from app.backend.admission import Admission, Queue, Standing
from app.backend.errors import BadInput, ColloquyError, NotFound, Refused, Unavailable
from app.backend.generations import Generations
from app.backend.operations.audit import Audit
from app.backend.operations.people import People
from app.backend.records import AuditLine, Backup, Contents, Found, Opened
from app.backend.storage import backup, kept, oversight
from app.backend.storage.database import Database
from app.backend.types import Principal

log = structlog.get_logger(__name__)
SAMPLE_S = 2.0
SAMPLES = 300
MAX_FOUND = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that waits or is being written: its place in the queue, its stage, and whose it is (no name: a guest).

    `stage` is "queue" or what its pipeline is at.
    """

    standing: Standing
    stage: str
    name: str


@dataclass(frozen=True, slots=True)
class Sample:
    """How many were written and how many waited at a time."""

    at: float
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Drain:
    """New questions are refused since then, by whom."""

    since: float
    by: str

    def __str__(self) -> str:
        return f"since {datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Now:
    """The server at a moment. `history` is the last minutes, oldest first."""

    at: float
    queue: Queue
    answers: tuple[Answer, ...]
    drain: Drain | None
    history: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Copying:
    """A backup that is being made; `failure` is the sentence of one that was not."""

    phase: str
    done: int
    total: int
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Storage:
    """The database and its disk, in bytes. `backup` is the last one, `copying` the one that is being made or failed."""

    database: int
    wal: int
    backups: int
    free: int
    disk: int
    contents: Contents
    backup: Backup | None
    copying: Copying | None


class Operations:
    """One per backend. Every deed names the operator first; who is one is the doors' question.

    `people` has who uses the server; `draining` is set while new questions are refused.
    """

    def __init__(self, database: Database, generations: Generations, admission: Admission, accounts: Accounts) -> None:
        self._file = database.path
        self._database = database
        self._generations = generations
        self._admission = admission
        self._name_of = accounts.name_of
        self._audit = Audit(database)
        self._history: deque[Sample] = deque(maxlen=SAMPLES)
        self._sampling: asyncio.Task[None] | None = None
        self._copying: Copying | None = None
        self._backup: asyncio.Task[None] | None = None
        self._closing = False
        self.draining: Drain | None = None
        self.people = People(database, accounts, admission, self._audit, self._stop_all)

    async def recall(self) -> None:
        """Go on refusing questions when the last process did: a restart is often what it was for."""
        if kept_drain := await self._database.read(kept.drain):
            self.draining = Drain(*kept_drain)

    def start(self) -> None:
        self._sampling = asyncio.create_task(self._sample(), name="operations history")

    async def aclose(self) -> None:
        """Give up a backup that is being made: nothing of it stays behind."""
        self._closing = True
        if self._sampling:
            self._sampling.cancel()
        if self._backup:
            await self._backup

    def name_of(self, owner: str) -> str:
        """The name of an account; empty for a guest."""
        return self._name_of(owner)

    def now(self) -> Now:
        """Who is being answered and who waits. Nobody's words are in it."""
        queue = self._admission.snapshot()
        answers = tuple(Answer(s, self._stage(s), self._name_of(s.owner)) for s in queue.visits)
        return Now(time.time(), queue, answers, self.draining, tuple(self._history))

    async def stop(self, operator: Principal, generation_id: str) -> None:
        """End an answer; it keeps its partial text. Raises NotFound when it has ended."""
        owner = next((s.owner for s in self._admission.snapshot().visits if s.generation_id == generation_id), None)
        live = self._generations.find(owner, generation_id) if owner else None
        if live is None:
            raise NotFound("This answer has ended already.")
        await self._audit.record(operator, "stop", live.owner, generation_id)
        live.stop("operator")

    async def drain(self, operator: Principal, on: bool) -> None:
        """Refuse new questions, also after a restart, and let what was accepted be answered; or accept them again."""
        if on == (self.draining is not None):
            return
        await self._audit.record(operator, "drain" if on else "resume")
        drain = (time.time(), operator.name) if on else None
        await self._database.write(lambda db: kept.set_drain(db, drain))
        self.draining = Drain(*drain) if drain else None
        log.warning("draining" if on else "accepting questions again", operator=operator.id)

    async def search(self, operator: Principal, q: str, owner: str = "") -> tuple[Found, ...]:
        """Conversations of everybody, or of one owner, that contain every word of `q`; newest first."""
        if not q.strip() and not owner:
            raise BadInput("Type what to look for, or choose whose conversations to list.")
        await self._audit.record(operator, "search", owner, q)
        return await self._database.search(lambda db: oversight.find(db, q, owner or None, MAX_FOUND), operator.id)

    async def open(self, operator: Principal, conversation_id: str) -> Opened:
        """Read anybody's conversation. Raises NotFound."""
        await self._audit.record(operator, "open", conversation_id)
        return await self._database.read(lambda db: oversight.opened(db, conversation_id))

    async def audit(self, before: int | None = None, limit: int = 100) -> tuple[AuditLine, ...]:
        """What operators did and looked at, newest first."""
        return await self._audit.lines(before, limit)

    async def storage(self) -> Storage:
        contents = await self._database.read(oversight.contents)
        return await asyncio.to_thread(self._measure, contents)

    async def back_up(self, operator: Principal) -> None:
        """Begin a backup into the data folder; `storage` tells how it goes. Raises Refused while one is being made."""
        if self._backup and not self._backup.done():
            raise Refused("A backup is being made already; wait for it.", retry_after_s=10)
        self._copying = Copying("copying", 0, 1)
        name = f"colloquy-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.db"
        self._backup = asyncio.create_task(self._make(operator, name), name="backup")

    async def _make(self, operator: Principal, name: str) -> None:
        target = self._backups / name
        try:
            await self._audit.record(operator, "backup", "", name)
            target.parent.mkdir(mode=0o700, exist_ok=True)
            made = await asyncio.to_thread(backup.back_up, self._file, target, on_progress=self._progress)
        except (ColloquyError, OSError) as error:
            sentence = error.message if isinstance(error, ColloquyError) else "The data folder cannot be written to."
            self._copying = Copying("failed", 0, 1, sentence.replace(str(self._file.parent), "data"))
            log.error("backup failed", reason=sentence)
        else:
            self._copying = None
            log.info("backup made", bytes=made.bytes, seconds=made.seconds)

    def _progress(self, phase: str, done: int, total: int) -> None:
        """Called in the backup's thread."""
        if self._closing:
            raise Unavailable("The server was shut down before the backup was complete.")
        self._copying = Copying(phase, done, total)

    def _stop_all(self, owner: str) -> None:
        for standing in self._admission.snapshot().visits:
            if standing.owner == owner and (live := self._generations.find(owner, standing.generation_id)):
                live.stop("operator")

    def _stage(self, standing: Standing) -> str:
        live = self._generations.find(standing.owner, standing.generation_id)
        return live.digest.stage if live else "queue"

    @property
    def _backups(self) -> Path:
        return self._file.parent / "backups"

    def _measure(self, contents: Contents) -> Storage:
        disk = shutil.disk_usage(self._file.parent)
        copies = sum(path.stat().st_size for path in self._backups.glob("*.db")) if self._backups.is_dir() else 0
        wal = self._file.with_name(self._file.name + "-wal")
        return Storage(
            self._file.stat().st_size,
            wal.stat().st_size if wal.exists() else 0,
            copies,
            disk.free,
            disk.total,
            contents,
            replace(last, file=Path(last.file).name) if (last := backup.last(self._file)) else None,
            self._copying,
        )

    async def _sample(self) -> None:
        while True:
            queue = self._admission.snapshot()
            self._history.append(Sample(time.time(), sum(queue.running.values()), sum(queue.waiting.values())))
            await asyncio.sleep(SAMPLE_S)
