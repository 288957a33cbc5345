"""One answer from its place in the queue to its end: admit -> run -> log.

Invariant: a question that was let in gives its place or its slot back, however it ends.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, aclosing

import sqlite_utils

from app.backend.admission import Admission, Visit, brownout
from app.backend.digest import Digest
from app.backend.engines.lookup import Engines
from app.backend.events import Event, Started
from app.backend.generations import Generations, Live
from app.backend.metering import MeteredEngine
from app.backend.pipelines.registry import Registry
from app.backend.protocols import Retriever, Tools
from app.backend.records import Ticket
from app.backend.salts import SaltedRetriever, Salts
from app.backend.storage import kept
from app.backend.storage.database import Database
from app.backend.storage.generations import Begun, Plan
from app.backend.telemetry import Telemetry
from app.backend.types import Lane, Query
from app.backend.unfinished import cited
from app.settings import Settings

BYTES_A_TOKEN = 4
"""About; until the engine has counted."""


class Answers:
    """Begins them; the parts are the backend's."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        engines: Engines,
        retriever: Retriever,
        registry: Registry,
        admission: Admission,
        generations: Generations,
        telemetry: Telemetry,
        salt_of: Salts,
    ) -> None:
        self._settings = settings
        self._database = database
        self._engines = engines
        self._retriever = retriever
        self._registry = registry
        self._admission = admission
        self._generations = generations
        self._telemetry = telemetry
        self._salt_of = salt_of

    async def begin(
        self,
        owner: str,
        plan: Plan,
        store: Callable[[sqlite_utils.Database], Begun],
        *,
        lane: Lane = "chat",
        text: str = "",
        address: str,
    ) -> Ticket:
        """Take a place in the queue, store the question, and let it be answered. `text` is for guessing its length."""
        (ticket,) = await self.begin_all(owner, [plan], lambda db: (store(db),), lane=lane, text=text, address=address)
        return ticket

    async def begin_all(
        self,
        owner: str,
        plans: Sequence[Plan],
        store: Callable[[sqlite_utils.Database], tuple[Begun, ...]],
        *,
        lane: Lane,
        text: str,
        address: str,
    ) -> tuple[Ticket, ...]:
        """As `begin`, with an answer to each of `plans`: all are let in and stored, or none is. From then on they know
        nothing of each other.
        """
        asked = time.monotonic()
        tokens = len(text.encode(errors="replace")) // BYTES_A_TOKEN
        visits: list[Visit] = []

        def stored(db: sqlite_utils.Database) -> tuple[Begun, ...]:
            for visit in visits:
                if visit.network is not None:
                    kept.count_network(db, visit.network)
            return store(db)

        with ExitStack() as undo:
            for plan in plans:
                visit = self._admission.enter(
                    owner, lane=lane, pipeline=plan.pipeline, prompt_tokens=tokens, address=address
                )
                undo.callback(self._admission.withdraw, visit)
                visits.append(visit)
            begun = await self._database.write(stored)
            undo.pop_all()
        return tuple(
            self._run(owner, plan, one, visit, lane, asked)
            for plan, one, visit in zip(plans, begun, visits, strict=True)
        )

    def _run(self, owner: str, plan: Plan, begun: Begun, visit: Visit, lane: Lane, asked: float) -> Ticket:
        place, salt = visit.place, self._salt_of(owner)
        engine = MeteredEngine(
            self._engines[plan.engine],
            salt,
            seed=plan.seed,
            at_once=self._settings.generation.calls_at_once,
            stall_s=self._settings.generation.stall_s,
            observe=self._telemetry.inter_token.observe,
        )
        visit.name(begun.generation_id, lambda: engine.usage)
        may_do_without = self._settings.retrieval.on_failure == "answer"
        retriever = SaltedRetriever(self._retriever, salt)
        tools = Tools(
            engine,
            retriever,
            begun.generation_id,
            may_do_without=may_do_without,
            seed=plan.seed,
        )
        ticket = Ticket(begun.conversation_id, begun.turn_id, begun.generation_id, place.position, place.eta_s)
        self._telemetry.asked(owner, lane, plan.pipeline, plan.corpus, plan.engine, ticket)

        async def produce(live: Live) -> AsyncGenerator[Event, None]:
            async with visit.slot(live.record):
                self._telemetry.admitted(begun.generation_id, lane, time.monotonic() - asked)
                yield Started()
                await self._engines.until_up(plan.engine)
                query = Query(begun.question, plan.corpus, begun.history, plan.params)
                query, eased = brownout.ease(self._admission.level if lane == "chat" else 0, query)
                for cut in eased:
                    yield cut
                async with aclosing(self._registry.run(plan.pipeline, query, tools)) as events:
                    async for event in events:
                        yield event

        def ended(digest: Digest) -> None:
            visit.leave()
            if not plan.engine:  # the pace of another engine says nothing about the next wait
                self._admission.learn(plan.pipeline, engine.usage, digest.timings_ms)
            self._telemetry.ended(begun.generation_id, plan.pipeline, digest)

        self._generations.start(
            owner,
            begun.generation_id,
            produce,
            usage=lambda: engine.usage,
            cite=lambda digest: cited(digest, plan.params),
            ended=ended,
        )
        return ticket
