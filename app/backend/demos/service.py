"""Demos: a set-up that its publisher shows to whoever has the link, under a quota and within a time of its own.

Invariant: all visitors of a demo together are one user to the admission, so that a full room waits in its own line; and
whether a demo is open is asked of the database each time, so that switching it off holds from the next moment on.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Protocol

from app.backend.admission import Queue, network_of
from app.backend.demos.records import EARLIEST, LATEST, Board, Demo, DemoLine, DemoQuestion, Setup
from app.backend.errors import BadField, Busy, ColloquyError, DemoFull, NotFound, Refused
from app.backend.events import Recorded
from app.backend.questions import Questions
from app.backend.records import Comparison, ComparisonTicket, ConversationSummary, Generation, Question, Side, Ticket
from app.backend.storage import demos as store
from app.backend.storage.database import Database
from app.backend.types import DEMO, Lane
from app.settings import Settings

TITLE_CHARS, WELCOME_CHARS, EXAMPLE_CHARS, EXAMPLES, SIDES = 80, 4_000, 200, 6, 4
BOARD = 60
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,48}[a-z0-9]")
_ACCENT = re.compile(r"#[0-9a-f]{6}")


class Asks(Protocol):
    """What demos ask of the backend, under the name that a demo runs as."""

    def queue(self) -> Queue: ...

    async def create_conversation(self, owner: str) -> ConversationSummary: ...

    async def ask(self, owner: str, conversation_id: str, question: Question) -> Ticket: ...

    async def stop(self, owner: str, generation_id: str) -> None: ...

    async def generation(self, owner: str, generation_id: str) -> Generation: ...

    def events(self, owner: str, generation_id: str, after: int = 0) -> AsyncGenerator[Recorded, None]: ...


class Compares(Protocol):
    """What demos ask of the comparisons."""

    async def begin(
        self, owner: str, question: str, sides: Sequence[Side], *, lane: Lane, address: str
    ) -> ComparisonTicket: ...

    async def vote(
        self,
        owner: str,
        comparison_id: str,
        winner: str,
        tags: Sequence[str] = (),
        comment: str = "",
        *,
        visiting: bool = False,
    ) -> Comparison: ...


class Demos:
    """One per backend. A publisher's call names the owner first, a visitor's the demo and the visitor."""

    def __init__(
        self, database: Database, settings: Settings, questions: Questions, asks: Asks, compares: Compares
    ) -> None:
        self._database = database
        self._quotas = settings.quotas
        self._embed_origins = settings.server.embed_origins
        self._most_waiting = max(1, settings.admission.max_queued // 2)
        self._questions = questions
        self._asks = asks
        self._compares = compares

    # ---- publishers --------------------------------------------------------------------------------------------------

    async def publish(self, owner: str, setup: Setup) -> Demo:
        """Raises BadField, BadInput, and NotFound for an unknown corpus."""
        checked = self._checked(setup)
        return await self._database.write(lambda db: store.add(db, owner, checked))

    async def change(self, owner: str, demo_id: str, setup: Setup | None = None, on: bool | None = None) -> Demo:
        """Change what is given. Switched off, nobody may ask or read any more, and what runs is stopped."""
        checked = self._checked(setup) if setup else None
        demo = await self._database.write(lambda db: store.change(db, owner, demo_id, checked, on))
        if not demo.on:
            await self._stop_all(demo)
        return demo

    async def delete(self, owner: str, demo_id: str) -> None:
        """Remove it, with what its visitors asked."""
        demo = await self.change(owner, demo_id, on=False)
        await self._database.write(lambda db: store.delete(db, owner, demo.id))

    async def listing(self, owner: str) -> tuple[DemoLine, ...]:
        return await self._database.read(lambda db: store.listing(db, owner))

    async def get(self, owner: str, demo_id: str) -> Demo:
        return await self._database.read(lambda db: store.get(db, owner, demo_id))

    async def owned_by_name(self, owner: str, name: str) -> Demo:
        """The demo behind a link, for its publisher. Raises NotFound."""
        demo = await self._database.read(lambda db: store.by_name(db, name))
        return await self.get(owner, demo.id)

    async def board(self, owner: str, demo_id: str) -> Board:
        """The newest questions that are not hidden, and the counts of all."""
        return await self._database.read(lambda db: store.board(db, owner, demo_id, BOARD))

    async def hide(self, owner: str, demo_id: str, question_id: str, hidden: bool) -> None:
        await self._database.write(lambda db: store.hide(db, owner, demo_id, question_id, hidden))

    # ---- visitors ----------------------------------------------------------------------------------------------------

    @staticmethod
    def new_visitor() -> str:
        return secrets.token_urlsafe(16)

    async def by_name(self, name: str) -> Demo:
        """One that is open now. Raises NotFound for an unknown one as for one that is over, and DemoEarly."""
        return await self._database.read(lambda db: store.open_by_name(db, name))

    async def ask(self, name: str, visitor: str, text: str, address: str = "") -> DemoQuestion:
        """Ask as a visitor. Raises NotFound, DemoEarly, DemoFull, Busy, BadInput; then nothing was stored."""
        text, network = self._questions.text(text), network_of(address)
        self._check_room()
        demo, question_id, last = await self._database.write(
            lambda db: store.reserve(db, name, visitor, network, text, self._quotas.visitor)
        )
        try:
            conversation, answers = await self._begin(demo, last, text, address)
        except BaseException as error:
            await self._database.write(lambda db: store.drop(db, demo, question_id, network), patient=True)
            if isinstance(error, Refused):  # its words are about the one user that all visitors are together
                raise DemoFull(
                    "Many people are asking this demo; try again shortly.", retry_after_s=error.retry_after_s
                ) from error
            raise
        try:
            await self._database.write(lambda db: store.fill(db, demo, question_id, conversation, answers))
        except ColloquyError:
            for generation_id in answers:
                await self._asks.stop(demo.runs_as, generation_id)
            raise
        return DemoQuestion(question_id, text, 0.0, answers)

    async def own(self, demo: Demo, visitor: str) -> tuple[DemoQuestion, ...]:
        """A visitor's own questions, oldest first."""
        return await self._database.read(lambda db: store.own(db, demo, visitor))

    async def answers(self, demo: Demo, question: DemoQuestion) -> tuple[Generation, ...]:
        return tuple([await self._asks.generation(demo.runs_as, g) for g in question.generation_ids])

    async def vote(self, demo: Demo, visitor: str, question_id: str, winner: str) -> None:
        """Say once which of the answers to a question of one's own was best, "tie" or "both_bad", when all have ended.

        It does not count in the ratings. Raises NotFound for what is not one's own or was not compared, BadInput.
        """
        comparison_id = await self._database.read(lambda db: store.compared(db, demo, visitor, question_id))
        await self._compares.vote(demo.runs_as, comparison_id, winner, visiting=True)

    async def check_own(self, demo: Demo, visitor: str, generation_id: str) -> None:
        """Raises NotFound unless it answers a question of this visitor."""
        await self._database.read(lambda db: store.check_own(db, demo, visitor, generation_id))

    async def stop(self, demo: Demo, visitor: str, generation_id: str) -> None:
        """End a running answer; it keeps its partial text."""
        await self.check_own(demo, visitor, generation_id)
        await self._asks.stop(demo.runs_as, generation_id)

    async def _begin(self, demo: Demo, last: str, text: str, address: str) -> tuple[str, tuple[str, ...]]:
        sides = demo.setup.sides
        if len(sides) > 1:
            compared = await self._compares.begin(demo.runs_as, text, sides, lane="demo", address=address)
            return compared.comparison_id, compared.generation_ids
        side = sides[0]
        question = Question(
            text, side.pipeline, side.corpus, side.params, lane="demo", address=address, engine=side.engine
        )
        if last:
            with suppress(NotFound):  # the publisher's operator may have deleted it, or the set-up was a comparison
                ticket = await self._asks.ask(demo.runs_as, last, question)
                return ticket.conversation_id, (ticket.generation_id,)
        conversation = await self._asks.create_conversation(demo.runs_as)
        ticket = await self._asks.ask(demo.runs_as, conversation.id, question)
        return conversation.id, (ticket.generation_id,)

    def _check_room(self) -> None:
        """All demos together fill at most half of the queue: the rest is for who belongs here."""
        waiting = sum(v.owner.startswith(DEMO) and v.state == "waiting" for v in self._asks.queue().visits)
        if waiting >= self._most_waiting:
            raise Busy("Too many people are asking; please try again shortly.", retry_after_s=10)

    async def _stop_all(self, demo: Demo) -> None:
        for visit in self._asks.queue().visits:
            if visit.owner == demo.runs_as:
                with suppress(NotFound):
                    await self._asks.stop(demo.runs_as, visit.generation_id)

    def _checked(self, setup: Setup) -> Setup:
        """What can be published as it is; the sides get their defaults written out."""
        title = " ".join(setup.title.split())
        examples = tuple(" ".join(text.split()) for text in setup.examples if text.strip())
        wrong = [
            ("name", "demo_name", _NAME.fullmatch(setup.name), "The name has 3 to 50 of a-z, 0-9 and hyphens."),
            ("title", "demo_title", 0 < len(title) <= TITLE_CHARS, f"The title has 1 to {TITLE_CHARS} characters."),
            ("welcome", "demo_welcome", len(setup.welcome) <= WELCOME_CHARS, f"At most {WELCOME_CHARS:,} characters."),
            (
                "examples",
                "demo_examples",
                len(examples) <= EXAMPLES and all(len(text) <= EXAMPLE_CHARS for text in examples),
                f"At most {EXAMPLES} examples, each of at most {EXAMPLE_CHARS} characters.",
            ),
            ("sides", "demo_sides", 1 <= len(setup.sides) <= SIDES, f"A demo has one side, or two to {SIDES}."),
            (
                "accent",
                "demo_accent",
                _ACCENT.fullmatch(setup.accent),
                "The colour is six hexadecimal digits: #0b6e63.",
            ),
            ("opens_at", "demo_year", _in_years(setup.opens_at), "The beginning is between the years 2000 and 2200."),
            ("closes_at", "demo_year", _in_years(setup.closes_at), "The end is between the years 2000 and 2200."),
            ("closes_at", "demo_window", _in_order(setup), "The end is before the beginning."),
            ("per_day", "demo_per_day", 1 <= setup.per_day <= self._quotas.demo.per_day, self._most("demo")),
            (
                "visitor_per_day",
                "demo_per_day",
                1 <= setup.visitor_per_day <= self._quotas.visitor.per_day,
                self._most("visitor"),
            ),
            (
                "origins",
                "demo_origins",
                set(setup.origins) <= set(self._embed_origins),
                "A site in a frame must be one that the server allows (`server.embed_origins`).",
            ),
        ]
        for field, reason, right, words in wrong:
            if not right:
                raise BadField(field, reason, words)
        sides = tuple(self._side(side) for side in setup.sides)
        return Setup(
            setup.name,
            title,
            setup.welcome.strip(),
            examples,
            sides,
            setup.accent,
            setup.opens_at,
            setup.closes_at,
            setup.per_day,
            setup.visitor_per_day,
            setup.origins,
        )

    def _side(self, side: Side) -> Side:
        plan = self._questions.plan(side.pipeline, side.corpus, side.params, engine=side.engine)
        return Side(plan.pipeline, plan.corpus, dict(side.params), plan.engine)

    def _most(self, who: str) -> str:
        most = self._quotas.demo.per_day if who == "demo" else self._quotas.visitor.per_day
        return f"From 1 to {most:,} questions a day."


def _in_years(at: float | None) -> bool:
    return at is None or EARLIEST <= at < LATEST


def _in_order(setup: Setup) -> bool:
    return setup.opens_at is None or setup.closes_at is None or setup.opens_at < setup.closes_at
