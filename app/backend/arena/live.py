"""The arena as the doors use it: the leaderboard of the votes there are now, what is behind it, and whom to show next.

Invariant: what is answered rests on every vote that counts at that moment; a leaderboard is made once for all who look
at it, one after the other in a thread of their own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from app.backend.arena.battles import Battle, Filters
from app.backend.arena.board import Board, Facets, make_board
from app.backend.arena.pairing import pick
from app.backend.aside import Aside
from app.backend.comparing.contenders import told_apart
from app.backend.storage import battles as store
from app.backend.storage.battles import Cast, Version
from app.backend.storage.database import Database

SHOWN = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """A battle behind a cell. Who cast the vote sees the question, and while it is there the comparison."""

    battle: Battle
    question: str = ""
    comparison_id: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    """The battles of the votes that there were at `version`, and the leaderboards that were made of them."""

    version: Version
    battles: tuple[Battle, ...]
    facets: Facets
    boards: dict[tuple[Filters, bool], asyncio.Task[Board]] = field(default_factory=dict)


class Arena:
    """One per backend."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: _Known | None = None
        self._reading = asyncio.Lock()
        self._aside = Aside[Board]("leaderboard")
        self._chance = random.Random()

    async def version(self) -> str:
        """Changes whenever a leaderboard may have."""
        return "-".join(map(str, await self._database.read(store.version)))

    async def facets(self) -> Facets:
        """What can be filtered for."""
        return (await self._now()).facets

    async def board(self, filters: Filters, *, style: bool = False) -> Board:
        """The leaderboard of the votes that the filters take."""
        known = await self._now()
        if not known.facets.know(filters):
            return Board()
        key = filters, style
        task = known.boards.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            battles = [battle for battle in known.battles if filters.take(battle)]
            making = self._aside.run(lambda: make_board(battles, style=style))
            task = asyncio.create_task(making, name="leaderboard")
            known.boards[key] = task
        return await asyncio.shield(task)

    async def behind(self, owner: str, one: str, other: str, filters: Filters) -> tuple[Seen, ...]:
        """The newest battles between two contenders, the first one always on the left."""
        known = await self._now()
        between = [
            b for b in known.battles if {b.left.contender, b.right.contender} == {one, other} and filters.take(b)
        ]
        shown = [_turned(b, one) for b in sorted(between, key=lambda b: b.at, reverse=True)[:SHOWN]]
        own = await self._database.read(lambda db: store.own(db, owner, [b.vote_id for b in shown]))
        nothing = Cast()
        return tuple(Seen(b, (cast := own.get(b.vote_id, nothing)).question, cast.comparison_id) for b in shown)

    async def pick(self, candidates: Sequence[str], model: str) -> tuple[str, str]:
        """Which two of these methods to show blind: whose vote tells most on this model, drawn by chance. In no
        particular order.
        """
        known = await self._now()
        people = [battle for battle in known.battles if battle.judge == "human"]
        met = {entry.contender for b in people for entry in (b.left, b.right)}
        rated = {there if (there := told_apart(name, name, model)) in met else name: name for name in candidates}
        one, other = await asyncio.to_thread(pick, list(rated), people, self._chance)
        return rated[one], rated[other]

    async def _now(self) -> _Known:
        async with self._reading:
            version = await self._database.read(store.version)
            if self._known is None or self._known.version != version:
                version, battles = await self._database.read(store.battles)
                self._known = _Known(version, battles, Facets.of(battles))
            return self._known


def _turned(battle: Battle, left: str) -> Battle:
    if battle.left.contender == left:
        return battle
    return replace(battle, left=battle.right, right=battle.left, outcome=1 - battle.outcome)
