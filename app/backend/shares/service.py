"""Share links: publish, look, watch, copy, run again, revoke.

Invariant: whoever has no link, or one that shows nothing any more, learns the same: there is nothing. A link never
gives more than its snapshot, and of an answer that is still being written what comes to be in its log.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

import structlog

from app.backend.admission import network_of
from app.backend.answers import Answers
from app.backend.errors import BadField, ColloquyError, NotFound
from app.backend.events import Failed, Queued, Recorded, Thought
from app.backend.generations import Generations
from app.backend.questions import Questions
from app.backend.records import Generation, Ticket
from app.backend.shares.snapshots import Opened, Share, Snapshot
from app.backend.storage import consents, forks, generations, rows
from app.backend.storage import shares as store
from app.backend.storage.database import Database
from app.backend.throttle import Throttle

log = structlog.get_logger(__name__)

TOKEN_BYTES = 32
LOOK_AGAIN_S = 1.0
KEPT_S = 30 * 24 * 3600
COPIES, COPIES_S = 60, 3600.0
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Published:
    """A new link. The token is nowhere else."""

    share: Share
    token: str


@dataclass(frozen=True, slots=True)
class Change:
    """How a new answer came about other than the shared one: each name with what it was and what it is now."""

    then: Generation
    now: Generation
    differs: tuple[tuple[str, str, str], ...]


class Shares:
    """One per backend. `clock` gives Unix seconds."""

    def __init__(
        self,
        database: Database,
        running: Generations,
        questions: Questions,
        answers: Answers,
        clock: Clock = time.time,
    ) -> None:
        self._database = database
        self._running = running
        self._questions = questions
        self._answers = answers
        self._clock = clock
        self._copies = Throttle(COPIES, COPIES_S)

    async def forget_expired(self) -> None:
        """Forget what expired long ago."""
        before = rows.iso(self._clock() - KEPT_S)
        await self._database.write(lambda db: store.purge(db, before))

    # ---- the owner's side ----------------------------------------------------------------------------------------

    async def preview(self, owner: str, conversation_id: str) -> Snapshot:
        """What a link made now would show. Raises NotFound, BadField."""
        shown, _ = await self._database.read(lambda db: store.snapshot(db, owner, conversation_id))
        return shown

    async def publish(
        self, owner: str, conversation_id: str, expires_in_s: float | None = None, seen: str = ""
    ) -> Published:
        """A link to what the conversation is now; with `seen`, only if that is what a preview showed.

        Raises NotFound, BadField.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        until = None if expires_in_s is None else self._clock() + expires_in_s
        share = await self._database.write(lambda db: store.publish(db, owner, conversation_id, token, until, seen))
        return Published(share, token)

    async def listing(self, owner: str, conversation_id: str = "") -> tuple[Share, ...]:
        """The links of an owner, newest first; or only those to one conversation."""
        return await self._database.read(lambda db: store.listing(db, owner, conversation_id))

    async def revoke(self, owner: str, share_id: str) -> None:
        """From now on there is nothing behind the link. Raises NotFound."""
        await self._database.write(lambda db: store.revoke(db, owner, share_id))

    async def consents(self, owner: str) -> bool:
        """Whether the conversations of this owner may be given to research."""
        return await self._database.read(lambda db: consents.given(db, owner))

    async def consent(self, owner: str, given: bool, address: str = "") -> None:
        """Give or take back the consent of somebody who calls from `address`."""
        if given:
            self._throttle(owner, address)
        await self._database.write(lambda db: consents.set_given(db, owner, given))

    # ---- whoever has the link ------------------------------------------------------------------------------------

    async def opened(self, token: str) -> Opened:
        """What is behind a link. Raises NotFound."""
        now = rows.iso(self._clock())
        return await self._database.read(lambda db: store.opened(db, token, now))

    async def viewed(self, opened: Opened, viewer: str) -> None:
        """Count a look, unless it is the owner's own; a store in trouble keeps nobody from reading."""
        if viewer == opened.owner:
            return
        try:
            await self._database.write(lambda db: store.viewed(db, opened.share.id))
        except ColloquyError as error:
            log.warning("a view could not be counted", reason=error.message)

    async def watch(self, token: str, key: str) -> AsyncGenerator[Recorded, None]:
        """The log of an answer that is being written, without thoughts and without places in the queue.

        A spectator is no reader: when the owner leaves, the answer ends after its grace, watched or not. Once a second
        the link is looked at again. Raises NotFound.
        """
        opened = await self.opened(token)
        generation_id = opened.live.get(key)
        if generation_id is None:
            raise NotFound("There is no such answer behind this link.")
        if live := self._running.find(opened.owner, generation_id):
            source = live.read(holds=False)
        else:
            source = _stored(await self._database.read(lambda db: generations.log(db, opened.owner, generation_id, 0)))
        looked = time.monotonic()
        async with aclosing(source) as recorded:
            async for r in recorded:
                if time.monotonic() - looked >= LOOK_AGAIN_S:
                    now = rows.iso(self._clock())
                    if not await self._database.read(lambda db, now=now: store.is_open(db, token, now)):  # type: ignore[misc]
                        raise NotFound("There is nothing behind this link.")
                    looked = time.monotonic()
                if isinstance(r.event, Failed):
                    message = "" if generation_id in r.event.message else r.event.message
                    yield replace(r, event=replace(r.event, id="", message=message))
                elif not isinstance(r.event, Queued | Thought):
                    yield r

    async def fork(self, token: str, owner: str, address: str = "") -> str:
        """Copy what is behind a link into the space of `owner`; the new conversation's id.

        Of a chat whose last answer is still being written, what was before it. Raises NotFound, BadField, Refused.
        """
        shown = (await self.opened(token)).snapshot.ended()
        if not shown.turns:
            raise BadField("form", "share_unfinished", "It is still being written: try again when it has ended.")
        self._throttle(owner, address)
        settings = self._questions.settings_json
        return await self._database.write(lambda db: forks.fork(db, owner, shown, settings))

    async def again(self, token: str, key: str, owner: str, address: str = "") -> Ticket:
        """Answer a shared question once more, as `owner`: same pipeline, parameters, corpus and seed, after the same
        turns. Raises NotFound, BadInput, Busy, Refused.
        """
        shown = (await self.opened(token)).snapshot
        at, answer = shown.find(key)
        question = self._questions.text(shown.turns[at].question)
        try:
            plan = self._questions.plan(answer.pipeline, answer.corpus, answer.params, answer.seed, answer.engine)
        except NotFound as error:  # the corpus; of a link this would say that there is nothing behind it
            raise BadField("form", "share_again", error.message) from error
        before = replace(shown, kind="chat", turns=shown.turns[:at]).ended()
        self._throttle(owner, address)
        turns = self._questions.history_turns
        return await self._answers.begin(
            owner,
            plan,
            lambda db: forks.ask_again(db, owner, before, question, plan, turns),
            text=question,
            address=address,
        )

    async def change(self, token: str, key: str, owner: str, generation_id: str) -> Change:
        """A shared answer beside a later one of `owner`, and what is not the same about how they came about."""
        _, then = (await self.opened(token)).snapshot.find(key)
        now = await self._database.read(lambda db: generations.get(db, owner, generation_id))
        return Change(then, now, tuple(_differing(then, now)))

    def _throttle(self, owner: str, address: str) -> None:
        """Copies and consents are cheap and take room: guests who come as somebody else each time are counted too."""
        self._copies.attempt(owner)
        if address:
            self._copies.attempt(network_of(address))


def _differing(then: Generation, now: Generation) -> list[tuple[str, str, str]]:
    found = []
    pairs = (("model", then.model, now.model), ("corpus", then.corpus_version, now.corpus_version))
    for name, was, is_now in (*pairs, ("seed", str(then.seed), str(now.seed))):
        if was != is_now and (name != "seed" or then.seed is not None):
            found.append((name, was, is_now))
    return found


async def _stored(log: list[Recorded]) -> AsyncGenerator[Recorded, None]:
    for recorded in log:
        yield recorded
