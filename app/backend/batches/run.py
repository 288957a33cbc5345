"""Works through one batch: asks what is not answered yet, some questions at once, reads along until each has ended, and
has the answers judged where that is wanted.

Invariant: it stops between steps and is never cancelled inside one, so no question is stored that nobody answers.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

import structlog

from app.backend.accounts.service import Accounts
from app.backend.answers import Answers
from app.backend.batches.judging import Judging
from app.backend.batches.records import Batch, Progress
from app.backend.errors import BadInput, ColloquyError, Draining, NotFound, Unavailable
from app.backend.generations import Generations, Live
from app.backend.questions import SEEDS, Questions
from app.backend.records import Ticket
from app.backend.storage import batches as store
from app.backend.storage import judgements
from app.backend.storage.database import Database
from app.backend.storage.generations import Plan

log = structlog.get_logger(__name__)

PAUSE_S, LONGEST_PAUSE_S = 2.0, 30.0
JUDGE_TRIES = 5
"""So often an engine that fails at the judgement of one question is asked for it again before the others' turn."""
OTHERS_FIRST = "Other batches are answered first."
SHUT_OUT = "Its owner is shut out."


class Share:
    """So many answers of all batches together may be asked for at once. Who waits longest is next, also who wants more
    than is free.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._free = asyncio.Semaphore(most)
        self._line = asyncio.Lock()

    @asynccontextmanager
    async def of(self, answers: int) -> AsyncIterator[None]:
        """Hold room for that many, of which there are no more than `most`."""
        async with self._line:
            for _ in range(answers):
                await self._free.acquire()
        try:
            yield
        finally:
            for _ in range(answers):
                self._free.release()


class Run:
    """One batch on its way. `at_once` questions are asked together."""

    def __init__(
        self,
        owner: str,
        batch: Batch,
        at_once: int,
        share: Share,
        database: Database,
        questions: Questions,
        answers: Answers,
        generations: Generations,
        accounts: Accounts,
        judging: Judging,
    ) -> None:
        self.trouble = ""
        self.owner = owner
        self._batch = batch
        self._at_once = at_once
        self._share = share
        self._database = database
        self._questions = questions
        self._answers = answers
        self._generations = generations
        self._accounts = accounts
        self._judging = judging
        self._to_do: deque[tuple[int, tuple[int, ...]]] = deque()
        self._asked: set[Live] = set()
        self._began = 0.0
        self._answered = 0
        self._in_work = 0
        self._held = ""
        self._unjudged: list[str] = []
        self._halted = asyncio.Event()
        self._stopped = False

    @property
    def halted(self) -> bool:
        return self._halted.is_set()

    def progress(self) -> Progress:
        left = len(self._to_do) + self._in_work
        eta_s = (time.monotonic() - self._began) / self._answered * left if self._answered else None
        return Progress(eta_s, self._held)

    def halt(self) -> None:
        """Ask no more; what was asked comes to its end."""
        self._halted.set()

    def stop(self) -> None:
        """Ask no more, and stop what was asked."""
        self._stopped = True
        self.halt()
        for live in self._asked:
            live.stop("user")

    async def work(self) -> None:
        """Until everything is answered, it is halted, or there is `trouble` that makes it pointless to go on."""
        to_do = dict(await self._database.read(lambda db: store.to_do(db, self._batch)))
        if self._batch.judged:
            unjudged = await self._database.read(lambda db: judgements.to_do(db, self._batch.id))
            to_do = dict.fromkeys(unjudged, ()) | to_do
        self._to_do.extend(sorted(to_do.items()))
        self._began = time.monotonic()
        await asyncio.gather(*(self._worker() for _ in range(self._at_once)))
        if self._unjudged and not self.halted:
            why = f"The model could not judge the answers to {len(self._unjudged)} of the questions"
            self._give_up(f"{why}: {self._unjudged[-1]} Go on to try these again.")

    async def _worker(self) -> None:
        while self._to_do and not self.halted:
            position, sides = self._to_do.popleft()
            self._in_work += 1
            try:
                if sides:
                    await self._ask(position, sides)
                if self._batch.judged:
                    await self._judge(position)
            except (BadInput, NotFound) as error:
                self._give_up(error.message)
            except Exception:
                log.exception("batch failed", batch_id=self._batch.id)
                self._give_up("Something went wrong on the server; its log has the details.")
            finally:
                self._in_work -= 1

    async def _ask(self, position: int, sides: tuple[int, ...]) -> None:
        """Begin the answers as soon as there is room for them, and read them; none when it is halted before.

        The share is held while they run and given back before each pause: who waits for a quota keeps nobody waiting.
        """
        seed = (self._batch.seed + position) % SEEDS
        wanted = {side: self._batch.sides[side] for side in sides}
        plans = {
            n: self._questions.plan(side.pipeline, side.corpus, side.params, seed, side.engine)
            for n, side in wanted.items()
        }
        while not self.halted:
            before, self._held = self._held, OTHERS_FIRST
            async with self._share.of(len(sides)):
                self._held = before
                try:
                    tickets = await self._begin(position, plans)
                except (BadInput, NotFound):
                    raise
                except ColloquyError as error:  # full, above a quota, shut for maintenance: it passes
                    self._held = error.message
                    wait_s = error.retry_after_s or PAUSE_S
                else:
                    self._held = ""
                    await self._follow(tickets)
                    return
            await self._pause(wait_s)

    async def _begin(self, position: int, plans: Mapping[int, Plan]) -> tuple[Ticket, ...]:
        """None when it is halted, or its owner shut out."""
        self._questions.check_open()
        if await self._accounts.is_out(self.owner):
            self._give_up(SHUT_OUT)
        if self.halted:
            return ()
        return await self._answers.begin_all(
            self.owner,
            list(plans.values()),
            lambda db: store.ask(db, self.owner, self._batch.id, position, plans),
            lane="experiment",
            text="",
            address=self._batch.network,
        )

    async def _follow(self, tickets: tuple[Ticket, ...]) -> None:
        found = [self._generations.find(self.owner, ticket.generation_id) for ticket in tickets]
        lives = {live for live in found if live}
        self._asked |= lives
        if self._stopped:
            self.stop()
        await asyncio.gather(*(_read(live) for live in lives))
        self._asked -= lives
        self._answered += bool(tickets)

    async def _judge(self, position: int) -> None:
        """Have the answers judged that nobody judged yet; broken off when it is halted, left when the engine keeps
        failing.
        """
        failures = 0
        wanted = await self._database.read(lambda db: judgements.to_do(db, self._batch.id))
        while position in wanted and not self.halted:
            async with self._share.of(1):
                judging = asyncio.ensure_future(
                    self._judging.judge(self.owner, self._batch, position, wanted[position])
                )
                await self._unless_halted(judging)
            if judging.cancelled():
                return
            match judging.exception():
                case None:
                    return
                case BadInput() | NotFound() as error:
                    raise error
                case ColloquyError() as error:
                    self._held = error.message
                    failures += isinstance(error, Unavailable) and not isinstance(error, Draining)
                    if failures == JUDGE_TRIES:
                        self._unjudged.append(error.message)
                        return
                    await self._pause(error.retry_after_s or PAUSE_S)
                case error:
                    raise error

    async def _unless_halted(self, work: asyncio.Future[None]) -> None:
        """Until it has ended; it is broken off when this batch is halted."""
        halted = asyncio.ensure_future(self._halted.wait())
        halted.add_done_callback(lambda _: work.cancel())
        await asyncio.wait([work])
        halted.cancel()

    async def _pause(self, seconds: float) -> None:
        wait_s = min(max(seconds, 0.1), LONGEST_PAUSE_S)
        await asyncio.wait([waiting := asyncio.ensure_future(self._halted.wait())], timeout=wait_s)
        waiting.cancel()

    def _give_up(self, why: str) -> None:
        self.trouble = self.trouble or why
        self.halt()


async def _read(live: Live) -> None:
    """An answer that nobody reads would be abandoned."""
    async with aclosing(live.read()) as recorded:
        async for _ in recorded:
            pass
