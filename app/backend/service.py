"""The backend as the doors see it: authorise -> admit -> run -> log -> yield."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial

import structlog

from app.backend.accounts.service import Accounts
from app.backend.admission import Admission, Queue, create_guests, network_of
from app.backend.answers import Answers
from app.backend.arena.live import Arena
from app.backend.batches.judging import Judging
from app.backend.batches.service import Batches
from app.backend.comparing import blind
from app.backend.comparisons import Comparisons
from app.backend.demos.service import Demos
from app.backend.engines.lookup import Engines
from app.backend.errors import ColloquyError, Draining, Unavailable
from app.backend.events import Recorded, Terminal
from app.backend.generations import Generations
from app.backend.operations.service import Operations
from app.backend.patience import PatientRetriever
from app.backend.pipelines.registry import Registry
from app.backend.protocols import Engine, Retriever
from app.backend.questions import Questions
from app.backend.records import Conversation, ConversationSummary, Generation, Ticket
from app.backend.records import Question as Question
from app.backend.salts import create_salts
from app.backend.shares.service import Shares
from app.backend.storage import conversations, generations, kept, rows, veil
from app.backend.storage.database import Database
from app.backend.telemetry import Telemetry
from app.backend.throttle import Throttle
from app.backend.tidying import keep_tidy, tidy
from app.backend.types import CorpusInfo, EngineInfo, Health, Params, PipelineInfo
from app.backend.unfinished import cited
from app.backend.watching import keep_watch
from app.settings import Settings

log = structlog.get_logger(__name__)

BEGUN_S = 3600.0
"""Guests of one network begin as many conversations within an hour as they may ask questions in a day."""
DRAIN_S = 10.0


class Backend:
    """Every call names its `owner` first; what belongs to another owner is NotFound."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        engine: Engine,
        retriever: Retriever,
        registry: Registry,
        telemetry: Telemetry | None = None,
        named: Mapping[str, Engine] | None = None,
    ) -> None:
        self._database = database
        self._engines = Engines(engine, named or {})
        self.retriever = PatientRetriever(retriever, settings.retrieval.timeout_s)
        self.salt_of = create_salts(settings.server)
        self._registry = registry
        self.telemetry = telemetry or Telemetry.create()
        self.accounts = Accounts(database, settings, self.telemetry.refused)
        told = partial(self.telemetry.refused, "conversations")
        self._begun_by_guests = Throttle(settings.quotas.address.per_day, BEGUN_S, refused=told)
        limits = settings.generation
        guests = create_guests(settings, self.accounts.visits)
        quota_of, seconds = self.accounts.quota_of, limits.deadline_s
        self._admission = Admission(settings.admission, quota_of, guests=guests, deadline_s=seconds)
        self._generations = Generations(database, grace_s=limits.grace_s)
        self._chores: list[asyncio.Task[None]] = []
        self._closing = False
        self.telemetry.watch_queue(self._admission.snapshot)
        self._answers = Answers(
            settings,
            database,
            self._engines,
            self.retriever,
            registry,
            self._admission,
            self._generations,
            self.telemetry,
            self.salt_of,
        )
        self._questions = Questions(settings, registry, self.retriever, self._engines, self._check_open)
        self.arena = Arena(database)
        self.comparisons = Comparisons(
            settings,
            database,
            self._questions,
            self._answers,
            self._generations,
            registry,
            quota_of,
            guests.network,
            self.arena.pick,
        )
        judging = Judging(
            database, engine, self._admission, self.salt_of, self.comparisons.names, stall_s=limits.stall_s
        )
        self.batches = Batches(
            settings, database, self._questions, self._answers, self._generations, self.accounts, judging
        )
        self.shares = Shares(database, self._generations, self._questions, self._answers)
        self.operations = Operations(database, self._generations, self._admission, self.accounts)
        self.demos = Demos(database, settings, self._questions, self, self.comparisons)

    async def open(self) -> None:
        """Open the database and mark what the last process left unfinished. From here on, all but answering works."""
        await asyncio.to_thread(self._database.open)
        await self.accounts.open()
        interrupted = await self._database.write(lambda db: generations.recover(db, cited))
        asked = await self._database.read(lambda db: generations.asked_since(db, rows.midnight()))
        self._admission.seed(asked, await self._database.read(kept.networks))
        await self.operations.recall()
        await tidy(self._database, self.shares)
        log.info("database open", interrupted=interrupted)

    async def start(self) -> None:
        """Begin to bring up engine and retriever, and return; questions wait for them in the queue."""
        await self.retriever.start()
        await self._engines.start()
        watch = keep_watch(self._parts, self._admission, self.batches.resume, self.telemetry)
        chores = {"gate": watch, "tidy": keep_tidy(self._database, self.shares)}
        self._chores = [asyncio.create_task(chore, name=name) for name, chore in chores.items()]
        self.operations.start()

    async def aclose(self) -> None:
        """Refuse new questions, give running answers some seconds, end everything."""
        self._closing = True
        self._database.hurry()
        async with AsyncExitStack() as last:  # each is closed, whatever the one before it raises
            last.push_async_callback(asyncio.to_thread, self._database.close)
            last.push_async_callback(self.retriever.aclose)
            last.push_async_callback(self._engines.aclose)
            last.push_async_callback(self.operations.aclose)
            for chore in self._chores:
                last.callback(chore.cancel)
            with suppress(ColloquyError):
                await self._database.write(lambda db: None)  # behind the questions that were let in: they have begun
            self.batches.close()
            await self._generations.drain(DRAIN_S)
            await self.batches.join()

    def engine_health(self, name: str = "") -> Health:
        return self._engines[name].health()

    def retriever_health(self) -> Health:
        return self.retriever.health()

    def database_health(self) -> Health:
        return self._database.health()

    def engine_model(self) -> str:
        return self._engines.main.model

    def engines(self) -> tuple[EngineInfo, ...]:
        """What a question may name, the main one first."""
        return self._engines.infos()

    async def metrics(self) -> bytes:
        """What this server and those of its engines count, in Prometheus' text format."""
        return self.telemetry.render() + await self._engines.metrics()

    def queue(self) -> Queue:
        """What waits and runs now, for operators."""
        return self._admission.snapshot()

    def pipelines(self) -> tuple[PipelineInfo, ...]:
        return self._registry.infos()

    def validate(self, pipeline: str, params: Params) -> Params:
        """A value for every parameter of a pipeline: the given ones, else the defaults. Raises BadInput."""
        return self._registry.validate(pipeline, params)

    def corpora(self) -> tuple[CorpusInfo, ...]:
        return self.retriever.corpora()

    async def create_conversation(self, owner: str, address: str = "") -> ConversationSummary:
        """An empty one, of somebody who calls from `address`. Raises Refused for guests who begin too many."""
        if self.accounts.visits(owner):
            self._begun_by_guests.attempt(network_of(address))
        return await self._database.write(lambda db: conversations.create(db, owner))

    async def conversations(self, owner: str, q: str = "", limit: int = 200) -> tuple[ConversationSummary, ...]:
        if q:
            return await self._database.search(lambda db: conversations.listing(db, owner, q, limit), owner)
        return await self._database.read(lambda db: conversations.listing(db, owner, q, limit))

    async def conversation(self, owner: str, conversation_id: str) -> Conversation:
        return await self._database.read(lambda db: conversations.get(db, owner, conversation_id))

    async def update_conversation(
        self, owner: str, conversation_id: str, *, title: str | None = None, pinned: bool | None = None
    ) -> None:
        await self._database.write(
            lambda db: conversations.update(db, owner, conversation_id, title=title, pinned=pinned)
        )

    async def delete_conversation(self, owner: str, conversation_id: str) -> None:
        """Stop what runs in it and hide it; it can be restored for an hour."""
        for generation_id in await self._database.write(lambda db: conversations.delete(db, owner, conversation_id)):
            if live := self._generations.find(owner, generation_id):
                live.stop("user")

    async def restore_conversation(self, owner: str, conversation_id: str) -> None:
        await self._database.write(lambda db: conversations.restore(db, owner, conversation_id))

    async def show_branch(self, owner: str, conversation_id: str, turn_id: str) -> None:
        await self._database.write(lambda db: conversations.show_branch(db, owner, conversation_id, turn_id))

    async def choose_answer(self, owner: str, generation_id: str) -> None:
        await self._database.write(lambda db: generations.choose(db, owner, generation_id))

    async def ask(self, owner: str, conversation_id: str, question: Question) -> Ticket:
        """Store a question and begin to answer it. When this returns, the question is on disk.

        Raises BadInput, NotFound, Busy, Refused; then nothing was stored.
        """
        text = self._questions.text(question.text)
        asked = question.pipeline, question.corpus, question.params
        plan = self._questions.plan(*asked, question.seed, question.engine)
        turns = self._questions.history_turns
        return await self._answers.begin(
            owner,
            plan,
            lambda db: generations.add_turn(db, owner, conversation_id, question.parent_id, text, plan, turns),
            lane=question.lane,
            text=text,
            address=question.address,
        )

    async def regenerate(self, owner: str, generation_id: str, address: str = "") -> Ticket:
        """Answer the same question again beside the answers it has; draws with temperature, or nothing would change."""
        self._check_open()
        old = await self._database.read(lambda db: generations.in_chat(db, owner, generation_id))
        plan = self._questions.varied(old)
        turns = self._questions.history_turns
        return await self._answers.begin(
            owner, plan, lambda db: generations.add_alternative(db, owner, generation_id, plan, turns), address=address
        )

    async def stop(self, owner: str, generation_id: str) -> None:
        """End a running answer; it keeps its partial text. Without effect on a finished one."""
        if live := self._generations.find(owner, generation_id):
            live.stop("user")
        else:
            await self.generation(owner, generation_id)

    async def generation(self, owner: str, generation_id: str) -> Generation:
        return await self._database.read(lambda db: generations.get(db, owner, generation_id))

    async def events(self, owner: str, generation_id: str, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """The log after number `after`: what is there, then what comes, up to the terminal event. Raises NotFound."""
        hidden = await self._database.read(lambda db: veil.hides(db, generation_id))
        if live := self._generations.find(owner, generation_id):
            masked = blind.Log(after) if hidden else None
            async with aclosing(live.read(0 if masked else after)) as recorded:
                async for r in recorded:
                    if masked and isinstance(r.event, Terminal):
                        await self._together(owner, generation_id)
                    for seen in masked.seen(r) if masked else (r,):
                        yield seen
        else:
            if hidden:
                await self._together(owner, generation_id)
            for r in await self._database.read(lambda db: generations.log(db, owner, generation_id, after)):
                yield r

    async def _together(self, owner: str, generation_id: str) -> None:
        """Wait until all columns beside a hidden one have ended."""
        for other in await self._database.read(lambda db: veil.beside(db, generation_id)):
            if live := self._generations.find(owner, other):
                await live.finished.wait()

    def _check_open(self) -> None:
        if self._closing:
            self.telemetry.refused("closing")
            raise Unavailable("The server is shutting down; please try again in a minute.", retry_after_s=60)
        if self.operations.draining:
            self.telemetry.refused("draining")
            raise Draining(
                "New questions are not taken for a while, for maintenance; please try again in some minutes.",
                retry_after_s=60,
            )

    def _parts(self) -> Mapping[str, Health]:
        engines = {f"engine {info.name}".rstrip(): info.health for info in self.engines()}
        return {**engines, "retriever": self.retriever.health(), "database": self._database.health()}
