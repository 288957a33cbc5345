"""The same comparison over a file of questions, answered in the lane of experiments while nobody has to watch.

Invariant: a batch that runs goes on after a restart, from the first question that is not answered on all sides. Of one
owner one batch is worked on at a time; all batches together ask for at most half of what may run.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress

import structlog

from app.backend.accounts.service import Accounts
from app.backend.admission import network_of
from app.backend.answers import Answers
from app.backend.batches.judging import Judging
from app.backend.batches.records import Batch, BatchState, Progress
from app.backend.batches.reports import BatchReports
from app.backend.batches.run import Run, Share
from app.backend.comparisons import FEWEST, MOST
from app.backend.errors import BadInput, ColloquyError, NotFound, Refused
from app.backend.experiments.questions import MOST_QUESTIONS, read_questions
from app.backend.experiments.report import Report
from app.backend.generations import Generations
from app.backend.questions import SEEDS, Questions
from app.backend.records import Side
from app.backend.storage import batches as store
from app.backend.storage.database import Database
from app.backend.throttle import Throttle
from app.settings import Settings

log = structlog.get_logger(__name__)

NAME_CHARS = 120
MOST_BATCHES = 100
GUEST_BATCHES, GUEST_QUESTIONS, GUEST_CHARS = 5, 100, 100_000
"""Who drops the cookie is a new guest: what a guest leaves behind is kept small."""
BEGUN, BEGUN_S = 60, 3600.0
"""So many batches may somebody begin within an hour."""
GUESTS_BEGUN, GUESTS_BEGUN_S = 20, 24 * 3600.0
"""So many may all guests of one network begin within a day, which is more than they may ask in it."""
AT_A_TIME = 25
"""So many comparisons are deleted in one write, so that others' writes go in between."""
AGAIN_S = 5.0
IN_LINE = "Your other batch is answered first."


class Batches:
    """Every call names its `owner` first; what belongs to another owner is NotFound."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        questions: Questions,
        answers: Answers,
        generations: Generations,
        accounts: Accounts,
        judging: Judging,
    ) -> None:
        self._database = database
        self._questions = questions
        self._answers = answers
        self._generations = generations
        self._accounts = accounts
        self._judging = judging
        self._begun = Throttle(BEGUN, BEGUN_S)
        self._guests_begun = Throttle(GUESTS_BEGUN, GUESTS_BEGUN_S)
        self._reports = BatchReports(database)
        self._share = Share(max(MOST, settings.admission.max_running // 2))
        self._runs: dict[str, Run] = {}
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._woken: set[str] = set()
        self._closed = asyncio.Event()

    async def begin(
        self,
        owner: str,
        file: str,
        text: str,
        sides: Sequence[Side],
        *,
        corpus: str = "",
        judged: bool = False,
        address: str = "",
    ) -> Batch:
        """Store the questions in `text` and begin to answer them. `file` is what it is called in errors and lists;
        `corpus` is for sides without one. When `judged`, the engine says of each two answers which is better.

        Raises BadInput, NotFound, Refused, Unavailable; then nothing was stored.
        """
        self._questions.check_open()
        name = " ".join(file.split())
        if not 0 < len(name) <= NAME_CHARS:
            raise BadInput(f"The name of a batch has 1 to {NAME_CHARS} characters.")
        if not FEWEST <= len(sides) <= MOST:
            raise BadInput(f"A batch compares {FEWEST} to {MOST} sides; this one has {len(sides)}.")
        quota = self._accounts.quota_of(owner)
        if len(sides) > (room := quota.running + quota.queued):
            raise Refused(f"You may have {room} answers at once: compare so many sides at most.")
        plans = [
            self._questions.plan(side.pipeline, side.corpus or corpus, side.params, engine=side.engine)
            for side in sides
        ]
        kept = [
            Side(plan.pipeline, plan.corpus, dict(side.params), plan.engine)
            for plan, side in zip(plans, sides, strict=True)
        ]
        guest = self._accounts.visits(owner)
        if guest and len(text) > GUEST_CHARS:
            raise BadInput(f"{name} has {len(text):,} characters; guests give files of at most {GUEST_CHARS:,}.")
        self._begun.attempt(owner)
        network = network_of(address) if guest else ""
        if network:
            self._guests_begun.attempt(network)
        asked = await asyncio.to_thread(read_questions, name, text, self._questions.text)
        if len(asked) > (room := self.most_questions(owner)):
            raise BadInput(f"{name} has {len(asked):,} questions; guests ask at most {room:,} at once.")
        most = GUEST_BATCHES if guest else MOST_BATCHES
        seed = secrets.randbelow(SEEDS)
        batch_id = await self._database.write(
            lambda db: store.add(db, owner, name, kept, asked, seed=seed, most=most, network=network, judged=judged)
        )
        self._wake(owner)
        return await self.get(owner, batch_id)

    def most_questions(self, owner: str) -> int:
        """How many questions a batch of this owner may have."""
        return GUEST_QUESTIONS if self._accounts.visits(owner) else MOST_QUESTIONS

    async def listing(self, owner: str) -> tuple[Batch, ...]:
        """Newest first."""
        return await self._database.read(lambda db: store.listing(db, owner))

    async def get(self, owner: str, batch_id: str) -> Batch:
        return await self._database.read(lambda db: store.get(db, owner, batch_id))

    def progress(self, owner: str, batch: Batch) -> Progress:
        """How it gets on."""
        if run := self._runs.get(batch.id):
            return run.progress()
        waits = batch.state == "running" and any(run.owner == owner for run in self._runs.values())
        return Progress(held=IN_LINE if waits else "")

    async def version(self, owner: str, batch_id: str) -> str:
        """Changes whenever there is something new to report."""
        return await self._database.read(lambda db: store.version(db, owner, batch_id))

    async def report(self, owner: str, batch_id: str, metric: str = "f1") -> Report:
        """All answers so far, with what they say by this metric. Raises NotFound, BadInput."""
        batch = await self.get(owner, batch_id)
        return await self._reports.get(owner, batch, metric)

    async def stop(self, owner: str, batch_id: str) -> Batch:
        """Ask no more, and stop what runs; what was answered stays. Without effect on one that has ended."""
        batch = await self.get(owner, batch_id)
        if batch.state == "running":
            batch = await self._database.write(lambda db: store.turn(db, owner, batch_id, "stopped"))
            if run := self._runs.get(batch_id):
                run.stop()
        return batch

    async def go_on(self, owner: str, batch_id: str, address: str = "") -> Batch:
        """Ask what was not answered, and once more what failed."""
        self._questions.check_open()
        batch = await self.get(owner, batch_id)
        if batch.state == "running":
            return batch
        await self._database.write(lambda db: store.forget_failed(db, batch_id))
        network = network_of(address) if self._accounts.visits(owner) else ""
        batch = await self._database.write(lambda db: store.turn(db, owner, batch_id, "running", network=network))
        self._wake(owner)
        return batch

    async def delete(self, owner: str, batch_id: str) -> None:
        """Remove it with all of its comparisons."""
        await self.stop(owner, batch_id)
        self._reports.forget(batch_id)
        while await self._database.write(lambda db: store.shrink(db, owner, batch_id, AT_A_TIME)):
            pass

    async def resume(self) -> None:
        """Go on with what the last process left."""
        for owner in await self._database.read(store.owners):
            self._wake(owner)

    def close(self) -> None:
        """Ask no more."""
        self._closed.set()
        for run in self._runs.values():
            run.halt()

    async def join(self) -> None:
        """After `close`, and after the answers have ended: until all is written down."""
        await asyncio.gather(*self._at_work.values())

    def _wake(self, owner: str) -> None:
        """See to it that somebody works on the batches of `owner`."""
        self._woken.add(owner)
        if owner not in self._at_work:
            self._at_work[owner] = asyncio.create_task(self._work(owner), name=f"batches of {owner}")

    async def _work(self, owner: str) -> None:
        """Run the batches of an owner, one after the other, until none is left."""
        try:
            while owner in self._woken and not self._closed.is_set():
                self._woken.discard(owner)
                try:
                    await self._work_off(owner)
                except Exception as error:
                    if isinstance(error, ColloquyError):
                        log.warning("batches wait", owner=owner, reason=error.message)
                    else:
                        log.exception("batches wait", owner=owner)
                    self._woken.add(owner)
                    await asyncio.sleep(AGAIN_S)
        finally:
            del self._at_work[owner]

    async def _work_off(self, owner: str) -> None:
        while not self._closed.is_set() and (batch := await self._database.read(lambda db: store.next_of(db, owner))):
            await self._run(owner, batch)

    async def _run(self, owner: str, batch: Batch) -> None:
        room = min(max(1, self._accounts.quota_of(owner).running // 2), self._share.most)
        run = self._runs[batch.id] = Run(
            owner,
            batch,
            max(1, room // len(batch.sides)),
            self._share,
            self._database,
            self._questions,
            self._answers,
            self._generations,
            self._accounts,
            self._judging,
        )
        if self._closed.is_set():  # while the batch was read
            run.halt()
        try:
            await run.work()
        finally:
            del self._runs[batch.id]
        if run.halted and not run.trouble:  # stopped, which is written already, or the server ends
            return
        with suppress(NotFound):  # deleted meanwhile
            state: BatchState = "stopped" if run.trouble else "done"
            await self._database.write(lambda db: store.turn(db, owner, batch.id, state, trouble=run.trouble))
