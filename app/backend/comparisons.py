"""One question, two to four answers side by side, and the vote on them.

Invariant: the columns are answers like any other, and know nothing of each other: one that is slow, fails or is stopped
touches no other. What a blind comparison hides leaves here only after its vote.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import sqlite_utils

from app.backend.answers import Answers
from app.backend.comparing import contenders
from app.backend.comparing.counting import why_not
from app.backend.errors import BadInput
from app.backend.generations import Generations
from app.backend.pipelines.registry import Registry
from app.backend.questions import Questions
from app.backend.records import (
    LIVE,
    WINNERS,
    Column,
    Comparison,
    ComparisonLine,
    ComparisonTicket,
    Generation,
    Side,
    Ticket,
    Vote,
    Winner,
)
from app.backend.storage import comparisons, kept, rows, veil, votes
from app.backend.storage.database import Database
from app.backend.storage.generations import Begun
from app.backend.types import Lane, Params
from app.settings import Quota, Settings

VISITING = "A visitor of a demo cast it."
FEWEST, MOST = 2, 4
MOST_TAGS, TAG_CHARS, COMMENT_CHARS = 8, 40, 2_000
Pick = Callable[[Sequence[str], str], Awaitable[Sequence[str]]]
"""Which of the pipelines to show blind, on this model."""


class Comparisons:
    """Every call names its `owner` first; what belongs to another owner is NotFound."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        questions: Questions,
        answers: Answers,
        generations: Generations,
        registry: Registry,
        quota_of: Callable[[str], Quota],
        network_of: Callable[[str, str], str | None],
        pick: Pick,
    ) -> None:
        """`network_of` is what the votes of an owner at an address are counted under too; None where by owner only."""
        self._contenders = tuple(registry.info(name).name for name in settings.arena.contenders)
        self._pick = pick
        self._votes_per_day = settings.arena.votes_per_day
        self._database = database
        self._questions = questions
        self._answers = answers
        self._generations = generations
        self._registry = registry
        self._quota_of = quota_of
        self._network_of = network_of

    async def begin(
        self,
        owner: str,
        question: str,
        sides: Sequence[Side],
        *,
        blind: bool = False,
        corpus: str = "",
        lane: Lane = "compare",
        address: str = "",
    ) -> ComparisonTicket:
        """Store a question and begin to answer it in every column. When `blind` the columns are shuffled and their
        methods hidden until the vote; two are picked when no `sides` are given. `corpus` is for sides without one.

        Raises BadInput, NotFound, Busy, Refused; then nothing was stored.
        """
        text = self._questions.text(question)
        if blind and not sides:
            sides = [Side(pipeline) for pipeline in await self._pick(self._contenders, self._questions.model)]
        if not FEWEST <= len(sides) <= MOST:
            raise BadInput(f"A comparison has {FEWEST} to {MOST} columns; this one has {len(sides)}.")
        seed = secrets.randbelow(2**31)
        plans = [
            self._questions.plan(side.pipeline, side.corpus or corpus, side.params, seed, side.engine) for side in sides
        ]
        quota = self._quota_of(owner)
        if len(plans) > (room := quota.running + quota.queued):
            raise BadInput(f"You may have {room} answers at once: compare with so many columns at most.")
        if blind:
            secrets.SystemRandom().shuffle(plans)
        tickets = await self._answers.begin_all(
            owner,
            plans,
            lambda db: comparisons.begin(db, owner, text, plans, blind),
            lane=lane,
            text=text,
            address=address,
        )
        return ComparisonTicket(tickets[0].conversation_id, tuple(ticket.generation_id for ticket in tickets))

    async def get(self, owner: str, comparison_id: str) -> Comparison:
        """As it may be seen now."""
        return await self._database.read(lambda db: veil.comparison(db, comparisons.get(db, owner, comparison_id)))

    async def listing(self, owner: str, limit: int = 200) -> tuple[ComparisonLine, ...]:
        """Newest first."""
        return await self._database.read(lambda db: comparisons.listing(db, owner, limit))

    async def again(
        self, owner: str, comparison_id: str, letter: str, side: Side | None = None, address: str = ""
    ) -> Ticket:
        """Answer in one column anew, as before or as `side` says; what still runs in it is stopped, the other columns
        are left alone.

        Before the vote on a blind comparison only an answer that failed or was stopped is made again, as it was, once
        all have ended.
        """
        self._questions.check_open()
        comparison = await self._database.read(lambda db: comparisons.get(db, owner, comparison_id))
        old = _column(comparison, letter).generation
        unfinished = any(column.generation.status in LIVE for column in comparison.columns)
        if comparison.hidden and (side is not None or old.status == "done" or unfinished):
            raise BadInput("This comparison is blind: vote first, then change its columns.")
        wanted = side or Side(old.pipeline, old.corpus, old.params, old.engine)
        plan = self._questions.plan(wanted.pipeline, wanted.corpus, wanted.params, old.seed, wanted.engine)
        replaced: list[str] = []

        def store(db: sqlite_utils.Database) -> tuple[Begun, ...]:
            replaced.append(comparisons.standing(db, owner, comparison_id, letter)["id"])
            return (comparisons.replace(db, owner, comparison_id, letter, plan),)

        (ticket,) = await self._answers.begin_all(
            owner,
            [plan],
            store,
            lane="compare",
            text=comparison.question,
            address=address,
        )
        for before in replaced:
            if live := self._generations.find(owner, before):
                live.stop("user")
        return ticket

    async def vote(
        self,
        owner: str,
        comparison_id: str,
        winner: str,
        tags: Sequence[str] = (),
        comment: str = "",
        *,
        visiting: bool = False,
        address: str = "",
    ) -> Comparison:
        """Say which column was best, "tie" or "both_bad"; that reveals a blind comparison.

        There is one vote a comparison. It may be changed while the methods were in view from the beginning; a vote that
        revealed them stays, and a second one is refused. That of a demo's visitor (`visiting`) is cast when all answers
        have ended, stays, and does not count in the ratings.
        """
        given = _checked(winner, tags, comment)

        def cast(db: sqlite_utils.Database) -> Comparison:
            comparison = comparisons.get(db, owner, comparison_id)
            if given.winner not in (*(c.letter for c in comparison.columns), "tie", "both_bad"):
                raise BadInput(f"There is no column {given.winner!r} in this comparison.")
            if comparison.blind and comparison.vote:
                raise BadInput("You have voted, and the names are shown: the vote stays.")
            if visiting:
                _check_once(comparison)
                vote = replace(given, counted=False, why_not=VISITING)
            else:
                vote = self._counted(db, owner, comparison, given, self._network_of(owner, address))
            votes.cast(db, owner, comparison, vote, self._names(comparison))
            comparisons.reveal(db, comparison_id)
            return comparisons.get(db, owner, comparison_id)

        return await self._database.write(cast)

    def _counted(
        self, db: sqlite_utils.Database, owner: str, comparison: Comparison, vote: Vote, network: str | None
    ) -> Vote:
        """The vote, with the reason if it does not count."""
        titles = {info.name: info.title for info in self._registry.infos()}
        if reason := why_not(comparison, titles, self._names(comparison)):
            return replace(vote, counted=False, why_not=reason)
        most, changed = self._votes_per_day, comparison.vote is not None and comparison.vote.counted
        given = votes.counted_since(db, owner, rows.midnight(), comparison.id)
        if network is not None and not changed:
            given = max(given, kept.votes(db, network))
        if given >= most:
            reason = f"Of a day's votes the first {most} count; it starts anew at 00:00 UTC."
            return replace(vote, counted=False, why_not=reason)
        if network is not None and not changed:
            kept.count_vote(db, network)
        return vote

    def _names(self, comparison: Comparison) -> tuple[str, ...]:
        return self.names([column.generation for column in comparison.columns])

    def names(self, made: Sequence[Generation]) -> tuple[str, ...]:
        """What answers that stand side by side are called in the ratings."""
        known = {info.name: info for info in self._registry.infos()}

        def defaults_of(made: Generation) -> Params:
            info = known.get(made.pipeline)
            return {param.name: param.default for param in info.params} if info else made.params

        return contenders(made, defaults_of)


def _check_once(comparison: Comparison) -> None:
    """Raises BadInput when a vote that stays cannot be cast (any more)."""
    if comparison.vote:
        raise BadInput("You have voted on these answers; the vote stays.")
    if any(column.generation.status in LIVE for column in comparison.columns):
        raise BadInput("The answers are still being written; vote when all have ended.")


def _column(comparison: Comparison, letter: str) -> Column:
    for column in comparison.columns:
        if column.letter == letter:
            return column
    letters = ", ".join(column.letter for column in comparison.columns)
    raise BadInput(f"There is no column {letter[:20]!r}; this comparison has {letters}.")


def _checked(winner: str, tags: Sequence[str], comment: str) -> Vote:
    known: Winner | None = next((w for w in WINNERS if w == winner), None)
    if known is None:
        raise BadInput(f"There is no vote {winner[:20]!r}; give one of {', '.join(WINNERS)}.")
    tags = tuple(dict.fromkeys(" ".join(tag.split()) for tag in tags))
    if len(tags) > MOST_TAGS or not all(0 < len(tag) <= TAG_CHARS for tag in tags):
        raise BadInput(f"A vote has up to {MOST_TAGS} reasons of 1 to {TAG_CHARS} characters.")
    if len(comment) > COMMENT_CHARS:
        raise BadInput(f"The comment has {len(comment):,} characters; shorten it to {COMMENT_CHARS:,}.")
    return Vote(known, tuple(tags), comment.strip())
